//! What can be seen of the loop while it works, for those who want to see it. Without them there is none of this.

use super::EventLoop;
use super::entry::Entry;
use crate::config;
use crate::model::timeouts;
use crate::observe::{Cell, Doers, Poster, Readiness, View};
use crate::poller::Poller;
use crate::session::{Counters, Moment};
use std::time::{Duration, Instant};

/// The loop's side of the board.
pub(super) struct Reporter {
    poster: Poster,
    limits: config::Timeouts,
    waited: Duration,
    /// What each connection has done, under its key.
    deeds: Vec<Deeds>,
}

/// What is known of a connection beside its entry, which is to stay small.
#[derive(Clone, Copy, Default)]
struct Deeds {
    since: Moment,
    received: u64,
    sent: u64,
}

impl Reporter {
    pub(super) fn new(poster: Poster, limits: config::Timeouts) -> Reporter {
        Reporter {
            poster,
            limits,
            waited: Duration::ZERO,
            deeds: Vec::new(),
        }
    }

    /// How long the loop may wait.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        self.poster.patience(now)
    }

    /// The loop has waited.
    pub(super) fn add_wait(&mut self, time: Duration) {
        self.waited += time;
    }

    /// A connection begins under this key.
    pub(super) fn begin(&mut self, key: usize, since: Moment) {
        if key >= self.deeds.len() {
            self.deeds.resize(key + 1, Deeds::default());
        }
        self.deeds[key] = Deeds {
            since,
            ..Deeds::default()
        };
    }

    /// The connection has acted, and the counters went from the ones to the others.
    pub(super) fn acted(&mut self, key: usize, before: &Counters, after: &Counters) {
        let deeds = &mut self.deeds[key];
        deeds.received += after.received - before.received;
        deeds.sent += after.sent - before.sent;
    }

    /// See [`Poster::drain`].
    pub(super) fn drain(&self) {
        self.poster.drain();
    }

    fn cell(&self, key: usize, entry: &Entry, now: Moment) -> Cell {
        let deeds = &self.deeds[key];
        let (kind, since) = entry.connection.waiting();
        let limit = timeouts::limit(&self.limits, kind);
        Cell {
            key,
            state: entry.connection.state(),
            waits_for: match entry.queued || entry.fetching {
                true => Readiness::Nothing,
                false => entry.connection.next().into(),
            },
            received: deeds.received,
            sent: deeds.sent,
            age: now.since(deeds.since),
            left: limit.map(|limit| limit.saturating_sub(now.since(since))),
        }
    }
}

impl<P: Poller> EventLoop<P> {
    /// Puts up how things stand if somebody wants to know by now.
    pub(super) fn report(&mut self) {
        let Some(mut reporter) = self.reporter.take() else {
            return;
        };
        if let Some(look) = reporter.poster.wanted(self.worker.time.now()) {
            let view = self.view(&reporter);
            self.clock.read(&mut self.worker.time);
            reporter.poster.post(&look, view, self.worker.time.now());
        }
        self.reporter = Some(reporter);
    }

    fn view(&self, reporter: &Reporter) -> View {
        let mut view = View {
            counters: self.worker.counters,
            waited: reporter.waited,
            steps: self.worker.steps.clone().unwrap_or_default(),
            doers: Doers {
                kind: "loops",
                number: 1,
                busy: usize::from(!self.entries.is_empty()),
            },
            ..View::default()
        };
        let stride = reporter.poster.stride(self.entries.len());
        let present = self.worker.time.moment();
        for (key, entry) in &self.entries {
            view.count(entry.connection.state());
            if key % stride == 0 {
                view.cells.push(reporter.cell(key, entry, present));
            }
        }
        view
    }
}
