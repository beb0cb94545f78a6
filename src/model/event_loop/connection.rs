//! A connection in the loop: it acts until it would block or its byte budget is used up.
//!
//! Readiness is a hint: events set it. Only the result of a call is a fact: it clears the hint.

use super::driver::{Driver, LoopConnection};
use super::readahead::{READAHEAD, is_in_memory};
use crate::model::acting::{Cause, awaited, record_cause, record_stop};
use crate::model::connections::SlotFlags;
use crate::model::{load, load_now};
use crate::recording::Reason;
use crate::session::{Action, Connection, Piece, Timeout, Worker};
use crate::sys::{self, Errno};
use crate::trace;
use std::os::fd::AsRawFd;

/// The most bytes that one connection may move in one turn.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The smallest byte budget of one connection in one turn, however many there are.
const MIN_BYTES: usize = 16 * 1024;

/// Roughly how many bytes all connections together may move in one turn. New connections wait until
/// the turn ends, so it must be short.
const BYTES_PER_TURN: usize = 16 * 1024 * 1024;

/// The byte budget of each of `connections` queued connections for one turn.
pub(super) fn byte_budget(connections: usize) -> usize {
    (BYTES_PER_TURN / connections.max(1)).clamp(MIN_BYTES, MAX_BYTES)
}

/// Why a connection stops acting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It can do nothing before an event, a wake or its deadline.
    Blocked,
    /// Its byte budget is used up: other connections have their turn first.
    BudgetUsed,
    /// Other sessions have used up the work of this turn. It goes first in the next turn.
    NoWorkLeft,
    /// A range of a file must be read from disk.
    NotInMemory,
    /// Its file is on a file system that can hang: a thread must send it.
    MayHang,
    /// It has a job that may wait for a file system.
    HasJob,
    /// It must be closed.
    Closed,
}

impl Stop {
    /// The reason in words, for the trace.
    fn reason(self, connection: &Connection, completes: bool) -> &'static str {
        match (self, connection.next()) {
            (Stop::Blocked, Action::Send) if completes => "must wait until its output is sent",
            (Stop::Blocked, Action::Send) => "must wait before it can send",
            (Stop::Blocked, Action::Load) => "must wait until its file is read",
            (Stop::Blocked, Action::Wait) if connection.waiting().0 == Timeout::Pause => {
                "must wait for other connections"
            }
            (Stop::Blocked, Action::Wait) => "must wait for a thread that calls a file system",
            (Stop::Blocked, _) => "must wait before it can receive",
            (Stop::BudgetUsed, _) => "continues after the other connections' turns",
            (Stop::NoWorkLeft, _) => "works first in the next turn",
            (Stop::NotInMemory, _) => "must wait for a thread that reads its file",
            (Stop::HasJob, _) => "has a thread call a file system",
            (Stop::MayHang, _) => "has a thread send its file",
            (Stop::Closed, _) => "is closed",
        }
    }

    /// The reason for a recording.
    fn recorded(self, connection: &Connection) -> Reason {
        match self {
            Stop::Blocked => awaited(connection),
            Stop::HasJob => Reason::Job,
            Stop::BudgetUsed => Reason::Budget,
            Stop::NoWorkLeft => Reason::Work,
            Stop::NotInMemory => Reason::Disk,
            Stop::MayHang => Reason::Remote,
            Stop::Closed => Reason::Close,
        }
    }
}

impl<D: Driver> LoopConnection<D> {
    /// Tells the trace that the connection acts, and whether it was woken or has `expired`.
    pub(super) fn trace_turn(&self, expired: bool) {
        let fd = self.io.socket.as_raw_fd();
        trace::note_turn(
            fd,
            || {
                if self.flags.contains(SlotFlags::WOKEN) {
                    record_cause(fd, Cause::Woken, &self.connection);
                }
                if expired {
                    record_cause(fd, Cause::Expired, &self.connection);
                }
            },
            || format!("turn of fd {fd}: {}", self.connection.state()),
        );
    }

    /// Tells the trace why the connection stops.
    pub(super) fn trace_stop(&self, stop: Stop, worker: &Worker) {
        let fd = self.io.socket.as_raw_fd();
        let text = || format!("fd {fd} {}", stop.reason(&self.connection, D::COMPLETES));
        let connection = &self.connection;
        let record = || record_stop(fd, stop.recorded(connection), connection, worker);
        trace::note_event(record, text);
    }

    /// Performs the connection's actions until its byte budget is used up or it would block. Calls
    /// `refresh` before the session sees input that may have come after the turn began.
    pub(super) fn advance(
        &mut self,
        mut budget: usize,
        driver: &mut D,
        worker: &mut Worker,
        scratch: &mut [u8],
        refresh: &mut impl FnMut(&mut Worker),
    ) -> Stop {
        let mut worked = false;
        if driver.deliver(self, worker) {
            match self.receive(scratch, driver, worker, refresh) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return Stop::Closed,
            }
        }
        loop {
            let moved = match self.connection.next() {
                Action::Close { may_linger: true } if driver.has_unread(&self.io) => {
                    self.connection.linger();
                    Ok(0)
                }
                Action::Close { .. } => return Stop::Closed,
                _ if budget == 0 => return Stop::BudgetUsed,
                Action::Send | Action::Load if self.flags.contains(SlotFlags::OFFLOADED) => {
                    return Stop::Blocked;
                }
                Action::Send if !driver.may_send(&self.io, self.connection.sends_file()) => {
                    return Stop::Blocked;
                }
                Action::Send if !self.connection.sends_file() => self.send(budget, driver, worker),
                Action::Send | Action::Load if self.may_hang() => return Stop::MayHang,
                Action::Send if driver.moves_file(self) => return Stop::Blocked,
                Action::Send if driver.loads_files() => {
                    self.connection.send_refused(worker);
                    Ok(0)
                }
                Action::Load if driver.loads_files() => return Stop::Blocked,
                Action::Send if !self.is_in_memory() => return Stop::NotInMemory,
                Action::Receive if !driver.may_receive(&self.io) => return Stop::Blocked,
                Action::Send => self.send(budget, driver, worker),
                Action::Load => match self.load(worker, scratch) {
                    Err(Errno::AGAIN) => return Stop::NotInMemory,
                    result => result,
                },
                Action::Receive => self.receive(scratch, driver, worker, refresh),
                Action::Proceed if worker.work == 0 && worked => return Stop::BudgetUsed,
                Action::Proceed if worker.work == 0 => return Stop::NoWorkLeft,
                Action::Proceed => {
                    self.proceed(worker);
                    worked = true;
                    Ok(0)
                }
                Action::Run => return Stop::HasJob,
                // An event may mean that the client has left. Then the job's result is not needed.
                Action::Wait if self.has_left() => return Stop::Closed,
                Action::Wait => return Stop::Blocked,
                Action::ShutdownWrite => self.shut_down_write(worker),
            };
            match moved {
                Ok(count) => budget = budget.saturating_sub(count),
                Err(Errno::INTR) => {}
                // The peer is gone: nothing more can be sent.
                Err(_) => return Stop::Closed,
            }
        }
    }

    /// Shuts down our side, so that the peer sees the end of our output.
    fn shut_down_write(&mut self, worker: &mut Worker) -> Result<usize, Errno> {
        worker.counters.other_calls += 1;
        self.connection.write_shut_down();
        sys::shutdown_write(&self.io.socket).map(|()| 0)
    }

    /// Lets the session do a slice of work, unless the client has left.
    fn proceed(&mut self, worker: &mut Worker) {
        worker.counters.other_calls += 1;
        match sys::is_gone(&self.io.socket) {
            true => self.connection.abort(),
            false => self.connection.proceed(worker),
        }
    }

    /// True if the file to be sent is on a file system that can hang.
    fn may_hang(&self) -> bool {
        matches!(self.connection.front(), Piece::File { file, .. } if file.mount().is_some())
    }

    /// Returns whether the next byte of the file to be sent is in memory. If less than a full
    /// budget is known to be in memory, checks up to [`READAHEAD`] bytes more.
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
            let range = (count - known).min(READAHEAD);
            if is_in_memory(file, offset + known, range) {
                self.io.in_memory += range as u32;
            }
        }
        self.io.in_memory > 0
    }

    /// True if the connection waits for a job, and an event has come because the client has left.
    fn has_left(&self) -> bool {
        self.io.event
            && self.connection.waiting().0 == Timeout::Files
            && sys::is_gone(&self.io.socket)
    }

    /// Loads the beginning of a file range. AGAIN means that it is not in memory.
    fn load(&mut self, worker: &mut Worker, scratch: &mut [u8]) -> Result<usize, Errno> {
        let piece = self.connection.front();
        let count = match load_now(&piece, scratch) {
            // A thread has just read it, but the kernel has evicted it already. Waiting here is
            // better than doing the same again and again.
            Err(Errno::AGAIN) if self.io.in_memory > 0 => load(&piece, scratch)?,
            result => result?,
        };
        self.io.in_memory = self.io.in_memory.saturating_sub(count as u32);
        self.connection.loaded(&scratch[..count], worker);
        Ok(0)
    }

    fn send(&mut self, budget: usize, driver: &mut D, worker: &mut Worker) -> Result<usize, Errno> {
        let piece = self.connection.front();
        let (of_file, most) = match piece {
            Piece::File { .. } => (true, budget.min(self.io.in_memory as usize)),
            Piece::Bytes { .. } => (false, budget),
        };
        match driver.send(&mut self.io, &piece, most, &mut worker.counters) {
            Ok(count) => {
                if of_file {
                    self.io.in_memory -= count as u32;
                }
                worker.counters.sent_bytes += count as u64;
                self.connection.sent(count, worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {}
            Err(sys::SENDFILE_REFUSED) if of_file => self.connection.send_refused(worker),
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }

    fn receive(
        &mut self,
        scratch: &mut [u8],
        driver: &mut D,
        worker: &mut Worker,
        refresh: &mut impl FnMut(&mut Worker),
    ) -> Result<usize, Errno> {
        let room = self.connection.room().min(scratch.len());
        match driver.receive(&mut self.io, &mut scratch[..room], &mut worker.counters) {
            Ok(0) => self.connection.input_ended(worker),
            Ok(count) => {
                worker.counters.received_bytes += count as u64;
                if self.io.needs_refresh {
                    refresh(worker);
                }
                self.connection.received(&scratch[..count], worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::completions::Completions;
    use super::super::readiness::Readiness;
    use super::*;
    use crate::poller::Epoll;

    /// A `LoopConnection` is most of the memory of an idle connection.
    #[test]
    fn a_connection_is_small() {
        assert!(
            size_of::<LoopConnection<Readiness<Epoll>>>() <= 120,
            "{} bytes",
            size_of::<LoopConnection<Readiness<Epoll>>>()
        );
        assert!(
            size_of::<LoopConnection<Completions>>() <= 224,
            "{} bytes",
            size_of::<LoopConnection<Completions>>()
        );
    }
}
