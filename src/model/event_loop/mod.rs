//! The readiness loop: one thread, all connections.
//!
//! A turn: wait; read the clock; let events set bits; accept; queue what has expired; let each queued connection act
//! until it would block or its share is used up; free what has closed. Events never do the work themselves, so an
//! event for a connection that closed a moment ago does no harm.
//!
//! This file knows neither the poller behind it (it is generic) nor the protocols in front of it.

mod datagrams;
mod entry;
mod listeners;
mod readahead;
mod remote;
mod shutdown;
mod status;
mod telling;

use super::clock::Clock;
use super::listeners::Listeners;
use super::responder::Responder;
use super::shutdown::Shutdown;
use super::timeouts::Timeouts;
use super::wake_queue::WakeQueue;
use super::{Hangups, LOG_PAUSE, Serving, Share, Signals, contain, give_up, reopen, worker};
use crate::config;
use crate::observe::{LogFile, flush_standard_error, standard_error_is_behind, throttled};
use crate::poller::{Poller, Ready};
use crate::service::Service;
use crate::session::{BUFFER_SIZE, Counters, Piece, Steps, Timeout, WORK_PER_TURN, Worker};
use crate::trace;
use datagrams::Post;
use entry::{Entry, Stop, share};
use listeners::WatchedListener;
use readahead::{Fetcher, Job, STRETCH};
use remote::Receipt;
use slab::Slab;
use status::Reporter;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::Builder;
use std::time::{Duration, Instant};
use telling::{tell_stop, tell_turn};

/// How long the end waits for a worker after its connections were cut off.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How many events one wait may bring.
const EVENTS: usize = 1024;

/// Wakes the loop for no connection.
const NOBODY: usize = usize::MAX;

/// The key of the signals; those of the wake queue and of hang-ups, of the listeners, the services, the sockets for datagrams and
/// the connections follow.
const SIGNALS_KEY: usize = 0;
const WAKE_KEY: usize = 1;
const HANGUPS_KEY: usize = 2;
const FIRST_LISTENER_KEY: usize = 3;

/// Serves until a signal ends it: one loop on this thread, or one per share on a thread each.
///
/// # Errors
/// Those of making the poller and of waiting, after which no loop can go on.
pub fn run<P: Poller + 'static>(serving: Serving) -> io::Result<Counters> {
    let max_connections = serving
        .limits
        .max_connections
        .div_ceil(serving.shares.len().max(1));
    let (timeouts, shares) = (serving.timeouts, serving.shares);
    let run_one = move |share| EventLoop::<P>::new(share, max_connections, &timeouts)?.run();
    let mut shares = shares.into_iter();
    let first = shares.next();
    let (done, results) = channel();
    let mut gates = Vec::new();
    for share in shares {
        // No loop begins before all have their thread: those that had begun could not be stopped.
        let (gate, opened) = channel::<()>();
        let done = done.clone();
        let run = move || {
            if opened.recv().is_ok() {
                let panicked = || Err(io::Error::other("a worker panicked"));
                let result = contain(|| run_one(share)).unwrap_or_else(panicked);
                // The first loop may have given up waiting.
                let _ = done.send(result);
            }
        };
        Builder::new().spawn(run).map_err(|error| {
            io::Error::other(format!(
                "cannot start a thread for a worker: {error}; see --workers"
            ))
        })?;
        gates.push(gate);
    }
    drop(done);
    for gate in &gates {
        // It waits for nothing else, so it is there.
        let _ = gate.send(());
    }
    let mut sum = first.map_or(Ok(Counters::default()), run_one)?;
    // All have heard the signal by themselves. One that hangs is left behind.
    let end = Instant::now() + timeouts.delay + timeouts.drain + LAST_WAIT;
    for ended in 0..gates.len() {
        match results.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(counters) => sum.add(&counters?),
            Err(_) => {
                let number = gates.len() - ended;
                log::error!("{number} workers hang and are left behind: a handler does not answer");
                break;
            }
        }
    }
    Ok(sum)
}

struct EventLoop<P> {
    poller: P,
    clock: Clock,
    signals: Signals,
    hangups: Hangups,
    /// Wakes the loop for work that no socket event announces.
    wake_queue: Arc<WakeQueue>,
    /// The keys that were queued there.
    woken: Vec<usize>,
    fetcher: Fetcher,
    /// Calls under way that send a file, by the key of their connection.
    receipts: HashMap<usize, Receipt>,
    listening: Vec<WatchedListener>,
    listeners: Listeners,
    /// Those that may remember what is no longer true, and are told.
    services: Vec<Arc<dyn Service>>,
    posts: Vec<Post>,
    responder: Responder,
    entries: Slab<Entry>,
    /// The keys of the connections that have something to do, each once.
    queue: VecDeque<usize>,
    /// The keys of those that have had all they get in this turn: they come behind those that have had nothing.
    served: Vec<usize>,
    /// The keys of those that closed in this turn.
    closed: Vec<usize>,
    timeouts: Timeouts,
    shutdown: Shutdown,
    worker: Worker,
    /// Lets the loop be seen, if somebody may want that.
    reporter: Option<Reporter>,
    found: Vec<(usize, Ready)>,
    /// What every receive call receives into.
    scratch: Box<[u8]>,
    log: LogFile,
    first_service_key: usize,
    first_post_key: usize,
    first_connection_key: usize,
}

impl<P: Poller> EventLoop<P> {
    fn new(
        share: Share,
        max_connections: usize,
        limits: &config::Timeouts,
    ) -> io::Result<EventLoop<P>> {
        let (clock, time) = Clock::start();
        let mut poller = P::new(EVENTS)?;
        let signals = share.signals;
        poller.change(signals.as_fd(), SIGNALS_KEY, Ready::NONE, Ready::READABLE)?;
        let hangups = share.hangups;
        poller.change(hangups.as_fd(), HANGUPS_KEY, Ready::NONE, Ready::READABLE)?;
        let wake_queue = WakeQueue::new()?;
        let mut worker = worker(time, limits, Some(Box::new(wake_queue.clone())));
        let reporter = share.hub.map(|hub| {
            worker.steps = Some(Steps::default());
            Reporter::new(hub.publisher(Some(wake_queue.waker(NOBODY))))
        });
        poller.change(wake_queue.as_fd(), WAKE_KEY, Ready::NONE, Ready::READABLE)?;
        let first_service_key = FIRST_LISTENER_KEY + share.listening.len();
        let mut services: Vec<Arc<dyn Service>> = Vec::new();
        for listening in &share.listening {
            let service = &listening.service;
            if services.iter().any(|known| Arc::ptr_eq(known, service)) {
                continue;
            }
            if let Some(fd) = service.notifier() {
                let key = first_service_key + services.len();
                poller.change(fd, key, Ready::NONE, Ready::READABLE)?;
                services.push(service.clone());
            }
        }
        let first_post_key = first_service_key + services.len();
        let first_connection_key = first_post_key + share.answering.len();
        for (answering, key) in share.answering.iter().zip(first_post_key..) {
            let fd = answering.socket.as_fd();
            poller.change(fd, key, Ready::NONE, Ready::READABLE)?;
        }
        let responder = Responder::new(&share.answering);
        let listeners = Listeners::new(max_connections, &share.listening);
        let listening = share.listening.into_iter().map(WatchedListener::new);
        Ok(EventLoop {
            poller,
            clock,
            signals,
            hangups,
            wake_queue,
            woken: Vec::new(),
            fetcher: Fetcher::default(),
            receipts: HashMap::new(),
            listening: listening.collect(),
            listeners,
            services,
            posts: share.answering.into_iter().map(Post::new).collect(),
            responder,
            first_service_key,
            first_post_key,
            entries: Slab::new(),
            queue: VecDeque::new(),
            served: Vec::new(),
            closed: Vec::new(),
            timeouts: Timeouts::new(&worker.limits),
            shutdown: Shutdown::new(limits),
            worker,
            reporter,
            found: Vec::with_capacity(EVENTS),
            scratch: vec![0; BUFFER_SIZE].into_boxed_slice(),
            log: share.log,
            first_connection_key,
        })
    }

    fn run(mut self) -> io::Result<Counters> {
        while !self.is_done() {
            self.turn()?;
        }
        Ok(self.worker.counters)
    }

    fn is_done(&self) -> bool {
        self.shutdown.is_over(self.entries.len())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.watch_listeners()?;
        self.wait()?;
        self.set_bits();
        self.shut_down();
        self.queue_woken();
        self.accept();
        self.make_room();
        self.answer_datagrams();
        self.expire();
        self.report();
        let share = share(self.queue.len());
        self.worker.work = WORK_PER_TURN;
        for _ in 0..self.queue.len() {
            let key = self.queue.pop_front().expect("it was counted");
            self.act(key, share);
        }
        self.queue_served();
        self.free_closed();
        self.log.write(&mut self.worker.log);
        if standard_error_is_behind() {
            flush_standard_error();
        }
        Ok(())
    }

    /// Queues the connections that have worked in this turn behind those that have not. There are none, as a rule.
    fn queue_served(&mut self) {
        if !self.served.is_empty() {
            self.queue.extend(self.served.drain(..));
        }
    }

    /// Waits for events, and reads the clock.
    fn wait(&mut self) -> io::Result<()> {
        let patience = match self.wake_queue.prepare_to_wait() {
            true => self.patience(),
            false => Some(Duration::ZERO),
        };
        let begin = self.reporter.is_some().then(Instant::now);
        trace::waits(|| format!("{}: {}", P::CALL, trace::at_most(patience)));
        let call = trace::call();
        self.poller.wait(patience, &mut self.found)?;
        call.returned(&Ok(()), || P::CALL.into(), |()| self.shown_events());
        self.worker.counters.waits += 1;
        self.worker.counters.events += self.found.len() as u64;
        self.clock.read(&mut self.worker.time);
        if let (Some(begin), Some(reporter)) = (begin, &mut self.reporter) {
            reporter.add_wait(self.worker.time.now() - begin);
        }
        Ok(())
    }

    /// How long the loop may wait: not at all while there is something to do, for ever if nothing has a deadline.
    fn patience(&self) -> Option<Duration> {
        let can_answer = self.posts.iter().any(|post| post.ready);
        if !self.queue.is_empty() || self.listeners.can_accept() || can_answer {
            return Some(Duration::ZERO);
        }
        // The clock is as old as the last turn; what has passed since then only makes the wait longer than need be by
        // the length of a turn.
        let time = &self.worker.time;
        let left = |end: Instant| end.saturating_duration_since(time.now());
        let next = self.timeouts.next().map(|end| end.since(time.moment()));
        let look = self.reporter.as_ref();
        let look = look.and_then(|reporter| reporter.patience(time.now()));
        let ends = [
            next,
            self.shutdown.deadline().map(left),
            self.listeners.deadline().map(left),
            look,
        ];
        let next_end = ends.into_iter().flatten().min();
        match self.log.is_behind() || standard_error_is_behind() {
            true => Some(next_end.map_or(LOG_PAUSE, |end| end.min(LOG_PAUSE))),
            false => next_end,
        }
    }

    /// Lets the events set bits and queue connections.
    fn set_bits(&mut self) {
        // poll(2) and select(2) look at one descriptor after the other, and may have looked at the notifier before the
        // change and at a connection after it. epoll(7) keeps the order in which things happened, but brings only so
        // many at once.
        if (!P::IN_ORDER && !self.found.is_empty()) || self.found.len() == EVENTS {
            notify(&self.services);
        }
        let mut found = std::mem::take(&mut self.found);
        for (key, ready) in found.drain(..) {
            if let Some(key) = key.checked_sub(self.first_connection_key) {
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.ready |= ready;
                    entry.event = true;
                    enqueue(&mut self.queue, key, entry);
                }
            } else if let Some(post) = key.checked_sub(self.first_post_key) {
                if let Some(post) = self.posts.get_mut(post) {
                    post.ready = true;
                }
            } else if let Some(service) = key.checked_sub(self.first_service_key) {
                self.services[service].notified();
            } else if let Some(listener) = key.checked_sub(FIRST_LISTENER_KEY) {
                self.listeners.set_ready(listener);
            } else if key == WAKE_KEY {
                self.wake_queue.clear();
            } else if key == HANGUPS_KEY {
                if self.hangups.take(&self.signals) {
                    reopen(&mut self.log);
                }
            } else {
                for _ in 0..self.signals.take() {
                    self.shutdown.signal(self.worker.time.now());
                }
            }
        }
        self.found = found;
    }

    /// Has the stretch of a file fetched that a connection is to send next.
    fn fetch(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        let Piece::File {
            file,
            offset,
            count,
        } = entry.connection.front()
        else {
            return;
        };
        let stretch = count.min(STRETCH);
        self.worker.counters.fetches += 1;
        let job = Job::new(key, file, offset, stretch, self.wake_queue.waker(key));
        entry.fetching = self.fetcher.fetch(job);
        if !entry.fetching {
            entry.in_memory = stretch as u32;
            enqueue(&mut self.queue, key, entry);
        }
    }

    /// Queues the connections that were woken.
    fn queue_woken(&mut self) {
        self.wake_queue.take_woken(&mut self.woken);
        if self.woken.is_empty() {
            return;
        }
        self.continue_fetched();
        let mut woken = std::mem::take(&mut self.woken);
        for key in woken.drain(..) {
            self.take_receipt(key);
            // It may have closed since then, and be another one now: that does no harm.
            if let Some(entry) = self.entries.get_mut(key) {
                entry.woken = true;
                enqueue(&mut self.queue, key, entry);
            }
        }
        self.woken = woken;
    }

    /// Lets those go on whose stretch of a file has been fetched.
    fn continue_fetched(&mut self) {
        for key in self.fetcher.take_done() {
            if let Some(entry) = self.entries.get_mut(key)
                && std::mem::take(&mut entry.fetching)
                && let Piece::File { count, .. } = entry.connection.front()
            {
                // Without another look: it might have had to make room again, and so for ever.
                entry.in_memory = count.min(STRETCH) as u32;
                enqueue(&mut self.queue, key, entry);
            }
        }
    }

    fn expire(&mut self) {
        let present = self.worker.time.moment();
        while let Some(key) = self.timeouts.expired(present) {
            self.queue_expired(key);
        }
    }

    fn queue_expired(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        entry.expired = true;
        enqueue(&mut self.queue, key, entry);
    }

    /// Lets a connection do what it can, up to its share in bytes.
    fn act(&mut self, key: usize, share: usize) {
        self.tell_whether_to_end(self.entries[key].service);
        let entry = &mut self.entries[key];
        entry.queued = false;
        let expired = std::mem::take(&mut entry.expired);
        let waiting = entry.connection.waiting();
        if expired && waiting.0 != Timeout::Pause {
            // What came in time but has not been looked at yet still counts.
            entry.ready |= Ready::BOTH;
        }
        let before = self.worker.counters;
        // What is received now may have been sent after this turn began, and after a change of which it must see the
        // outcome; so for this connection it is a moment later. Not so for one that was idle and of which the poller
        // has told: what it has to say was there before.
        entry.late |= expired || matches!(waiting.0, Timeout::Head | Timeout::Body);
        let (clock, services) = (&mut self.clock, &self.services);
        let mut later = |worker: &mut Worker| {
            clock.read(&mut worker.time);
            notify(services);
        };
        let stop = contain(|| {
            if std::mem::take(&mut entry.woken) {
                entry.connection.woken(&mut self.worker);
            }
            tell_turn(entry);
            let stop = entry.advance(share, &mut self.worker, &mut self.scratch, &mut later);
            tell_stop(entry, stop);
            let is_over = expired && entry.connection.waiting() == waiting;
            let must_end = self.worker.stopping && entry.connection.is_idle();
            if stop == Stop::Blocked && (is_over || must_end) {
                entry.connection.expired(&mut self.worker);
                return entry.advance(share, &mut self.worker, &mut self.scratch, &mut later);
            }
            stop
        });
        let stop = stop.unwrap_or_else(|| {
            give_up(&mut entry.connection);
            Stop::Closed
        });
        entry.late = false;
        if let Some(reporter) = &mut self.reporter {
            reporter.acted(key, &before, &self.worker.counters);
        }
        let moved = self.worker.counters.transfers() > before.transfers();
        let in_vain = !moved && stop != Stop::Closed;
        self.worker.counters.spurious += u64::from(std::mem::take(&mut entry.event) && in_vain);
        if stop == Stop::Closed {
            self.close(key);
            return;
        }
        match stop {
            Stop::NotInMemory => self.fetch(key),
            Stop::HasJob => self.run_job(key),
            Stop::MayHang => self.send_remote(key),
            Stop::Blocked | Stop::ShareUsed | Stop::WorkIsDone | Stop::Closed => {}
        }
        let entry = &mut self.entries[key];
        if stop == Stop::ShareUsed {
            entry.queued = true;
            self.served.push(key);
        } else if stop == Stop::WorkIsDone {
            enqueue(&mut self.queue, key, entry);
        } else if let Some(wanted) = entry.watch::<P>() {
            let poller_key = self.first_connection_key + key;
            let fd = entry.socket.as_fd();
            if let Err(error) = self.poller.change(fd, poller_key, entry.watched, wanted) {
                throttled!(
                    Warn,
                    "a connection cannot be watched, so it is closed: {error}"
                );
                self.close(key);
                return;
            }
            entry.watched = wanted;
            self.worker.counters.changes += u64::from(P::CHANGE_IS_CALL);
        }
        let (kind, since) = entry.connection.waiting();
        self.timeouts.start(key, kind, since);
    }

    /// The entry stays until the end of the turn, so that its key means nothing else before.
    fn close(&mut self, key: usize) {
        self.drop_receipt(key);
        let entry = &mut self.entries[key];
        contain(|| entry.connection.close(&mut self.worker));
        self.timeouts.stop(key);
        if !P::FORGETS_CLOSED && entry.watched != Ready::NONE {
            let poller_key = self.first_connection_key + key;
            let fd = entry.socket.as_fd();
            if let Err(error) = self
                .poller
                .change(fd, poller_key, entry.watched, Ready::NONE)
            {
                throttled!(Error, "a closed connection is still watched: {error}");
            }
        }
        self.closed.push(key);
    }

    fn free_closed(&mut self) {
        self.worker.counters.others += self.closed.len() as u64;
        for key in self.closed.drain(..) {
            let entry = self.entries.remove(key);
            trace::closes(&entry.socket);
            self.listeners.release(entry.service.into());
            entry.connection.release(&mut self.worker);
        }
    }
}

/// Tells the services that what they remember may no longer be true.
fn notify(services: &[Arc<dyn Service>]) {
    for service in services {
        service.notified();
    }
}

/// Queues a connection, unless it is queued already.
fn enqueue(queue: &mut VecDeque<usize>, key: usize, entry: &mut Entry) {
    if !std::mem::replace(&mut entry.queued, true) {
        queue.push_back(key);
    }
}
