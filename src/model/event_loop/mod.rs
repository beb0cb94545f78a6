//! The event loop: one thread serves all connections.
//!
//! A turn of the loop waits for events, reads the clock, and applies the events, which queue
//! connections. It then accepts connections, queues those whose deadlines have passed, and serves
//! the queue: each connection acts until it would block or its byte budget is used up. At the end,
//! closed connections are freed.
//!
//! An event of a connection only sets bits and queues the connection. All work is done from the
//! queue, so an event for a connection that has closed in the same turn does no harm.
//!
//! This file knows neither the poller (a type parameter) nor the protocols.

mod accepts;
mod completions;
mod connection;
mod datagram_sockets;
mod driver;
mod file_senders;
mod listeners;
mod readahead;
mod readiness;
mod remote;
mod shutdown;
mod siblings;
mod sources;
mod workers;

use super::clock::Clock;
use super::connections::{Connections, SlotFlags};
use super::listeners::Listeners;
use super::shutdown::Shutdown;
use super::status::LoopStatus;
use super::{
    LOG_RETRY_INTERVAL, WorkerParts, abort_after_panic, catch_panic, ending, new_worker,
    reopen_log, update_trace,
};
use crate::config;
use crate::observe::{LogFile, flush_standard_error, standard_error_is_behind, throttled};
use crate::poller::{Poller, ReadySet};
use crate::session::{BUFFER_SIZE, Counters, Timeout, Transitions, WORK_PER_TURN, Worker};
use crate::trace;
use crate::uring::Operation;
pub use completions::MAX_PIPES;
use connection::{Stop, byte_budget};
use datagram_sockets::DatagramSockets;
use driver::{Completed, Driver, SocketState};
use listeners::{WatchedListener, WatchedListeners};
use readahead::Readahead;
use remote::PendingCalls;
use siblings::{CLIENTS_WAIT, NO_CONNECTION, Siblings};
use sources::{EventSource, Sources};
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
pub use workers::{check_uring, run_epoll, run_readiness, run_uring};

/// The most events that one wait returns.
const EVENTS: usize = 1024;

/// The kernel may report this many completions before an event that happened earlier
/// (IO_LOCAL_TW_DEFAULT_MAX is 20).
const IN_ORDER: usize = 16;

struct EventLoop<D: Driver> {
    driver: D,
    /// The keys that the last wait found ready, and for what.
    found: Vec<(usize, ReadySet)>,
    sources: Sources,
    clock: Clock,
    worker: Worker,
    connections: Connections<SocketState<D>>,
    watched_listeners: WatchedListeners,
    listeners: Listeners,
    datagrams: DatagramSockets,
    readahead: Readahead,
    pending_calls: PendingCalls,
    shutdown: Shutdown,
    /// `None` without `--status`.
    status: Option<LoopStatus>,
    /// The buffer of every receive call.
    scratch: Box<[u8]>,
    log: LogFile,
}

impl<D: Driver> EventLoop<D> {
    fn new(
        (parts, siblings): (WorkerParts, Siblings),
        max_connections: usize,
        timeouts: &config::Timeouts,
        uring: &config::Uring,
    ) -> io::Result<EventLoop<D>> {
        let WorkerParts {
            stream_endpoints,
            datagram_endpoints,
            signals,
            hangups,
            log,
            hub,
        } = parts;
        let mut driver = D::new(EVENTS, max_connections, uring)?;
        let queue = siblings.wake_queue();
        let sources = Sources::new(
            signals,
            hangups,
            queue,
            &stream_endpoints,
            &datagram_endpoints,
        );
        sources.watch(driver.poller(), &datagram_endpoints)?;
        let wakers = Box::new(sources.wake_queue.clone());
        let (clock, time) = Clock::start();
        let mut worker = new_worker(time, timeouts, Some(wakers));
        worker.transitions = hub.is_some().then(Transitions::default);
        let waker = || sources.wake_queue.waker(NO_CONNECTION);
        let status = hub.map(|hub| LoopStatus::new(hub.publisher(Some(waker())), siblings.own()));
        let listeners = Listeners::new(max_connections, &stream_endpoints);
        let watched_listeners = stream_endpoints.into_iter().map(WatchedListener::new);
        let mut event_loop = EventLoop {
            driver,
            found: Vec::with_capacity(EVENTS),
            sources,
            clock,
            connections: Connections::new(&worker.time_limits),
            worker,
            watched_listeners: WatchedListeners {
                all: watched_listeners.collect(),
                siblings,
            },
            listeners,
            datagrams: DatagramSockets::new(datagram_endpoints),
            readahead: Readahead::default(),
            pending_calls: PendingCalls::default(),
            shutdown: Shutdown::new(timeouts),
            status,
            scratch: vec![0; BUFFER_SIZE].into_boxed_slice(),
            log,
        };
        event_loop.publish_room();
        Ok(event_loop)
    }

    fn run(mut self) -> io::Result<Counters> {
        while !self.shutdown.is_over(self.connections.len()) {
            self.turn()?;
        }
        Ok(self.worker.counters)
    }

    fn turn(&mut self) -> io::Result<()> {
        self.watch_listeners()?;
        self.wait()?;
        self.apply_events();
        self.shut_down();
        self.queue_woken();
        self.accept();
        self.make_room();
        self.answer_datagrams();
        self.queue_expired();
        self.publish_status();
        self.serve_queue();
        self.remove_closed();
        self.write_logs();
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let wait_timeout = match self.sources.wake_queue.prepare_to_wait() {
            true => self.wait_timeout(),
            false => Some(Duration::ZERO),
        };
        let begin = self.status.is_some().then(Instant::now);
        let poller = self.driver.poller();
        let text = |limit| format!("{}: {limit}", D::Poller::CALL.name());
        trace::note_wait(
            D::Poller::CALL,
            -1,
            || poller.wait_limit(wait_timeout),
            text,
        );
        let call = trace::call(D::Poller::CALL, -1);
        poller.wait(wait_timeout, &mut self.found)?;
        let traffic = poller.take_traffic();
        if call.is_told() {
            self.trace_wait(call);
        }
        update_trace(&mut self.worker);
        let counters = &mut self.worker.counters;
        counters.wait_calls += 1;
        counters.events += self.found.len() as u64;
        counters.operations += traffic.requests;
        counters.completions += traffic.results;
        counters.other_calls += traffic.early_calls;
        self.clock.read(&mut self.worker.time);
        if let (Some(begin), Some(status)) = (begin, &mut self.status) {
            let time = &self.worker.time;
            status.add_wait(time.now() - begin, time.moment());
        }
        Ok(())
    }

    /// How long the loop may wait: not at all if there is something to do, and forever (`None`) if
    /// nothing is due at a certain time.
    fn wait_timeout(&self) -> Option<Duration> {
        let can_act = self.connections.queued() > 0
            || self.listeners.may_accept_any()
            || self.datagrams.has_ready();
        if can_act {
            return Some(Duration::ZERO);
        }
        // The time was read in the last turn. So the wait may end too late, by a turn at most.
        let time = &self.worker.time;
        let left = |end: Instant| end.saturating_duration_since(time.now());
        let expiry = self.connections.deadline();
        let is_behind = self.log.is_behind() || standard_error_is_behind();
        [
            expiry.map(|end| end.since(time.moment())),
            self.shutdown.deadline().map(left),
            self.listeners.deadline().map(left),
            self.status
                .as_ref()
                .and_then(|status| status.time_until_due(time.now())),
            is_behind.then_some(LOG_RETRY_INTERVAL),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Applies the events. Those of connections only set bits and queue the connection.
    fn apply_events(&mut self) {
        // A connection's event may be here without an earlier change of a file. poll(2) and
        // select(2) check one descriptor after the other, and may check the notifier before the
        // change. epoll(7) returns events in order, but at most `EVENTS` of them.
        if (!D::Poller::IN_ORDER && !self.found.is_empty()) || self.found.len() == EVENTS {
            self.sources.notify_services();
        }
        if D::COMPLETES {
            self.apply_completions();
        }
        let sources = &self.sources;
        for (key, ready) in self.found.drain(..) {
            match sources.keys.source(key) {
                EventSource::Connection(key) => {
                    if let Some(slot) = self.connections.enqueue(key) {
                        slot.io.ready |= ready;
                        slot.io.event = true;
                        D::reported(&mut slot.io.driver);
                    }
                }
                EventSource::Datagrams(index) => self.datagrams.set_ready(index),
                EventSource::FileChanges(index) => sources.services[index].notified(),
                EventSource::Listener(index) => {
                    self.worker.counters.listener_events += 1;
                    self.listeners.report(index);
                }
                EventSource::Wakes => sources.wake_queue.clear(),
                EventSource::Hangups => {
                    if sources.hangups.take(&sources.signals) {
                        reopen_log(&mut self.log);
                    }
                }
                EventSource::Signals => {
                    for _ in 0..sources.signals.take() {
                        self.shutdown.signal(self.worker.time.now());
                    }
                }
            }
        }
    }

    /// Notes the results of completed operations, and queues their connections.
    fn apply_completions(&mut self) {
        if self.driver.completions().len() > IN_ORDER {
            self.sources.notify_services();
        }
        while let Some(completion) = self.driver.next_completion() {
            let key = completion.key;
            if completion.operation == Operation::Accept {
                self.driver.accepted(completion);
                self.listeners.set_ready(key);
                continue;
            }
            let Some(slot) = self.connections.get_mut(key) else {
                continue;
            };
            let completed = self
                .driver
                .complete(slot, completion, &mut self.worker.counters);
            if slot.flags.contains(SlotFlags::CLOSED) {
                // Received bytes are not needed any more.
                let _ = self.driver.forget(&mut slot.io, key, key, &mut self.worker);
                if completed != Completed::OthersUnderWay {
                    self.connections.free(key);
                }
                continue;
            }
            if completed == Completed::Expired {
                slot.flags.insert(SlotFlags::EXPIRED);
            }
            self.connections.enqueue(key);
        }
    }

    /// Queues the connections that were woken, and those for which a thread has finished its work.
    fn queue_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.sources.woken);
        self.sources.wake_queue.take_woken(&mut woken);
        if !woken.is_empty() {
            self.resume_after_read();
        }
        for key in woken.drain(..) {
            if key == CLIENTS_WAIT {
                self.listeners.set_all_ready();
            }
            self.finish_call(key);
            self.connections.wake(key);
        }
        self.sources.woken = woken;
    }

    fn queue_expired(&mut self) {
        self.connections.expire(self.worker.time.moment());
    }

    fn publish_status(&mut self) {
        if let Some(status) = &mut self.status {
            let (connections, worker) = (&self.connections, &mut self.worker);
            status.publish_if_due(connections, worker, &mut self.clock, |io, note| {
                D::in_flight(&io.driver, note);
            });
        }
    }

    /// Serves each connection that is queued now. Those queued meanwhile wait for the next turn.
    fn serve_queue(&mut self) {
        let queued = self.connections.queued();
        let budget = byte_budget(queued);
        self.worker.work = WORK_PER_TURN;
        let sample = self.status.as_mut().and_then(LoopStatus::take_sample);
        for place in 0..queued {
            let Some(key) = self.connections.pop_queued() else {
                continue;
            };
            let is_sample = sample == Some(place);
            if is_sample {
                let transitions = &mut self.worker.transitions;
                transitions.iter_mut().for_each(Transitions::begin_sample);
            }
            // The only call, so that it is inlined.
            self.act(key, budget);
            if is_sample {
                self.publish_sample(key);
            }
        }
    }

    /// Publishes what this moment looks like, at which a connection has just acted.
    #[cold]
    fn publish_sample(&mut self, key: usize) {
        let transitions = &mut self.worker.transitions;
        let state = transitions.as_mut().and_then(Transitions::end_sample);
        if let Some(status) = &mut self.status {
            let (connections, worker) = (&self.connections, &mut self.worker);
            let acting = Some((key, state));
            status.publish(connections, acting, worker, &mut self.clock, |io, note| {
                D::in_flight(&io.driver, note);
            });
        }
    }

    /// Lets a connection act, and arranges how it continues.
    fn act(&mut self, key: usize, budget: usize) {
        let stop = self.advance(key, budget);
        match stop {
            Stop::Closed => return self.close(key),
            Stop::NotInMemory => self.read_ahead(key),
            Stop::HasJob => self.run_job(key),
            Stop::MayHang => self.send_remote(key),
            Stop::Blocked | Stop::BudgetUsed | Stop::NoWorkLeft => {}
        }
        match stop {
            Stop::BudgetUsed => self.connections.enqueue_served(key),
            Stop::NoWorkLeft => drop(self.connections.enqueue(key)),
            _ => match self.arrange(key) {
                Ok(false) => {}
                Ok(true) => drop(self.connections.enqueue(key)),
                Err(error) => {
                    throttled!(
                        Warn,
                        "a connection cannot be watched and is closed: {error}"
                    );
                    return self.close(key);
                }
            },
        }
        self.connections.start_deadline(key);
    }

    /// Lets a connection act until it would block or its byte budget is used up. Returns why it
    /// stopped.
    fn advance(&mut self, key: usize, budget: usize) -> Stop {
        let slot = self.connections.begin(key);
        self.worker.crowded = self.listeners.is_crowded(slot.service.into());
        let expired = slot.take_flag(SlotFlags::EXPIRED);
        let waiting = slot.connection.waiting();
        if expired && waiting.0 != Timeout::Pause {
            // Input that came in time still counts, although no event has reported it yet.
            self.driver.retry(&mut slot.io);
        }
        // Input received now may have been sent after this turn began, and a file may have changed
        // before it was sent. So the clock is read and the services are notified again before the
        // session sees it. This is not needed for an idle connection that the poller has reported:
        // its input came before the turn began.
        slot.io.needs_refresh |= expired
            || matches!(
                waiting.0,
                Timeout::Head | Timeout::Body | Timeout::Handshake
            );
        let (clock, sources) = (&mut self.clock, &self.sources);
        let mut refresh = |worker: &mut Worker| {
            clock.read(&mut worker.time);
            sources.notify_services();
        };
        let counters = &self.worker.counters;
        let (received, sent) = (counters.received_bytes, counters.sent_bytes);
        let transfers = counters.transfers();
        let stop = catch_panic(|| {
            slot.trace_turn(expired);
            if slot.take_flag(SlotFlags::WOKEN) {
                slot.connection.woken(&mut self.worker);
            }
            let (driver, scratch) = (&mut self.driver, &mut self.scratch);
            let stop = slot.advance(budget, driver, &mut self.worker, scratch, &mut refresh);
            slot.trace_stop(stop, &self.worker);
            let is_over = expired && slot.connection.waiting() == waiting;
            let must_end = self.worker.stopping && slot.connection.is_idle();
            if stop != Stop::Blocked || !(is_over || must_end) {
                return stop;
            }
            // If an operation cannot be cancelled, the connection waits for its end.
            if driver.cancel(slot, key).unwrap_or(true) {
                return stop;
            }
            slot.connection.expired(&mut self.worker);
            let stop = slot.advance(budget, driver, &mut self.worker, scratch, &mut refresh);
            slot.trace_stop(stop, &self.worker);
            stop
        });
        let stop = stop.unwrap_or_else(|| {
            abort_after_panic(&mut slot.connection);
            Stop::Closed
        });
        slot.io.needs_refresh = false;
        let counters = &self.worker.counters;
        if let Some(status) = &mut self.status {
            let received = counters.received_bytes - received;
            let bytes = (received, counters.sent_bytes - sent);
            status.add(key, bytes, &slot.connection, &self.worker);
        }
        let counters = &mut self.worker.counters;
        let in_vain = counters.transfers() == transfers && stop != Stop::Closed;
        counters.spurious_events += u64::from(std::mem::take(&mut slot.io.event) && in_vain);
        stop
    }

    /// Arranges that a blocked connection goes on when it can. Returns true if that is at once.
    fn arrange(&mut self, key: usize) -> io::Result<bool> {
        let slot = &mut self.connections[key];
        let source = self.sources.keys.key(EventSource::Connection(key));
        self.driver.arrange(slot, key, source, &mut self.worker)
    }

    /// Closes a connection. Its socket is closed at the end of the turn in which no operation is
    /// under way for it any more.
    fn close(&mut self, key: usize) {
        self.abandon_call(key);
        let slot = &mut self.connections[key];
        let (fd, end) = (slot.io.socket.as_raw_fd(), ending(&slot.connection));
        catch_panic(|| slot.connection.close(&mut self.worker));
        trace::note_closed(fd, || end);
        let source = self.sources.keys.key(EventSource::Connection(key));
        let driver = &mut self.driver;
        let is_under_way = driver.forget(&mut slot.io, key, source, &mut self.worker);
        let is_under_way = is_under_way.unwrap_or_else(|error| {
            throttled!(Error, "a closed connection is still watched: {error}");
            // The kernel may still read its bytes.
            D::COMPLETES
        });
        self.connections.close(key);
        if !is_under_way {
            self.connections.free(key);
        }
    }

    fn remove_closed(&mut self) {
        let (worker, listeners) = (&mut self.worker, &mut self.listeners);
        self.connections.end_turn(|slot| {
            worker.counters.other_calls += 1;
            trace::note_close(&slot.io.socket);
            listeners.release(slot.service.into());
            slot.connection.release(worker);
        });
        self.publish_room();
    }

    fn write_logs(&mut self) {
        self.log.write(&mut self.worker.log);
        if standard_error_is_behind() {
            flush_standard_error();
        }
    }
}
