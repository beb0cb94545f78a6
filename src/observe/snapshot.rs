//! A snapshot of a server: its counters and the state of its connections.

use super::certificates::CertificateInfo;
use crate::session::{Action, Counters, Transition, Transitions};
use serde::Serialize;
use std::time::Duration;

/// The most connections that a snapshot lists individually. The others are only counted.
pub const MAX_ROWS: usize = 400;

/// A server, or one of its loops, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Time since the start.
    pub uptime: Duration,
    /// What was done since the start.
    pub counters: Counters,
    /// How long the loops have waited for events, added up.
    pub loop_wait: Duration,
    /// The number of connections in each state.
    pub states: Vec<(&'static str, usize)>,
    /// The number of operations on connections that are under way in the kernel, of each kind.
    pub in_flight: Vec<(&'static str, usize)>,
    /// The number of transitions between states.
    pub transitions: Transitions,
    /// An even sample of the connections; all of them if they are few.
    pub rows: Vec<ConnectionRow>,
    /// What serves the connections.
    pub executors: Executors,
    /// Each event loop.
    pub loops: Vec<LoopRow>,
}

/// What one of several event loops has done, and what it has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoopRow {
    /// Its place among the loops.
    pub index: usize,
    /// Its open connections.
    pub connections: usize,
    /// [`Counters::accepted_connections`]
    pub accepted_connections: u64,
    /// [`Counters::listener_events`]
    pub listener_events: u64,
    /// [`Counters::vain_listener_events`]
    pub vain_listener_events: u64,
}

impl LoopRow {
    /// The row of a loop that has done this.
    pub fn new(index: usize, connections: usize, counters: &Counters) -> LoopRow {
        LoopRow {
            index,
            connections,
            accepted_connections: counters.accepted_connections,
            listener_events: counters.listener_events,
            vain_listener_events: counters.vain_listener_events,
        }
    }
}

/// What serves the connections: loops, threads or processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Executors {
    /// `loops`, `threads` or `processes`.
    pub kind: &'static str,
    /// How many exist.
    pub count: usize,
    /// How many have at least one connection.
    pub busy: usize,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// Its key in the loop, or its process ID.
    pub key: usize,
    /// The state of its session.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: Readiness,
    /// The operations that are under way for it in the kernel.
    pub in_flight: Vec<&'static str>,
    /// Bytes received from the client.
    pub received_bytes: u64,
    /// Bytes sent to the client.
    pub sent_bytes: u64,
    /// Time since it was accepted.
    #[serde(rename = "age_ms", serialize_with = "milliseconds")]
    pub age: Duration,
    /// Time until its deadline, if it has one.
    #[serde(rename = "time_left_ms", serialize_with = "optional_milliseconds")]
    pub time_left: Option<Duration>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Input from the client.
    Read,
    /// Room to send to the client.
    Write,
    /// Nothing from the client: it is about to be served, or waits for other work.
    Nothing,
    /// It waits for nothing: it acts at this moment.
    Acting,
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
    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.states.iter().map(|(_, count)| count).sum()
    }

    /// Counts a connection in a state.
    pub fn count(&mut self, state: &'static str) {
        count_several(&mut self.states, state, 1);
    }

    /// Counts an operation that is under way in the kernel.
    pub fn count_in_flight(&mut self, operation: &'static str) {
        count_several(&mut self.in_flight, operation, 1);
    }

    /// Adds the snapshot of another loop.
    pub fn add(&mut self, other: &Snapshot) {
        self.uptime = self.uptime.max(other.uptime);
        self.counters.add(&other.counters);
        self.loop_wait += other.loop_wait;
        for (state, count) in &other.states {
            count_several(&mut self.states, state, *count);
        }
        for (operation, count) in &other.in_flight {
            count_several(&mut self.in_flight, operation, *count);
        }
        self.transitions.add(&other.transitions);
        self.rows.extend_from_slice(&other.rows);
        self.loops.extend_from_slice(&other.loops);
        self.loops.sort_unstable_by_key(|row| row.index);
        self.executors = Executors {
            kind: other.executors.kind,
            count: self.executors.count + other.executors.count,
            busy: self.executors.busy + other.executors.busy,
        };
    }
}

/// Adds to the count of a name.
fn count_several(counts: &mut Vec<(&'static str, usize)>, name: &'static str, count: usize) {
    match counts.iter_mut().find(|(known, _)| *known == name) {
        Some((_, sum)) => *sum += count,
        None => counts.push((name, count)),
    }
}

/// The JSON form of a snapshot.
#[derive(Serialize)]
pub(super) struct Document<'a, R> {
    pub model: &'a str,
    pub version: &'a str,
    pub uptime_ms: u64,
    pub draining: bool,
    pub connections: usize,
    pub max_connections: Option<usize>,
    pub executors: Executors,
    pub loops: &'a [LoopRow],
    pub loop_wait_ms: u64,
    pub system_calls: u64,
    pub counters: serde_json::Map<String, serde_json::Value>,
    pub states: Vec<(&'static str, usize)>,
    pub in_flight: Vec<(&'static str, usize)>,
    pub response_times_us: Vec<(u64, u64)>,
    pub transitions: Vec<(Transition, u64)>,
    pub certificates: Vec<CertificateRow>,
    #[serde(rename = "connection_rows")]
    pub rows: R,
}

/// The most loops in the JSON form: the first ones. An event must fit in a mailbox.
pub(super) const MAX_LOOPS: usize = 32;

/// The most certificates in the JSON form: those that expire first.
const MAX_CERTIFICATES: usize = 8;

/// A certificate in the JSON form.
#[derive(Serialize)]
pub(super) struct CertificateRow {
    file: String,
    /// The first name that it is for.
    name: String,
    /// When it expires, in seconds since the epoch.
    expires: i64,
}

/// The certificates that expire first.
pub(super) fn certificate_rows(all: &[CertificateInfo]) -> Vec<CertificateRow> {
    let rows = all.iter().map(|one| CertificateRow {
        file: one.file.display().to_string(),
        name: one.names.first().cloned().unwrap_or_default(),
        expires: one.validity.end,
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.expires);
    rows.truncate(MAX_CERTIFICATES);
    rows
}

/// The counters by name.
pub(super) fn counters_by_name(counters: &Counters) -> serde_json::Map<String, serde_json::Value> {
    let rows = Counters::ROWS.iter().zip(counters.to_array());
    rows.map(|((name, _), number)| ((*name).into(), number.into()))
        .collect()
}

/// A duration in milliseconds.
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
