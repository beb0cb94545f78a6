//! The thread that serves nobody: it waits for signals, and puts up what can be seen of the others.

use super::making_room::Lookout;
use super::{Crew, Threads};
use crate::model::shutdown::{Shutdown, Step};
use crate::model::status::{Draft, Status};
use crate::model::{Hangups, LOG_PAUSE, Listening, Signals, reopen};
use crate::observe::ConnectionRow;
use crate::observe::{flush_standard_error, standard_error_is_behind};
use crate::sys::{PollFd, PollFlags, poll};
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// What it works with.
pub(super) struct Overseer<'a> {
    crew: &'a Crew,
    signals: &'a Signals,
    hangups: &'a Hangups,
    listening: &'a [Listening],
    shutdown: Shutdown,
    lookout: Lookout,
    status: Option<Status>,
    woken: Vec<usize>,
}

impl<'a> Overseer<'a> {
    pub(super) fn new(
        crew: &'a Crew,
        signals: &'a Signals,
        hangups: &'a Hangups,
        listening: &'a [Listening],
    ) -> Overseer<'a> {
        let hub = crew.hub.as_ref();
        Overseer {
            crew,
            signals,
            hangups,
            listening,
            shutdown: Shutdown::new(&crew.timeouts),
            lookout: Lookout::Asleep,
            status: hub.map(|hub| Status::new(hub.publisher(Some(crew.wake_queue.waker(0))))),
            woken: Vec::new(),
        }
    }

    /// Serves until a signal comes, and on until all threads have ended or are to be left behind.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let crew = self.crew;
        while !self.shutdown.is_over(crew.members().running) {
            let due = self.shutdown.deadline();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            for _ in 0..self.wait(left)? {
                self.shutdown.signal(Instant::now());
            }
            let open = || crew.members().present.len();
            while let Some(step) = self.shutdown.step(Instant::now(), open()) {
                match step {
                    Step::Announce => {
                        crew.one_exchange.store(true, SeqCst);
                        crew.hub.iter().for_each(|hub| hub.drain());
                    }
                    Step::Stop => {
                        crew.stop_accepting(self.listening);
                        crew.end_idle();
                    }
                    Step::CutOff => crew.cut_off(),
                    Step::Kill | Step::GiveUp => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Waits for signals, for so long at most, or, while the server is stopping, for somebody to leave; says how many
    /// signals there were.
    fn wait(&mut self, time: Option<Duration>) -> io::Result<usize> {
        let wake_queue = &self.crew.wake_queue;
        let mut watched = vec![
            PollFd::new(self.signals, PollFlags::IN),
            PollFd::new(self.hangups, PollFlags::IN),
            PollFd::new(&self.crew.left_event, PollFlags::IN),
            PollFd::new(wake_queue, PollFlags::IN),
        ];
        let others = watched.len();
        watched.extend(self.watched_listeners());
        if wake_queue.prepare_to_wait() {
            let now = Instant::now();
            let status = self.status.as_ref();
            let look = status.and_then(|status| status.patience(now));
            let room = self.next_look(now);
            let flush = standard_error_is_behind().then_some(LOG_PAUSE);
            let time = [time, look, room, flush].into_iter().flatten().min();
            poll(&mut watched, time)?;
        }
        let is_ready = |one: &PollFd<'_>| !one.revents().is_empty();
        let listener_is_ready = watched[others..].iter().any(is_ready);
        if is_ready(&watched[3]) {
            wake_queue.clear();
        }
        drop(watched);
        wake_queue.take_woken(&mut self.woken);
        self.woken.clear();
        if standard_error_is_behind() {
            flush_standard_error();
        }
        self.crew.left_event.clear();
        if self.hangups.take(self.signals) {
            reopen(&mut self.crew.log.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.make_room(listener_is_ready);
        self.post_if_wanted();
        Ok(self.signals.take())
    }

    /// The listeners at which a connection may come that there is no permit for.
    fn watched_listeners(&self) -> Vec<PollFd<'a>> {
        if self.lookout != Lookout::Watching || self.crew.stopping.load(SeqCst) {
            return Vec::new();
        }
        let short: Vec<_> = self.crew.services_without_permits().collect();
        let all = self.listening.iter().zip(&self.crew.services);
        let of_short = all.filter(|(_, service)| short.contains(service));
        of_short
            .map(|(one, _)| PollFd::new(&one.listener, PollFlags::IN))
            .collect()
    }

    /// How long the overseer may wait before it looks again who waits.
    fn next_look(&self, now: Instant) -> Option<Duration> {
        match self.lookout {
            Lookout::Looking(time, _) if !self.crew.stopping.load(SeqCst) => {
                Some(time.saturating_duration_since(now))
            }
            _ => None,
        }
    }

    fn make_room(&mut self, listener_is_ready: bool) {
        let is_alerted = !self.crew.is_alert.load(SeqCst);
        if self.crew.stopping.load(SeqCst) || !(is_alerted || listener_is_ready) {
            return;
        }
        let lookout = std::mem::replace(&mut self.lookout, Lookout::Asleep);
        self.lookout = self.crew.make_room(self.listening, lookout, Instant::now());
    }

    fn post_if_wanted(&mut self) {
        let Some(status) = &mut self.status else {
            return;
        };
        let (now, connections) = (Instant::now(), self.crew.members().present.len());
        if let Some(mut draft) = status.begin_if_due(connections, now) {
            self.crew.show(&mut draft, now);
            status.publish(draft, Instant::now());
        }
    }
}

impl Crew {
    /// Puts the threads and their connections into a snapshot.
    fn show(&self, draft: &mut Draft, now: Instant) {
        let members = self.members();
        let busy = members.present.len();
        let threads = match self.threads {
            Threads::PerConnection(_) => self.listeners + busy,
            Threads::PerListener(threads) => self.listeners * threads,
        };
        draft.set_executors("threads", threads, busy);
        draft.add(&members.counters, Some(&members.steps));
        for (key, member) in &members.present {
            let Some(shown) = member.shown() else {
                continue;
            };
            draft.add(&shown.counters, Some(&shown.steps));
            draft.connection(key, shown.state, || ConnectionRow {
                key,
                state: shown.state,
                waits_for: shown.waits_for,
                received: shown.counters.received,
                sent: shown.counters.sent,
                age: now.saturating_duration_since(shown.since),
                left: shown.until.map(|end| end.saturating_duration_since(now)),
            });
        }
    }
}
