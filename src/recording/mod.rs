//! Recordings of what a server does (`--record`): events of all threads and processes in memory of
//! a fixed size, written to a file when that is asked for, and read again.
//!
//! docs/recording.md describes the file. This module knows neither the callers nor what draws the
//! recordings. Recording takes no lock, allocates nothing and makes no system call.

mod contents;
mod format;
mod read;
mod recorder;
mod ring;
mod trace_json;

pub use contents::{Contents, Part};
pub use format::{
    Deadline, EVENT_SIZE, End, Event, HEADER_SIZE, Kind, MAGIC, MAX_TEXT, NEVER, Reason,
    RingOperation, Source, Syscall, TEXT_SIZE, Table, VERSION,
};
pub use read::{Recorded, Recording};
pub use recorder::{
    begin, end, forked, is_prepared, is_under_way, next_connection, now, prepare, push, push_at,
    push_call, push_now, push_text, release, release_process, set_subject, snapshot, state_number,
    subject, time,
};

pub use trace_json::write_trace_json;

use std::fmt;

/// Why a file is not a recording that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// It does not begin as a recording does.
    NotARecording,
    /// The version of its format is another one.
    UnknownVersion(u32),
    /// It ends too early: it is being written, or was cut off.
    CutOff,
    /// A text is not UTF-8.
    NotText,
    /// A table has no such number.
    UnknownNumber(&'static str, u8),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::NotARecording => f.write_str("this is no recording of evserve"),
            FormatError::UnknownVersion(version) => write!(
                f,
                "its format has version {version}, and this evserve reads version {VERSION}"
            ),
            FormatError::CutOff => {
                f.write_str("it ends too early: it is still being written, or was cut off")
            }
            FormatError::NotText => f.write_str("a name in it is not UTF-8"),
            FormatError::UnknownNumber(table, number) => {
                write!(f, "it has a {table} with the unknown number {number}")
            }
        }
    }
}

impl std::error::Error for FormatError {}
