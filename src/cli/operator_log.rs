//! The operator's log: what `log` macros say, on the standard error, in the form that simple_logger gives it.
//!
//! simple_logger decides which levels are said. It prints with `eprintln!`, though, which waits for a reader and panics
//! without one. So the line is made here and written by [`lines`](crate::lines), which drops and counts what nobody reads.

use crate::observe::throttled;
use crate::trace::{self, Sink};
use crate::{lines, sys};
use colored::Colorize;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::time::{Duration, SystemTime};

struct OperatorLog {
    levels: SimpleLogger,
}

/// Sets up the operator's log for the process, with colours if it goes to a terminal and NO_COLOR
/// (<https://no-color.org>) is not set. Panics are logged too. A second call changes nothing.
pub fn start_operator_log(level: LevelFilter) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    colored::control::set_override(stderr().is_terminal() && !no_color);
    let levels = SimpleLogger::new().with_level(level);
    if log::set_boxed_logger(Box::new(OperatorLog { levels })).is_ok() {
        log::set_max_level(level);
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Begins the trace of the first `requests` on the standard error. If there are `several` threads or processes, each line
/// begins with the number of its thread.
pub fn begin_trace(requests: usize, several: bool) {
    let sink = Sink {
        write: |line, lost| lines::write_to_standard_error(line, lost),
        thread: several.then_some(sys::thread_id),
    };
    trace::begin(requests, sink);
}

/// Writes a last sentence, and waits for a slow reader of the log, for so long at most. Call this before the process
/// ends.
pub fn finish_operator_log(last: Option<&str>, time: Duration) {
    if let Some(last) = last {
        lines::write_to_standard_error(format!("{last}\n").into(), lost_lines_note);
    }
    lines::finish_standard_error(time);
}

impl Log for OperatorLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let target = match record.target() {
                "" => record.module_path().unwrap_or_default(),
                target => target,
            };
            let line = line(record.level(), target, record.args());
            lines::write_to_standard_error(line, lost_lines_note);
        }
    }

    fn flush(&self) {
        lines::flush_standard_error();
    }
}

/// A line in simple_logger's form.
fn line(level: Level, target: &str, text: impl std::fmt::Display) -> Vec<u8> {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let level = match (level, format!("{level:<5}")) {
        (Level::Error, name) => name.red(),
        (Level::Warn, name) => name.yellow(),
        (Level::Info, name) => name.cyan(),
        (Level::Debug, name) => name.purple(),
        (Level::Trace, name) => name.normal(),
    };
    format!("{time} {level} [{target}] {text}\n").into()
}

fn lost_lines_note(lost: usize) -> Vec<u8> {
    let text = match lost {
        1 => "1 line of this log was lost: nobody read it".into(),
        lost => format!("{lost} lines of this log were lost: nobody read them"),
    };
    line(Level::Warn, module_path!(), text)
}

/// What std would print, which would wait for a reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let message = panic.payload();
    let message = message
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| message.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".into());
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    throttled!(
        Error,
        "thread {name} panicked at {place}: {message}{backtrace}"
    );
}
