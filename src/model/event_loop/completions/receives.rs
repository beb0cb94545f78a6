//! Receives: single ones, and those that go on until they are cancelled.
//!
//! A receive that goes on brings bytes whether or not the session asks. So asking
//! (`UnderWay::WANTED`) and receiving (`UnderWay::RECEIVE`) are two things. Bytes that come unasked go
//! to the connection's backlog. If that is full, the receive is cancelled. It is queued again when
//! the session has taken the backlog and asks for more.

use super::{Completions, LoopConnection, Operations, UnderWay};
use crate::session::{BUFFER_SIZE, Counters};
use crate::sys::Errno;
use crate::uring::{Completion, Operation};
use std::io;
use std::os::fd::AsFd;

/// How many buffers there are for single receives, and the size of each. They have 2 MiB.
const SINGLE: (u16, usize) = (64, BUFFER_SIZE);

/// The same for receives that go on. They have 512 KiB: so much may come for one connection in a
/// wait, although its backlog is full.
const REPEATED: (u16, usize) = (128, 4096);

impl Operations {
    /// True if input waits here or, without a receive under way, at the socket.
    pub(super) fn has_input(&self) -> bool {
        !self.backlog.is_empty() || self.under_way.contains(UnderWay::HAS_UNREAD)
    }
}

impl Completions {
    /// How many buffers there are, and the size of each.
    pub(super) fn buffers(repeats: bool) -> (u16, usize) {
        match repeats {
            true => REPEATED,
            false => SINGLE,
        }
    }

    /// Queues a receive for a connection, unless one is under way. Returns true if input waits, and
    /// none need be received.
    pub(super) fn queue_receive(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        key: usize,
    ) -> io::Result<bool> {
        let state = &mut slot.io.driver;
        let has_input = state.has_input();
        if !has_input && !state.under_way.contains(UnderWay::RECEIVE) {
            let fd = slot.io.socket.as_fd();
            // Kernels miss the end of a Unix socket's input (liburing issue 1549).
            match self.repeats && slot.io.is_tcp {
                true => self.ring.receive_repeatedly(fd, key)?,
                false => self.ring.receive(fd, key, slot.connection.room())?,
            }
            state.under_way.insert(UnderWay::RECEIVE);
        }
        state.under_way.insert(UnderWay::WANTED);
        Ok(has_input)
    }

    /// Notes the result of a receive.
    pub(super) fn complete_receive(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        completion: &Completion,
        counters: &mut Counters,
    ) {
        let state = &mut slot.io.driver;
        if !completion.more {
            state.under_way.remove(UnderWay::PAUSED);
        }
        if let (Ok(count @ 1..), Some(buffer)) = (completion.result, completion.buffer) {
            return self.add_received(slot, completion.key, (buffer, count), counters);
        }
        state.under_way.remove(UnderWay::WANTED);
        if let Some(buffer) = completion.buffer {
            self.ring.put_back(buffer);
        }
        match completion.result {
            Ok(0) => state.input_end = Some(Ok(())),
            Ok(_) => unreachable!("bytes come in a buffer"),
            // Clients that send much could take all buffers again and again. So this one does
            // without.
            Err(Errno::NOBUFS) if self.repeats => {
                state.under_way.insert(UnderWay::HAS_UNREAD);
                slot.io.needs_refresh = true;
            }
            // Nothing was done, or the input was gone again, or all buffers are in use: they come
            // back in this turn. It is asked for again.
            Err(Errno::CANCELED | Errno::INTR | Errno::AGAIN | Errno::NOBUFS) => {}
            Err(errno) => state.input_end = Some(Err(errno)),
        }
    }

    /// Keeps a buffer with `count` bytes that the session has asked for, or moves them to the
    /// backlog.
    fn add_received(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        key: usize,
        (buffer, count): (u16, u32),
        counters: &mut Counters,
    ) {
        let state = &mut slot.io.driver;
        let is_next = state.under_way.contains(UnderWay::WANTED) && state.backlog.is_empty();
        if is_next && count as usize <= slot.connection.room() {
            state.under_way.remove(UnderWay::WANTED);
            state.received = Some((buffer, count));
            return;
        }
        let bytes = self.ring.received(buffer, count as usize);
        state.backlog.add(bytes);
        self.ring.put_back(buffer);
        let pauses = UnderWay::RECEIVE | UnderWay::PAUSED;
        if state.backlog.is_full() && state.under_way & pauses == UnderWay::RECEIVE {
            let fd = slot.io.socket.as_fd();
            let cancelled = self.ring.cancel_operation(Operation::Receive, fd, key);
            // If it could not be queued, the next result tries again.
            if cancelled.is_ok() {
                state.under_way.insert(UnderWay::PAUSED);
                counters.paused_receives += 1;
            }
        }
    }
}
