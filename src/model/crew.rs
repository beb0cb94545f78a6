//! Threads that serve one connection at a time each: who is there, and how they all come to an end.
//!
//! One thread, the overseer, waits for signals; the others serve. A thread that waits in a call is made to return by
//! shutting down the socket it waits on.

mod making_room;
mod overseer;

use super::clock::Clock;
use super::conversation::{Desk, Presence, Shown};
use super::listeners::warn_that_accept_is_refused;
use super::permits;
use super::permits::Permits;
use super::pool::small_thread;
use super::process::begin_last_steps;
use super::responder::{Responder, SHARE};
use super::wake_queue::WakeQueue;
use super::worker;
use super::{Answering, Hangups, Listening, Signals};
use crate::config::Timeouts;
use crate::net::{AcceptError, Listener, SocketFile};
use crate::observe::{LogFile, StatusHub, throttled};
use crate::session::{Counters, Start, Steps};
use crate::sys::{self, Event, PollFd, PollFlags, SocketFlags, poll};
use crate::trace;
use overseer::Overseer;
use slab::Slab;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread does without accepting after descriptors or threads ran out, unless a connection ends earlier.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// How long the end waits for a slow reader of the access log where threads are left behind.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// How many threads a model has.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// One for each connection, for so many connections at most, and one that accepts for each listener.
    PerConnection(usize),
    /// So many for each listener.
    PerListener(usize),
}

/// What the threads of a model share.
pub struct Crew {
    timeouts: Timeouts,
    threads: Threads,
    /// How many listeners there are.
    listeners: usize,
    /// The index of each listener's service among the permits.
    services: Vec<usize>,
    /// For each service: others wait for what its conversations hold.
    crowded: Vec<AtomicBool>,
    /// The overseer wants to hear when a permit is waited for, or the last one is taken.
    is_alert: AtomicBool,
    /// What it waits for, among others.
    wake_queue: Arc<WakeQueue>,
    /// Conversations end with their first answer.
    one_exchange: AtomicBool,
    stopping: AtomicBool,
    members: Mutex<Members>,
    /// Somebody has left.
    left: Condvar,
    /// The same for the overseer, who waits for signals too.
    left_event: Event,
    /// Readable once the server is stopping, for those who wait for datagrams too.
    stop_event: Event,
    log: Mutex<LogFile>,
    hub: Option<Arc<StatusHub>>,
}

struct Members {
    /// The right to serve, which each conversation has.
    permits: Permits,
    /// How many connections of each service have been accepted and wait for a permit.
    waiting: Vec<usize>,
    /// How many threads have not ended.
    running: usize,
    present: Slab<Arc<Member>>,
    /// What those who have left had done.
    counters: Counters,
    steps: Steps,
}

/// A conversation under way.
struct Member {
    socket: OwnedFd,
    service: usize,
    presence: Presence,
}

impl Crew {
    /// A crew with so many threads. With `one_exchange` conversations end with their first answer.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new(
        timeouts: Timeouts,
        threads: Threads,
        listening: &[Listening],
        one_exchange: bool,
        log: LogFile,
        hub: Option<Arc<StatusHub>>,
    ) -> io::Result<Crew> {
        let (permits, services) = match threads {
            Threads::PerConnection(limit) => permits(limit, listening),
            Threads::PerListener(threads) => {
                let each = Permits::of_each(threads, listening.len());
                (each, (0..listening.len()).collect())
            }
        };
        let each = 0..permits.services();
        Ok(Crew {
            timeouts,
            threads,
            listeners: listening.len(),
            services,
            crowded: each.clone().map(|_| AtomicBool::new(false)).collect(),
            is_alert: AtomicBool::new(true),
            wake_queue: WakeQueue::new()?,
            one_exchange: one_exchange.into(),
            stopping: AtomicBool::new(false),
            members: Mutex::new(Members {
                permits,
                waiting: each.map(|_| 0).collect(),
                running: 0,
                present: Slab::new(),
                counters: Counters::default(),
                steps: Steps::default(),
            }),
            left: Condvar::new(),
            left_event: Event::new()?,
            stop_event: Event::new()?,
            log: Mutex::new(log),
            hub,
        })
    }

    /// What a thread of the crew works with that serves connections of one listener.
    pub fn desk(&self, listener: usize) -> Desk<'_> {
        let mut desk = Desk::new(
            &self.timeouts,
            &self.log,
            &self.stopping,
            &self.one_exchange,
            &self.crowded[self.services[listener]],
        );
        desk.worker.steps = self.hub.as_ref().map(|_| Steps::default());
        desk
    }

    /// Lets the accept calls wait, unless somebody else uses the same socket.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn prepare(&self, listener: &Listener) -> io::Result<()> {
        match listener.is_inherited() {
            true => Ok(()),
            false => listener.set_blocking(),
        }
    }

    /// Waits for the next connection at a listener, and until it may be served. `None` once the server is stopping.
    pub fn accept(self: &Arc<Self>, listening: &Listening, listener: usize) -> Option<Accepted> {
        while !self.stopping.load(SeqCst) {
            if listening.listener.is_inherited() && !self.wait_until_ready(&listening.listener) {
                return None;
            }
            let fd = listening.listener.as_fd().as_raw_fd();
            trace::waits(|| format!("accept4({fd}): for as long as it takes"));
            match listening.listener.accept(SocketFlags::empty()) {
                Ok((socket, peer)) => {
                    let peer = peer.map(|peer| peer.ip().to_canonical());
                    let permit = self.take_permit(self.services[listener])?;
                    let mut counters = Counters {
                        accepts: 1,
                        connections: 1,
                        ..Counters::default()
                    };
                    if let Some(start) = listening.admit(peer, &mut counters) {
                        return Some(Accepted {
                            socket,
                            start,
                            permit,
                            counters,
                        });
                    }
                    trace::closes(&socket);
                    counters.others += 1;
                    self.members().counters.add(&counters);
                }
                Err(AcceptError::Gone | AcceptError::WouldBlock) => {}
                Err(AcceptError::Exhausted(error)) => {
                    self.wait_for_resources(&error.to_string());
                }
                // A listener that was shut down, which is how these calls are ended.
                Err(AcceptError::Refused(_)) if self.stopping.load(SeqCst) => return None,
                Err(AcceptError::Refused(error)) => {
                    self.wait_after_refusal(listening, &error);
                }
            }
        }
        None
    }

    /// Serves a connection on the calling thread.
    pub fn serve(&self, desk: &mut Desk<'_>, mut accepted: Accepted) {
        let shown = || Mutex::new(Shown::new(Instant::now()));
        let member = Arc::new(Member {
            socket: accepted.socket,
            service: accepted.permit.service,
            presence: Presence {
                shown: self.hub.as_ref().map(|_| shown()),
                ..Presence::default()
            },
        });
        let key = self.members().present.insert(member.clone());
        accepted.permit.key = Some(key);
        desk.worker.counters.add(&accepted.counters);
        trace::note(|| format!("this thread serves fd {}", member.socket.as_raw_fd()));
        desk.converse(&member.socket, accepted.start, &member.presence);
        trace::closes(&member.socket);
        let mut members = self.members();
        members
            .counters
            .add(&std::mem::take(&mut desk.worker.counters));
        if let Some(mut shown) = member.shown() {
            shown.counters = Counters::default();
            shown.steps.move_to(&mut members.steps);
        }
        if let Some(steps) = &mut desk.worker.steps {
            steps.move_to(&mut members.steps);
        }
    }

    /// Starts a thread for each of the sockets that take datagrams. One is enough: no sender keeps it waiting.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start_answering(self: &Arc<Self>, all: &Arc<[Answering]>) -> io::Result<()> {
        (0..all.len()).try_for_each(|index| {
            let all = all.clone();
            self.start(move |crew| crew.answer(&all, &all[index]))
        })
    }

    /// Starts a thread, for which [`oversee`](Crew::oversee) waits at the end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        self: &Arc<Self>,
        run: impl FnOnce(&Arc<Crew>) + Send + 'static,
    ) -> io::Result<()> {
        self.members().running += 1;
        let running = Running(self.clone());
        small_thread().spawn(move || run(&running.0)).map(drop)
    }

    /// Answers the datagrams that come to one of all those sockets, until the server is stopping.
    ///
    /// It waits in poll(2) for the socket and for the end: shutting down the socket would wake it too, but would also
    /// shut down that of whoever has handed it to us.
    fn answer(&self, all: &[Answering], answering: &Answering) {
        let (mut clock, time) = Clock::start();
        let mut worker = worker(time, &self.timeouts, None);
        let mut responder = Responder::new(all);
        while !self.stopping.load(SeqCst) {
            worker.counters.waits += 1;
            self.wait_until_ready(&answering.socket);
            clock.read(&mut worker.time);
            if let Err(error) = responder.answer(answering, SHARE, &mut worker) {
                Responder::give_up(answering, &error);
                break;
            }
        }
        responder.finish(answering, &mut worker);
        self.members().counters.add(&worker.counters);
    }

    /// Waits for a signal, once all threads have `started`, and then for them to end; ends them when the time is up or
    /// another signal comes. Has the access log's file reopened meanwhile, when that is asked for. Returns what was
    /// done.
    ///
    /// # Errors
    /// Those of starting and of poll(2).
    pub fn oversee(
        &self,
        started: io::Result<()>,
        (signals, hangups): (&Signals, &Hangups),
        listening: &[Listening],
        answering: &[Answering],
    ) -> io::Result<Counters> {
        let mut overseer = Overseer::new(self, signals, hangups, listening);
        let ended = started.and_then(|()| overseer.run());
        self.stop_accepting(listening);
        let running = self.members().running;
        if running > 0 {
            log::error!(
                "{running} threads hang and are left behind: a file system or a handler does not answer"
            );
            // They hold what would otherwise be dropped now.
            let listeners = listening.iter().filter_map(|one| one.listener.file());
            let sockets = answering.iter().filter_map(|one| one.socket.file());
            listeners.chain(sockets).for_each(SocketFile::remove);
            if let Ok(mut log) = self.log.try_lock() {
                log.finish(LAST_WAIT);
            }
        }
        ended.map(|()| self.members().counters)
    }

    /// Ends the accept calls, now and in future.
    fn stop_accepting(&self, listening: &[Listening]) {
        self.stopping.store(true, SeqCst);
        self.left.notify_all();
        // An event counts up to more than anybody will ever write.
        self.stop_event.set();
        let own = listening.iter().filter(|one| !one.listener.is_inherited());
        for listening in own {
            // A listener that cannot be shut down accepts one more connection, whose thread then sees what is up.
            let _ = sys::shutdown_both(&listening.listener);
        }
    }

    /// Ends those who wait for a peer that has nothing under way.
    fn end_idle(&self) {
        self.each_member(|member| {
            if member.presence.idle.load(SeqCst) {
                let _ = sys::shutdown_read(&member.socket);
            }
        });
    }

    fn cut_off(&self) {
        begin_last_steps();
        self.each_member(|member| {
            member.presence.cut_off.store(true, SeqCst);
            let _ = sys::shutdown_both(&member.socket);
        });
    }

    fn tell_that_one_has_left(&self) {
        // Those who wait may wait for different services.
        self.left.notify_all();
        if self.stopping.load(SeqCst) {
            // Nobody can be told if this fails; the overseer looks again by itself when its time is up.
            self.left_event.set();
        }
    }

    fn each_member(&self, see: impl Fn(&Member)) {
        for (_, member) in &self.members().present {
            see(member);
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a connection of this service may be served. `None` if the server is stopping before.
    fn take_permit(self: &Arc<Self>, service: usize) -> Option<Permit> {
        let mut members = self.members();
        if !members.permits.has_free(service) {
            members.waiting[service] += 1;
            self.alert();
            let must_wait = |members: &mut Members| {
                !members.permits.has_free(service) && !self.stopping.load(SeqCst)
            };
            let result = self.left.wait_while(members, must_wait);
            members = result.unwrap_or_else(PoisonError::into_inner);
            members.waiting[service] -= 1;
        }
        if !members.permits.has_free(service) {
            return None;
        }
        members.permits.take(service);
        if !members.permits.has_free(service) {
            self.alert();
        }
        Some(Permit {
            crew: self.clone(),
            service,
            key: None,
        })
    }

    /// No thread could be started. Does without accepting for a while.
    pub fn wait_for_threads(&self, error: &io::Error) {
        self.wait_for_resources(&format!("no thread can be started: {error}"));
    }

    fn wait_for_resources(&self, why: &str) {
        let members = self.members();
        let count = members.present.len();
        throttled!(
            Warn,
            "cannot accept more than {count} connections: {why}; others wait until one closes"
        );
        drop(self.left.wait_timeout(members, EXHAUSTED_PAUSE));
    }

    /// Does without accepting for a while, for it would be refused again.
    fn wait_after_refusal(&self, listening: &Listening, error: &io::Error) {
        warn_that_accept_is_refused(listening.listener.bound(), error);
        let goes_on = |_: &mut Members| !self.stopping.load(SeqCst);
        let (left, members) = (&self.left, self.members());
        drop(left.wait_timeout_while(members, EXHAUSTED_PAUSE, goes_on));
    }

    /// Waits for a connection or a datagram at a socket that must not be shut down. False once the server is stopping.
    fn wait_until_ready(&self, socket: &impl AsFd) -> bool {
        let mut watched = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(&self.stop_event, PollFlags::IN),
        ];
        // What cannot be waited for says so when it is tried.
        let _ = poll(&mut watched, None);
        !self.stopping.load(SeqCst)
    }
}

impl Member {
    fn shown(&self) -> Option<MutexGuard<'_, Shown>> {
        let shown = self.presence.shown.as_ref()?;
        Some(shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that nobody serves yet.
pub struct Accepted {
    socket: OwnedFd,
    start: Start,
    permit: Permit,
    /// What was done for it.
    counters: Counters,
}

/// The right to serve one connection, released when it is dropped.
struct Permit {
    crew: Arc<Crew>,
    service: usize,
    /// The connection's place among those present, once it is served.
    key: Option<usize>,
}

/// A thread that has not ended.
struct Running(Arc<Crew>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.members().running -= 1;
        self.0.tell_that_one_has_left();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut members = self.crew.members();
        members.permits.release(self.service);
        if let Some(key) = self.key {
            members.present.remove(key);
        }
        drop(members);
        self.crew.tell_that_one_has_left();
    }
}
