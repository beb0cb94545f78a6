//! The kinds of operations, and their results.

use crate::sys::Errno;
use io_uring::cqueue;

/// The place of a request's kind in its user data. 0 is a watch; others are [`Operation`]s.
const KIND_SHIFT: u32 = 56;

/// The user data of a request whose result is not needed.
pub(super) const IGNORED: u64 = u64::MAX;

/// What the kernel does for a socket. At most one of each kind may be under way under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Receives into a buffer that the kernel takes when data has arrived.
    Receive = 1,
    /// Sends what the socket takes at once. It completes while it is handed over.
    Send,
    /// Waits until the socket takes more bytes.
    AwaitWritable,
}

impl Operation {
    /// All operations.
    pub const ALL: [Operation; 3] = [
        Operation::Receive,
        Operation::Send,
        Operation::AwaitWritable,
    ];

    /// Its name, for the trace and the status.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Receive => "receive",
            Operation::Send => "send",
            Operation::AwaitWritable => "wait for room",
        }
    }

    /// The operation with this user data; `None` for other requests.
    pub(super) fn of(user_data: u64) -> Option<Operation> {
        let kind = user_data >> KIND_SHIFT;
        Operation::ALL.into_iter().find(|one| *one as u64 == kind)
    }

    /// Its user data under a key.
    pub(super) fn user_data(self, key: usize) -> u64 {
        (self as u64) << KIND_SHIFT | key as u64
    }
}

/// A completed operation.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// The key under which it was queued.
    pub key: usize,
    /// What was done.
    pub operation: Operation,
    /// How many bytes were moved, or why none were.
    pub result: Result<u32, Errno>,
    /// The buffer that holds received bytes. Return it with [`Ring::put_back`](super::Ring::put_back).
    pub buffer: Option<u16>,
}

impl Completion {
    pub(super) fn new(key: usize, operation: Operation, entry: &cqueue::Entry) -> Completion {
        let result = u32::try_from(entry.result());
        Completion {
            key,
            operation,
            result: result.map_err(|_| Errno::from_raw_os_error(-entry.result())),
            buffer: cqueue::buffer_select(entry.flags()),
        }
    }
}
