//! The program: options, server, exit code. Usage errors end it with 2, all others with 1.

#![forbid(unsafe_code)]

use evserve::cli::{self, Command, Task};
use evserve::{model, net, server::Server};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How long the end waits for a slow reader of the operator's log.
const LAST_WAIT: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let inherited = match net::inherited() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&format!("an inherited socket cannot be used: {error}")),
    };
    let task = cli::parse(std::env::args_os(), inherited).unwrap_or_else(|error| error.exit());
    let command = match task {
        Task::Serve(command) => command,
        Task::Print(text) => return print(&text),
    };
    cli::start_operator_log(command.log_level);
    match serve(&command) {
        Ok(()) => {
            cli::finish_operator_log(None, LAST_WAIT);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn serve(command: &Command) -> Result<(), Box<dyn Error>> {
    let server = Server::start(&command.config)?;
    server.confine(&command.confinement)?;
    if let Some(requests) = command.traced {
        let config = &command.config;
        let is_loop = model::find(&config.model).is_some_and(|row| row.is_loop());
        cli::begin_trace(requests, !is_loop || config.workers > 1);
    }
    Ok(server.run()?)
}

fn print(text: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("that could not be printed: {error}")),
    }
}

fn fail(message: &str) -> ExitCode {
    // If nobody can read it, the exit code has to do.
    cli::finish_operator_log(Some(&format!("evserve: {message}")), LAST_WAIT);
    ExitCode::FAILURE
}
