//! Operations on pipes: they move a file to a socket without a copy (splice(2)).

#[cfg(test)]
mod tests;

use super::description::note_queued;
use super::operation::Operation;
use super::ring::Ring;
use crate::recording::RingOperation;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What has no offset: a pipe or a socket.
const NO_OFFSET: i64 = -1;

/// SPLICE_F_NONBLOCK: don't wait for the pipe. No thread of the kernel may hang in one that is full
/// or empty.
const NONBLOCK: u32 = 2;

/// Both ends of a pipe.
pub struct Pipe {
    /// Where it is filled.
    pub input: OwnedFd,
    /// Where it is drained.
    pub output: OwnedFd,
    /// How many bytes it holds, if they begin at a page.
    pub size: usize,
}

impl Ring {
    /// Queues a [`Fill`](Operation::Fill) of an empty pipe with `count` bytes of a file, and a
    /// [`Drain`](Operation::Drain) of them to a socket. Only one of them completes: the drain if
    /// all was filled, and otherwise the fill, with what there is. Then the drain was not begun.
    ///
    /// Keep the file, the pipe and the socket open until then.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn fill_then_drain(
        &mut self,
        (file, offset): (BorrowedFd<'_>, u64),
        pipe: &Pipe,
        socket: BorrowedFd<'_>,
        key: usize,
        count: usize,
    ) -> io::Result<()> {
        let drain = self.drain_request(pipe, socket, key, count)?;
        note_queued(
            (RingOperation::Fill, count),
            "fill a pipe from",
            file,
            || format!(", {count} bytes at {offset}, then drain it"),
        );
        let (from, to) = (Fd(file.as_raw_fd()), Fd(pipe.input.as_raw_fd()));
        let fill = opcode::Splice::new(from, offset as i64, to, NO_OFFSET, count as u32)
            .flags(NONBLOCK)
            .build()
            .flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS)
            .user_data(Operation::Fill.user_data(key));
        self.push(&[fill, drain])
    }

    /// Queues a [`Drain`](Operation::Drain) of `count` bytes of a pipe to a socket.
    ///
    /// Keep the pipe and the socket open until it has completed.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn drain(
        &mut self,
        pipe: &Pipe,
        socket: BorrowedFd<'_>,
        key: usize,
        count: usize,
    ) -> io::Result<()> {
        let drain = self.drain_request(pipe, socket, key, count)?;
        self.push(&[drain])
    }

    fn drain_request(
        &mut self,
        pipe: &Pipe,
        socket: BorrowedFd<'_>,
        key: usize,
        count: usize,
    ) -> io::Result<squeue::Entry> {
        let target = self.target(socket, key)?;
        note_queued(
            (RingOperation::Drain, count),
            "drain a pipe to",
            socket,
            || format!(", {count} bytes"),
        );
        let from = Fd(pipe.output.as_raw_fd());
        let to = target.number;
        let request = opcode::Splice::new(from, NO_OFFSET, to, NO_OFFSET, count as u32)
            .flags(NONBLOCK)
            .build();
        Ok(request
            .flags(target.flags)
            .user_data(Operation::Drain.user_data(key)))
    }
}
