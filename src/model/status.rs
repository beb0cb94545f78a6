//! What a model publishes for those who look at the server. Without `--status` there is none of this.

use crate::observe::{ConnectionRow, Executors, Publisher, Snapshot, SnapshotStart};
use crate::session::{Counters, Steps};
use std::time::{Duration, Instant};

/// The side of the [hub](crate::observe::StatusHub) that belongs to a loop, a group of threads or a parent of processes.
pub struct Status(Publisher);

/// A snapshot that is being made: of all connections some are listed, and all are counted.
pub struct Draft {
    start: SnapshotStart,
    snapshot: Snapshot,
    /// One of so many connections is listed.
    stride: usize,
}

impl Status {
    /// Nothing has been published yet.
    pub fn new(publisher: Publisher) -> Status {
        Status(publisher)
    }

    /// See [`Publisher::patience`].
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        self.0.patience(now)
    }

    /// The server is about to stop: see [`StatusHub::drain`](crate::observe::StatusHub::drain).
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Begins a snapshot of so many connections, if one is due.
    pub fn begin_if_due(&self, connections: usize, now: Instant) -> Option<Draft> {
        let start = self.0.wanted(now)?;
        Some(self.draft(connections, start))
    }

    /// Begins a snapshot of so many connections, due or not.
    pub fn begin(&self, connections: usize, now: Instant) -> Draft {
        self.draft(connections, self.0.begin(now))
    }

    fn draft(&self, connections: usize, start: SnapshotStart) -> Draft {
        Draft {
            start,
            snapshot: Snapshot::default(),
            stride: self.0.stride(connections),
        }
    }

    /// Publishes a snapshot that was complete at `end`.
    pub fn publish(&mut self, draft: Draft, end: Instant) {
        self.0.publish(&draft.start, draft.snapshot, end);
    }
}

impl Draft {
    /// What does the work: so many of that kind, of which some have a connection.
    pub fn set_executors(&mut self, kind: &'static str, number: usize, busy: usize) {
        self.snapshot.executors = Executors { kind, number, busy };
    }

    /// What was done until now.
    pub fn add(&mut self, counters: &Counters, steps: Option<&Steps>) {
        self.snapshot.counters.add(counters);
        if let Some(steps) = steps {
            self.snapshot.steps.add(steps);
        }
    }

    /// Counts a connection, and lists it if it is one of those that are listed. `key` tells it from the others.
    pub fn connection(
        &mut self,
        key: usize,
        state: &'static str,
        row: impl FnOnce() -> ConnectionRow,
    ) {
        self.snapshot.count(state);
        if key.is_multiple_of(self.stride) {
            self.snapshot.rows.push(row());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{About, Readiness, StatusHub};
    use std::sync::Arc;
    use std::task::Waker;

    fn hub() -> Arc<StatusHub> {
        let about = About {
            model: "a test",
            waits: "not at all",
            one_by_one: None,
            max_connections: None,
            services: Vec::new(),
        };
        StatusHub::new(about, 1, Instant::now())
    }

    fn row(key: usize, state: &'static str) -> ConnectionRow {
        ConnectionRow {
            key,
            state,
            waits_for: Readiness::Nothing,
            received: 1,
            sent: 2,
            age: Duration::ZERO,
            left: None,
        }
    }

    #[test]
    fn all_connections_are_counted_and_some_are_listed() {
        let (hub, now) = (hub(), Instant::now());
        let mut status = Status::new(hub.publisher(None));
        for (connections, listed) in [(3, 3), (1000, 334)] {
            let mut draft = status.begin(connections, now);
            draft.set_executors("loops", 1, 1);
            for key in 0..connections {
                let state = if key == 0 { "first" } else { "open" };
                draft.connection(key, state, || row(key, state));
            }
            status.publish(draft, now);
            let snapshot = hub.snapshot();
            assert_eq!(snapshot.connections(), connections);
            assert_eq!(snapshot.states, [("first", 1), ("open", connections - 1)]);
            assert_eq!(snapshot.rows.len(), listed);
            assert_eq!(snapshot.executors.kind, "loops");
        }
    }

    #[test]
    fn what_several_have_done_is_added_up() {
        let (hub, now) = (hub(), Instant::now());
        let mut status = Status::new(hub.publisher(None));
        let mut draft = status.begin(0, now);
        let counters = Counters {
            sends: 2,
            ..Counters::default()
        };
        draft.add(&counters, None);
        draft.add(&counters, Some(&Steps::default()));
        status.publish(draft, now);
        let snapshot = hub.snapshot();
        assert_eq!(snapshot.counters.sends, 4);
    }

    #[test]
    fn nothing_is_due_while_nobody_looks() {
        let (hub, now) = (hub(), Instant::now());
        let status = Status::new(hub.publisher(Some(Waker::noop().clone())));
        assert!(status.begin_if_due(0, now).is_none());
        assert_eq!(status.patience(now), None);
        let watcher = Arc::default();
        assert!(hub.watch(&watcher));
        assert!(status.begin_if_due(0, now).is_some());
        status.drain();
        assert!(hub.is_draining());
    }
}
