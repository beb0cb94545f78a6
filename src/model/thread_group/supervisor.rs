//! The thread that waits for signals, publishes the status, and makes room for waiting clients. It
//! serves no connection.

use super::shortage::NextCheck;
use super::{ThreadGroup, Threads};
use crate::model::shutdown::{Shutdown, Step};
use crate::model::status::{SnapshotBuilder, Status};
use crate::model::{HangupSignals, LOG_RETRY_INTERVAL, Signals, reopen_log};
use crate::observe::{flush_standard_error, standard_error_is_behind};
use crate::sys::{PollFd, PollFlags, poll};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// The supervisor's state.
pub(super) struct Supervisor<'a> {
    group: &'a ThreadGroup,
    signals: &'a Signals,
    hangups: &'a HangupSignals,
    shutdown: Shutdown,
    check: NextCheck,
    status: Option<Status>,
    woken: Vec<usize>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        group: &'a ThreadGroup,
        signals: &'a Signals,
        hangups: &'a HangupSignals,
    ) -> Supervisor<'a> {
        let hub = group.hub.as_ref();
        Supervisor {
            group,
            signals,
            hangups,
            shutdown: Shutdown::new(&group.timeouts),
            check: NextCheck::WhenAlerted,
            status: hub.map(|hub| Status::new(hub.publisher(Some(group.wake_queue.waker(0))))),
            woken: Vec::new(),
        }
    }

    /// Runs until a signal comes, and then until all threads have ended or are left behind.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let group = self.group;
        while !self.shutdown.is_over(group.state.lock().running) {
            let due = self.shutdown.deadline();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            for _ in 0..self.wait(left)? {
                self.shutdown.signal(Instant::now());
            }
            while let Some(step) = self.shutdown.step(Instant::now(), group.open()) {
                match step {
                    Step::Announce => {
                        group.flags.one_exchange.store(true, SeqCst);
                        group.hub.iter().for_each(|hub| hub.drain());
                    }
                    Step::Stop => {
                        group.stop_accepting();
                        group.close_idle();
                    }
                    Step::CutOff => group.cut_off(),
                    Step::Kill | Step::GiveUp => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Waits for signals, at most for `time`. While the server is stopping, also returns when a
    /// connection or thread ends. Returns the number of signals.
    fn wait(&mut self, time: Option<Duration>) -> io::Result<usize> {
        let wake_queue = &self.group.wake_queue;
        let mut watched = vec![
            PollFd::new(self.signals, PollFlags::IN),
            PollFd::new(self.hangups, PollFlags::IN),
            PollFd::new(wake_queue, PollFlags::IN),
        ];
        let others = watched.len();
        watched.extend(self.watched_listeners());
        if wake_queue.prepare_to_wait() {
            let now = Instant::now();
            let status = self.status.as_ref();
            let look = status.and_then(|status| status.time_until_due(now));
            let room = self.time_until_check(now);
            let flush = standard_error_is_behind().then_some(LOG_RETRY_INTERVAL);
            let time = [time, look, room, flush].into_iter().flatten().min();
            poll(&mut watched, time)?;
        }
        let is_ready = |one: &PollFd<'_>| !one.revents().is_empty();
        let listener_is_ready = watched[others..].iter().any(is_ready);
        if is_ready(&watched[2]) {
            wake_queue.clear();
        }
        drop(watched);
        wake_queue.take_woken(&mut self.woken);
        self.woken.clear();
        if standard_error_is_behind() {
            flush_standard_error();
        }
        if self.hangups.take(self.signals) {
            reopen_log(&mut self.group.log.lock());
        }
        self.make_room(listener_is_ready);
        self.publish_if_due();
        Ok(self.signals.take())
    }

    /// The listeners whose services have no free permit, if they are to be watched.
    fn watched_listeners(&self) -> Vec<PollFd<'a>> {
        if self.check != NextCheck::WhenReady || self.group.is_stopping() {
            return Vec::new();
        }
        let short = self.group.services_without_permits();
        let all = self.group.stream_endpoints.iter().zip(&self.group.services);
        let of_short = all.filter(|(_, service)| short.contains(service));
        of_short
            .map(|(one, _)| PollFd::new(&one.listener, PollFlags::IN))
            .collect()
    }

    /// How long the supervisor may wait before the next check for waiting clients.
    fn time_until_check(&self, now: Instant) -> Option<Duration> {
        match self.check {
            NextCheck::At(time, _) if !self.group.is_stopping() => {
                Some(time.saturating_duration_since(now))
            }
            _ => None,
        }
    }

    fn make_room(&mut self, listener_is_ready: bool) {
        let is_alerted = !self.group.wants_alert.load(SeqCst);
        if self.group.is_stopping() || !(is_alerted || listener_is_ready) {
            return;
        }
        let check = std::mem::replace(&mut self.check, NextCheck::WhenAlerted);
        self.check = self.group.make_room(check, Instant::now());
    }

    fn publish_if_due(&mut self) {
        let Some(status) = &mut self.status else {
            return;
        };
        let (now, connections) = (Instant::now(), self.group.state.lock().connections.len());
        if let Some(mut builder) = status.begin_if_due(connections, now) {
            self.group.show(&mut builder, now);
            status.publish(builder, Instant::now());
        }
    }
}

impl ThreadGroup {
    /// Adds the threads and their connections to a snapshot.
    fn show(&self, builder: &mut SnapshotBuilder, now: Instant) {
        let state = self.state.lock();
        let busy = state.connections.len();
        let (kind, count) = match self.threads {
            Threads::PerConnection(_) => ("threads", self.listeners() + busy),
            Threads::PerListener(threads) => ("threads", self.listeners() * threads),
            Threads::Runtime(_) => ("tasks", self.listeners() + busy),
        };
        builder.set_executors(kind, count, busy);
        builder.add(&state.counters, Some(&state.transitions));
        for (key, active) in &state.connections {
            if let Some(shown) = active.control.snapshot.as_ref().map(Mutex::lock) {
                builder.add(&shown.counters, Some(&shown.transitions));
                builder.connection(key, shown.state, || shown.row(key, now));
            }
        }
    }
}
