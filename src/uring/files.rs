//! Operations on files.

#![allow(unsafe_code)]

use super::description::note_queued;
use super::operation::Operation;
use super::ring::Ring;
use crate::recording::RingOperation;
use io_uring::opcode;
use io_uring::types::Fd;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

impl Ring {
    /// Queues a [`Read`](Operation::Read) of at most `count` bytes that begin at `offset`.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    ///
    /// # Safety
    /// Until the operation has completed, `file` must stay open, and nothing else may use the
    /// `count` bytes at `into`.
    pub unsafe fn read(
        &mut self,
        file: BorrowedFd<'_>,
        key: usize,
        into: NonNull<u8>,
        count: usize,
        offset: u64,
    ) -> io::Result<()> {
        note_queued((RingOperation::Read, count), "read", file, || {
            format!(", {count} bytes at {offset}")
        });
        let request = opcode::Read::new(Fd(file.as_raw_fd()), into.as_ptr(), count as u32)
            .offset(offset)
            .build();
        self.push(&[request.user_data(Operation::Read.user_data(key))])
    }
}
