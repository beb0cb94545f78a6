//! A connection of a client's loop: it is made, and then acts until a call would block.
//!
//! Readiness is a hint; only the result of a call is a fact. Of a connection under way the facts are
//! SO_ERROR and getpeername(2).

use super::{expire, not_in_time, open, refuse};
use crate::model::wake_queue::WakeQueue;
use crate::model::{catch_panic, load, send};
use crate::offload;
use crate::poller::{Poller, ReadySet};
use crate::session::{Action, Connection, Job, Moment, NewSession, Timeout, Worker};
use crate::sys::{self, Errno};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// How many bytes a connection may move before the others have their turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A connection, made or under way.
pub(super) struct Client {
    pub socket: OwnedFd,
    pub stage: Stage,
    pub watched: ReadySet,
    pub is_queued: bool,
    /// The poller has reported an event since it last acted.
    pub has_event: bool,
    pub is_woken: bool,
    /// Why it ends, once an operation has failed.
    pub failure: Option<io::Error>,
}

pub(super) enum Stage {
    /// connect(2) has not ended.
    Connecting {
        start: NewSession,
        since: Moment,
    },
    Open(Connection),
    /// It is about to be removed.
    Over,
}

/// Why a connection stops acting.
pub(super) enum Stop {
    /// It can do nothing before an event, a wake or its deadline.
    Blocked,
    /// The others have their turn first.
    BudgetUsed,
    Closed,
}

impl Client {
    /// A connection that has been under way since `since`.
    pub(super) fn new(socket: OwnedFd, start: NewSession, since: Moment) -> Client {
        Client {
            socket,
            stage: Stage::Connecting { start, since },
            watched: ReadySet::NONE,
            is_queued: false,
            has_event: false,
            is_woken: false,
            failure: None,
        }
    }

    /// Opens the session of a connection that has been made.
    pub(super) fn open(&mut self, key: usize, worker: &mut Worker) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if let Stage::Connecting { start, .. } = stage
            && let Some(connection) = open(start, key, worker)
        {
            self.stage = Stage::Open(connection);
        }
    }

    /// Finds out whether connect(2) has ended, and opens or refuses the session.
    pub(super) fn finish_connecting(&mut self, key: usize, worker: &mut Worker) {
        let Stage::Connecting { since, .. } = self.stage else {
            return;
        };
        // The first look, before any event, would be in vain.
        let found = match std::mem::take(&mut self.has_event) {
            true => connected(&self.socket),
            false => Ok(false),
        };
        let limit = worker.time_limits[Timeout::Handshake];
        let is_late = worker.left(limit.map(|limit| since.after(limit))) == Some(Duration::ZERO);
        let error = match found {
            Ok(true) => return self.open(key, worker),
            Ok(false) if !is_late => return,
            Ok(false) => not_in_time(),
            Err(errno) => errno.into(),
        };
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if let Stage::Connecting { start, .. } = stage {
            refuse(start, key, error, worker);
        }
    }

    /// Performs the connection's actions until a call would block or its budget is used up.
    pub(super) fn advance(
        &mut self,
        key: usize,
        wake_queue: &Arc<WakeQueue>,
        worker: &mut Worker,
        scratch: &mut [u8],
    ) -> Stop {
        let Stage::Open(connection) = &mut self.stage else {
            return Stop::Closed;
        };
        if std::mem::take(&mut self.is_woken) {
            connection.woken(worker);
        }
        let mut budget = BYTES_PER_TURN;
        while budget > 0 {
            let action = connection.next();
            match action {
                Action::Proceed if worker.work == 0 => return Stop::BudgetUsed,
                Action::Proceed => {
                    connection.proceed(worker);
                    return Stop::BudgetUsed;
                }
                Action::Run => {
                    if let Some(job) = connection.take_job() {
                        run_job(connection, job, wake_queue.waker(key));
                    }
                }
                _ => {}
            }
            match perform(action, connection, &self.socket, worker, scratch) {
                Ok(Some(count)) => budget = budget.saturating_sub(count),
                Ok(None) => return Stop::Closed,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = worker.left(connection.deadline(worker));
                    if left != Some(Duration::ZERO) {
                        return Stop::Blocked;
                    }
                    self.failure = expire(connection, worker);
                }
                Err(sys::SENDFILE_REFUSED) => connection.send_refused(worker),
                Err(errno) => {
                    self.failure = Some(errno.into());
                    connection.abort();
                }
            }
        }
        Stop::BudgetUsed
    }

    /// What the poller must watch for. A connection under way becomes writable at its end.
    pub(super) fn interest<P: Poller>(&self) -> ReadySet {
        if P::EDGE_TRIGGERED {
            return ReadySet::BOTH;
        }
        match &self.stage {
            Stage::Connecting { .. } => ReadySet::WRITABLE,
            Stage::Over => ReadySet::NONE,
            Stage::Open(connection) => match connection.next() {
                Action::Send => ReadySet::WRITABLE,
                Action::Receive => ReadySet::READABLE,
                _ => ReadySet::NONE,
            },
        }
    }
}

/// Returns whether a connection has been made, or false if it is still under way.
///
/// SO_ERROR alone does not tell: it is 0 before the end too, and an event may come without a
/// reason.
///
/// # Errors
/// Why it cannot be made.
fn connected(socket: &OwnedFd) -> Result<bool, Errno> {
    sys::take_error(socket)?;
    match sys::peer_address(socket) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Performs an action with calls that do not block. Returns how many bytes it moved, or `None` if
/// the connection is to be closed.
///
/// # Errors
/// EAGAIN if it would block, and those of the calls.
fn perform(
    action: Action,
    connection: &mut Connection,
    socket: &OwnedFd,
    worker: &mut Worker,
    scratch: &mut [u8],
) -> Result<Option<usize>, Errno> {
    let mut moved = 0;
    match action {
        Action::Send => {
            worker.counters.send_calls += 1;
            moved = send(socket, &connection.front(), BYTES_PER_TURN)?;
            worker.counters.sent_bytes += moved as u64;
            connection.sent(moved, worker);
        }
        Action::Receive => {
            worker.counters.receive_calls += 1;
            let room = connection.room().min(scratch.len());
            moved = sys::receive(socket, &mut scratch[..room])?;
            worker.counters.received_bytes += moved as u64;
            match moved {
                0 => connection.input_ended(worker),
                _ => connection.received(&scratch[..moved], worker),
            }
        }
        // Reads from the disk: a client sends few files.
        Action::Load => {
            moved = load(&connection.front(), scratch)?;
            connection.loaded(&scratch[..moved], worker);
        }
        Action::Proceed | Action::Run | Action::Wait => return Err(Errno::AGAIN),
        Action::ShutdownWrite => {
            worker.counters.other_calls += 1;
            sys::shutdown_write(socket)?;
            connection.write_shut_down();
        }
        Action::Close { may_linger: true } if sys::has_unread(socket) => connection.linger(),
        Action::Close { .. } => return Ok(None),
    }
    Ok(Some(moved))
}

/// Has a thread run a connection's job, and aborts the connection if too much work is waiting.
fn run_job(connection: &mut Connection, job: Job, waker: Waker) {
    let work = job.work;
    let run = move || {
        catch_panic(work);
        waker.wake();
    };
    if !offload::run(job.mount, Box::new(run)) {
        connection.abort();
    }
}
