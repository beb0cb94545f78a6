//! A process per connection.
//!
//! What one connection does can hurt no other: each has its own memory. The price is a process for each of them, and
//! that they cannot speak to each other.

use super::clock::Clock;
use super::conversation::{Desk, Presence};
use super::listeners::warn_that_accept_is_refused;
use super::permits::Permits;
use super::process::{begin_last_steps, fork};
use super::responder::{Responder, SHARE};
use super::shutdown::{Shutdown, Step};
use super::status::Status;
use super::{Answering, Hangups, LOG_PAUSE, Limits, Listening, Serving, Share, Signals};
use super::{contain, permits, reopen, worker};
use crate::config::Timeouts;
use crate::net::AcceptError;
use crate::observe::{ConnectionRow, LogFile, Readiness};
use crate::observe::{begin_in_child, finish_operator_log, share_throttles, throttled};
use crate::observe::{flush_standard_error, standard_error_is_behind};
use crate::session::{Counters, IDLE_AGE, Start, Worker};
use crate::sys::untraced::{getpid, getppid, recv, send, set_parent_process_death_signal};
use crate::sys::{
    self, Errno, Pid, PollFd, PollFlags, RecvFlags, SendFlags, Signal, SocketFlags, WaitStatus,
    is_readable, poll, retry_on_intr,
};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the parent does without accepting after a resource ran out, and how often it says that connections wait.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a child waits for a slow reader of a log: it counts as one of `--max-children` meanwhile.
const CHILDS_LAST_WAIT: Duration = Duration::from_millis(20);

/// What tells a child that it is cut off.
const CUT_OFF: Signal = Signal::USR2;

/// A signal between fork(2) and the child's own handlers would be reported to the parent's.
const HELD_BACK: [Signal; 6] = [
    Signal::INT,
    Signal::TERM,
    Signal::CHILD,
    Signal::USR1,
    Signal::USR2,
    Signal::HUP,
];

/// What tells a child that others wait for its process.
const MAKE_ROOM: Signal = Signal::USR1;

/// How often children that shall end are told so: one that was told just before it began to wait would not hear it.
const REMINDER: Duration = Duration::from_millis(100);

/// All that the parent knows of a connection's state.
const A_PROCESS: &str = "in a process of its own";

/// Serves until a signal ends it.
///
/// # Errors
/// Those of making the parent's sockets and of waiting.
pub fn run(mut serving: Serving) -> io::Result<Counters> {
    let share = serving.only_share()?;
    share_throttles();
    let mut parent = Parent::new(share, serving.limits, serving.timeouts)?;
    while !parent.shutdown.is_over(parent.children.len()) {
        parent.turn()?;
    }
    if !parent.children.is_empty() {
        let number = parent.children.len();
        log::error!(
            "{number} processes cannot be ended and are left behind: the kernel waits for a device"
        );
    }
    parent.collect_reports();
    let mut counters = parent.worker.counters;
    counters.add(&parent.counters);
    Ok(counters)
}

/// The process that accepts, and waits for the others to end.
struct Parent {
    listening: Vec<Listening>,
    /// What it serves itself.
    answering: Vec<Answering>,
    responder: Responder,
    clock: Clock,
    worker: Worker,
    signals: Signals,
    hangups: Hangups,
    child_signals: Signals,
    log: Mutex<LogFile>,
    /// In a child: its log is to be reopened.
    reopen: Arc<AtomicBool>,
    /// The right to have a process.
    permits: Permits,
    /// The index of each listener's service among them.
    services: Vec<usize>,
    max_children: usize,
    /// In a child: others wait for its process.
    crowded: Arc<AtomicBool>,
    /// Connections wait for a process: when the next children are asked to make room, and how many.
    next_request: Option<(Instant, usize)>,
    timeouts: Timeouts,
    /// The oldest first.
    children: Vec<Child>,
    /// What the children did, as they say themselves when they end: one message each.
    reports: OwnedFd,
    /// Their side of it.
    reporting: OwnedFd,
    counters: Counters,
    status: Option<Status>,
    /// A resource ran out; accepting goes on then.
    accept_again: Option<Instant>,
    shutdown: Shutdown,
}

/// A process that serves a connection.
struct Child {
    id: Pid,
    service: usize,
    began: Instant,
    /// As it was when the process began, which has its own. Its permit is held here for as long as that lives.
    #[allow(dead_code, reason = "it is only kept")]
    start: Start,
}

impl Parent {
    fn new(share: Share, limits: Limits, timeouts: Timeouts) -> io::Result<Parent> {
        let (reports, reporting) = sys::message_pair()?;
        let (clock, time) = Clock::start();
        let (permits, services) = permits(limits.max_children, &share.listening);
        Ok(Parent {
            permits,
            services,
            max_children: limits.max_children,
            crowded: Arc::default(),
            next_request: None,
            listening: share.listening,
            responder: Responder::new(&share.answering),
            answering: share.answering,
            clock,
            worker: worker(time, &timeouts, None),
            signals: share.signals,
            hangups: share.hangups,
            child_signals: Signals::of_children()?,
            reopen: share.log.reopen_flag(),
            log: Mutex::new(share.log),
            shutdown: Shutdown::new(&timeouts),
            timeouts,
            children: Vec::new(),
            reports,
            reporting,
            counters: Counters::default(),
            // Nobody can ask: a process that could has a copy of what was there when it began.
            status: share.hub.map(|hub| Status::new(hub.publisher(None))),
            accept_again: None,
        })
    }

    fn turn(&mut self) -> io::Result<()> {
        let ready = self.wait()?;
        self.collect_reports();
        if self.child_signals.take() > 0 {
            self.reap();
        }
        self.hear_hangups();
        for _ in 0..self.signals.take() {
            self.shutdown.signal(Instant::now());
        }
        self.shut_down();
        if self.shutdown.is_stopping() {
            self.tell_children();
            return Ok(());
        }
        self.look_after_services();
        // From the back, for a socket that is of no more use is removed.
        for index in ready.into_iter().rev() {
            match index.checked_sub(self.answering.len()) {
                None => self.answer(index),
                Some(index) if self.may_accept(index) => self.accept(index),
                Some(_) => {}
            }
        }
        self.make_room();
        Ok(())
    }

    fn is_paused(&self) -> bool {
        self.accept_again.is_some_and(|time| Instant::now() < time)
    }

    /// True if a connection of this listener may have a process.
    fn may_accept(&self, listener: usize) -> bool {
        !self.is_paused() && self.permits.has_free(self.services[listener])
    }

    /// Waits for something to do; says which sockets have datagrams and, counted on from those, which listeners have a
    /// connection.
    fn wait(&mut self) -> io::Result<Vec<usize>> {
        let mut watched = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.hangups, PollFlags::IN),
            PollFd::new(&self.child_signals, PollFlags::IN),
            PollFd::new(&self.reports, PollFlags::IN),
        ];
        let others = watched.len();
        let sockets = self.answering.iter().map(|answering| &answering.socket);
        watched.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
        let is_paused = self.is_paused();
        let watches = |listener: usize| {
            // Once it is known that connections wait for a process, the end of one is waited for.
            !is_paused && (self.next_request.is_none() || self.may_accept(listener))
        };
        for (index, listening) in self.listening.iter().enumerate() {
            let flags = if watches(index) {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            watched.push(PollFd::new(&listening.listener, flags));
        }
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let time = match self.shutdown.is_stopping() {
            true => Some(REMINDER),
            false => (is_paused || !self.children.is_empty()).then_some(PAUSE),
        };
        let step = self.shutdown.deadline().map(left);
        let next_request = self.next_request.map(|(time, _)| left(time));
        let flush = standard_error_is_behind().then_some(LOG_PAUSE);
        let time = [time, step, next_request, flush]
            .into_iter()
            .flatten()
            .min();
        self.counters.waits += 1;
        poll(&mut watched, time)?;
        if standard_error_is_behind() {
            flush_standard_error();
        }
        let ready =
            |(index, entry): (usize, &PollFd<'_>)| (!entry.revents().is_empty()).then_some(index);
        Ok(watched[others..]
            .iter()
            .enumerate()
            .filter_map(ready)
            .collect())
    }

    fn accept(&mut self, index: usize) {
        let listening = &self.listening[index];
        self.counters.accepts += 1;
        match listening.listener.accept(SocketFlags::empty()) {
            Ok((socket, peer)) => {
                let peer = peer.map(|peer| peer.ip().to_canonical());
                self.counters.connections += 1;
                self.counters.others += 1;
                let Some(start) = listening.admit(peer, &mut self.counters) else {
                    return trace::closes(&socket);
                };
                self.put_up();
                let service = self.services[index];
                self.crowded.store(self.next_request.is_some(), SeqCst);
                if let Err(errno) = self.fork(socket, start, service) {
                    self.pause(&format!(
                        "a connection is closed, for fork(2) failed: {errno}"
                    ));
                }
            }
            Err(AcceptError::Gone | AcceptError::WouldBlock) => {}
            Err(AcceptError::Exhausted(error)) => self.pause(&format!("cannot accept: {error}")),
            Err(AcceptError::Refused(error)) => {
                self.accept_again = Some(Instant::now() + PAUSE);
                warn_that_accept_is_refused(listening.listener.bound(), &error);
            }
        }
    }

    /// Lets the services see what has changed, once a second while there are children: what they see is logged by this
    /// process, and new children begin with it.
    fn look_after_services(&mut self) {
        self.clock.read(&mut self.worker.time);
        for listening in &self.listening {
            contain(|| listening.service.is_ready(&self.worker.time));
        }
    }

    /// Puts up what can be seen: the process that is about to begin may serve somebody who wants to see it.
    fn put_up(&mut self) {
        let Some(status) = &mut self.status else {
            return;
        };
        let (now, children) = (Instant::now(), self.children.len());
        let mut draft = status.begin(children, now);
        draft.set_executors("processes", children, children);
        draft.add(&self.counters, None);
        draft.add(&self.worker.counters, None);
        for child in &self.children {
            let key = child.id.as_raw_pid().unsigned_abs() as usize;
            draft.connection(key, A_PROCESS, || ConnectionRow {
                key,
                state: A_PROCESS,
                waits_for: Readiness::Nothing,
                received: 0,
                sent: 0,
                age: now.saturating_duration_since(child.began),
                left: None,
            });
        }
        status.publish(draft, Instant::now());
    }

    /// Answers datagrams in this process: that takes no waiting, and less time than to make another one.
    fn answer(&mut self, index: usize) {
        self.clock.read(&mut self.worker.time);
        let answering = &self.answering[index];
        let result = self.responder.answer(answering, SHARE, &mut self.worker);
        if let Err(error) = result {
            Responder::give_up(answering, &error);
            self.responder.finish(answering, &mut self.worker);
            self.answering.remove(index);
        }
    }

    fn pause(&mut self, why: &str) {
        throttled!(Warn, "{why}");
        self.accept_again = Some(Instant::now() + PAUSE);
    }

    /// Starts the process that serves this connection.
    fn fork(&mut self, socket: OwnedFd, start: Start, service: usize) -> Result<(), Errno> {
        sys::block_signals(&HELD_BACK)?;
        let parent = getpid();
        let result = fork();
        if let Ok(Some(child)) = result {
            trace::note(|| {
                let (child, fd) = (child.as_raw_pid(), socket.as_raw_fd());
                format!("fork() = {child}: that process serves fd {fd}")
            });
            trace::closes(&socket);
        }
        match result {
            Ok(None) => {
                begin_in_child();
                self.listening.clear();
                self.answering.clear();
                self.signals.ignore();
                self.hangups.ignore();
                self.child_signals.ignore();
                let (stopping, presence) = (Arc::default(), Presence::default());
                let flags = [&stopping, &presence.cut_off, &self.reopen, &self.crowded];
                let heard = hear_the_parent(flags, parent).is_ok();
                if heard && sys::unblock_signals(&HELD_BACK).is_ok() {
                    self.converse(socket, start, &stopping, &presence);
                }
                finish_operator_log(None, CHILDS_LAST_WAIT);
                std::process::exit(0);
            }
            Ok(Some(id)) => {
                self.children.push(Child {
                    id,
                    service,
                    began: Instant::now(),
                    start,
                });
                self.permits.take(service);
                sys::unblock_signals(&HELD_BACK)
            }
            Err(errno) => {
                sys::unblock_signals(&HELD_BACK)?;
                Err(errno)
            }
        }
    }

    /// The child's whole life.
    fn converse(&self, socket: OwnedFd, start: Start, stopping: &AtomicBool, presence: &Presence) {
        trace::note(|| format!("a process of its own serves fd {}", socket.as_raw_fd()));
        let one_exchange = self.shutdown.is_announced().into();
        let mut desk = Desk::new(
            &self.timeouts,
            &self.log,
            stopping,
            &one_exchange,
            &self.crowded,
        );
        desk.converse(&socket, start, presence);
        drop(socket);
        // exit(3) drops nothing.
        if let Ok(mut log) = self.log.lock() {
            log.finish(CHILDS_LAST_WAIT);
        }
        let numbers = desk.worker.counters.to_array();
        let report: Vec<u8> = numbers.into_iter().flat_map(u64::to_ne_bytes).collect();
        trace::note(|| "exit(0), which closes all that it has".into());
        // Without a parent there is nobody to sum up for.
        let _ = retry_on_intr(|| send(&self.reporting, &report, SendFlags::NOSIGNAL));
    }

    fn collect_reports(&mut self) {
        let mut report = [0; Counters::COUNT * 8];
        let size = report.len();
        while retry_on_intr(|| recv(&self.reports, &mut report, RecvFlags::DONTWAIT))
            == Ok((size, size))
        {
            let (numbers, _) = report.as_chunks::<8>();
            let numbers = std::array::from_fn(|index| u64::from_ne_bytes(numbers[index]));
            let counters = Counters::from_array(numbers);
            // Where no requests are counted, a conversation counts for one.
            trace::answered(counters.requests.max(1) as usize);
            self.counters.add(&counters);
        }
    }

    /// Lets the children that have ended go: until then the kernel keeps their entries (zombies).
    fn reap(&mut self) {
        let permits = &mut self.permits;
        self.children.retain(|child| {
            let is_there = match sys::reap(child.id) {
                Ok(None) => true,
                Ok(Some(status)) => {
                    say_if_it_failed(child.id, status);
                    false
                }
                Err(_) => false,
            };
            if !is_there {
                permits.release(child.service);
            }
            is_there
        });
    }

    /// The children have the access log's file open too. Each opens it anew before its next line.
    fn hear_hangups(&self) {
        if self.hangups.take(&self.signals) {
            self.signal_children(Signal::HUP);
            reopen(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn signal_children(&self, signal: Signal) {
        for child in &self.children {
            // One that has ended by itself is reaped in the next turn.
            let _ = sys::kill(child.id, signal);
        }
    }

    /// Takes the steps to the end that are due.
    fn shut_down(&mut self) {
        while let Some(step) = self.shutdown.step(Instant::now(), self.children.len()) {
            match step {
                Step::Announce => self.status.iter().for_each(Status::drain),
                Step::Stop => self.stop(),
                Step::CutOff => begin_last_steps(),
                // They are told so in each turn.
                Step::Kill | Step::GiveUp => {}
            }
        }
    }

    fn stop(&mut self) {
        self.next_request = None;
        self.listening.clear();
        for answering in self.answering.drain(..) {
            self.responder.finish(&answering, &mut self.worker);
        }
    }

    /// Children are asked to end, then cut off, and killed only if they do not hear that either.
    fn tell_children(&self) {
        self.signal_children(match self.shutdown.reached() {
            Some(Step::Kill | Step::GiveUp) => Signal::KILL,
            Some(Step::CutOff) => CUT_OFF,
            _ => Signal::TERM,
        });
    }

    /// The services of which connections wait for a process.
    fn services_that_wait(&self) -> Vec<usize> {
        let all = self.listening.iter().zip(&self.services);
        all.filter(|(one, service)| !self.permits.has_free(**service) && is_readable(&one.listener))
            .map(|(_, service)| *service)
            .collect()
    }

    /// Asks the oldest processes, and twice as many each time, to end with their next answer, or at once if they have
    /// given one, while others wait. The clients that wait are not told, but the operator is.
    fn make_room(&mut self) {
        let now = Instant::now();
        if self.next_request.is_some_and(|(time, _)| now < time) {
            return;
        }
        let waiting = self.services_that_wait();
        if waiting.is_empty() {
            self.next_request = None;
            return;
        }
        let count = self.next_request.map_or(1, |(_, count)| count * 2);
        self.next_request = Some((now + IDLE_AGE, count.min(self.children.len())));
        let helps = |child: &&Child| {
            waiting
                .iter()
                .any(|to| self.permits.helps(child.service, *to))
        };
        for child in self.children.iter().filter(helps).take(count) {
            // One that has ended by itself is reaped in the next turn.
            let _ = sys::kill(child.id, MAKE_ROOM);
        }
        let count = self.children.len();
        let kept = match count < self.max_children {
            true => "; the others are kept for other services",
            false => "",
        };
        throttled!(
            Warn,
            "connections wait: all {count} processes are in use{kept}; see --max-children"
        );
    }
}

/// Lets the parent tell a child to stop, to be cut off, to open its log anew and to make room for others, and the kernel tell it to stop when the
/// parent is no more: a server that was started anew must not have its predecessor's children beside it.
fn hear_the_parent(
    [stopping, cut_off, reopen, crowded]: [&Arc<AtomicBool>; 4],
    parent: Pid,
) -> io::Result<()> {
    let (term, hup) = (Signal::TERM, Signal::HUP);
    signal_hook::flag::register(term.as_raw(), stopping.clone())?;
    signal_hook::flag::register(hup.as_raw(), reopen.clone())?;
    signal_hook::flag::register(CUT_OFF.as_raw(), cut_off.clone())?;
    signal_hook::flag::register(MAKE_ROOM.as_raw(), crowded.clone())?;
    set_parent_process_death_signal(Some(term))?;
    if getppid() != Some(parent) {
        stopping.store(true, SeqCst);
    }
    Ok(())
}

fn say_if_it_failed(child: Pid, status: WaitStatus) {
    if status.exit_status() != Some(0) {
        let child = child.as_raw_pid();
        throttled!(
            Warn,
            "process {child} ended before its connection: {status:?}"
        );
    }
}
