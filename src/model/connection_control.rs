//! What others may ask of a connection that a thread or a process of its own serves, and what they may see of it.

use crate::observe::{ConnectionRow, Readiness};
use crate::session::{ACCEPTED, Action, Connection, Counters, Timeout, Transitions, Worker};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What is asked of all connections of a service.
#[derive(Clone, Debug, Default)]
pub struct SharedFlags {
    /// The server is stopping.
    pub stopping: Arc<AtomicBool>,
    /// Conversations end with their first answer.
    pub one_exchange: Arc<AtomicBool>,
    /// Others wait for what these connections hold.
    pub crowded: Arc<AtomicBool>,
}

/// What others ask of one connection, and what it shows them.
#[derive(Default)]
pub struct ConnectionControl {
    /// It must end at once.
    pub cut_off: Arc<AtomicBool>,
    /// It waits for a peer that has nothing under way, so it may be ended.
    is_idle: AtomicBool,
    /// One of [`BUSY`], [`CLOSABLE`] and [`SEEN_CLOSABLE`].
    closable: AtomicU8,
    /// How it stands, if somebody may want to see that.
    pub snapshot: Option<Mutex<ConnectionSnapshot>>,
}

/// The connection does not make room for others.
const BUSY: u8 = 0;

/// It waits for a peer that has had its answer: others who wait may have its place.
const CLOSABLE: u8 = 1;

/// The same, and it was already so when it was last looked at.
const SEEN_CLOSABLE: u8 = 2;

impl ConnectionControl {
    /// Of a connection that begins now, and that somebody may want to see.
    pub fn with_snapshot(now: Instant) -> ConnectionControl {
        ConnectionControl {
            snapshot: Some(Mutex::new(ConnectionSnapshot::new(now))),
            ..ConnectionControl::default()
        }
    }

    /// The connection is about to wait for its peer, if for anything. This comes before the look at
    /// [`SharedFlags::stopping`], and the thread that stops the server sets that before it looks at [`is_idle`]: one of the two
    /// sees the other.
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

    /// It waits no longer.
    pub fn end_wait(&self) {
        self.is_idle.store(false, SeqCst);
        self.closable.store(BUSY, SeqCst);
    }

    /// True if it waits for a peer that has nothing under way.
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(SeqCst)
    }

    /// Looks whether the connection may make room for others. True if it was already so at the last look and has been
    /// since, and if it `may_go`: it must then be ended.
    pub fn take_closable(&self, may_go: bool) -> bool {
        let change = |from, to| self.closable.compare_exchange(from, to, SeqCst, SeqCst);
        change(CLOSABLE, SEEN_CLOSABLE) == Err(SEEN_CLOSABLE)
            && may_go
            && change(SEEN_CLOSABLE, BUSY) == Ok(SEEN_CLOSABLE)
    }

    /// Lets others see what the connection does next, for so long at most.
    pub fn show(&self, connection: &Connection, left: Option<Duration>, worker: &mut Worker) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let mut snapshot = snapshot.lock();
        snapshot.state = connection.state();
        snapshot.waits_for = connection.next().into();
        snapshot.until = left.map(|left| worker.time.now() + left);
        snapshot.counters = worker.counters;
        if let Some(steps) = &mut worker.transitions {
            steps.move_to(&mut snapshot.transitions);
        }
    }
}

/// What can be seen of a connection.
pub struct ConnectionSnapshot {
    /// When it began.
    pub since: Instant,
    /// Where it stands.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: Readiness,
    /// Until when, if there is an end to that.
    pub until: Option<Instant>,
    /// What was done for it.
    pub counters: Counters,
    /// Which steps it took.
    pub transitions: Transitions,
}

impl ConnectionSnapshot {
    fn new(now: Instant) -> ConnectionSnapshot {
        ConnectionSnapshot {
            since: now,
            state: ACCEPTED,
            waits_for: Readiness::Nothing,
            until: None,
            counters: Counters::default(),
            transitions: Transitions::default(),
        }
    }

    /// The same as a row of the status.
    pub fn row(&self, key: usize, now: Instant) -> ConnectionRow {
        ConnectionRow {
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
