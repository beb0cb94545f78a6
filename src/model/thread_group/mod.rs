//! Threads that each serve one connection at a time.
//!
//! One thread, the supervisor, waits for signals; the others serve. To end a blocking call of a
//! thread, its socket is shut down.

mod acceptor;
mod shortage;
mod supervisor;
#[cfg(feature = "tokio")]
mod tasks;

use acceptor::Waiting;
pub use acceptor::{Accepted, ServingPermit};
#[cfg(feature = "tokio")]
pub use tasks::Acceptor;

use super::blocking;
use super::clock::Clock;
use super::connection_control::{ConnectionControl, SharedFlags};
use super::listeners::Listeners;
use super::process::begin_last_steps;
use super::responder::{DATAGRAMS_PER_TURN, Responder};
use super::runner::Runner;
use super::wake_queue::WakeQueue;
use super::{DatagramEndpoint, ServerSetup, StreamEndpoint, WorkerParts, new_worker};
use crate::config::Timeouts;
use crate::net::SocketFile;
use crate::observe::{LogFile, StatusHub};
use crate::session::{Counters, NewSession, Transitions, Worker};
use crate::sys::{self, EventFd, PollFd, PollFlags};
use crate::trace;
use parking_lot::{Condvar, Mutex};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread::Builder;
use std::time::{Duration, Instant};
use supervisor::Supervisor;

/// The stack of a serving thread, in bytes. The deepest call, which answers the longest request,
/// needs less than half of it. Only pages that were touched use memory.
const STACK_SIZE: usize = 128 * 1024;

/// How long the end waits for a slow reader of the access log, if threads are left behind.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// How many threads a model has.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// One per connection, for at most this many connections, and one per listener that accepts.
    PerConnection(usize),
    /// This many per listener.
    PerListener(usize),
    /// Those of a runtime, which serve at most this many connections, each with a task.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    Runtime(usize),
}

/// What the threads of a model share.
pub struct ThreadGroup {
    stream_endpoints: Vec<StreamEndpoint>,
    datagram_endpoints: Vec<DatagramEndpoint>,
    timeouts: Timeouts,
    threads: Threads,
    /// The index of each listener's service.
    services: Vec<usize>,
    flags: SharedFlags,
    /// For each service: true if clients wait for permits that its connections hold.
    crowded: Vec<Arc<AtomicBool>>,
    /// The supervisor wants to be woken when a thread waits for a permit or the last permit is
    /// taken.
    wants_alert: AtomicBool,
    /// Wakes the supervisor.
    wake_queue: Arc<WakeQueue>,
    state: Mutex<GroupState>,
    /// Notified when a connection or a thread has ended.
    departed: Condvar,
    /// Readable once the server is stopping, for threads that wait in poll(2).
    stop_event: EventFd,
    log: Arc<Mutex<LogFile>>,
    hub: Option<Arc<StatusHub>>,
}

/// What the threads share under a lock.
struct GroupState {
    /// The listeners, and the permits to serve.
    listeners: Listeners,
    /// For each service, how many accepted connections wait for a permit.
    waiting: Vec<usize>,
    /// How many threads have not ended.
    running: usize,
    connections: Slab<Arc<ActiveConnection>>,
    /// For each listener, the connections that waited when the server stopped. `None` before that.
    last: Option<Vec<VecDeque<Waiting>>>,
    /// Connections end at once, also those that begin now.
    is_cut_off: bool,
    /// How many connections have ended.
    departures: u64,
    /// Wake the tasks that accept, if tasks do.
    acceptors: Vec<Waker>,
    /// How many of them wait until a connection has ended.
    pausing: usize,
    /// The counters of connections that have ended.
    counters: Counters,
    transitions: Transitions,
}

/// A connection that a thread or a task serves.
pub struct ActiveConnection {
    /// Its socket.
    pub socket: OwnedFd,
    service: usize,
    /// How the supervisor controls and observes it.
    pub control: ConnectionControl,
    /// How it is woken, if a task serves it.
    pub task: TaskWake,
}

/// Wakes a task, and notes that for it.
#[derive(Default)]
pub struct TaskWake {
    woken: AtomicBool,
    waker: OnceLock<Waker>,
}

/// Counts a running thread until it is dropped.
struct RunningThread(Arc<ThreadGroup>);

impl ThreadGroup {
    /// Serves until a signal comes, with the threads that `start` starts. With `one_exchange`,
    /// connections close after their first response. Returns the counters.
    ///
    /// # Errors
    /// Those of starting threads and of poll(2).
    pub fn serve(
        mut setup: ServerSetup,
        threads: Threads,
        one_exchange: bool,
        start: impl FnOnce(&Arc<ThreadGroup>) -> io::Result<()>,
    ) -> io::Result<Counters> {
        let WorkerParts {
            stream_endpoints,
            datagram_endpoints,
            signals,
            hangups,
            log,
            hub,
        } = setup.only_worker()?;
        let mut listeners = match threads {
            Threads::PerConnection(limit) | Threads::Runtime(limit) => {
                Listeners::new(limit, &stream_endpoints)
            }
            Threads::PerListener(threads) => Listeners::of_each(threads, &stream_endpoints),
        };
        let services = 0..listeners.permits().services();
        let group = Arc::new(ThreadGroup {
            datagram_endpoints,
            timeouts: setup.timeouts,
            threads,
            services: (0..stream_endpoints.len())
                .map(|one| listeners.service(one))
                .collect(),
            stream_endpoints,
            flags: SharedFlags {
                one_exchange: Arc::new(one_exchange.into()),
                ..SharedFlags::default()
            },
            crowded: services.clone().map(|_| Arc::default()).collect(),
            wants_alert: AtomicBool::new(true),
            wake_queue: WakeQueue::new()?,
            state: Mutex::new(GroupState {
                listeners,
                waiting: services.map(|_| 0).collect(),
                running: 0,
                connections: Slab::new(),
                last: None,
                is_cut_off: false,
                departures: 0,
                acceptors: Vec::new(),
                pausing: 0,
                counters: Counters::default(),
                transitions: Transitions::default(),
            }),
            departed: Condvar::new(),
            stop_event: EventFd::new()?,
            log: Arc::new(Mutex::new(log)),
            hub,
        });
        if !group.has_tasks() {
            group.make_listeners_block()?;
        }
        let mut supervisor = Supervisor::new(&group, &signals, &hangups);
        let ended = start(&group)
            .and_then(|()| group.start_responders())
            .and_then(|()| supervisor.run());
        group.stop_accepting();
        group.abandon_hung_threads();
        ended.map(|()| group.state.lock().counters)
    }

    /// The number of listeners.
    pub fn listeners(&self) -> usize {
        self.stream_endpoints.len()
    }

    /// Creates the runner of a thread that serves connections of a listener.
    pub fn runner(&self, listener: usize) -> Runner {
        let flags = SharedFlags {
            crowded: self.crowded[self.services[listener]].clone(),
            ..self.flags.clone()
        };
        let mut runner = Runner::new(&self.timeouts, &self.log, &flags);
        runner.worker.transitions = self.hub.as_ref().map(|_| Transitions::default());
        runner
    }

    /// Serves a connection on the calling thread.
    pub fn serve_connection(&self, runner: &mut Runner, accepted: Accepted) {
        // In this order: the permit is dropped last.
        let (_permit, active, start) = self.begin_connection(accepted, &mut runner.worker);
        trace::note(|| format!("this thread serves fd {}", active.socket.as_raw_fd()));
        blocking::serve(runner, &active.socket, start, &active.control);
        trace::note_close(&active.socket);
        self.end_connection(&active, &mut runner.worker);
    }

    /// Adds a connection to the active ones, until its permit is dropped.
    fn begin_connection(
        &self,
        mut accepted: Accepted,
        worker: &mut Worker,
    ) -> (ServingPermit, Arc<ActiveConnection>, NewSession) {
        let active = Arc::new(ActiveConnection {
            socket: accepted.socket,
            service: accepted.permit.service,
            control: match &self.hub {
                Some(hub) => ConnectionControl::with_snapshot(Instant::now(), hub.clone()),
                None => ConnectionControl::default(),
            },
            task: TaskWake::default(),
        });
        let mut state = self.state.lock();
        let key = state.connections.insert(active.clone());
        active.control.cut_off.store(state.is_cut_off, SeqCst);
        drop(state);
        accepted.permit.key = Some(key);
        worker.counters.add(&accepted.counters);
        (accepted.permit, active, accepted.start)
    }

    /// Adds the counters of a connection that has ended to those of the group.
    fn end_connection(&self, active: &ActiveConnection, worker: &mut Worker) {
        let mut state = self.state.lock();
        if let Some(snapshot) = &active.control.snapshot {
            let mut snapshot = snapshot.lock();
            state.counters.add(&std::mem::take(&mut snapshot.counters));
            snapshot.transitions.move_to(&mut state.transitions);
        }
        state.add(worker);
    }

    /// Starts a thread. The supervisor waits for its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        self: &Arc<Self>,
        run: impl FnOnce(&Arc<ThreadGroup>) + Send + 'static,
    ) -> io::Result<()> {
        self.state.lock().running += 1;
        let running = RunningThread(self.clone());
        let thread = Builder::new().stack_size(STACK_SIZE);
        thread.spawn(move || run(&running.0)).map(drop)
    }

    /// Starts a thread per datagram socket. One is enough, since no client can make it wait.
    fn start_responders(self: &Arc<Self>) -> io::Result<()> {
        (0..self.datagram_endpoints.len()).try_for_each(|index| {
            self.start(move |group| group.answer(&group.datagram_endpoints[index]))
        })
    }

    /// Answers the datagrams of a socket until the server is stopping.
    ///
    /// It waits in poll(2) for the socket and for the stop event. Shutting down the socket would
    /// wake it too, but would also shut it down for the program that passed the socket on.
    fn answer(&self, endpoint: &DatagramEndpoint) {
        let (mut clock, time) = Clock::start();
        let mut worker = new_worker(time, &self.timeouts, None);
        let mut responder = Responder::new(&self.datagram_endpoints);
        while !self.is_stopping() {
            worker.counters.wait_calls += 1;
            self.wait_until_ready(&endpoint.socket);
            clock.read(&mut worker.time);
            if let Err(error) = responder.answer(endpoint, DATAGRAMS_PER_TURN, &mut worker) {
                Responder::log_broken(endpoint, &error);
                break;
            }
        }
        responder.finish(endpoint, &mut worker);
        self.state.lock().counters.add(&worker.counters);
    }

    /// Waits for a connection or a datagram at a socket that must not be shut down. Returns false
    /// once the server is stopping.
    fn wait_until_ready(&self, socket: &impl AsFd) -> bool {
        let mut watched = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(&self.stop_event, PollFlags::IN),
        ];
        // If poll(2) fails, the next call on the socket returns the error.
        let _ = sys::poll(&mut watched, None);
        !self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.flags.stopping.load(SeqCst)
    }

    /// Ends all accept calls, now and in future. Connections that wait by now are served.
    fn stop_accepting(&self) {
        self.flags.stopping.store(true, SeqCst);
        self.departed.notify_all();
        self.stop_event.set();
        if self.has_tasks() {
            return self.state.lock().wake_acceptors();
        }
        self.collect_last();
        let all = self.stream_endpoints.iter().map(|one| &one.listener);
        for listener in all.filter(|one| !one.is_inherited()) {
            // If this fails, the listener accepts one more connection, and its thread then sees the
            // flag.
            let _ = sys::shutdown_both(listener);
        }
    }

    /// True if tasks of a runtime serve the connections.
    fn has_tasks(&self) -> bool {
        matches!(self.threads, Threads::Runtime(_))
    }

    /// Closes idle connections. Input that has arrived by now is still answered.
    fn close_idle(&self) {
        for (_, active) in &self.state.lock().connections {
            if active.control.is_idle() {
                let _ = sys::shutdown_read(&active.socket);
            }
        }
    }

    fn cut_off(&self) {
        begin_last_steps();
        let mut state = self.state.lock();
        state.is_cut_off = true;
        state.last.iter_mut().flatten().for_each(VecDeque::clear);
        for (_, active) in &state.connections {
            active.control.cut_off.store(true, SeqCst);
            let _ = sys::shutdown_both(&active.socket);
            // It may wait for something else.
            active.task.wake();
        }
        drop(state);
        self.departed.notify_all();
    }

    /// How many connections are served, or wait for it since the server stopped.
    fn open(&self) -> usize {
        let state = self.state.lock();
        let waiting = state.last.iter().flatten().map(VecDeque::len);
        state.connections.len() + waiting.sum::<usize>()
    }

    /// Leaves threads behind that have not ended, and does the cleanup that they prevent: they hold
    /// what would be dropped now.
    fn abandon_hung_threads(&self) {
        let running = self.state.lock().running;
        if running > 0 {
            log::error!(
                "hung threads left behind: {running}; a file system or a handler does not answer"
            );
            if let Some(mut log) = self.log.try_lock() {
                log.finish(LAST_WAIT);
            }
        }
        // Also if none is left: a thread that has just ended may still hold the group.
        let listeners = self
            .stream_endpoints
            .iter()
            .filter_map(|one| one.listener.file());
        let sockets = self
            .datagram_endpoints
            .iter()
            .filter_map(|one| one.socket.file());
        listeners.chain(sockets).for_each(SocketFile::remove);
    }

    fn notify_departed(&self) {
        // All, because threads may wait for permits of different services.
        self.departed.notify_all();
        if self.is_stopping() {
            self.wake_queue.waker(0).wake();
        }
    }
}

impl GroupState {
    /// Moves the counters of a thread to those of the group.
    fn add(&mut self, worker: &mut Worker) {
        self.counters.add(&std::mem::take(&mut worker.counters));
        if let Some(transitions) = &mut worker.transitions {
            transitions.move_to(&mut self.transitions);
        }
    }

    fn wake_acceptors(&self) {
        self.acceptors.iter().for_each(Waker::wake_by_ref);
    }
}

impl TaskWake {
    fn wake(&self) {
        self.woken.store(true, SeqCst);
        self.waker.get().map(Waker::wake_by_ref);
    }
}

impl Drop for RunningThread {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.notify_departed();
    }
}
