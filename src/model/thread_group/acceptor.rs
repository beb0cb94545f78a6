//! How threads accept: each waits for a connection, and then for a permit to serve it.

use super::{GroupState, ThreadGroup};
use crate::model::StreamEndpoint;
use crate::model::listeners::{PAUSE, warn_accept_refused};
use crate::model::shutdown::LAST_ACCEPTS;
use crate::net::{AcceptError, Listener};
use crate::recording::Syscall;
use crate::session::{Counters, NewSession};
use crate::sys::SocketFlags;
use crate::trace;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

/// An accepted connection, before a thread serves it.
pub struct Accepted {
    pub(super) socket: OwnedFd,
    pub(super) start: NewSession,
    pub(super) permit: ServingPermit,
    /// The calls made for it so far.
    pub(super) counters: Counters,
}

/// What accept4(2) has returned.
pub(super) type Waiting = (OwnedFd, Option<SocketAddr>);

/// The permit to serve one connection. Dropping it releases it.
pub struct ServingPermit {
    group: Arc<ThreadGroup>,
    pub(super) service: usize,
    /// The connection's key in the active connections, once it is served.
    pub(super) key: Option<usize>,
}

impl ThreadGroup {
    /// Makes the listeners blocking, except inherited ones, which other processes may share.
    pub(super) fn make_listeners_block(&self) -> io::Result<()> {
        let all = self.stream_endpoints.iter().map(|one| &one.listener);
        all.filter(|one| !one.is_inherited())
            .try_for_each(|one| one.set_blocking(true))
    }

    /// Waits for the next connection at a listener, and for its permit. `None` once the server is
    /// stopping and no connection waits any more.
    pub fn accept(self: &Arc<Self>, listener: usize) -> Option<Accepted> {
        let endpoint = &self.stream_endpoints[listener];
        while !self.is_stopping() {
            if endpoint.listener.is_inherited() && !self.wait_until_ready(&endpoint.listener) {
                break;
            }
            let fd = endpoint.listener.as_fd().as_raw_fd();
            let text = |limit| format!("accept4({fd}): {limit}");
            trace::note_wait(Syscall::Accept, fd, || None, text);
            match endpoint.listener.accept(SocketFlags::empty()) {
                Ok((socket, peer)) => {
                    let permit = self.take_permit(self.services[listener])?;
                    let accepted = self.admit(endpoint, socket, peer, permit);
                    if accepted.is_some() {
                        return accepted;
                    }
                }
                Err(AcceptError::Gone | AcceptError::WouldBlock) => {}
                Err(AcceptError::Exhausted(error)) => self.wait_for_resources(&error.to_string()),
                // The listener was shut down to end this call.
                Err(AcceptError::Refused(_)) if self.is_stopping() => break,
                Err(AcceptError::Refused(error)) => self.wait_after_refusal(endpoint, &error),
            }
        }
        self.accept_last(listener)
    }

    /// Returns a connection that waited when the server stopped, and waits for its permit.
    fn accept_last(self: &Arc<Self>, listener: usize) -> Option<Accepted> {
        loop {
            let mut state = self.state.lock();
            let are_unknown = |state: &mut GroupState| state.last.is_none();
            self.departed.wait_while(&mut state, are_unknown);
            let (socket, peer) = state.last.as_mut()?.get_mut(listener)?.pop_front()?;
            drop(state);
            let permit = self.take_permit(self.services[listener])?;
            let accepted = self.admit(&self.stream_endpoints[listener], socket, peer, permit);
            if accepted.is_some() {
                return accepted;
            }
        }
    }

    /// Accepts all connections that wait: their clients are connected, as far as they know. Threads
    /// that accept get them.
    pub(super) fn collect_last(&self) {
        if self.state.lock().last.is_some() {
            return;
        }
        let last = self
            .stream_endpoints
            .iter()
            .map(|one| waiting(&one.listener));
        let last = last.collect();
        self.state.lock().last = Some(last);
        self.departed.notify_all();
    }

    /// Creates the connection's session. `None` if it is refused.
    pub(super) fn admit(
        &self,
        endpoint: &StreamEndpoint,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        permit: ServingPermit,
    ) -> Option<Accepted> {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let mut counters = Counters {
            accept_calls: 1,
            accepted_connections: 1,
            ..Counters::default()
        };
        let start = endpoint.admit(peer, &mut counters);
        if start.is_none() {
            trace::note_close(&socket);
            counters.other_calls += 1;
            self.state.lock().counters.add(&counters);
        }
        start.map(|start| Accepted {
            socket,
            start,
            permit,
            counters,
        })
    }

    /// Pauses accepting for a while, because no thread can be started.
    pub fn wait_for_threads(&self, error: &io::Error) {
        self.wait_for_resources(&format!("no thread can be started: {error}"));
    }

    /// Pauses accepting for a while, or until a connection closes.
    fn wait_for_resources(&self, why: &str) {
        let mut state = self.state.lock();
        state.listeners.warn_connections_wait(why);
        self.departed.wait_for(&mut state, PAUSE);
    }

    /// Pauses accepting for a while, because it would be refused again.
    fn wait_after_refusal(&self, endpoint: &StreamEndpoint, error: &io::Error) {
        warn_accept_refused(endpoint.listener.bound(), error);
        let goes_on = |_: &mut GroupState| !self.is_stopping();
        let mut state = self.state.lock();
        self.departed.wait_while_for(&mut state, goes_on, PAUSE);
    }

    /// Waits for a permit of this service. `None` if connections are cut off before that.
    fn take_permit(self: &Arc<Self>, service: usize) -> Option<ServingPermit> {
        let mut state = self.state.lock();
        if !state.has_free(service) {
            state.waiting[service] += 1;
            self.alert();
            let must_wait = |state: &mut GroupState| !state.has_free(service) && !state.is_cut_off;
            self.departed.wait_while(&mut state, must_wait);
            state.waiting[service] -= 1;
        }
        self.take_free_permit(&mut state, service)
    }

    /// Takes a permit of this service, if one is free.
    pub(super) fn take_free_permit(
        self: &Arc<Self>,
        state: &mut GroupState,
        service: usize,
    ) -> Option<ServingPermit> {
        if !state.has_free(service) {
            return None;
        }
        state.listeners.permits().take(service);
        if !state.has_free(service) {
            self.alert();
        }
        Some(ServingPermit {
            group: self.clone(),
            service,
            key: None,
        })
    }
}

/// Accepts the connections that wait at a listener.
fn waiting(listener: &Listener) -> VecDeque<Waiting> {
    let mut all = VecDeque::new();
    if listener.set_blocking(false).is_err() {
        return all;
    }
    while all.len() < LAST_ACCEPTS {
        match listener.accept(SocketFlags::empty()) {
            Ok(accepted) => all.push_back(accepted),
            Err(AcceptError::Gone) => {}
            Err(AcceptError::WouldBlock | AcceptError::Refused(_)) => break,
            Err(AcceptError::Exhausted(_)) => {
                // Those that are served need descriptors for files.
                all.truncate(all.len() / 2);
                break;
            }
        }
    }
    all
}

impl GroupState {
    /// True if one more connection of a service may be served.
    pub(super) fn has_free(&mut self, service: usize) -> bool {
        self.listeners.permits().has_free(service)
    }
}

impl Drop for ServingPermit {
    fn drop(&mut self) {
        let mut state = self.group.state.lock();
        state.listeners.release(self.service);
        state.departures += 1;
        if state.pausing > 0 {
            state.wake_acceptors();
        }
        let active = self.key.map(|key| state.connections.remove(key));
        drop(state);
        // Closes its socket.
        drop(active);
        self.group.notify_departed();
    }
}
