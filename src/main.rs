//! The program: options, server, exit code. Usage errors end it with 2, all others with 1.

#![forbid(unsafe_code)]

use evserve::{cli, observe, server::Server};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    observe::start_operator_log(command.log_level);
    let result = Server::start(&command.config).map_err(|error| error.to_string());
    match result.and_then(|server| server.run().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // If nobody can read it, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "evserve: {message}");
            ExitCode::FAILURE
        }
    }
}
