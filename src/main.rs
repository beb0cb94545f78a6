//! The program: options, server, exit code. Usage errors end it with 2, all others with 1.

#![forbid(unsafe_code)]

use evserve::{cli, server::Server};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let logger = simple_logger::SimpleLogger::new()
        .with_level(command.log_level)
        .with_utc_timestamps();
    logger.init().expect("no other logger was set");
    let result = Server::start(&command.config).map_err(|error| error.to_string());
    match result.and_then(|server| server.run().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("evserve: {message}");
            ExitCode::FAILURE
        }
    }
}
