//! How the supervisor controls and observes connections that run on other threads. A child process
//! uses the same flags, set by signals.

use crate::observe::{ConnectionRow, Readiness, ResponseTimer, StatusHub};
use crate::session::{
    ACCEPTED, Action, Connection, Counters, Moment, Timeout, Transitions, Worker,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Flags for all connections of a service.
#[derive(Clone, Debug, Default)]
pub struct SharedFlags {
    /// The server is stopping: see [`Worker::stopping`].
    pub stopping: Arc<AtomicBool>,
    /// Connections close after their next response: see [`Worker::one_exchange`].
    pub one_exchange: Arc<AtomicBool>,
    /// Clients wait for permits that these connections hold: see [`Worker::crowded`].
    pub crowded: Arc<AtomicBool>,
}

/// Flags and state of one connection, shared between its thread and the supervisor.
#[derive(Default)]
pub struct ConnectionControl {
    /// Close the connection at once.
    pub cut_off: Arc<AtomicBool>,
    /// The connection waits for a peer that has nothing under way, so it may be closed.
    is_idle: AtomicBool,
    /// One of [`BUSY`], [`CLOSABLE`] and [`SEEN_CLOSABLE`].
    closable: AtomicU8,
    /// The state for the status page. `None` without `--status`.
    pub snapshot: Option<Mutex<ConnectionSnapshot>>,
}

/// The connection is in use.
const BUSY: u8 = 0;

/// The connection waits for a peer that has had its response: it may be closed to make room.
const CLOSABLE: u8 = 1;

/// The same, and the supervisor has seen it so before.
const SEEN_CLOSABLE: u8 = 2;

impl ConnectionControl {
    /// For a connection that begins now and is shown in the status.
    pub fn with_snapshot(now: Instant, hub: Arc<StatusHub>) -> ConnectionControl {
        ConnectionControl {
            snapshot: Some(Mutex::new(ConnectionSnapshot::new(now, hub))),
            ..ConnectionControl::default()
        }
    }

    /// Call this before waiting for the peer.
    ///
    /// No stop is missed: the connection's thread sets [`is_idle`] before it checks
    /// [`SharedFlags::stopping`], and the supervisor sets `stopping` before it checks [`is_idle`].
    /// Whatever the order, one of them sees the other.
    ///
    /// [`is_idle`]: ConnectionControl::is_idle
    pub fn begin_wait(&self, connection: &Connection) {
        if connection.next() == Action::Receive {
            self.is_idle.store(connection.is_idle(), SeqCst);
            let closable = matches!(connection.waiting().0, Timeout::Idle | Timeout::Linger);
            self.closable
                .store(if closable { CLOSABLE } else { BUSY }, SeqCst);
        }
    }

    /// Call this after waiting.
    pub fn end_wait(&self) {
        self.is_idle.store(false, SeqCst);
        self.closable.store(BUSY, SeqCst);
    }

    /// True if the connection waits for a peer that has nothing under way.
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(SeqCst)
    }

    /// Checks whether the connection may be closed to make room. Returns true if it was closable at
    /// the last check, has been so since, and `may_close`: then close it.
    pub fn take_closable(&self, may_close: bool) -> bool {
        let change = |from, to| self.closable.compare_exchange(from, to, SeqCst, SeqCst);
        change(CLOSABLE, SEEN_CLOSABLE) == Err(SEEN_CLOSABLE)
            && may_close
            && change(SEEN_CLOSABLE, BUSY) == Ok(SEEN_CLOSABLE)
    }

    /// Publishes the connection's state, and moves what was done for it out of the worker. `left` is
    /// how long it may wait at most.
    #[inline]
    pub fn show(&self, connection: &Connection, left: Option<Duration>, worker: &mut Worker) {
        if let Some(snapshot) = &self.snapshot {
            show_in(snapshot, connection, left, worker);
        }
    }
}

/// Apart, so that a step costs next to nothing without `--status`.
#[inline(never)]
fn show_in(
    snapshot: &Mutex<ConnectionSnapshot>,
    connection: &Connection,
    left: Option<Duration>,
    worker: &mut Worker,
) {
    let mut snapshot = snapshot.lock();
    snapshot.state = connection.state();
    snapshot.waits_for = connection.next().into();
    snapshot.until = left.map(|left| worker.time.now() + left);
    let counters = std::mem::take(&mut worker.counters);
    snapshot.counters.add(&counters);
    snapshot.measure(&counters, connection, worker);
    if let Some(transitions) = &mut worker.transitions {
        transitions.move_to(&mut snapshot.transitions);
    }
}

/// The state of a connection that is shown.
pub struct ConnectionSnapshot {
    /// When it was accepted.
    pub since: Instant,
    /// The state of its session.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: Readiness,
    /// Until when it may wait; `None` is forever.
    pub until: Option<Instant>,
    /// What was done for it.
    pub counters: Counters,
    /// The transitions of its session.
    pub transitions: Transitions,
    hub: Arc<StatusHub>,
    timer: ResponseTimer<Moment>,
}

impl ConnectionSnapshot {
    fn new(now: Instant, hub: Arc<StatusHub>) -> ConnectionSnapshot {
        ConnectionSnapshot {
            since: now,
            state: ACCEPTED,
            waits_for: Readiness::Nothing,
            until: None,
            counters: Counters::default(),
            transitions: Transitions::default(),
            hub,
            timer: ResponseTimer::default(),
        }
    }

    /// Measures the connection's responses while somebody watches. `step` is what was done since
    /// the last call.
    fn measure(&mut self, step: &Counters, connection: &Connection, worker: &Worker) {
        if !self.hub.is_observed(worker.time.now()) {
            self.timer = ResponseTimer::default();
            return;
        }
        let (received, sent) = (step.received_bytes, step.sent_bytes);
        let (found, next) = (worker.time.moment(), connection.next());
        if let Some(begun) = self.timer.step(received, sent, next, found) {
            let time = worker.time.exact_moment().since(begun);
            self.hub.response_times().add(time);
        }
    }

    /// Makes a row of the status from it.
    pub fn row(&self, key: usize, now: Instant) -> ConnectionRow {
        ConnectionRow {
            in_flight: Vec::new(),
            key,
            state: self.state,
            waits_for: self.waits_for,
            received_bytes: self.counters.received_bytes,
            sent_bytes: self.counters.sent_bytes,
            age: now.saturating_duration_since(self.since),
            time_left: self.until.map(|end| end.saturating_duration_since(now)),
        }
    }
}
