//! Operations in words, for the trace.

use super::operation::{Completion, Operation};
use super::ring::Ring;
use crate::recording::{self, Event, Kind, RingOperation};
use crate::trace;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Tells the trace what is queued for a descriptor: the operation and its bytes, what it does there,
/// and what follows.
pub(super) fn note_queued(
    (recorded, bytes): (RingOperation, usize),
    operation: &str,
    fd: BorrowedFd<'_>,
    more: impl FnOnce() -> String,
) {
    let fd = fd.as_raw_fd();
    let record = || {
        recording::push(Event {
            code: recorded as u8,
            value: bytes as i64,
            ..Event::new(Kind::Queued, fd)
        });
    };
    let text = || format!("queued for the ring: {operation} fd {fd}{}", more());
    trace::note_event(record, text);
}

/// Describes the bytes of a send operation.
pub(super) fn bytes(bytes: &[u8], then: &[u8]) -> String {
    let length = bytes.len() + then.len();
    format!(", {length} bytes: {}", trace::first_line(bytes))
}

impl Ring {
    /// Describes the result of an operation.
    pub fn describe(&self, completion: &Completion) -> String {
        let Completion {
            operation,
            result,
            buffer,
            ..
        } = *completion;
        match (operation, result) {
            (_, Err(errno)) => format!("{} -1 {}", operation.name(), trace::name(errno)),
            (Operation::Receive, Ok(count)) => match buffer {
                Some(buffer) => {
                    let bytes = self.received(buffer, count as usize);
                    format!("received {count} {}", trace::first_line(bytes))
                }
                None => format!("received {count}"),
            },
            (Operation::Send, Ok(_)) if completion.copied == Some(true) => "copied".into(),
            (Operation::Send, Ok(_)) if completion.copied == Some(false) => "acknowledged".into(),
            (Operation::Send, Ok(count)) => format!("sent {count}"),
            (Operation::Read, Ok(count)) => format!("read {count}"),
            (Operation::Fill, Ok(count)) => format!("filled {count}"),
            (Operation::Drain, Ok(count)) => format!("drained {count}"),
            (Operation::AwaitWritable, Ok(_)) => "writable".into(),
            (Operation::Accept, Ok(fd)) => format!("accepted fd {fd}"),
        }
    }
}
