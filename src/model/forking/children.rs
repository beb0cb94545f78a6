//! The child processes.

use super::messages::Reports;
use crate::model::Signals;
use crate::model::status::SnapshotBuilder;
use crate::observe::{ConnectionRow, Readiness, throttled};
use crate::recording;
use crate::session::{Counters, NewSession};
use crate::sys::{self, Pid, Signal, WaitStatus};
use crate::trace;
use std::io;
use std::time::Instant;

/// The state shown for each connection: the parent knows no more of it.
const STATE: &str = "in its own process";

/// The children that have not ended, the oldest first.
pub struct Children {
    running: Vec<Child>,
    /// Readable when children have ended.
    pub ended: Signals,
    /// The reports of children that have ended.
    pub reports: Reports,
    /// The sum of these reports.
    pub counters: Counters,
}

/// A process that serves a connection.
struct Child {
    id: Pid,
    service: usize,
    began: Instant,
    /// The parent's copy of the session. It holds the permit until the process has ended; the
    /// process uses its own copy.
    #[allow(dead_code, reason = "only held")]
    start: NewSession,
}

impl Children {
    /// No children yet.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<Children> {
        Ok(Children {
            running: Vec::new(),
            ended: Signals::of_children()?,
            reports: Reports::new()?,
            counters: Counters::default(),
        })
    }

    /// The number of children.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// True if there are no children.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Adds a process that serves a connection of a service.
    pub fn add(&mut self, id: Pid, service: usize, start: NewSession) {
        self.running.push(Child {
            id,
            service,
            began: Instant::now(),
            start,
        });
    }

    /// Reaps children that have ended (until then they are zombies). Calls `release` with the
    /// service of each.
    pub fn reap(&mut self, mut release: impl FnMut(usize)) {
        if self.ended.take() == 0 {
            return;
        }
        self.running.retain(|child| {
            let is_running = match sys::reap(child.id) {
                Ok(None) => true,
                Ok(Some(status)) => {
                    warn_if_failed(child.id, status);
                    false
                }
                Err(_) => false,
            };
            if !is_running {
                recording::release_process(child.id.as_raw_pid().unsigned_abs());
                release(child.service);
            }
            is_running
        });
    }

    /// Adds the counters that children have reported.
    pub fn collect_reports(&mut self) {
        while let Some(counters) = self.reports.take() {
            // In a protocol without requests, a connection counts as one.
            trace::count_answered(counters.requests.max(1) as usize);
            self.counters.add(&counters);
        }
    }

    /// Sends a signal to all children.
    pub fn signal(&self, signal: Signal) {
        self.signal_oldest(signal, usize::MAX, |_| true);
    }

    /// Sends a signal to the oldest children of the services that match, at most `count`.
    pub fn signal_oldest(&self, signal: Signal, count: usize, matches: impl Fn(usize) -> bool) {
        let matching = self.running.iter().filter(|child| matches(child.service));
        for child in matching.take(count) {
            // Fails if the child has ended; it is reaped in the next turn.
            let _ = sys::kill(child.id, signal);
        }
    }

    /// Adds the children to a snapshot, with the counters of those that have ended.
    pub fn show(&self, builder: &mut SnapshotBuilder, now: Instant) {
        builder.set_executors("processes", self.len(), self.len());
        builder.add(&self.counters, None);
        for child in &self.running {
            let key = child.id.as_raw_pid().unsigned_abs() as usize;
            builder.connection(key, STATE, || ConnectionRow {
                in_flight: Vec::new(),
                key,
                state: STATE,
                waits_for: Readiness::Nothing,
                received_bytes: 0,
                sent_bytes: 0,
                age: now.saturating_duration_since(child.began),
                time_left: None,
            });
        }
    }
}

fn warn_if_failed(id: Pid, status: WaitStatus) {
    if status.exit_status() != Some(0) {
        let id = id.as_raw_pid();
        let why = match (status.terminating_signal(), status.exit_status()) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(code)) => format!("exit status {code}"),
            (None, None) => "it was stopped".into(),
        };
        throttled!(
            Warn,
            "process {id} failed before its connection ended: {why}"
        );
    }
}
