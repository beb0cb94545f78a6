//! The program: options, server, exit code. Usage errors end it with 2, all others with 1.

#![forbid(unsafe_code)]

use evserve::{cli, net, observe, server::Server};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let inherited = match net::inherited() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&format!("an inherited socket cannot be used: {error}")),
    };
    let command = cli::parse(std::env::args_os(), inherited).unwrap_or_else(|error| error.exit());
    observe::start_operator_log(command.log_level);
    let result = Server::start(&command.config).map_err(|error| error.to_string());
    match result.and_then(|server| server.run().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    // If nobody can read it, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "evserve: {message}");
    ExitCode::FAILURE
}
