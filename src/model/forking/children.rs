//! The child processes that there are.

use super::messages::Reports;
use crate::model::Signals;
use crate::model::status::SnapshotBuilder;
use crate::observe::{ConnectionRow, Readiness, throttled};
use crate::session::{Counters, NewSession};
use crate::sys::{self, Pid, Signal, WaitStatus};
use crate::trace;
use std::io;
use std::time::Instant;

/// All that the parent knows of a connection's state.
const STATE: &str = "in a process of its own";

/// The children that have not ended, the oldest first.
pub struct Children {
    running: Vec<Child>,
    /// Readable when some have ended.
    pub ended: Signals,
    /// What they did.
    pub reports: Reports,
    /// The sum of that, and what the parent did.
    pub counters: Counters,
}

/// A process that serves a connection.
struct Child {
    id: Pid,
    service: usize,
    began: Instant,
    /// As it was when the process began, which has its own. Its permit is held here for as long as that lives.
    #[allow(dead_code, reason = "it is only kept")]
    start: NewSession,
}

impl Children {
    /// None yet.
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// A process has begun that serves a connection of that service.
    pub fn add(&mut self, id: Pid, service: usize, start: NewSession) {
        self.running.push(Child {
            id,
            service,
            began: Instant::now(),
            start,
        });
    }

    /// Lets those go that have ended: until then the kernel keeps their entries (zombies). `release` is called with the
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
                release(child.service);
            }
            is_running
        });
    }

    /// Adds up what those that have ended did.
    pub fn collect_reports(&mut self) {
        while let Some(counters) = self.reports.take() {
            // Where no requests are counted, a conversation counts for one.
            trace::count_answered(counters.requests.max(1) as usize);
            self.counters.add(&counters);
        }
    }

    /// Sends a signal to all.
    pub fn signal(&self, signal: Signal) {
        self.signal_oldest(signal, usize::MAX, |_| true);
    }

    /// Sends a signal to the oldest of some services, so many at most.
    pub fn signal_oldest(&self, signal: Signal, count: usize, matches: impl Fn(usize) -> bool) {
        let matching = self.running.iter().filter(|child| matches(child.service));
        for child in matching.take(count) {
            // One that has ended by itself is reaped in the next turn.
            let _ = sys::kill(child.id, signal);
        }
    }

    /// Puts them into a snapshot, with what those did that have ended.
    pub fn show(&self, builder: &mut SnapshotBuilder, now: Instant) {
        builder.set_executors("processes", self.len(), self.len());
        builder.add(&self.counters, None);
        for child in &self.running {
            let key = child.id.as_raw_pid().unsigned_abs() as usize;
            builder.connection(key, STATE, || ConnectionRow {
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
        throttled!(Warn, "process {id} ended before its connection: {status:?}");
    }
}
