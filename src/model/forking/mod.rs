//! A process per connection.
//!
//! Connections cannot harm each other, since each has its own memory. The price is a process for
//! each, and that connections cannot send each other messages.

mod child;
mod children;
mod messages;

use super::clock::Clock;
use super::connection_control::SharedFlags;
use super::listeners::{Listeners, Shortage};
use super::process::{begin_last_steps, fork};
use super::responder::{DATAGRAMS_PER_TURN, Responder};
use super::shutdown::{LAST_ACCEPTS, Shutdown, Step};
use super::status::Status;
use super::{
    DatagramEndpoint, HangupSignals, LOG_RETRY_INTERVAL, Limits, ServerSetup, Signals,
    StreamEndpoint, WorkerParts,
};
use super::{catch_panic, new_worker, reopen_log};
use crate::config::Timeouts;
use crate::net::AcceptError;
use crate::observe::{flush_standard_error, standard_error_is_behind};
use crate::observe::{share_throttles, throttled};
use crate::recording::{Event, Kind};
use crate::session::{Counters, MIN_IDLE_AGE, NewSession, Worker};
use crate::sys::untraced::getpid;
use crate::sys::{Errno, PollFd, PollFlags, Signal, SocketFlags, is_readable, poll};
use crate::trace;
use child::Inheritance;
use children::Children;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// How often the parent refreshes its services while it has children.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// How often children are signalled to end. A signal is lost if it comes just before a child begins
/// to wait.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Serves until a signal comes.
///
/// # Errors
/// If the parent's sockets cannot be created, or a wait fails.
pub fn run(mut setup: ServerSetup) -> io::Result<Counters> {
    let parts = setup.only_worker()?;
    share_throttles();
    let mut parent = Parent::new(parts, setup.limits, setup.timeouts)?;
    while !parent.shutdown.is_over(parent.children.len()) {
        parent.turn()?;
    }
    if !parent.children.is_empty() {
        let number = parent.children.len();
        log::error!(
            "processes left behind that cannot be ended: {number}; the kernel waits for a device"
        );
    }
    parent.children.collect_reports();
    let mut counters = parent.worker.counters;
    counters.add(&parent.children.counters);
    Ok(counters)
}

/// The process that accepts connections and reaps the children.
struct Parent {
    stream_endpoints: Vec<StreamEndpoint>,
    listeners: Listeners,
    max_children: usize,
    /// Datagrams are answered in this process.
    datagram_endpoints: Vec<DatagramEndpoint>,
    responder: Responder,
    clock: Clock,
    worker: Worker,
    signals: Signals,
    hangups: HangupSignals,
    children: Children,
    /// If clients wait for a process: when to ask children again to end, and how many were asked
    /// last.
    next_signal: Option<(Instant, usize)>,
    inheritance: Inheritance,
    status: Option<Status>,
    shutdown: Shutdown,
}

impl Parent {
    fn new(parts: WorkerParts, limits: Limits, timeouts: Timeouts) -> io::Result<Parent> {
        let (clock, time) = Clock::start();
        Ok(Parent {
            listeners: Listeners::new(limits.max_children, &parts.stream_endpoints),
            stream_endpoints: parts.stream_endpoints,
            max_children: limits.max_children,
            responder: Responder::new(&parts.datagram_endpoints),
            datagram_endpoints: parts.datagram_endpoints,
            clock,
            worker: new_worker(time, &timeouts, None),
            signals: parts.signals,
            hangups: parts.hangups,
            children: Children::new()?,
            next_signal: None,
            // No waker: a child that serves the status has a copy of the hub as it was when the
            // child started.
            status: parts.hub.map(|hub| Status::new(hub.publisher(None))),
            shutdown: Shutdown::new(&timeouts),
            inheritance: Inheritance {
                timeouts,
                reopen: parts.log.reopen_flag(),
                log: Arc::new(Mutex::new(parts.log)),
                flags: SharedFlags::default(),
            },
        })
    }

    fn turn(&mut self) -> io::Result<()> {
        let readable = self.wait()?;
        // A child may have begun one.
        trace::follow_recording();
        self.children.collect_reports();
        self.children
            .reap(|service| self.listeners.release(service));
        self.reopen_log_if_asked();
        for _ in 0..self.signals.take() {
            self.shutdown.signal(Instant::now());
        }
        self.shut_down();
        if self.shutdown.is_stopping() {
            self.signal_children_to_end();
            return Ok(());
        }
        self.refresh_services();
        // From the back, since a broken socket is removed.
        for index in readable.into_iter().rev() {
            self.answer(index);
        }
        self.listeners.resume(Instant::now());
        for index in 0..self.stream_endpoints.len() {
            if self.listeners.begin_accept(index) {
                self.accept(index);
            }
        }
        self.make_room();
        Ok(())
    }

    /// Waits for events. Marks listeners with waiting connections as ready, and returns the sockets
    /// with waiting datagrams.
    fn wait(&mut self) -> io::Result<Vec<usize>> {
        let mut watched = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.hangups, PollFlags::IN),
            PollFd::new(&self.children.ended, PollFlags::IN),
            PollFd::new(&self.children.reports, PollFlags::IN),
        ];
        let first_socket = watched.len();
        let sockets = self
            .datagram_endpoints
            .iter()
            .map(|endpoint| &endpoint.socket);
        watched.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
        let first_listener = watched.len();
        for (index, endpoint) in self.stream_endpoints.iter().enumerate() {
            let flags = match self.listeners.is_watched(index) {
                true => PollFlags::IN,
                false => PollFlags::empty(),
            };
            watched.push(PollFd::new(&endpoint.listener, flags));
        }
        self.worker.counters.wait_calls += 1;
        poll(&mut watched, self.wait_timeout())?;
        let is_ready = |index: &usize| !watched[*index].revents().is_empty();
        let readable = (first_socket..first_listener).filter(is_ready);
        let readable = readable.map(|index| index - first_socket).collect();
        for index in (first_listener..watched.len()).filter(is_ready) {
            self.listeners.set_ready(index - first_listener);
        }
        if standard_error_is_behind() {
            flush_standard_error();
        }
        Ok(readable)
    }

    /// How long the parent may wait; `None` is forever.
    fn wait_timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let deadlines = [
            self.shutdown.deadline(),
            self.listeners.deadline(),
            self.next_signal.map(|(time, _)| time),
        ];
        let deadlines = deadlines.into_iter().flatten();
        let pause = match self.shutdown.is_stopping() {
            true => Some(SIGNAL_INTERVAL),
            false => (!self.children.is_empty()).then_some(REFRESH_INTERVAL),
        };
        let flush = standard_error_is_behind().then_some(LOG_RETRY_INTERVAL);
        let left = deadlines.map(|end| end.saturating_duration_since(now));
        left.chain(pause).chain(flush).min()
    }

    /// Accepts a connection, if one waits. Returns true if another may wait.
    fn accept(&mut self, index: usize) -> bool {
        // No second accept4(2) is needed to see whether more connections wait: poll(2) reports
        // them.
        self.listeners.would_block(index);
        let (endpoint, now) = (&self.stream_endpoints[index], Instant::now());
        self.worker.counters.accept_calls += 1;
        match endpoint.listener.accept(SocketFlags::empty()) {
            Ok((socket, peer)) => {
                let peer = peer.map(|peer| peer.ip().to_canonical());
                self.worker.counters.accepted_connections += 1;
                self.worker.counters.other_calls += 1;
                match endpoint.admit(peer, &mut self.worker.counters) {
                    Some(start) => self.serve(index, socket, start),
                    None => trace::note_close(&socket),
                }
                return true;
            }
            Err(AcceptError::Gone) => return true,
            Err(AcceptError::WouldBlock) => {}
            Err(AcceptError::Exhausted(error)) => self.listeners.exhausted(&error, now),
            Err(AcceptError::Refused(error)) => {
                let place = endpoint.listener.bound();
                self.listeners.refused(index, place, &error, now);
            }
        }
        false
    }

    /// Accepts the connections that wait: their clients are connected, as far as they know.
    fn accept_last(&mut self) {
        self.inheritance.flags.stopping.store(true, SeqCst);
        for index in 0..self.stream_endpoints.len() {
            for _ in 0..LAST_ACCEPTS {
                self.listeners.set_ready(index);
                if !self.listeners.begin_accept(index) || !self.accept(index) {
                    break;
                }
            }
        }
    }

    /// Starts a process that serves a connection.
    fn serve(&mut self, listener: usize, socket: OwnedFd, start: NewSession) {
        self.publish();
        let service = self.listeners.service(listener);
        let flags = &self.inheritance.flags;
        let is_crowded = self.listeners.is_crowded(service);
        flags.crowded.store(is_crowded, SeqCst);
        let is_announced = self.shutdown.is_announced();
        flags.one_exchange.store(is_announced, SeqCst);
        if let Err(errno) = self.fork(service, socket, start) {
            let why = format!("fork(2) failed: {errno}, so a connection was closed");
            self.listeners.exhausted(why, Instant::now());
        }
    }

    fn fork(&mut self, service: usize, socket: OwnedFd, start: NewSession) -> Result<(), Errno> {
        messages::block_signals()?;
        let parent = getpid();
        match fork() {
            Ok(None) => {
                self.drop_parent_resources();
                let reports = &self.children.reports;
                child::serve(&self.inheritance, reports, parent, (socket, start))
            }
            Ok(Some(child)) => {
                let (id, fd) = (child.as_raw_pid(), socket.as_raw_fd());
                trace::note(|| format!("fork() = {id}: that process serves fd {fd}"));
                trace::record(|| Event {
                    value: id.into(),
                    ..Event::new(Kind::Forked, fd)
                });
                trace::note_close(&socket);
                self.children.add(child, service, start);
                self.listeners.permits().take(service);
                messages::unblock_signals()
            }
            Err(errno) => {
                messages::unblock_signals()?;
                Err(errno)
            }
        }
    }

    /// In a child: drops the listeners and sockets, and ignores the parent's signals.
    fn drop_parent_resources(&mut self) {
        self.stream_endpoints.clear();
        self.datagram_endpoints.clear();
        self.signals.ignore();
        self.hangups.ignore();
        self.children.ended.ignore();
    }

    /// Lets the services check for changes, once a second while there are children. This process
    /// logs what they find, and new children start with it.
    fn refresh_services(&mut self) {
        self.clock.read(&mut self.worker.time);
        for endpoint in &self.stream_endpoints {
            catch_panic(|| endpoint.service.is_ready(&self.worker.time));
        }
    }

    /// Publishes a snapshot, since the process that is about to start may serve the status.
    fn publish(&mut self) {
        if let Some(status) = &mut self.status {
            let now = Instant::now();
            let mut builder = status.begin(self.children.len(), now);
            builder.add(&self.worker.counters, None);
            self.children.show(&mut builder, now);
            status.publish(builder, Instant::now());
        }
    }

    /// Answers datagrams in this process. This does not wait, and takes less time than fork(2).
    fn answer(&mut self, index: usize) {
        self.clock.read(&mut self.worker.time);
        let endpoint = &self.datagram_endpoints[index];
        let result = self
            .responder
            .answer(endpoint, DATAGRAMS_PER_TURN, &mut self.worker);
        if let Err(error) = result {
            Responder::log_broken(endpoint, &error);
            self.responder.finish(endpoint, &mut self.worker);
            self.datagram_endpoints.remove(index);
        }
    }

    /// Reopens the access log after SIGHUP. The children have the file open too; each reopens it
    /// before its next line.
    fn reopen_log_if_asked(&self) {
        if self.hangups.take(&self.signals) {
            self.children.signal(messages::REOPEN);
            reopen_log(&mut self.inheritance.log.lock());
        }
    }

    /// Takes the steps that are due.
    fn shut_down(&mut self) {
        while let Some(step) = self.shutdown.step(Instant::now(), self.children.len()) {
            match step {
                Step::Announce => self.status.iter().for_each(Status::drain),
                Step::Stop => self.stop(),
                Step::CutOff => begin_last_steps(),
                // Every turn sends the signal.
                Step::Kill | Step::GiveUp => {}
            }
        }
    }

    fn stop(&mut self) {
        self.next_signal = None;
        self.accept_last();
        self.stream_endpoints.clear();
        self.listeners.clear();
        for endpoint in self.datagram_endpoints.drain(..) {
            self.responder.finish(&endpoint, &mut self.worker);
        }
    }

    /// Signals the children according to the last step: to end, to close at once, or to be killed.
    fn signal_children_to_end(&self) {
        self.children.signal(match self.shutdown.last_step() {
            Some(Step::Kill | Step::GiveUp) => Signal::KILL,
            Some(Step::CutOff) => messages::CUT_OFF,
            _ => messages::STOP,
        });
    }

    /// While clients wait, asks the oldest processes to end after their next response; twice as
    /// many each time. Logs that clients wait.
    fn make_room(&mut self) {
        let now = Instant::now();
        if self.next_signal.is_some_and(|(time, _)| now < time) {
            return;
        }
        let waits = |index: usize, _| is_readable(&self.stream_endpoints[index].listener);
        let mut shortages = self.listeners.shortages(waits, |_| None);
        // Accepting pauses in that case.
        shortages.retain(|shortage| *shortage != Shortage::Resources);
        if shortages.is_empty() {
            self.next_signal = None;
            return;
        }
        let number = self.children.len();
        let count = self.next_signal.map_or(1, |(_, count)| count * 2);
        let count = count.min(number);
        self.next_signal = Some((now + MIN_IDLE_AGE, count));
        let helps = |from| shortages.iter().any(|to| self.listeners.helps(from, *to));
        let asks = messages::MAKE_ROOM;
        self.children.signal_oldest(asks, count, helps);
        let reserved = match number < self.max_children {
            true => "; the rest is reserved for other services",
            false => "",
        };
        throttled!(
            Warn,
            "clients wait: all {number} processes are in use{reserved}; see --max-children"
        );
    }
}
