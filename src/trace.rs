//! What is told of system calls and of state changes of sessions: lines about the first requests
//! (`--trace-requests`), and events of a [recording] (`--record`).
//!
//! Without both, each costs one load of a flag: no clock is read and nothing is allocated. An event
//! needs no text. This module knows neither the callers, nor their purpose, nor where the lines go.

mod outcome;

pub use outcome::Outcome;

use crate::recording::{self, End, Event, Kind, Syscall};
use colored::Colorize;
use rustix::io::Errno;
use std::fmt::{self, Display};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many bytes of data a line shows.
const SHOWN_BYTES: usize = 60;

/// Calls that take longer show their time. They have waited, or other programs had the processor.
const LONG_CALL: Duration = Duration::from_micros(100);

/// Lines are written.
const LINES: u8 = 1;

/// Events are recorded.
const EVENTS: u8 = 2;

/// [`LINES`] and [`EVENTS`].
static ON: AtomicU8 = AtomicU8::new(0);
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
        ON.fetch_or(LINES, Relaxed);
    }
}

/// Why a recording cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotRecord {
    /// Another one is under way. A [snapshot](recording::snapshot) has its events so far.
    Running,
    /// There is no [memory](recording::prepare) for events.
    Unprepared,
}

impl Display for CannotRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CannotRecord::Running => "another recording is under way",
            CannotRecord::Unprepared => "there is no memory for events",
        })
    }
}

impl std::error::Error for CannotRecord {}

/// Begins a recording, at any time, and discards the one before. Who begins one must end it, by
/// [`stop_recording`]. [`recording::snapshot`] copies it.
///
/// It has the events that happen from now on, on all threads of this process, and in processes that
/// are forked from now on or that were forked during an earlier recording. It has nothing from
/// before: no event and no loss of an earlier recording, no call that has begun earlier. So the
/// first steps of a connection that was open before may lack their descriptor, until its next turn,
/// and its number is unknown.
///
/// # Errors
/// If a recording is under way, which goes on; or without memory for events.
pub fn start_recording() -> Result<(), CannotRecord> {
    if !recording::is_prepared() {
        return Err(CannotRecord::Unprepared);
    }
    if !recording::begin() {
        return Err(CannotRecord::Running);
    }
    ON.fetch_or(EVENTS, Relaxed);
    Ok(())
}

/// Ends the recording that [`start_recording`] has begun. No thread and no process adds an event
/// after this, but for one that it is just adding. The events are kept until the next one begins.
pub fn stop_recording() {
    ON.fetch_and(!EVENTS, Relaxed);
    recording::end();
}

/// Call this now and then in a process that forks others: another process may have begun or ended a
/// recording. Processes forked later do the same as this one.
pub fn follow_recording() {
    match recording::is_under_way() {
        true => ON.fetch_or(EVENTS, Relaxed),
        false => ON.fetch_and(!EVENTS, Relaxed),
    };
}

/// True during the trace or a recording.
#[inline]
pub fn is_on() -> bool {
    ON.load(Relaxed) != 0
}

fn writes_lines() -> bool {
    ON.load(Relaxed) & LINES != 0
}

fn records() -> bool {
    ON.load(Relaxed) & EVENTS != 0
}

/// A system call that is about to be made. Holds the start time if anything is told of it.
#[must_use]
pub struct Call(Option<Begun>);

struct Begun {
    at: Instant,
    call: Syscall,
    fd: i32,
}

/// Call this right before a system call on a descriptor, or -1, and [`returned`](Call::returned)
/// after it.
#[inline]
pub fn call(call: Syscall, fd: i32) -> Call {
    Call(is_on().then(|| Begun {
        at: Instant::now(),
        call,
        fd,
    }))
}

impl Call {
    /// True if something is told of this call.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.0.is_some()
    }

    /// Tells of the call. For a line, `describe_result` is called on success; an error shows its
    /// name.
    #[inline]
    pub fn returned<T: Outcome>(
        self,
        result: &Result<T, Errno>,
        describe_call: impl FnOnce() -> String,
        describe_result: impl FnOnce(&T) -> String,
    ) {
        if let Some(begun) = self.0 {
            cold(|| {
                if records() {
                    record_call(&begun, result);
                }
                if writes_lines() {
                    write_call(begun.at, result, describe_call, describe_result);
                }
            });
        }
    }
}

fn record_call<T: Outcome>(begun: &Begun, result: &Result<T, Errno>) {
    let value = match result {
        Ok(value) => value.number(),
        Err(errno) => -i64::from(errno.raw_os_error()),
    };
    recording::push_call(Event {
        at: recording::time(begun.at),
        code: begun.call as u8,
        value,
        ..Event::new(Kind::Call, begun.fd)
    });
}

/// Records an event, at the time of the event before it. To be called where little else is known.
#[inline]
pub fn record(event: impl FnOnce() -> Event) {
    when_recording(|| recording::push(event()));
}

/// Calls `act`, which records events, during a recording.
#[inline]
pub fn when_recording(act: impl FnOnce()) {
    if is_on() {
        cold(|| {
            if records() {
                act();
            }
        });
    }
}

/// Call this when a connection continues on its thread, which acts for others, too, and whose turns
/// are not told.
#[inline]
pub fn set_subject(fd: i32) {
    if is_on() {
        cold(|| recording::set_subject(fd));
    }
}

/// Call this when a session begins on a descriptor.
#[inline]
pub fn note_opened(fd: i32) {
    if is_on() {
        cold(|| {
            recording::set_subject(fd);
            if records() {
                recording::push_now(Event {
                    value: recording::next_connection() as i64,
                    ..Event::new(Kind::Opened, fd)
                });
            }
        });
    }
}

/// Call this when a connection is closed, before its descriptor is.
#[inline]
pub fn note_closed(fd: i32, end: impl FnOnce() -> End) {
    if is_on() {
        cold(|| {
            if records() {
                recording::push(Event {
                    code: end() as u8,
                    ..Event::new(Kind::Closed, fd)
                });
            }
        });
    }
}

/// Call this when a connection begins to act on its thread, which acts for others, too.
/// `record_cause` records why.
#[inline]
pub fn note_turn(fd: i32, record_cause: impl FnOnce(), text: impl FnOnce() -> String) {
    if is_on() {
        cold(|| {
            recording::set_subject(fd);
            if records() {
                record_cause();
                recording::push(Event::new(Kind::Turn, fd));
            }
            write_note(text);
        });
    }
}

/// Records events, and writes an indented line.
#[inline]
pub fn note_event(record: impl FnOnce(), text: impl FnOnce() -> String) {
    if is_on() {
        cold(|| {
            if records() {
                record();
            }
            write_note(text);
        });
    }
}

/// Call this when the response to a request begins. `line` is the method, a space, and the target.
pub fn note_request(line: &[u8], status: u16) {
    if records() {
        let event = Event {
            detail: status,
            value: line.len() as i64,
            ..Event::new(Kind::Request, recording::subject())
        };
        recording::push_text(event, line);
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
        cold(|| {
            let fd = fd.as_fd().as_raw_fd();
            if records() {
                recording::push(Event {
                    code: Syscall::Close as u8,
                    ..Event::new(Kind::Call, fd)
                });
            }
            if writes_lines() {
                write(&format!("close({fd})"));
            }
        });
    }
}

/// Call this when a session's state changes.
#[inline]
pub fn note_state(from: &'static str, to: &'static str) {
    if is_on() && from != to {
        cold(|| {
            if records() {
                recording::push(Event {
                    code: recording::state_number(to),
                    detail: recording::state_number(from).into(),
                    ..Event::new(Kind::Step, recording::subject())
                });
            }
            if writes_lines() {
                write(&format!("    state: {from} -> {to}").green());
            }
        });
    }
}

/// Writes an indented line between system calls.
#[inline]
pub fn note(text: impl FnOnce() -> String) {
    if is_on() {
        cold(|| write_note(text));
    }
}

fn write_note(text: impl FnOnce() -> String) {
    if writes_lines() {
        write(&format!("    {}", text()).dimmed());
    }
}

/// Call this when a response was sent.
pub fn note_answered() {
    if records() {
        recording::push(Event::new(Kind::Answered, recording::subject()));
    }
    count_answered(1);
}

/// Call this when requests have been answered.
#[inline]
pub fn count_answered(requests: usize) {
    if writes_lines() {
        let _ = REQUESTS_LEFT
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(requests)));
    }
}

/// Call this before waiting in a call on a descriptor, or -1, for at most this time. Ends the trace
/// if all its requests have been answered.
#[inline]
pub fn note_wait(
    call: Syscall,
    fd: i32,
    limit: impl FnOnce() -> Option<Duration>,
    text: impl FnOnce(String) -> String,
) {
    if is_on() {
        cold(|| {
            let limit = limit();
            if records() {
                let nanos = limit.map(|limit| i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX));
                recording::push_now(Event {
                    code: call as u8,
                    value: nanos.unwrap_or(-1),
                    ..Event::new(Kind::Waits, fd)
                });
            }
            if writes_lines() {
                write_note(|| text(wait_limit(limit)));
                end_if_done();
            }
        });
    }
}

fn end_if_done() {
    if REQUESTS_LEFT.load(Relaxed) == 0 && ON.fetch_and(!LINES, Relaxed) & LINES != 0 {
        write(&"--trace-requests: done, continuing without a trace".bold());
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
