//! Many connections of a client on one thread.
//!
//! The loop tries first and waits second: an event only queues a connection, which then acts until
//! a call would block.

use super::connection::{Client, Stage, Stop};
use super::{close, refuse, worker};
use crate::model::clock::Clock;
use crate::model::timer_queue::TimerQueue;
use crate::model::wake_queue::WakeQueue;
use crate::model::{abort_after_panic, catch_panic};
use crate::poller::{Poller, ReadySet};
use crate::session::{BUFFER_SIZE, NewSession, TimeLimits, Timeout, WORK_PER_TURN, Worker};
use crate::sys::{self, Errno, SocketFlags};
use crate::trace;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// The most events that one wait returns.
const EVENTS: usize = 1024;

/// The poller's key of the wake queue. Connections have the keys behind it.
const WAKES: usize = 0;

/// Makes connections and runs their sessions, all on the thread that calls [`turn`].
///
/// It has no limit of connections: the caller decides when to [`connect`]. A poller with one-shot
/// watches cannot be used.
///
/// [`turn`]: ClientLoop::turn
/// [`connect`]: ClientLoop::connect
pub struct ClientLoop<P> {
    poller: P,
    /// The keys that the last wait found ready.
    found: Vec<(usize, ReadySet)>,
    clock: Clock,
    worker: Worker,
    clients: Slab<Client>,
    /// Connections that have something to do, each once.
    queue: VecDeque<usize>,
    timers: TimerQueue,
    wake_queue: Arc<WakeQueue>,
    woken: Vec<usize>,
    /// The buffer of every receive call.
    scratch: Box<[u8]>,
}

impl<P: Poller> ClientLoop<P> {
    /// A loop without connections. `limits` are their time limits; [`Timeout::Handshake`] is that
    /// of connect(2).
    ///
    /// # Errors
    /// If there is no descriptor for the poller and the wake queue.
    pub fn new(limits: &TimeLimits) -> io::Result<ClientLoop<P>> {
        const { assert!(!P::ONE_SHOT, "a watch must last") }
        let mut poller = P::new(EVENTS)?;
        let wake_queue = WakeQueue::new()?;
        poller.change(
            wake_queue.as_fd(),
            WAKES,
            ReadySet::NONE,
            ReadySet::READABLE,
        )?;
        let (clock, worker) = worker(limits, wake_queue.clone());
        Ok(ClientLoop {
            poller,
            found: Vec::new(),
            clock,
            worker,
            clients: Slab::new(),
            queue: VecDeque::new(),
            timers: TimerQueue::new(limits),
            wake_queue,
            woken: Vec::new(),
            scratch: vec![0; BUFFER_SIZE].into_boxed_slice(),
        })
    }

    /// The number of connections, made or under way.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// True if there are no connections.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// What the loop has done so far.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Begins a connection, without waiting. Its session is opened when it is made. If it cannot be
    /// made, the session is opened and closed at once, perhaps before this returns.
    ///
    /// # Errors
    /// Those of the poller. The loop cannot be used after that.
    pub fn connect(
        &mut self,
        address: &SocketAddr,
        session: impl Into<NewSession>,
    ) -> io::Result<()> {
        self.clock.read(&mut self.worker.time);
        let start = session.into();
        let key = self.clients.vacant_key();
        let begun = sys::tcp_socket(address, SocketFlags::NONBLOCK)
            .map(|socket| (sys::connect(&socket, address), socket));
        let (result, socket) = match begun {
            Ok((result @ (Ok(()) | Err(Errno::INPROGRESS)), socket)) => (result, socket),
            Ok((Err(errno), _)) | Err(errno) => {
                refuse(start, key, errno.into(), &mut self.worker);
                return Ok(());
            }
        };
        let since = self.worker.time.moment();
        let mut client = Client::new(socket, start, since);
        if result.is_ok() {
            client.open(key, &mut self.worker);
        }
        self.clients.insert(client);
        self.timers.start(key, Timeout::Handshake, since);
        self.serve(key)
    }

    /// Waits until something happens, and lets each connection that can act do so. Returns at once
    /// if there are no connections.
    ///
    /// # Errors
    /// Those of the poller. The loop cannot be used after that.
    pub fn turn(&mut self) -> io::Result<()> {
        if self.clients.is_empty() {
            return Ok(());
        }
        self.wait()?;
        let mut found = std::mem::take(&mut self.found);
        for (key, _) in found.drain(..) {
            match key {
                WAKES => self.wake_queue.clear(),
                key => {
                    if let Some(client) = self.clients.get_mut(key - 1) {
                        client.has_event = true;
                        self.enqueue(key - 1);
                    }
                }
            }
        }
        self.found = found;
        let mut woken = std::mem::take(&mut self.woken);
        self.wake_queue.take_woken(&mut woken);
        for key in woken.drain(..) {
            if let Some(client) = self.clients.get_mut(key) {
                client.is_woken = true;
                self.enqueue(key);
            }
        }
        self.woken = woken;
        while let Some(key) = self.timers.pop_expired(self.worker.time.moment()) {
            self.enqueue(key);
        }
        self.worker.work = WORK_PER_TURN;
        for _ in 0..self.queue.len() {
            if let Some(key) = self.queue.pop_front() {
                self.serve(key)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let can_wait = self.wake_queue.prepare_to_wait() && self.queue.is_empty();
        let deadline = self.timers.next_deadline();
        let timeout = match can_wait {
            true => deadline.map(|end| end.since(self.worker.time.moment())),
            false => Some(Duration::ZERO),
        };
        self.worker.counters.wait_calls += 1;
        let text = |limit| format!("{}: {limit}", P::CALL.name());
        trace::note_wait(P::CALL, -1, || timeout, text);
        self.poller.wait(timeout, &mut self.found)?;
        self.worker.counters.events += self.found.len() as u64;
        self.clock.read(&mut self.worker.time);
        Ok(())
    }

    fn enqueue(&mut self, key: usize) {
        if let Some(client) = self.clients.get_mut(key)
            && !client.is_queued
        {
            client.is_queued = true;
            self.queue.push_back(key);
        }
    }

    /// Lets a connection act, and arranges what it then waits for.
    fn serve(&mut self, key: usize) -> io::Result<()> {
        let client = &mut self.clients[key];
        client.is_queued = false;
        client.finish_connecting(key, &mut self.worker);
        let stop = match &mut client.stage {
            Stage::Connecting { .. } => Stop::Blocked,
            Stage::Over => Stop::Closed,
            Stage::Open(_) => {
                let act =
                    || client.advance(key, &self.wake_queue, &mut self.worker, &mut self.scratch);
                catch_panic(act).unwrap_or_else(|| {
                    if let Stage::Open(connection) = &mut client.stage {
                        abort_after_panic(connection);
                    }
                    Stop::Closed
                })
            }
        };
        match stop {
            Stop::Closed => return self.remove(key),
            Stop::BudgetUsed => self.enqueue(key),
            Stop::Blocked => {}
        }
        let client = &mut self.clients[key];
        if let Stage::Open(connection) = &client.stage {
            let (kind, since) = connection.waiting();
            self.timers.start(key, kind, since);
        }
        let wanted = client.interest::<P>();
        if wanted != client.watched {
            let fd = client.socket.as_fd();
            self.poller.change(fd, key + 1, client.watched, wanted)?;
            client.watched = wanted;
            self.worker.counters.interest_change_calls += u64::from(P::CHANGE_IS_SYSCALL);
        }
        Ok(())
    }

    fn remove(&mut self, key: usize) -> io::Result<()> {
        self.timers.stop(key);
        let client = self.clients.remove(key);
        if let Stage::Open(connection) = client.stage {
            close(connection, client.failure, &mut self.worker);
        }
        if !P::CLOSE_UNWATCHES && client.watched != ReadySet::NONE {
            let fd = client.socket.as_fd();
            self.poller
                .change(fd, key + 1, client.watched, ReadySet::NONE)?;
        }
        trace::note_close(&client.socket);
        Ok(())
    }
}

impl<P> Drop for ClientLoop<P> {
    /// Ends all connections.
    fn drop(&mut self) {
        for (key, client) in self.clients.drain().enumerate() {
            trace::note(|| format!("fd {} is given up", client.socket.as_raw_fd()));
            match client.stage {
                Stage::Open(connection) => close(connection, client.failure, &mut self.worker),
                Stage::Connecting { start, .. } => {
                    let error = io::ErrorKind::Interrupted.into();
                    refuse(start, key, error, &mut self.worker);
                }
                Stage::Over => {}
            }
        }
    }
}
