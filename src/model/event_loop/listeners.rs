//! How the loop accepts connections, and what it does when no more are allowed.

use super::EventLoop;
use super::driver::{Driver, SocketState};
use super::sources::EventSource;
use crate::model::listeners::Shortage;
use crate::model::{StreamEndpoint, catch_start_panic};
use crate::net::AcceptError;
use crate::poller::{Poller, ReadySet};
use crate::session::{Connection, MIN_IDLE_AGE};
use crate::sys::is_readable;
use crate::trace;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The most connections accepted from one listener in one turn, so that a flood does not starve the
/// connections already there.
const ACCEPTS: usize = 64;

/// A listener and what the poller watches it for.
pub(super) struct WatchedListener {
    endpoint: StreamEndpoint,
    watched: ReadySet,
}

impl WatchedListener {
    pub(super) fn new(endpoint: StreamEndpoint) -> WatchedListener {
        WatchedListener {
            endpoint,
            watched: ReadySet::NONE,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.endpoint.listener.as_fd()
    }
}

impl<D: Driver> EventLoop<D> {
    /// Tells the poller which listeners to watch, where that has changed.
    pub(super) fn watch_listeners(&mut self) -> io::Result<()> {
        for (index, slot) in self.watched_listeners.iter_mut().enumerate() {
            let is_ahead = self
                .driver
                .accepts_ahead()
                .is_some_and(|most| self.listeners.may_accept_ahead(index, most));
            self.driver
                .accept_ahead(index, &slot.endpoint.listener, is_ahead)?;
            let wanted = match D::Poller::EDGE_TRIGGERED || self.listeners.is_watched(index) {
                _ if is_ahead => ReadySet::NONE,
                true => ReadySet::READABLE,
                false => ReadySet::NONE,
            };
            if wanted != slot.watched {
                let key = self.sources.keys.key(EventSource::Listener(index));
                self.driver
                    .poller()
                    .change(slot.fd(), key, slot.watched, wanted)?;
                slot.watched = wanted;
            }
        }
        Ok(())
    }

    /// Accepts waiting connections, up to [`ACCEPTS`] per listener.
    ///
    /// Reads the clock and notifies the services again: a new connection's first request may have
    /// come after the turn began, and a file may have changed before it came.
    pub(super) fn accept(&mut self) {
        self.listeners.resume(self.worker.time.now());
        let before = self.worker.counters.accepted_connections;
        for index in 0..self.watched_listeners.len() {
            for _ in 0..ACCEPTS {
                if !self.listeners.begin_accept(index) {
                    break;
                }
                self.accept_one(index);
            }
        }
        if self.worker.counters.accepted_connections > before {
            self.clock.read(&mut self.worker.time);
            self.sources.notify_services();
        }
    }

    fn accept_one(&mut self, index: usize) {
        let endpoint = &self.watched_listeners[index].endpoint;
        let now = self.worker.time.now();
        let (listener, counters) = (&endpoint.listener, &mut self.worker.counters);
        match self.driver.accept(index, listener, counters) {
            Ok((socket, _)) if cannot_watch::<D::Poller>(&socket) => {
                self.listeners.unwatchable(socket.as_raw_fd());
            }
            Ok((socket, peer)) => {
                let peer = peer.map(|peer| peer.ip().to_canonical());
                let (worker, key) = (&mut self.worker, self.connections.vacant_key());
                worker.counters.accepted_connections += 1;
                let start = endpoint.admit(peer, &mut worker.counters);
                match catch_start_panic(|| Some(Connection::open(start?, key, worker))) {
                    Some(connection) => self.insert(index, socket, connection),
                    None => {
                        trace::note_close(&socket);
                        self.worker.counters.other_calls += 1;
                    }
                }
            }
            Err(AcceptError::Gone) => {}
            Err(AcceptError::WouldBlock) => self.listeners.would_block(index),
            Err(AcceptError::Exhausted(error)) => self.listeners.exhausted(&error, now),
            Err(AcceptError::Refused(error)) => {
                let place = listener.bound();
                self.listeners.refused(index, place, &error, now);
            }
        }
    }

    fn insert(&mut self, listener: usize, socket: OwnedFd, connection: Connection) {
        let service = self.listeners.service(listener);
        self.listeners.permits().take(service);
        let endpoint = &self.watched_listeners[listener].endpoint;
        let io = SocketState::new(socket, endpoint.listener.is_tcp());
        let key = self.connections.insert(connection, io, service);
        if let Some(status) = &mut self.status {
            status.begin(key, self.worker.time.moment());
        }
    }

    /// Closes idle connections while clients wait to be accepted: one per turn if resources are
    /// short, and one per turn for each listener whose service has used all its permits. Busy
    /// connections close after their next response.
    ///
    /// A service that has used all its permits can take those of some services only. Only their
    /// connections are closed.
    pub(super) fn make_room(&mut self) {
        let watched = &self.watched_listeners;
        let waits = |index: usize, is_known| is_known || is_readable(watched[index].fd());
        for shortage in self.listeners.shortages(waits) {
            if let Shortage::Permits(_) = shortage {
                let listeners = &self.listeners;
                listeners.warn_connections_wait("the limit is reached");
            }
            self.close_idle(shortage);
        }
    }

    /// Expires the longest-idle connection among those whose end helps against the shortage.
    fn close_idle(&mut self, shortage: Shortage) {
        let helps = |from| self.listeners.helps(from, shortage);
        let present = self.worker.time.moment();
        match self.connections.oldest_idle(present, helps) {
            Some(key) => self.connections.expire_one(key),
            None => self
                .listeners
                .retry_shortages_at(self.worker.time.now() + MIN_IDLE_AGE),
        }
    }

    /// Accepts only when the loop asks.
    pub(super) fn stop_accepting_ahead(&mut self) {
        for (index, slot) in self.watched_listeners.iter().enumerate() {
            let listener = &slot.endpoint.listener;
            if let Err(error) = self.driver.accept_ahead(index, listener, false) {
                log::warn!("cannot stop accepting ahead: {error}");
            }
        }
    }

    /// Closes the listeners.
    pub(super) fn stop_listening(&mut self) {
        for (index, slot) in self.watched_listeners.drain(..).enumerate() {
            let key = self.sources.keys.key(EventSource::Listener(index));
            let result = self
                .driver
                .poller()
                .change(slot.fd(), key, slot.watched, ReadySet::NONE);
            if let Err(error) = result {
                log::warn!("cannot stop watching a listener: {error}");
            }
        }
        self.listeners.clear();
    }
}

fn cannot_watch<P: Poller>(socket: &OwnedFd) -> bool {
    P::FD_LIMIT.is_some_and(|limit| socket.as_raw_fd() >= limit)
}
