//! The operator's log: messages of the `log` macros, on standard error.
//!
//! On a terminal, lines are for people: information is only its text, and other levels are named.
//! Indented lines, such as the URLs at the start, have a blank line before and after them.
//! Elsewhere each line has the time, the level and the module in simple_logger's form, for log
//! files and journald.
//!
//! simple_logger only filters by level. It would print with `eprintln!`, which waits for the reader
//! and panics without one. [`lines`](crate::lines) writes instead, and drops and counts lines that
//! are not read.

use super::qr_code::QrCode;
use crate::observe::throttled;
use crate::trace::{self, Sink};
use crate::{lines, sys};
use colored::Colorize;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

struct OperatorLog {
    levels: SimpleLogger,
}

/// Standard error is a terminal.
static IS_TERMINAL: AtomicBool = AtomicBool::new(false);

/// The last line on the terminal was indented.
static WAS_INDENTED: AtomicBool = AtomicBool::new(false);

/// Sets up the operator's log for the process. It is in colour on a terminal unless NO_COLOR
/// (<https://no-color.org>) is set. Panics are logged too. A second call changes nothing.
pub fn start_operator_log(level: LevelFilter) {
    let is_terminal = stderr().is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    IS_TERMINAL.store(is_terminal, Relaxed);
    colored::control::set_override(is_terminal && !no_color);
    let levels = SimpleLogger::new().with_level(level);
    if log::set_boxed_logger(Box::new(OperatorLog { levels })).is_ok() {
        log::set_max_level(level);
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Shows a URL as a QR code, if standard error is a terminal in colour on which it fits.
pub fn show_qr_code(url: &str) {
    let is_coloured = colored::control::SHOULD_COLORIZE.should_colorize();
    if !IS_TERMINAL.load(Relaxed) || !is_coloured || !log::log_enabled!(Level::Info) {
        return;
    }
    let Some(size) = sys::untraced::terminal_size(stderr()) else {
        return;
    };
    if let Some(code) = QrCode::new(url).filter(|code| code.fits(size)) {
        WAS_INDENTED.store(true, Relaxed);
        let text = format!("  Scan this to open {url}\n{}", code.to_text());
        lines::write_to_standard_error(text.into(), lost_lines_warning);
    }
}

/// Begins the trace of the first `requests` on standard error. With `several` threads or processes,
/// each line begins with the number of its thread.
pub fn begin_trace(requests: usize, several: bool) {
    let sink = Sink {
        write: |line, lost| lines::write_to_standard_error(line, lost),
        thread: several.then_some(sys::thread_id),
    };
    trace::begin(requests, sink);
}

/// Writes a last sentence, and waits for a slow reader of the log for this time at most. Call this
/// before the process ends.
pub fn finish_operator_log(last: Option<&str>, time: Duration) {
    if let Some(last) = last {
        lines::write_to_standard_error(format!("{last}\n").into(), lost_lines_warning);
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
            let line = line(record.level(), target, &record.args().to_string());
            lines::write_to_standard_error(line, lost_lines_warning);
        }
    }

    fn flush(&self) {
        lines::flush_standard_error();
    }
}

fn line(level: Level, target: &str, text: &str) -> Vec<u8> {
    match IS_TERMINAL.load(Relaxed) {
        true => line_for_people(level, target, text),
        false => line_for_files(level, target, text),
    }
}

/// The carriage return puts the line where the terminal has echoed `^C`.
fn line_for_people(level: Level, target: &str, text: &str) -> Vec<u8> {
    let is_indented = text.starts_with("  ");
    let was_indented = WAS_INDENTED.swap(is_indented, Relaxed);
    let blank = if is_indented == was_indented {
        ""
    } else {
        "\n"
    };
    let text = match level {
        Level::Error => format!("{} {text}", "error:".red().bold()),
        Level::Warn => format!("{} {text}", "warning:".yellow().bold()),
        Level::Info => with_coloured_url(text),
        Level::Debug => format!("{} [{target}] {text}", "debug:".purple()),
        Level::Trace => format!("trace: [{target}] {text}"),
    };
    format!("\r{blank}{text}\n").into()
}

fn with_coloured_url(text: &str) -> String {
    let Some(at) = text.find("http://") else {
        return text.into();
    };
    let (before, rest) = text.split_at(at);
    let end = rest.find([' ', '\'']).unwrap_or(rest.len());
    let (url, after) = rest.split_at(end);
    format!("{before}{}{after}", url.cyan())
}

fn line_for_files(level: Level, target: &str, text: &str) -> Vec<u8> {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} {level:<5} [{target}] {text}\n").into()
}

fn lost_lines_warning(lost: usize) -> Vec<u8> {
    let text = match lost {
        1 => "1 line of this log was lost: its reader was too slow".into(),
        lost => format!("{lost} lines of this log were lost: its reader was too slow"),
    };
    line(Level::Warn, module_path!(), &text)
}

/// Logs what std would print: std would wait for the reader.
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
