//! How the loop accepts connections, and what it does when no more are allowed.

use super::EventLoop;
use super::driver::{Driver, SocketState};
use super::siblings::{Handed, Siblings};
use super::sources::EventSource;
use crate::model::listeners::Shortage;
use crate::model::{StreamEndpoint, catch_start_panic};
use crate::net::AcceptError;
use crate::poller::{Poller, ReadySet};
use crate::recording::End;
use crate::session::{Connection, MIN_IDLE_AGE};
use crate::sys::is_readable;
use crate::trace;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The most connections accepted from one listener in one turn, so that a flood does not starve the
/// connections already there.
const ACCEPTS: usize = 64;

/// The listeners of a loop, and the loops that share them.
pub(super) struct WatchedListeners {
    pub all: Vec<WatchedListener>,
    pub siblings: Siblings,
}

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
        let interest = self.watched_listeners.siblings.interest();
        for (index, slot) in self.watched_listeners.all.iter_mut().enumerate() {
            let is_ahead = interest != ReadySet::NONE
                && self
                    .driver
                    .accepts_ahead()
                    .is_some_and(|most| self.listeners.may_accept_ahead(index, most));
            self.driver
                .accept_ahead(index, &slot.endpoint.listener, is_ahead)?;
            let wanted = match D::Poller::EDGE_TRIGGERED || self.listeners.is_watched(index) {
                _ if is_ahead => ReadySet::NONE,
                true => interest,
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

    /// Accepts waiting connections, up to [`ACCEPTS`] per listener, and takes those that another loop
    /// has accepted for this one.
    ///
    /// Reads the clock and notifies the services again: a new connection's first request may have
    /// come after the turn began, and a file may have changed before it came.
    pub(super) fn accept(&mut self) {
        self.listeners.resume(self.worker.time.now());
        let before = self.worker.counters.accepted_connections;
        match self.watched_listeners.siblings.share_listeners() {
            true => self.accept_shared(),
            false => self.accept_waiting(),
        }
        if self.worker.counters.accepted_connections > before {
            self.clock.read(&mut self.worker.time);
            self.sources.notify_services();
        }
    }

    #[inline(always)]
    fn accept_waiting(&mut self) {
        for index in 0..self.watched_listeners.all.len() {
            for _ in 0..ACCEPTS {
                if !self.listeners.begin_accept(index) {
                    break;
                }
                self.accept_one(index);
            }
        }
    }

    /// Accepts where other loops may do so, too.
    #[cold]
    fn accept_shared(&mut self) {
        let handed = self.watched_listeners.siblings.take_handed();
        if !handed.is_empty() {
            self.open_handed(handed);
        }
        let siblings = &self.watched_listeners.siblings;
        if siblings.hands_over() {
            self.accept_for_all();
        } else if siblings.is_handed_all() {
            self.leave_to_acceptor();
        } else {
            self.accept_waiting();
        }
        let siblings = &self.watched_listeners.siblings;
        siblings.pass_on(&mut self.listeners);
    }

    /// This loop has room for clients that it was told of: another loop accepts them.
    fn leave_to_acceptor(&mut self) {
        for index in 0..self.watched_listeners.all.len() {
            if self.listeners.begin_accept(index) {
                self.listeners.would_block(index);
                self.watched_listeners.siblings.wake_acceptor();
            }
        }
    }

    /// Accepts connections for all loops.
    fn accept_for_all(&mut self) {
        for index in 0..self.watched_listeners.all.len() {
            for count in 0.. {
                let siblings = &self.watched_listeners.siblings;
                if !siblings.may_accept(&self.listeners, index) {
                    break;
                }
                if count == ACCEPTS {
                    siblings.continue_soon();
                    break;
                }
                self.listeners.begin_accept_for_others(index);
                self.accept_one(index);
            }
        }
    }

    fn accept_one(&mut self, index: usize) {
        let endpoint = &self.watched_listeners.all[index].endpoint;
        let now = self.worker.time.now();
        let (listener, counters) = (&endpoint.listener, &mut self.worker.counters);
        match self.driver.accept(index, listener, counters) {
            Ok((socket, _)) if cannot_watch::<D::Poller>(&socket) => {
                self.listeners.unwatchable(socket.as_raw_fd());
            }
            Ok((socket, peer)) => {
                self.listeners.accepted(index);
                let peer = peer.map(|peer| peer.ip().to_canonical());
                let accepted = Handed {
                    listener: index,
                    socket,
                    peer,
                };
                match self.watched_listeners.siblings.hands_over() {
                    true => self.hand_over(accepted),
                    false => self.open(accepted),
                }
            }
            Err(AcceptError::Gone) => {}
            Err(AcceptError::WouldBlock) => {
                let in_vain = self.listeners.would_block(index);
                counters.vain_listener_events += u64::from(in_vain);
            }
            Err(AcceptError::Exhausted(error)) => self.listeners.exhausted(&error, now),
            Err(AcceptError::Refused(error)) => {
                let place = listener.bound();
                self.listeners.refused(index, place, &error, now);
            }
        }
    }

    /// Opens an accepted connection, for which there is a permit.
    fn open(&mut self, accepted: Handed) {
        let Handed {
            listener,
            socket,
            peer,
        } = accepted;
        let endpoint = &self.watched_listeners.all[listener].endpoint;
        let (worker, key) = (&mut self.worker, self.connections.vacant_key());
        worker.counters.accepted_connections += 1;
        let start = endpoint.admit(peer, &mut worker.counters);
        let fd = socket.as_raw_fd();
        trace::note_opened(fd);
        match catch_start_panic(|| Some(Connection::open(start?, key, worker))) {
            Some(connection) => self.insert(listener, socket, connection),
            None => {
                trace::note_closed(fd, || End::Refused);
                trace::note_close(&socket);
                self.worker.counters.other_calls += 1;
            }
        }
    }

    /// Gives an accepted connection to the loop with the fewest.
    fn hand_over(&mut self, mut accepted: Handed) {
        let siblings = &mut self.watched_listeners.siblings;
        while let Some(to) = siblings.choose(accepted.listener) {
            if to == siblings.own() {
                self.open(accepted);
                self.publish_room();
                return;
            }
            match siblings.hand(to, accepted) {
                Ok(()) => return,
                // That loop stops, and is not chosen again.
                Err(back) => accepted = back,
            }
        }
        // The server stops, and no loop has room.
        trace::note_close(&accepted.socket);
        self.worker.counters.other_calls += 1;
    }

    /// Opens connections that another loop has accepted for this one.
    fn open_handed(&mut self, handed: Vec<Handed>) {
        let count = handed.len();
        handed.into_iter().for_each(|one| self.open(one));
        self.publish_room();
        self.watched_listeners.siblings.took(count);
    }

    /// Tells the loop that accepts how many connections this one has and may have.
    pub(super) fn publish_room(&mut self) {
        self.watched_listeners.siblings.publish(&mut self.listeners);
    }

    fn insert(&mut self, listener: usize, socket: OwnedFd, connection: Connection) {
        let service = self.listeners.service(listener);
        self.listeners.permits().take(service);
        let endpoint = &self.watched_listeners.all[listener].endpoint;
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
        let WatchedListeners { all, siblings } = &self.watched_listeners;
        // A client that another loop may have accepted does not wait for certain.
        let is_certain = || !siblings.share_listeners();
        let waits =
            |index: usize, is_known| (is_known && is_certain()) || is_readable(all[index].fd());
        let time = &self.worker.time;
        // The other loops may have used up their room by then.
        let later = || time.now() + MIN_IDLE_AGE;
        let elsewhere = |index| siblings.is_room_elsewhere(index).then(later);
        let shortages = self.listeners.shortages(waits, elsewhere);
        for shortage in shortages {
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
        for (index, slot) in self.watched_listeners.all.iter().enumerate() {
            let listener = &slot.endpoint.listener;
            if let Err(error) = self.driver.accept_ahead(index, listener, false) {
                log::warn!("cannot stop accepting ahead: {error}");
            }
        }
    }

    /// Closes the listeners. Connections that were handed over by now are served.
    pub(super) fn stop_listening(&mut self) {
        let handed = self.watched_listeners.siblings.close();
        self.open_handed(handed);
        for (index, slot) in self.watched_listeners.all.drain(..).enumerate() {
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
