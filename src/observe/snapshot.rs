//! A server at one moment: what it has done, and where each of its connections stands.

use crate::session::{Action, Counters, Transition, Transitions};
use serde::Serialize;
use std::time::Duration;

/// The most connections that a snapshot lists one by one. The others are only counted, by state.
pub const MAX_ROWS: usize = 400;

/// A server at one moment, or one of its loops.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// How long the server had been running.
    pub uptime: Duration,
    /// What it had done.
    pub counters: Counters,
    /// How long its loops had loop_wait, added up.
    pub loop_wait: Duration,
    /// How many connections there are in each state.
    pub states: Vec<(&'static str, usize)>,
    /// The steps that connections took from state to state.
    pub transitions: Transitions,
    /// Some of the connections, evenly chosen; all, if there are few.
    pub rows: Vec<ConnectionRow>,
    /// What does the work.
    pub executors: Executors,
}

/// What does the work: loops, threads or processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Executors {
    /// Which of these.
    pub kind: &'static str,
    /// How many there are.
    pub count: usize,
    /// How many of them have a connection.
    pub busy: usize,
}

/// A connection.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConnectionRow {
    /// Its name: its key in the loop, or the number of its process.
    pub key: usize,
    /// The state of its session.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: Readiness,
    /// How many bytes have come from it.
    pub received_bytes: u64,
    /// How many bytes have gone to it.
    pub sent_bytes: u64,
    /// How long it has been there.
    #[serde(rename = "age_ms", serialize_with = "milliseconds")]
    pub age: Duration,
    /// How long it may go on waiting as it does, if there is an end to that.
    #[serde(rename = "time_left_ms", serialize_with = "optional_milliseconds")]
    pub time_left: Option<Duration>,
}

/// What a connection can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Bytes from its peer.
    Read,
    /// Room for bytes to its peer.
    Write,
    /// Nothing of its peer: it is being served or will be in a moment, or it waits for other connections.
    Nothing,
}

impl From<Action> for Readiness {
    fn from(action: Action) -> Readiness {
        match action {
            Action::Send => Readiness::Write,
            Action::Receive => Readiness::Read,
            Action::Proceed
            | Action::Load
            | Action::Run
            | Action::Wait
            | Action::ShutdownWrite
            | Action::Close { .. } => Readiness::Nothing,
        }
    }
}

impl Snapshot {
    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.states.iter().map(|(_, count)| count).sum()
    }

    /// Counts a connection among those of its state.
    pub fn count(&mut self, state: &'static str) {
        self.count_several(state, 1);
    }

    /// Adds another loop's snapshot.
    pub fn add(&mut self, other: &Snapshot) {
        self.uptime = self.uptime.max(other.uptime);
        self.counters.add(&other.counters);
        self.loop_wait += other.loop_wait;
        for (state, count) in &other.states {
            self.count_several(state, *count);
        }
        self.transitions.add(&other.transitions);
        self.rows.extend_from_slice(&other.rows);
        self.executors = Executors {
            kind: other.executors.kind,
            count: self.executors.count + other.executors.count,
            busy: self.executors.busy + other.executors.busy,
        };
    }

    fn count_several(&mut self, state: &'static str, count: usize) {
        match self.states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum += count,
            None => self.states.push((state, count)),
        }
    }
}

/// A snapshot as a JSON object.
#[derive(Serialize)]
pub(super) struct Document<'a, R> {
    pub model: &'a str,
    pub version: &'a str,
    pub uptime_ms: u64,
    pub draining: bool,
    pub connections: usize,
    pub max_connections: Option<usize>,
    pub executors: Executors,
    pub loop_wait_ms: u64,
    pub system_calls: u64,
    pub counters: serde_json::Map<String, serde_json::Value>,
    pub states: Vec<(&'static str, usize)>,
    pub transitions: Vec<(Transition, u64)>,
    #[serde(rename = "connection_rows")]
    pub rows: R,
}

/// The counters under their names.
pub(super) fn named(counters: &Counters) -> serde_json::Map<String, serde_json::Value> {
    let rows = Counters::ROWS.iter().zip(counters.to_array());
    rows.map(|((name, _), number)| ((*name).into(), number.into()))
        .collect()
}

/// A duration, as a number that JSON's readers have no trouble with.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn milliseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(millis(*time))
}

#[allow(clippy::ref_option, reason = "serde passes a field by reference")]
fn optional_milliseconds<S: serde::Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    time.map(millis).serialize(to)
}
