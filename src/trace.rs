//! A trace of the first requests, system call by system call (`--trace-requests`).
//!
//! System calls and state changes of sessions are recorded here. Without a trace, each costs one
//! load of a flag: no clock is read and nothing is allocated. This module knows neither the
//! callers, nor their purpose, nor where the lines go.

use colored::Colorize;
use rustix::io::Errno;
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many bytes of data a line shows.
const SHOWN_BYTES: usize = 60;

/// Calls that take longer show their time. They have waited, or other programs had the processor.
const LONG_CALL: Duration = Duration::from_micros(100);

static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many requests are still to be traced.
static REQUESTS_LEFT: AtomicUsize = AtomicUsize::new(0);
static TRACE: OnceLock<Trace> = OnceLock::new();

struct Trace {
    at: Instant,
    sink: Sink,
}

/// The destination of the trace.
pub struct Sink {
    /// Writes a line without waiting. If earlier lines were lost, the function turns their number
    /// into a line.
    pub write: fn(Vec<u8>, &dyn Fn(usize) -> Vec<u8>),
    /// Returns the number of the calling thread, to begin each line with; `None` if only one thread
    /// writes.
    pub thread: Option<fn() -> i32>,
}

/// Begins a trace that ends after this many requests. A process can trace once.
pub fn begin(requests: usize, sink: Sink) {
    let at = Instant::now();
    let trace = Trace { at, sink };
    if TRACE.set(trace).is_ok() {
        REQUESTS_LEFT.store(requests, Relaxed);
        IS_ON.store(true, Relaxed);
    }
}

/// True during the trace.
#[inline]
pub fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// A system call that is about to be made. Holds the start time during a trace.
#[must_use]
pub struct Call(Option<Instant>);

/// Call this right before a system call, and [`returned`](Call::returned) after it.
#[inline]
pub fn call() -> Call {
    Call(is_on().then(Instant::now))
}

impl Call {
    /// Writes the line for the call. `describe_result` is called on success; an error shows its
    /// name.
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

/// Keeps the code for tracing out of line, because it rarely runs.
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
    // The trace ended while this call waited.
    if !is_on() {
        return;
    }
    let result = match result {
        Ok(value) => describe_result(value),
        Err(errno) => format!("-1 {}", name(*errno)),
    };
    let took = match time >= LONG_CALL {
        true => format!(", took {:.1} ms", time.as_secs_f64() * 1000.0),
        false => String::new(),
    };
    write(&format!("{} = {result}{}", describe_call(), took.yellow()));
}

/// Call this before dropping a descriptor.
#[inline]
pub fn note_close(fd: &impl AsFd) {
    if is_on() {
        cold(|| write(&format!("close({})", fd.as_fd().as_raw_fd())));
    }
}

/// Call this when a session's state changes.
#[inline]
pub fn note_state(from: &str, to: &str) {
    if is_on() && from != to {
        cold(|| write(&format!("    state: {from} -> {to}").green()));
    }
}

/// Writes an indented line between system calls.
#[inline]
pub fn note(text: impl FnOnce() -> String) {
    if is_on() {
        cold(|| write(&format!("    {}", text()).dimmed()));
    }
}

/// Call this when requests have been answered.
#[inline]
pub fn count_answered(requests: usize) {
    if is_on() {
        let _ = REQUESTS_LEFT
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(requests)));
    }
}

/// Call this before waiting. Ends the trace if all its requests have been answered.
#[inline]
pub fn note_wait(text: impl FnOnce() -> String) {
    note(text);
    if is_on() && REQUESTS_LEFT.load(Relaxed) == 0 && IS_ON.swap(false, Relaxed) {
        cold(|| {
            write(&"--trace-requests: done, continuing without a trace".bold());
        });
    }
}

/// The first line of the data, quoted, and shortened if it is long.
pub fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
    let line = line.unwrap_or_default();
    let shown = &line[..line.len().min(SHOWN_BYTES)];
    let more = if line.len() > shown.len() { "..." } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// Describes how long a wait can take.
pub fn wait_limit(time: Option<Duration>) -> String {
    match time {
        None => "waits without a timeout".into(),
        Some(Duration::ZERO) => "does not wait".into(),
        Some(time) => format!("waits up to {:.3} s", time.as_secs_f64()),
    }
}

/// The name of an error: `EAGAIN`.
pub fn name(errno: Errno) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno.raw_os_error()))
}

/// Writes the line with one call, so that lines of several threads do not mix.
fn write(text: &impl Display) {
    let Some(trace) = TRACE.get() else {
        return;
    };
    let at = trace.at.elapsed().as_secs_f64() * 1000.0;
    let thread = match trace.sink.thread {
        Some(number) => format!("[{}] ", number()),
        None => String::new(),
    };
    let line = format!("{at:10.3} {thread}{text}\n");
    (trace.sink.write)(line.into(), &|lost| {
        format!("{at:10.3} {thread}    {lost} lines lost: the reader was too slow\n").into()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_quoted_and_shortened() {
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
