//! What the first requests make the program do, call by call.
//!
//! System calls and the steps of sessions are noted here. While no trace has been asked for, a note costs one load of a
//! flag: no clock is read and nothing is allocated. This module knows neither who calls, nor what for, nor where the
//! lines go.

use colored::Colorize;
use rustix::io::Errno;
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much is shown of what was sent or received, in bytes.
const SHOWN_BYTES: usize = 60;

/// From which time on it is said how long a call took: it has waited, or others had the processor.
const LONG: Duration = Duration::from_micros(100);

static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many requests are still to be answered.
static REQUESTS_LEFT: AtomicUsize = AtomicUsize::new(0);
static TRACE: OnceLock<Trace> = OnceLock::new();

struct Trace {
    at: Instant,
    sink: Sink,
}

/// Where the lines of the trace go.
pub struct Sink {
    /// Writes a line without waiting. Where lines before it were lost, the function makes the line that says how many.
    pub write: fn(Vec<u8>, &dyn Fn(usize) -> Vec<u8>),
    /// The number of the thread, with which each line begins if several threads or processes write.
    pub thread: Option<fn() -> i32>,
}

/// Begins the trace, which ends once that many requests have been answered. It begins once in the life of a process.
pub fn begin(requests: usize, sink: Sink) {
    let at = Instant::now();
    let trace = Trace { at, sink };
    if TRACE.set(trace).is_ok() {
        REQUESTS_LEFT.store(requests, Relaxed);
        IS_ON.store(true, Relaxed);
    }
}

/// True while somebody reads along.
#[inline]
pub fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// A system call that is about to be made: when, if it is to be written down.
#[must_use]
pub struct Call(Option<Instant>);

/// A system call is about to be made.
#[inline]
pub fn call() -> Call {
    Call(is_on().then(Instant::now))
}

impl Call {
    /// It has returned: `called` says what it was given, and `came` what it means if it did not fail.
    #[inline]
    pub fn returned<T>(
        self,
        result: &Result<T, Errno>,
        describe_call: impl FnOnce() -> String,
        describe_result: impl FnOnce(&T) -> String,
    ) {
        if let Some(begin) = self.0 {
            cold(|| write_call(begin, result, describe_call, describe_result));
        }
    }
}

/// Keeps what is hardly ever done from being inlined where nobody reads along.
#[cold]
#[inline(never)]
fn cold(act: impl FnOnce()) {
    act();
}

fn write_call<T>(
    begin: Instant,
    result: &Result<T, Errno>,
    describe_call: impl FnOnce() -> String,
    describe_result: impl FnOnce(&T) -> String,
) {
    let time = begin.elapsed();
    // One that has waited until all was over comes too late.
    if !is_on() {
        return;
    }
    let result = match result {
        Ok(value) => describe_result(value),
        Err(errno) => format!("-1 {}", name(*errno)),
    };
    let took = match time >= LONG {
        true => format!(", took {:.1} ms", time.as_secs_f64() * 1000.0),
        false => String::new(),
    };
    write(&format!("{} = {result}{}", describe_call(), took.yellow()));
}

/// A descriptor is about to be closed by whoever lets go of it.
#[inline]
pub fn note_close(fd: &impl AsFd) {
    if is_on() {
        cold(|| write(&format!("close({})", fd.as_fd().as_raw_fd())));
    }
}

/// A session has gone from one state to another.
#[inline]
pub fn note_state(from: &str, to: &str) {
    if is_on() && from != to {
        cold(|| write(&format!("    state: {from} -> {to}").green()));
    }
}

/// What is worth knowing between the calls.
#[inline]
pub fn note(text: impl FnOnce() -> String) {
    if is_on() {
        cold(|| write(&format!("    {}", text()).dimmed()));
    }
}

/// So many requests have been answered.
#[inline]
pub fn count_answered(requests: usize) {
    if is_on() {
        let _ = REQUESTS_LEFT
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(requests)));
    }
}

/// Something is about to wait. If all requests have been answered, this was the last line but one.
#[inline]
pub fn note_wait(text: impl FnOnce() -> String) {
    note(text);
    if is_on() && REQUESTS_LEFT.load(Relaxed) == 0 && IS_ON.swap(false, Relaxed) {
        cold(|| {
            write(&"--trace-requests: all are answered, serving goes on untold".bold());
        });
    }
}

/// The beginning of what was sent or received, up to the end of its first line.
pub fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
    let line = line.unwrap_or_default();
    let shown = &line[..line.len().min(SHOWN_BYTES)];
    let more = if line.len() > shown.len() { "..." } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// How long something may wait, for people.
pub fn wait_limit(time: Option<Duration>) -> String {
    match time {
        None => "for as long as it takes".into(),
        Some(Duration::ZERO) => "not at all".into(),
        Some(time) => format!("for {:.3} s at most", time.as_secs_f64()),
    }
}

fn name(errno: Errno) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno.raw_os_error()))
}

/// In one piece, so that lines do not mix. Lines that nobody reads are dropped and counted.
fn write(text: &impl Display) {
    let Some(trace) = TRACE.get() else {
        return;
    };
    let at = trace.at.elapsed().as_secs_f64() * 1000.0;
    let who = match trace.sink.thread {
        Some(number) => format!("[{}] ", number()),
        None => String::new(),
    };
    let line = format!("{at:10.3} {who}{text}\n");
    (trace.sink.write)(line.into(), &|lost| {
        format!("{at:10.3} {who}    {lost} lines were lost: nobody read them\n").into()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_bytes() {
        let long = "x".repeat(61);
        let cut = format!("\"{}\"...", "x".repeat(60));
        for (bytes, shown) in [
            ("", "\"\""),
            ("GET / HTTP/1.1\r\nHost: h", "\"GET / HTTP/1.1\""),
            ("a\x1b\"\n", "\"a\\x1b\\\"\""),
            (&long, &cut),
        ] {
            assert_eq!(first_line(bytes.as_bytes()), shown);
        }
    }
}
