//! Operations that go on until they are cancelled.

use super::description::note_queued;
use super::operation::Operation;
use super::ring::Ring;
use io_uring::{opcode, squeue};
use std::io;
use std::os::fd::BorrowedFd;

/// IORING_RECV_MULTISHOT: go on after each result.
const MULTISHOT: u16 = 2;

impl Ring {
    /// Queues a [`Receive`](Operation::Receive) that goes on: it gives a result each time when data
    /// has arrived, with at most one buffer of it. It ends when it fails, when no buffer is free
    /// (ENOBUFS), at the end of the input, and when it is cancelled.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn receive_repeatedly(&mut self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        note_queued("receive", fd, || ", repeatedly".into());
        let target = self.target(fd, key)?;
        let buffers = self.buffers.as_ref().expect("a ring with buffers");
        let request = opcode::Recv::new(target.number, std::ptr::null_mut(), 0)
            .ioprio(MULTISHOT)
            .buf_group(buffers.group())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT | target.flags);
        self.push(&[request.user_data(Operation::Receive.user_data(key))])
    }
}
