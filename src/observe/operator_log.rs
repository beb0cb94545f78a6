//! The operator's log: what `log` macros say, on the standard error, by simple_logger.

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::io::{IsTerminal, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// simple_logger, for a program that must outlive its standard error.
struct OperatorLog(SimpleLogger);

/// Sets up the operator's log for the process, with colours if it goes to a terminal and NO_COLOR
/// (<https://no-color.org>) is not set. A second call changes nothing.
pub fn start_operator_log(level: LevelFilter) {
    // Left alone, it asks whether the standard output is a terminal, where the access log goes.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    colored::control::set_override(stderr().is_terminal() && !no_color);
    let logger = SimpleLogger::new().with_level(level).with_utc_timestamps();
    if log::set_boxed_logger(Box::new(OperatorLog(logger))).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for OperatorLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // It prints with `eprintln!`, which panics if the standard error is a closed pipe or a full disk: anybody who
        // can make the server warn could then end it. A line that nobody can read is no reason to stop.
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
    }

    fn flush(&self) {
        self.0.flush();
    }
}
