//! A connection in the loop: it acts until it would block or its byte budget is used up.
//!
//! Readiness is a hint that events set; only what a call returns is a fact, and clears it.

use super::readahead::{READAHEAD, is_in_memory};
use crate::model::connections::{Slot, SlotFlags};
use crate::model::{load, send};
use crate::poller::{Poller, ReadySet};
use crate::session::{Action, Connection, Piece, Timeout, Worker};
use crate::sys::{self, Errno};
use crate::trace;
use std::os::fd::{AsRawFd, OwnedFd};

/// The most bytes that a connection may move in one turn.
const MAX_BYTES: usize = 256 * 1024;

/// The fewest bytes that a connection may move in one turn, however many others there are.
const MIN_BYTES: usize = 16 * 1024;

/// How many bytes all connections together may move in one turn, roughly: new ones wait for its end.
const BYTES_PER_TURN: usize = 16 * 1024 * 1024;

/// How many bytes each of so many connections may move in one turn.
pub(super) fn byte_budget(connections: usize) -> usize {
    (BYTES_PER_TURN / connections.max(1)).clamp(MIN_BYTES, MAX_BYTES)
}

/// A connection of this loop.
pub(super) type LoopConnection = Slot<SocketState>;

/// A socket and what is known of it.
pub(super) struct SocketState {
    /// Its socket; non-blocking.
    pub socket: OwnedFd,
    /// What the socket was last known to be ready for. Only a call that would block clears it, or a short read.
    pub ready: ReadySet,
    /// What the poller has been told to watch for.
    pub watched: ReadySet,
    /// An event has come for it.
    pub event: bool,
    /// What it receives may have been sent after the turn began.
    pub late: bool,
    /// How many bytes of the file that it sends are known to be in memory.
    pub in_memory: u32,
}

/// Why a connection does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing more can be done before an event comes.
    Blocked,
    /// Others must have their turn first.
    BudgetUsed,
    /// The work of this turn is done by others, whom it goes before in the next.
    WorkIsDone,
    /// A stretch of a file must be fetched from a disk.
    NotInMemory,
    /// Its file is on a file system that can hang, so a thread must send it.
    MayHang,
    /// It has a job that may wait for a file system.
    HasJob,
    /// It is over.
    Closed,
}

impl Stop {
    /// Why that is, for the trace.
    fn reason(self, connection: &Connection) -> &'static str {
        match (self, connection.next()) {
            (Stop::Blocked, Action::Send) => "must wait before it can send",
            (Stop::Blocked, Action::Wait) if connection.waiting().0 == Timeout::Pause => {
                "must wait for other connections"
            }
            (Stop::Blocked, Action::Wait) => "must wait for a thread that asks a file system",
            (Stop::Blocked, _) => "must wait before it can receive",
            (Stop::BudgetUsed, _) => "goes on when others have had their turn",
            (Stop::WorkIsDone, _) => "works when others have had their turn",
            (Stop::NotInMemory, _) => "must wait for a thread that reads its file",
            (Stop::HasJob, _) => "has a thread ask a file system",
            (Stop::MayHang, _) => "has a thread send its file",
            (Stop::Closed, _) => "is over",
        }
    }
}

impl SocketState {
    /// A socket that has just been accepted. It is `late` unless its first bytes were there before.
    pub(super) fn new(socket: OwnedFd, late: bool) -> SocketState {
        SocketState {
            socket,
            // Try first, wait second: a client's request often comes with its handshake.
            ready: ReadySet::BOTH,
            watched: ReadySet::NONE,
            event: false,
            late,
            in_memory: 0,
        }
    }
}

impl LoopConnection {
    /// Writes to the trace that it acts.
    pub(super) fn trace_turn(&self) {
        let fd = self.io.socket.as_raw_fd();
        trace::note(|| format!("turn of fd {fd}: {}", self.connection.state()));
    }

    /// Writes to the trace why it stops.
    pub(super) fn trace_stop(&self, stop: Stop) {
        let fd = self.io.socket.as_raw_fd();
        trace::note(|| format!("fd {fd} {}", stop.reason(&self.connection)));
    }

    /// Does what the connection asks for, as long as its byte budget lasts and nothing would block. `later` is
    /// called before the session sees what may have come after the turn began.
    pub(super) fn advance(
        &mut self,
        mut budget: usize,
        worker: &mut Worker,
        scratch: &mut [u8],
        later: &mut impl FnMut(&mut Worker),
    ) -> Stop {
        let mut worked = false;
        loop {
            let moved = match self.connection.next() {
                // By the last event. A level-triggered poller does not watch for input while output waits, so input that
                // came meanwhile is missed: sessions say Close only where the client says nothing more.
                Action::Close { may_linger: true } if self.io.ready.has(ReadySet::READABLE) => {
                    self.connection.linger();
                    Ok(0)
                }
                Action::Close { .. } => return Stop::Closed,
                _ if budget == 0 => return Stop::BudgetUsed,
                Action::Send | Action::Load if self.flags.contains(SlotFlags::OFFLOADED) => {
                    return Stop::Blocked;
                }
                Action::Send if !self.io.ready.has(ReadySet::WRITABLE) => return Stop::Blocked,
                Action::Send if !self.connection.sends_file() => self.send(budget, worker),
                Action::Send | Action::Load if self.may_hang() => return Stop::MayHang,
                Action::Send | Action::Load if !self.is_in_memory() => return Stop::NotInMemory,
                Action::Receive if !self.io.ready.has(ReadySet::READABLE) => return Stop::Blocked,
                Action::Send => self.send(budget, worker),
                Action::Load => self.load(worker, scratch),
                Action::Receive => self.receive(scratch, worker, later),
                Action::Proceed if worker.work == 0 && worked => return Stop::BudgetUsed,
                Action::Proceed if worker.work == 0 => return Stop::WorkIsDone,
                Action::Proceed => {
                    self.proceed(worker);
                    worked = true;
                    Ok(0)
                }
                Action::Run => return Stop::HasJob,
                // An event may tell that the client has left, and then nobody needs what a job finds out.
                Action::Wait if self.may_have_left() => return Stop::Closed,
                Action::Wait => return Stop::Blocked,
                Action::ShutdownWrite => {
                    worker.counters.other_calls += 1;
                    self.connection.write_shut_down();
                    sys::shutdown_write(&self.io.socket).map(|()| 0)
                }
            };
            match moved {
                Ok(count) => budget = budget.saturating_sub(count),
                Err(Errno::INTR) => {}
                // The peer is gone: there is nothing left to send.
                Err(_) => return Stop::Closed,
            }
        }
    }

    /// Lets the session do a slice of work, if anybody can still have what comes of it.
    fn proceed(&mut self, worker: &mut Worker) {
        worker.counters.other_calls += 1;
        match sys::is_gone(&self.io.socket) {
            true => self.connection.abort(),
            false => self.connection.proceed(worker),
        }
    }

    /// True if what is to be sent is a file that the loop must not touch.
    fn may_hang(&self) -> bool {
        matches!(self.connection.front(), Piece::File { file, .. } if file.mount().is_some())
    }

    /// False if the next byte of the file to be sent is not in memory. While less than one full budget is known to be in
    /// memory, it checks the next [`READAHEAD`] bytes.
    fn is_in_memory(&mut self) -> bool {
        let Piece::File {
            file,
            offset,
            count,
        } = self.connection.front()
        else {
            return true;
        };
        let known = u64::from(self.io.in_memory);
        if known < count.min(MAX_BYTES as u64) {
            let stretch = (count - known).min(READAHEAD);
            if is_in_memory(file, offset + known, stretch) {
                self.io.in_memory += stretch as u32;
            }
        }
        self.io.in_memory > 0
    }

    /// True if an event has told that the client of a connection that waits for a job has left.
    fn may_have_left(&self) -> bool {
        self.io.event
            && self.connection.waiting().0 == Timeout::Files
            && sys::is_gone(&self.io.socket)
    }

    /// Loads the beginning of a stretch of a file that is in memory.
    fn load(&mut self, worker: &mut Worker, scratch: &mut [u8]) -> Result<usize, Errno> {
        let count = load(&self.connection.front(), scratch)?;
        self.io.in_memory = self.io.in_memory.saturating_sub(count as u32);
        self.connection.loaded(&scratch[..count], worker);
        Ok(0)
    }

    fn send(&mut self, budget: usize, worker: &mut Worker) -> Result<usize, Errno> {
        worker.counters.send_calls += 1;
        let piece = self.connection.front();
        let (of_file, most) = match piece {
            Piece::File { .. } => (true, budget.min(self.io.in_memory as usize)),
            Piece::Bytes { .. } => (false, budget),
        };
        match send(&self.io.socket, &piece, most) {
            Ok(count) => {
                if of_file {
                    self.io.in_memory -= count as u32;
                }
                worker.counters.sent_bytes += count as u64;
                self.connection.sent(count, worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {
                worker.counters.would_blocks += 1;
                self.io.ready = self.io.ready.without(ReadySet::WRITABLE);
            }
            Err(sys::SENDFILE_REFUSED) if of_file => self.connection.send_refused(worker),
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }

    fn receive(
        &mut self,
        scratch: &mut [u8],
        worker: &mut Worker,
        later: &mut impl FnMut(&mut Worker),
    ) -> Result<usize, Errno> {
        let room = self.connection.room().min(scratch.len());
        worker.counters.receive_calls += 1;
        match sys::receive(&self.io.socket, &mut scratch[..room]) {
            Ok(0) => self.connection.input_ended(worker),
            Ok(count) => {
                worker.counters.received_bytes += count as u64;
                // A short read has emptied the socket, which spares the call that would say so; unless the end of
                // input is waiting behind it, of which an edge-triggered poller has told already.
                if count < room && !self.io.ready.has(ReadySet::END) {
                    self.io.ready = self.io.ready.without(ReadySet::READABLE);
                }
                if self.io.late {
                    later(worker);
                }
                self.connection.received(&scratch[..count], worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {
                worker.counters.would_blocks += 1;
                self.io.ready = self.io.ready.without(ReadySet::READABLE | ReadySet::END);
            }
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }

    /// What the poller should watch the blocked connection for, if that is not what it does. An edge-triggered poller
    /// is told once, of both directions, and never again.
    pub(super) fn watch<P: Poller>(&self) -> Option<ReadySet> {
        if P::EDGE_TRIGGERED {
            return (self.io.watched != ReadySet::BOTH).then_some(ReadySet::BOTH);
        }
        let wanted = match self.connection.next() {
            // Nothing that could happen to the socket would help.
            _ if self.flags.contains(SlotFlags::OFFLOADED) => ReadySet::NONE,
            Action::Send => ReadySet::WRITABLE,
            Action::Receive => ReadySet::READABLE,
            Action::Load
            | Action::Proceed
            | Action::Run
            | Action::Wait
            | Action::ShutdownWrite
            | Action::Close { .. } => ReadySet::NONE,
        };
        (wanted != self.io.watched).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is most of what an idle connection takes.
    #[test]
    fn an_entry_is_small() {
        assert!(
            size_of::<LoopConnection>() <= 120,
            "{} bytes",
            size_of::<LoopConnection>()
        );
    }
}
