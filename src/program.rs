//! The program: options, server, exit code. Mistakes in the command line end it with 2, other
//! errors with 1.

use crate::cli::{self, ReplayCommand, ServeCommand, Task};
use crate::model::ModelRow;
use crate::net;
use crate::replay::{self, Replayed};
use crate::server::Builder;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How long the program waits at its end for a slow reader of the operator's log.
const LAST_WAIT: Duration = Duration::from_millis(250);

/// Runs the program. A `custom` model replaces the one that `--model` names.
pub fn run(custom: Option<&'static ModelRow>) -> ExitCode {
    let (inherited, broken) = match net::inherited_sockets() {
        Ok(inherited) => (inherited, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let task = cli::parse(std::env::args_os(), inherited);
    let is_server = match &task {
        Ok(task) => matches!(task, Task::Serve(_)),
        Err(error) => error.use_stderr(),
    };
    // It leaves --help and --man alone.
    if let Some(error) = broken.filter(|_| is_server) {
        return fail(&format!("an inherited socket cannot be used: {error}"));
    }
    let command = match task.unwrap_or_else(|error| error.exit()) {
        Task::Serve(command) => command,
        Task::Print(text) => return print(&text),
        Task::Replay(command) => {
            return match replay(&command) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => fail(&message),
            };
        }
    };
    cli::start_operator_log(command.log_level);
    match serve(&command, custom) {
        Ok(()) => {
            cli::finish_operator_log(None, LAST_WAIT);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn serve(command: &ServeCommand, custom: Option<&'static ModelRow>) -> Result<(), Box<dyn Error>> {
    let builder = Builder::from_config(&command.config)?;
    let builder = match custom {
        Some(row) => builder.custom_model(row),
        None if command.is_model_chosen => builder.model(&command.config.model),
        None => builder,
    };
    let server = builder.start()?;
    if let Some(url) = server.url_for_others().filter(|_| command.shows_qr_code) {
        cli::show_qr_code(url);
    }
    server.confine(&command.confinement)?;
    if let Some(requests) = command.traced_requests {
        let is_alone = server.model().is_loop() && command.config.workers == 1;
        cli::begin_trace(requests, !is_alone);
    }
    Ok(server.run()?)
}

/// Reads the recordings and writes the page, or the JSON.
fn replay(command: &ReplayCommand) -> Result<(), String> {
    let mut files = Vec::new();
    for path in &command.recordings {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => files.push((name, bytes)),
            Err(error) => return Err(format!("cannot read {name}: {error}")),
        }
    }
    let shown: Vec<_> = files
        .iter()
        .map(|(name, bytes)| Replayed { name, bytes })
        .collect();
    let refused = |(name, error)| format!("cannot replay {name}: {error}");
    let written = match (&shown[..], &command.lesson) {
        ([one], _) if command.trace_json => replay::trace_json(one).map_err(refused),
        (all, None) => replay::page(all).map(String::into_bytes).map_err(refused),
        (all, Some(path)) => lesson(path, all),
    }?;
    let output = &command.output;
    std::fs::write(output, written)
        .map_err(|error| format!("cannot write {}: {error}", output.display()))
}

fn lesson(path: &Path, recordings: &[Replayed]) -> Result<Vec<u8>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    let page = replay::lesson(&text, recordings).map(String::into_bytes);
    page.map_err(|error| format!("cannot make a page of {name}: {error}"))
}

fn print(text: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write to standard output: {error}")),
    }
}

fn fail(message: &str) -> ExitCode {
    // Without a reader, the exit code is all that is left.
    cli::finish_operator_log(Some(&format!("evserve: {message}")), LAST_WAIT);
    ExitCode::FAILURE
}
