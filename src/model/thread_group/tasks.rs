//! What a group offers to tasks that serve its connections in place of threads.
//!
//! Where a thread would wait, a task asks again when its waker is woken. This file does not know the
//! runtime that runs the tasks.

use super::{Accepted, ActiveConnection, GroupState, ServingPermit, TaskWake, ThreadGroup};
use crate::model::listeners::warn_accept_refused;
use crate::model::{StreamEndpoint, new_worker};
use crate::net::AcceptError;
use crate::session::{NewSession, Time, Transitions, Wakers, Worker};
use crate::sys::{self, SocketFlags};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Poll, Wake, Waker};

/// Accepts at one listener, for a task.
pub struct Acceptor {
    group: Arc<ThreadGroup>,
    listener: usize,
    /// It waits for a permit.
    is_waiting: bool,
}

/// Since when an acceptor pauses.
pub struct Pause {
    departures: u64,
}

impl Acceptor {
    /// Creates an acceptor. `waker` wakes its task when it may go on, and when the server is
    /// stopping.
    pub fn new(group: &Arc<ThreadGroup>, listener: usize, waker: Waker) -> Acceptor {
        group.state.lock().acceptors.push(waker);
        Acceptor {
            group: group.clone(),
            listener,
            is_waiting: false,
        }
    }

    /// True once only those connections are to be accepted that wait already.
    pub fn is_stopping(&self) -> bool {
        self.group.is_stopping()
    }

    /// Accepts a connection that waits. Its socket does not block.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn accept(&self) -> Result<(OwnedFd, Option<SocketAddr>), AcceptError> {
        self.endpoint().listener.accept(SocketFlags::NONBLOCK)
    }

    /// Returns a permit to serve a connection once there is one. `None` if the server is stopping
    /// before that.
    pub fn poll_permit(&mut self) -> Poll<Option<ServingPermit>> {
        let service = self.group.services[self.listener];
        let mut state = self.group.state.lock();
        let permit = self.group.take_free_permit(&mut state, service);
        let must_wait = permit.is_none() && !self.is_stopping();
        match (self.is_waiting, must_wait) {
            (false, true) => {
                state.waiting[service] += 1;
                state.pausing += 1;
                self.group.alert();
            }
            (true, false) => {
                state.waiting[service] -= 1;
                state.pausing -= 1;
            }
            (false, false) | (true, true) => {}
        }
        self.is_waiting = must_wait;
        match must_wait {
            true => Poll::Pending,
            false => Poll::Ready(permit),
        }
    }

    /// Creates the session of an accepted connection. `None` if it is refused.
    pub fn admit(
        &self,
        (socket, peer): (OwnedFd, Option<SocketAddr>),
        permit: ServingPermit,
    ) -> Option<Accepted> {
        self.group.admit(self.endpoint(), socket, peer, permit)
    }

    /// Begins to wait until a connection ends: descriptors or memory ran out.
    pub fn begin_pause(&self, why: &str) -> Pause {
        let mut state = self.group.state.lock();
        state.listeners.warn_connections_wait(why);
        state.pausing += 1;
        Pause {
            departures: state.departures,
        }
    }

    /// Ready when a connection has ended since then, or the server is stopping.
    pub fn poll_departure(&self, pause: &Pause) -> Poll<()> {
        let departures = self.group.state.lock().departures;
        match departures == pause.departures && !self.is_stopping() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Call this after a pause.
    pub fn end_pause(&self) {
        self.group.state.lock().pausing -= 1;
    }

    /// Logs that accepting is refused.
    pub fn warn_refused(&self, error: &io::Error) {
        warn_accept_refused(self.endpoint().listener.bound(), error);
    }

    /// Refuses all further connections.
    pub fn finish(&self) {
        let listener = &self.endpoint().listener;
        if !listener.is_inherited() {
            let _ = sys::shutdown_both(listener);
        }
    }

    fn endpoint(&self) -> &StreamEndpoint {
        self.group.endpoint(self.listener)
    }
}

impl ThreadGroup {
    /// A listener and its service.
    pub fn endpoint(&self, listener: usize) -> &StreamEndpoint {
        &self.stream_endpoints[listener]
    }

    /// Creates the worker of a thread that runs tasks.
    pub fn worker(self: &Arc<Self>, time: Time) -> Worker {
        Worker {
            transitions: self.hub.as_ref().map(|_| Transitions::default()),
            ..new_worker(time, &self.timeouts, Some(Box::new(self.clone())))
        }
    }

    /// Begins a connection: returns its key, and what a task needs to serve it. Drop the permit
    /// last.
    pub fn begin_task(
        &self,
        accepted: Accepted,
        waker: Waker,
        worker: &mut Worker,
    ) -> (usize, ServingPermit, Arc<ActiveConnection>, NewSession) {
        let (permit, active, start) = self.begin_connection(accepted, worker);
        let _ = active.task.waker.set(waker);
        (permit.key.unwrap_or_default(), permit, active, start)
    }

    /// Ends a connection: see [`ThreadGroup::begin_task`].
    pub fn end_task(&self, active: &ActiveConnection, worker: &mut Worker) {
        self.end_connection(active, worker);
    }

    /// Adds the counters of a thread that runs no more tasks.
    pub fn end_thread(&self, worker: &mut Worker) {
        self.state.lock().add(worker);
    }

    /// Tells the worker what the supervisor wants of a connection.
    pub fn read_flags(&self, active: &ActiveConnection, worker: &mut Worker) {
        worker.crowded = self.crowded[active.service].load(SeqCst);
        worker.one_exchange = self.flags.one_exchange.load(SeqCst);
        worker.stopping = self.flags.stopping.load(SeqCst);
    }

    /// Writes out the lines of the access log.
    pub fn write_log(&self, worker: &mut Worker) {
        if !worker.log.is_empty() {
            self.log.lock().write(&mut worker.log);
        }
    }
}

impl TaskWake {
    /// Returns true if the task was woken by another connection or the supervisor since the last
    /// call.
    pub fn take_woken(&self) -> bool {
        self.woken.swap(false, SeqCst)
    }
}

/// A connection's key leads to its task.
impl Wakers for Arc<ThreadGroup> {
    fn waker(&self, key: usize) -> io::Result<Waker> {
        let GroupState { connections, .. } = &*self.state.lock();
        let active = connections.get(key).cloned();
        active
            .map(Waker::from)
            .ok_or_else(|| io::Error::other("the connection has ended"))
    }
}

impl Wake for ActiveConnection {
    fn wake(self: Arc<Self>) {
        self.task.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.wake();
    }
}
