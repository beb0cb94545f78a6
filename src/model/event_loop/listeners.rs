//! How connections come into the loop, and what happens when there is no room for more.

use super::entry::Entry;
use super::{EventLoop, FIRST_DOOR_KEY, enqueue, notify};
use crate::model::{IDLE_AGE, Listening, contain, say_that_accept_is_refused};
use crate::net::AcceptError;
use crate::observe::throttled;
use crate::poller::{Poller, Ready};
use crate::session::{Connection, Timeout};
use crate::sys::is_readable;
use rustix::net::SocketFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many connections a listener may accept in one turn, so that a flood does not starve those already there.
const ACCEPTS: usize = 64;

/// How long the loop does without accepting after descriptors or memory ran out, unless a connection closes earlier.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// How many connections are looked at in one turn to find one that makes room: a turn must stay short.
const SCANNED: usize = 256;

/// How long a connection has been silent that may be closed to make room for others, without ever having asked for
/// anything.
const FIRST_AGE: Duration = Duration::from_secs(1);

/// A listener and what is known of it.
pub(super) struct Door {
    pub listening: Listening,
    /// The index of its service among the permits.
    pub service: usize,
    /// A connection waits, as far as is known.
    pub ready: bool,
    /// A connection waits for certain, and for a permit.
    pub waits: bool,
    /// What the poller has been told to watch for.
    pub watched: Ready,
    /// Accepting was refused. It is tried again then.
    pub refused_until: Option<Instant>,
}

impl Door {
    pub(super) fn new(listening: Listening, service: usize) -> Door {
        Door {
            listening,
            service,
            ready: false,
            waits: false,
            watched: Ready::NONE,
            refused_until: None,
        }
    }

    /// True if a connection may wait there, as far as is known.
    pub(super) fn may_accept(&self) -> bool {
        self.ready && self.refused_until.is_none()
    }

    /// Pauses after accept4(2) was refused, for it would be refused again.
    fn pause(&mut self, error: &io::Error, now: Instant) {
        self.refused_until = Some(now + EXHAUSTED_PAUSE);
        say_that_accept_is_refused(&self.listening, error);
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
    /// Tells the poller of the listeners, where that has changed. A level-triggered one would report a connection that
    /// waits for a permit in each turn.
    pub(super) fn watch_doors(&mut self) -> io::Result<()> {
        for (door, key) in self.doors.iter_mut().zip(FIRST_DOOR_KEY..) {
            let is_paused = self.accept_again.is_some() || door.refused_until.is_some();
            let open = P::EDGE_TRIGGERED || !(is_paused || door.waits);
            let wanted = if open { Ready::READABLE } else { Ready::NONE };
            if wanted != door.watched {
                let fd = door.listening.listener.as_fd();
                self.poller.change(fd, key, door.watched, wanted)?;
                door.watched = wanted;
            }
        }
        Ok(())
    }

    /// True if a connection waits, as far as is known, and may be accepted.
    pub(super) fn can_accept(&self) -> bool {
        let can = |door: &Door| door.may_accept() && self.permits.has_free(door.service);
        self.accept_again.is_none() && self.doors.iter().any(can)
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
        self.accept_again = None;
        let now = self.worker.time.now();
        for index in 0..self.doors.len() {
            self.doors[index].resume(now);
            for _ in 0..ACCEPTS {
                let door = &mut self.doors[index];
                if !door.may_accept() || !self.permits.has_free(door.service) {
                    break;
                }
                door.waits = false;
                self.worker.counters.accepts += 1;
                match door.listening.listener.accept(SocketFlags::NONBLOCK) {
                    Ok((socket, _)) if cannot_watch::<P>(&socket) => self.refuse(&socket),
                    Ok((socket, peer)) => {
                        let peer = peer.map(|peer| peer.ip().to_canonical());
                        let service = &door.listening.service;
                        let worker = &mut self.worker;
                        let open = || Connection::open(service.session(peer), worker);
                        let late = !door.listening.listener.defers();
                        let of = door.service;
                        match contain(open) {
                            Some(connection) => self.admit(socket, connection, late, of),
                            None => throttled!(Error, "a session panicked before it had begun"),
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

    fn admit(&mut self, socket: OwnedFd, connection: Connection, late: bool, service: usize) {
        self.worker.counters.connections += 1;
        self.permits.take(service);
        let entry = Entry::new(socket, connection, late, service);
        let key = self.entries.insert(entry);
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

    /// The kernel has no descriptor or memory for another connection. Those that wait stay in the backlog.
    fn pause_accepting(&mut self, why: &str) {
        self.accept_again = Some(self.worker.time.now() + EXHAUSTED_PAUSE);
        self.warn_that_connections_wait(why);
    }

    fn warn_that_connections_wait(&mut self, why: &str) {
        let count = self.entries.len();
        throttled!(
            Warn,
            "cannot accept more than {count} connections: {why}; others wait until one closes"
        );
    }

    /// Closes idle connections while others wait, one for each listener that has such in each turn. Connections that
    /// are busy are told to end with their next answer, so that everybody gets a turn.
    ///
    /// Where a service has all that it may have, only connections whose permits it can take are concerned.
    pub(super) fn make_room(&mut self) {
        self.make_room_again = None;
        if self.accept_again.is_none() && self.permits.has_common() {
            // As nearly always: no service has all that it may have.
            if std::mem::take(&mut self.is_crowded) {
                self.crowded.fill(false);
            }
            return;
        }
        self.is_crowded = true;
        self.crowded.fill(false);
        if self.accept_again.is_some() {
            self.crowded.fill(true);
            return self.close_idle(|_| true);
        }
        for index in 0..self.doors.len() {
            let door = &mut self.doors[index];
            let service = door.service;
            if !door.ready || self.permits.has_free(service) {
                continue;
            }
            // All that waited may have been accepted, which nobody has said.
            door.waits = door.waits || is_readable(&door.listening.listener);
            door.ready = door.waits;
            if !door.waits {
                continue;
            }
            self.warn_that_connections_wait("there may be no more");
            let helps = |from| self.permits.helps(from, service);
            let helping: Vec<bool> = (0..self.crowded.len()).map(helps).collect();
            for (crowded, helps) in self.crowded.iter_mut().zip(&helping) {
                *crowded |= helps;
            }
            self.close_idle(|from| helping[from]);
        }
    }

    /// Queues the connection that has been idle longest, of the services that may be concerned, for its end.
    fn close_idle(&mut self, is_concerned: impl Fn(usize) -> bool) {
        let present = self.worker.time.moment();
        for (kind, age) in [
            (Timeout::Linger, IDLE_AGE),
            (Timeout::Idle, IDLE_AGE),
            (Timeout::First, FIRST_AGE),
        ] {
            let can_go = |key: &usize| {
                let entry = &self.entries[*key];
                !entry.expired && is_concerned(entry.service.into())
            };
            let oldest = self.timeouts.waiting(kind).take(SCANNED).find(can_go);
            let waited = |key: &usize| present.since(self.entries[*key].connection.waiting().1);
            if let Some(key) = oldest.filter(|key| waited(key) >= age) {
                return self.queue_expired(key);
            }
        }
        self.make_room_again = Some(self.worker.time.now() + IDLE_AGE);
    }

    /// A connection has closed, so there may be room again.
    pub(super) fn resume_accepting(&mut self) {
        self.accept_again = None;
    }

    /// Tells the connections of a service whether they shall end with their next answer, and why.
    pub(super) fn tell_whether_to_end(&mut self, service: u16) {
        self.worker.crowded = self.crowded[usize::from(service)];
        self.worker.closing = self.worker.crowded || self.stopping || self.leave_end.is_some();
    }
}

fn cannot_watch<P: Poller>(socket: &OwnedFd) -> bool {
    P::FD_LIMIT.is_some_and(|limit| socket.as_raw_fd() >= limit)
}
