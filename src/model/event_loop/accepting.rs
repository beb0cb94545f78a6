//! How connections come into the loop, and what happens when there is no room for more.

use super::entry::Entry;
use super::{EventLoop, FIRST_DOOR_KEY, enqueue, notify};
use crate::model::{Listening, REFUSED_SAID, contain, say_that_accept_is_refused};
use crate::net::AcceptError;
use crate::poller::{Poller, Ready};
use crate::session::{Connection, Timeout};
use rustix::net::SocketFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many connections a listener may accept in one turn, so that a flood does not starve those already there.
const ACCEPTS: usize = 64;

/// How long the loop does without accepting after it ran out of connections, unless one comes free earlier.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection has been idle that may be closed to make room for others: less, and its client's next request
/// may be on its way.
const IDLE_AGE: Duration = Duration::from_millis(100);

/// The same for one that has never asked for anything.
const FIRST_AGE: Duration = Duration::from_secs(1);

/// A listener and what is known of it.
pub(super) struct Door {
    pub listening: Listening,
    /// A connection waits, as far as is known.
    pub ready: bool,
    /// What the poller has been told to watch for.
    pub watched: Ready,
    /// Accepting was refused. It is tried again then.
    pub refused_until: Option<Instant>,
    /// When that was last logged.
    refused_said: Option<Instant>,
}

impl Door {
    pub(super) fn new(listening: Listening) -> Door {
        Door {
            listening,
            ready: false,
            watched: Ready::NONE,
            refused_until: None,
            refused_said: None,
        }
    }

    /// True if a connection may wait there, as far as is known.
    pub(super) fn may_accept(&self) -> bool {
        self.ready && self.refused_until.is_none()
    }

    /// Pauses after accept4(2) was refused, for it would be refused again.
    fn pause(&mut self, error: &io::Error, now: Instant) {
        self.refused_until = Some(now + EXHAUSTED_PAUSE);
        if self
            .refused_said
            .is_none_or(|said| now >= said + REFUSED_SAID)
        {
            self.refused_said = Some(now);
            say_that_accept_is_refused(&self.listening, error);
        }
    }

    /// Looks whether the pause is over.
    fn resume(&mut self, now: Instant) {
        if self.refused_until.is_some_and(|until| until <= now) {
            self.refused_until = None;
            self.ready = true;
        }
    }
}

impl<P: Poller> EventLoop<P> {
    /// Tells the poller of the listeners, where that has changed.
    pub(super) fn watch_doors(&mut self) -> io::Result<()> {
        for (door, key) in self.doors.iter_mut().zip(FIRST_DOOR_KEY..) {
            let is_paused = self.accept_again.is_some() || door.refused_until.is_some();
            let open = P::EDGE || !is_paused;
            let wanted = if open { Ready::READABLE } else { Ready::NONE };
            if wanted != door.watched {
                let fd = door.listening.listener.as_fd();
                self.poller.change(fd, key, door.watched, wanted)?;
                door.watched = wanted;
            }
        }
        Ok(())
    }

    /// Accepts what waits, up to a number per listener.
    ///
    /// The first request of such a connection may have come after the turn began, and so may a change of which it must
    /// see the outcome.
    pub(super) fn accept(&mut self) {
        let before = self.worker.counters.connections;
        self.accept_waiting();
        if self.worker.counters.connections > before {
            self.clock.read(&mut self.worker.time);
            notify(&self.services);
        }
    }

    fn accept_waiting(&mut self) {
        if self
            .accept_again
            .is_some_and(|time| self.worker.time.now() < time)
        {
            return;
        }
        self.resume_accepting();
        let now = self.worker.time.now();
        for index in 0..self.doors.len() {
            self.doors[index].resume(now);
            for _ in 0..ACCEPTS {
                let door = &mut self.doors[index];
                if !door.may_accept() {
                    break;
                }
                if self.entries.len() >= self.max_connections {
                    return self.pause_accepting("there may be no more");
                }
                self.worker.counters.accepts += 1;
                match door.listening.listener.accept(SocketFlags::NONBLOCK) {
                    Ok((socket, _)) if cannot_watch::<P>(&socket) => self.refuse(&socket),
                    Ok((socket, peer)) => {
                        let peer = peer.map(|peer| peer.ip().to_canonical());
                        let service = &door.listening.service;
                        let worker = &mut self.worker;
                        let open = || Connection::open(service.session(peer), worker);
                        let late = !door.listening.listener.defers();
                        match contain(open) {
                            Some(connection) => self.admit(socket, connection, late),
                            None => log::error!("a session panicked before it had begun"),
                        }
                    }
                    Err(AcceptError::Gone) => {}
                    Err(AcceptError::WouldBlock) => {
                        self.worker.counters.would_blocks += 1;
                        door.ready = false;
                    }
                    Err(AcceptError::Exhausted(error)) => {
                        return self.pause_accepting(&error.to_string());
                    }
                    Err(AcceptError::Refused(error)) => door.pause(&error, now),
                }
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd, connection: Connection, late: bool) {
        self.worker.counters.connections += 1;
        let key = self.entries.insert(Entry::new(socket, connection, late));
        if let Some(reporter) = &mut self.reporter {
            reporter.begin(key, self.worker.time.moment());
        }
        enqueue(&mut self.queue, key, &mut self.entries[key]);
    }

    /// The poller has no place for the descriptor: rather no service than a wrong one. Said once.
    fn refuse(&mut self, socket: &OwnedFd) {
        self.refused += 1;
        if self.refused == 1 {
            log::warn!(
                "a connection is closed, for this model cannot watch descriptor {}: there are too many; others are \
                 served; --model poll or epoll has no such limit",
                socket.as_raw_fd()
            );
        }
    }

    /// The waiting connections stay in the backlog; the one that has been idle longest makes room.
    fn pause_accepting(&mut self, why: &str) {
        let (now, present) = (self.worker.time.now(), self.worker.time.moment());
        self.accept_again = Some(now + EXHAUSTED_PAUSE);
        let said = self
            .exhausted_said
            .filter(|said| now < *said + EXHAUSTED_PAUSE);
        if said.is_none() {
            self.exhausted_said = Some(now);
            log::warn!(
                "cannot accept more than {} connections: {why}; others wait until one closes",
                self.entries.len()
            );
        }
        // Those who come back for more are told to connect anew, so that everybody gets a turn; those who have long
        // been silent make room at once.
        self.worker.closing = true;
        for (kind, age) in [
            (Timeout::Linger, IDLE_AGE),
            (Timeout::Idle, IDLE_AGE),
            (Timeout::First, FIRST_AGE),
        ] {
            let oldest = self.timeouts.oldest(kind);
            let waited = |key: &usize| present.since(self.entries[*key].connection.waiting().1);
            if let Some(key) = oldest.filter(|key| waited(key) >= age) {
                return self.queue_expired(key);
            }
        }
    }

    /// There is room again, or the time has come to look.
    pub(super) fn resume_accepting(&mut self) {
        self.accept_again = None;
        self.worker.closing = self.stopping || self.leave_end.is_some();
    }
}

fn cannot_watch<P: Poller>(socket: &OwnedFd) -> bool {
    P::FD_LIMIT.is_some_and(|limit| socket.as_raw_fd() >= limit)
}
