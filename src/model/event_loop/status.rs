//! What can be seen of the loop while it works, for those who want to see it. Without them there is none of this.

use super::EventLoop;
use super::entry::Entry;
use crate::observe::{ConnectionRow, Executors, Publisher, Readiness, Snapshot};
use crate::poller::Poller;
use crate::session::{Counters, Moment, Worker};
use std::time::{Duration, Instant};

/// The loop's side of the hub.
pub(super) struct Reporter {
    publisher: Publisher,
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
    pub(super) fn new(publisher: Publisher) -> Reporter {
        Reporter {
            publisher,
            waited: Duration::ZERO,
            deeds: Vec::new(),
        }
    }

    /// How long the loop may wait.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        self.publisher.patience(now)
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

    /// See [`Publisher::drain`].
    pub(super) fn drain(&self) {
        self.publisher.drain();
    }

    fn row(&self, key: usize, entry: &Entry, worker: &Worker) -> ConnectionRow {
        let now = worker.time.moment();
        let deeds = &self.deeds[key];
        ConnectionRow {
            key,
            state: entry.connection.state(),
            waits_for: match entry.queued || entry.fetching {
                true => Readiness::Nothing,
                false => entry.connection.next().into(),
            },
            received: deeds.received,
            sent: deeds.sent,
            age: now.since(deeds.since),
            left: entry.connection.deadline(worker).map(|end| end.since(now)),
        }
    }
}

impl<P: Poller> EventLoop<P> {
    /// Puts up how things stand if somebody wants to know by now.
    pub(super) fn report(&mut self) {
        let Some(mut reporter) = self.reporter.take() else {
            return;
        };
        if let Some(start) = reporter.publisher.wanted(self.worker.time.now()) {
            let snapshot = self.snapshot(&reporter);
            self.clock.read(&mut self.worker.time);
            reporter
                .publisher
                .publish(&start, snapshot, self.worker.time.now());
        }
        self.reporter = Some(reporter);
    }

    fn snapshot(&self, reporter: &Reporter) -> Snapshot {
        let mut snapshot = Snapshot {
            counters: self.worker.counters,
            waited: reporter.waited,
            steps: self.worker.steps.clone().unwrap_or_default(),
            executors: Executors {
                kind: "loops",
                number: 1,
                busy: usize::from(!self.entries.is_empty()),
            },
            ..Snapshot::default()
        };
        let stride = reporter.publisher.stride(self.entries.len());
        for (key, entry) in &self.entries {
            snapshot.count(entry.connection.state());
            if key % stride == 0 {
                snapshot.rows.push(reporter.row(key, entry, &self.worker));
            }
        }
        snapshot
    }
}
