//! Operations on sockets: the kernel performs them itself and reports their results.

#![allow(unsafe_code)]

use super::description::{bytes as described, note_queued};
use super::operation::{Completion, Operation, SendKind};
use super::ring::Ring;
use super::sockets::Target;
use crate::recording::RingOperation;
use crate::sys::{MSG_WAITALL, PollFlags, SendFlags};
use io_uring::{opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

/// IORING_RECVSEND_POLL_FIRST: receive when data has arrived; don't try before.
const POLL_FIRST: u16 = 1;

/// IORING_SEND_ZC_REPORT_USAGE: report whether the bytes were copied all the same.
const REPORT_USAGE: u16 = 8;

/// MSG_WAITALL, which send(2) ignores.
const WAITALL: SendFlags = SendFlags::from_bits_retain(MSG_WAITALL as u32);

impl Ring {
    /// Takes the next completed operation, in the order in which they completed.
    pub fn next_completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// The operations that have completed and were not taken.
    pub fn completions(&self) -> &VecDeque<Completion> {
        &self.completions
    }

    /// Queues a [`Receive`](Operation::Receive) of at most `room` bytes.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, key: usize, room: usize) -> io::Result<()> {
        let target = self.target(fd, key)?;
        note_queued((RingOperation::Receive, 0), "receive", fd, String::new);
        let request = self.receive_request(target, key, room);
        self.push(&[request])
    }

    /// Queues a [`Send`](Operation::Send) of `bytes` and `then`.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    ///
    /// # Safety
    /// `bytes` and `then` must stay in place, unchanged, until the operation has completed.
    pub unsafe fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        bytes: &[u8],
        then: &[u8],
        kind: SendKind,
    ) -> io::Result<()> {
        let target = self.target(fd, key)?;
        let length = bytes.len() + then.len();
        note_queued((RingOperation::Send, length), "send", fd, || {
            described(bytes, then) + kind.description()
        });
        self.make_room(1)?;
        let request = self.send_request(target, key, bytes, then, kind);
        self.push(&[request])
    }

    /// Queues a [`Send`](Operation::Send) as [`send`](Ring::send) does. The next wait does not
    /// return because all was sent.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    ///
    /// # Safety
    /// `bytes` and `then` must stay in place, unchanged, until the operation has completed.
    pub unsafe fn send_quietly(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        bytes: &[u8],
        then: &[u8],
        kind: SendKind,
    ) -> io::Result<()> {
        let target = self.target(fd, key)?;
        let length = bytes.len() + then.len();
        note_queued((RingOperation::Send, length), "send", fd, || {
            described(bytes, then) + kind.description() + ", reports only failure"
        });
        // If the queue were handed over below, the send would seem to have ended.
        self.make_room(1)?;
        let mut request = self.send_request(target, key, bytes, then, kind);
        match kind {
            // Its result cannot be suppressed.
            SendKind::ZeroCopy => self.unneeded_results += 1,
            SendKind::Plain | SendKind::More => {
                let user_data = self.quiet_sends.add(key, (bytes.len() + then.len()) as u32);
                request = request
                    .flags(squeue::Flags::SKIP_SUCCESS)
                    .user_data(user_data);
            }
        }
        self.push(&[request])
    }

    fn receive_request(&self, target: Target, key: usize, room: usize) -> squeue::Entry {
        let buffers = self.buffers.as_ref().expect("a ring with buffers");
        let room = room.min(buffers.size()) as u32;
        opcode::Recv::new(target.number, std::ptr::null_mut(), room)
            .ioprio(POLL_FIRST)
            .buf_group(buffers.group())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT | target.flags)
            .user_data(Operation::Receive.user_data(key))
    }

    /// Call [`make_room`](Ring::make_room) first.
    fn send_request(
        &mut self,
        target: Target,
        key: usize,
        bytes: &[u8],
        then: &[u8],
        kind: SendKind,
    ) -> squeue::Entry {
        let fd = target.number;
        // WAITALL makes a short send a failure, whose result is not suppressed. With DONTWAIT it
        // does not wait all the same.
        let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | WAITALL;
        flags.set(SendFlags::MORE, kind == SendKind::More);
        let flags = flags.bits();
        let zero_copy = kind == SendKind::ZeroCopy;
        let request = if then.is_empty() {
            let (begin, length) = (bytes.as_ptr(), bytes.len() as u32);
            match zero_copy {
                false => opcode::Send::new(fd, begin, length)
                    .flags(flags as i32)
                    .build(),
                true => opcode::SendZc::new(fd, begin, length)
                    .flags(flags as i32)
                    .zc_flags(REPORT_USAGE)
                    .build(),
            }
        } else {
            let message = self.messages.push(bytes, then);
            match zero_copy {
                false => opcode::SendMsg::new(fd, message).flags(flags).build(),
                true => opcode::SendMsgZc::new(fd, message)
                    .flags(flags)
                    .ioprio(REPORT_USAGE)
                    .build(),
            }
        };
        let request = request.flags(target.flags);
        request.user_data(Operation::Send.user_data(key))
    }

    /// Queues an [`AwaitWritable`](Operation::AwaitWritable).
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn await_writable(&mut self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let target = self.target(fd, key)?;
        note_queued(
            (RingOperation::AwaitWritable, 0),
            "wait for room",
            fd,
            String::new,
        );
        let events = PollFlags::OUT.bits().into();
        let request = opcode::PollAdd::new(target.number, events).build();
        let request = request.flags(target.flags);
        self.push(&[request.user_data(Operation::AwaitWritable.user_data(key))])
    }

    /// Asks for the end of an operation that is under way. It completes all the same, usually with
    /// ECANCELED.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn cancel_operation(
        &mut self,
        operation: Operation,
        fd: BorrowedFd<'_>,
        key: usize,
    ) -> io::Result<()> {
        note_queued((RingOperation::Cancel, 0), "cancel", fd, || {
            format!(": {}", operation.name())
        });
        self.cancel(operation.user_data(key))
    }

    /// The bytes that a receive operation has put into a buffer.
    pub fn received(&self, buffer: u16, length: usize) -> &[u8] {
        let buffers = self.buffers.as_ref().expect("a ring with buffers");
        buffers.filled(buffer, length)
    }

    /// Returns a buffer to the kernel.
    pub fn put_back(&mut self, buffer: u16) {
        let buffers = self.buffers.as_mut().expect("a ring with buffers");
        buffers.put_back(buffer);
    }
}
