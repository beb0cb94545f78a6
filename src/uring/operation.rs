//! The kinds of operations, and their results.

#![allow(unsafe_code)]

use crate::recording::RingOperation;
use crate::sys::Errno;
use io_uring::cqueue;
use std::os::fd::{FromRawFd, OwnedFd};

/// The place of a request's kind in its user data. 0 is a watch; others are [`Operation`]s.
const KIND_SHIFT: u32 = 56;

/// The user data of a request whose result is not needed.
pub(super) const IGNORED: u64 = u64::MAX;

/// The kind of an update of the table of files.
const FILE_UPDATE: u64 = 0xfe;

/// The user data of an update of the place of a key in the table of files.
pub(super) fn file_update(key: usize) -> u64 {
    FILE_UPDATE << KIND_SHIFT | key as u64
}

/// True if a request with this user data was an update of the table of files.
pub(super) fn is_file_update(user_data: u64) -> bool {
    user_data >> KIND_SHIFT == FILE_UPDATE
}

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
    /// Reads a file. It may wait for a disk.
    Read,
    /// Moves bytes of a file into a pipe. It may wait for a disk.
    Fill,
    /// Moves bytes from a pipe to a socket, as many as that takes at once.
    Drain,
    /// Accepts connections from a listener until it is cancelled.
    Accept,
}

impl Operation {
    /// All operations on connections.
    pub const ALL: [Operation; 6] = [
        Operation::Receive,
        Operation::Send,
        Operation::AwaitWritable,
        Operation::Read,
        Operation::Fill,
        Operation::Drain,
    ];

    /// Its number in recordings.
    pub fn recorded(self) -> RingOperation {
        match self {
            Operation::Receive => RingOperation::Receive,
            Operation::Send => RingOperation::Send,
            Operation::AwaitWritable => RingOperation::AwaitWritable,
            Operation::Read => RingOperation::Read,
            Operation::Fill => RingOperation::Fill,
            Operation::Drain => RingOperation::Drain,
            Operation::Accept => RingOperation::Accept,
        }
    }

    /// Its name, for the trace and the status.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Receive => "receive",
            Operation::Send => "send",
            Operation::AwaitWritable => "wait for room",
            Operation::Read => "read",
            Operation::Fill => "fill",
            Operation::Drain => "drain",
            Operation::Accept => "accept",
        }
    }

    /// The operation with this user data; `None` for other requests.
    pub(super) fn of(user_data: u64) -> Option<Operation> {
        let kind = user_data >> KIND_SHIFT;
        let mut all = Operation::ALL.into_iter().chain([Operation::Accept]);
        all.find(|one| *one as u64 == kind)
    }

    /// Its user data under a key.
    pub(super) fn user_data(self, key: usize) -> u64 {
        (self as u64) << KIND_SHIFT | key as u64
    }
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendKind {
    /// The kernel copies them.
    Plain,
    /// The kernel copies them, and may hold back an incomplete last packet (MSG_MORE).
    More,
    /// The kernel sends them from where they are, if it can. The operation gives two results: how
    /// many bytes are sent ([`Completion::more`]), and that they are not needed any more
    /// ([`Completion::copied`]).
    ZeroCopy,
}

impl SendKind {
    /// In words, for the trace.
    pub(super) fn description(self) -> &'static str {
        match self {
            SendKind::Plain => "",
            SendKind::More => ", MSG_MORE",
            SendKind::ZeroCopy => ", zero-copy",
        }
    }
}

/// IORING_NOTIF_USAGE_ZC_COPIED: the bytes of a zero-copy send were copied.
const COPIED: u32 = 1 << 31;

/// A completed operation.
#[derive(Debug)]
pub struct Completion {
    /// The key under which it was queued.
    pub key: usize,
    /// What was done.
    pub operation: Operation,
    /// How many bytes were moved, or why none were.
    pub result: Result<u32, Errno>,
    /// The buffer that holds received bytes. Return it with
    /// [`Ring::put_back`](super::Ring::put_back).
    pub buffer: Option<u16>,
    /// The accepted socket.
    pub socket: Option<OwnedFd>,
    /// The operation has not ended: another result follows.
    pub more: bool,
    /// This is the last result of a zero-copy send. True if its bytes were copied all the same.
    pub copied: Option<bool>,
}

impl Completion {
    pub(super) fn new(key: usize, operation: Operation, entry: &cqueue::Entry) -> Completion {
        let flags = entry.flags();
        let copied = cqueue::notif(flags).then(|| entry.result() as u32 & COPIED != 0);
        let result = u32::try_from(entry.result());
        // SAFETY: the kernel has opened this descriptor for this result, which is looked at once.
        let socket = (operation == Operation::Accept && entry.result() >= 0)
            .then(|| unsafe { OwnedFd::from_raw_fd(entry.result()) });
        Completion {
            key,
            operation,
            result: match copied {
                Some(_) => Ok(0),
                None => result.map_err(|_| Errno::from_raw_os_error(-entry.result())),
            },
            buffer: cqueue::buffer_select(flags),
            socket,
            more: cqueue::more(flags),
            copied,
        }
    }
}
