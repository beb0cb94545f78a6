//! Collects snapshots from the loops, and hands them to status clients.
//!
//! A loop publishes only on request; until then it compares two numbers per turn. A client
//! [queries](StatusHub::query) once or [watches](StatusHub::watch), and passes a mailbox for the
//! result. That wakes the loops, and each publishes its own part. Nothing here blocks: the mailbox
//! wakes the client's connection.

use super::certificates::CertificateList;
use super::response_times::ResponseTimes;
use super::snapshot::{ConnectionRow, Document, MAX_LOOPS, MAX_ROWS, Snapshot, certificate_rows};
use super::snapshot::{counters_by_name, millis};
use crate::session::{BUFFER_SIZE, Mailbox, Transition};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// The shortest time between two events for watchers.
const EVENT_INTERVAL: Duration = Duration::from_millis(200);

/// The most watchers. Each keeps a connection open, and costs an event of up to 32 KiB five times a
/// second.
const MAX_WATCHERS: usize = 8;

/// How long a server is observed after a client has asked for one event.
const OBSERVED: Duration = Duration::from_secs(5);

/// A loop spends at most 1/100 of its time on snapshots.
const MAX_TIME_SHARE: u32 = 100;

/// The part of the status that does not change.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The model's name.
    pub model: &'static str,
    /// A sentence on how the model waits.
    pub waits: &'static str,
    /// What serves the connections.
    pub executors: ExecutorKind,
    /// Why `/events` sends one event per request instead of a stream, if the model cannot serve
    /// watchers side by side.
    pub why_no_stream: Option<&'static str>,
    /// The most connections at once, if the model has such a limit.
    pub max_connections: Option<usize>,
    /// The name of each service, and the state transitions of its sessions.
    pub services: Vec<(String, Vec<Transition>)>,
    /// The certificates of encrypted addresses.
    pub certificates: CertificateList,
}

/// What serves the connections, as far as it matters to what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorKind {
    /// Loops, which take turns.
    Loops,
    /// Threads or tasks of this process.
    Threads,
    /// Processes, which the one that makes the snapshots does not see into.
    Processes,
}

/// The snapshots of all loops, and the clients that wait for them.
pub struct StatusHub {
    info: ServerInfo,
    began: Instant,
    /// The number of loops that publish.
    loops: usize,
    parts: Mutex<Vec<Part>>,
    /// How many queries were made.
    query_count: AtomicU64,
    /// Queries without a result yet.
    queries: Mutex<Vec<Query>>,
    watchers: Mutex<Vec<Weak<Mailbox>>>,
    /// True if there are watchers.
    watched: AtomicBool,
    /// Until when the server is observed without watchers, in milliseconds since it began.
    observed_until: AtomicU64,
    response_times: ResponseTimes,
    draining: AtomicBool,
}

/// A query that waits until all loops have published.
struct Query {
    /// Its number, counted from 1.
    ticket: u64,
    mailbox: Arc<Mailbox>,
    format: fn(&StatusHub) -> Vec<u8>,
}

/// The part of one loop.
#[derive(Default)]
struct Part {
    snapshot: Snapshot,
    /// The last query that the snapshot satisfies.
    answered: u64,
    /// Wakes the loop.
    waker: Option<Waker>,
}

/// A loop's side of the hub.
pub struct Publisher {
    hub: Arc<StatusHub>,
    part: usize,
    answered: u64,
    next: Option<Instant>,
}

/// When a snapshot was begun, and the last query that it satisfies.
pub struct SnapshotStart {
    query_count: u64,
    begin: Instant,
}

impl StatusHub {
    /// Creates a hub for `loops` loops.
    pub fn new(info: ServerInfo, loops: usize, now: Instant) -> Arc<StatusHub> {
        Arc::new(StatusHub {
            info,
            began: now,
            loops,
            parts: Mutex::default(),
            query_count: AtomicU64::new(0),
            queries: Mutex::default(),
            watchers: Mutex::default(),
            watched: AtomicBool::new(false),
            observed_until: AtomicU64::new(0),
            response_times: ResponseTimes::default(),
            draining: AtomicBool::new(false),
        })
    }

    /// The part of the status that does not change.
    pub fn server_info(&self) -> &ServerInfo {
        &self.info
    }

    /// Registers a loop. Queries wake it by `waker`. Without a waker, it publishes by itself and
    /// queries do not wait for it.
    pub fn publisher(self: &Arc<StatusHub>, waker: Option<Waker>) -> Publisher {
        let mut parts = self.parts();
        parts.push(Part {
            answered: if waker.is_some() { 0 } else { u64::MAX },
            waker,
            ..Part::default()
        });
        Publisher {
            hub: self.clone(),
            part: parts.len() - 1,
            answered: 0,
            next: None,
        }
    }

    /// Asks all loops to publish. Once all have, `format` makes the content for the mailbox, which
    /// then ends.
    pub fn query(&self, mailbox: Arc<Mailbox>, format: fn(&StatusHub) -> Vec<u8>) {
        let mut queries = self.queries();
        let ticket = self.query_count.fetch_add(1, SeqCst) + 1;
        queries.push(Query {
            ticket,
            mailbox,
            format,
        });
        drop(queries);
        self.wake();
        self.finish_queries();
    }

    /// Finishes the queries that every loop has published for.
    fn finish_queries(&self) {
        let parts = self.parts();
        let all_registered = parts.len() == self.loops;
        let answered = parts.iter().map(|part| part.answered).min();
        drop(parts);
        let answered = answered.filter(|_| all_registered).unwrap_or(0);
        let mut queries = self.queries();
        let ready: Vec<_> = queries
            .extract_if(.., |query| query.ticket <= answered)
            .collect();
        drop(queries);
        for Query {
            mailbox, format, ..
        } in ready
        {
            for part in format(self).chunks(BUFFER_SIZE) {
                mailbox.put(&part.into());
            }
            mailbox.end();
        }
    }

    /// Puts an [event](StatusHub::event) into the mailbox several times a second, until the mailbox
    /// is dropped. A slow reader misses events; it never gets stale ones.
    ///
    /// Returns false if there are too many watchers.
    pub fn watch(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut watchers = self.watchers();
        watchers.retain(|mailbox| mailbox.strong_count() > 0);
        if watchers.len() >= MAX_WATCHERS {
            return false;
        }
        watchers.push(Arc::downgrade(mailbox));
        drop(watchers);
        self.watched.store(true, SeqCst);
        self.wake();
        true
    }

    /// Call this when a client asks for one event: more will follow.
    pub fn observe(&self, now: Instant) {
        let until = now + OBSERVED;
        let until = millis(until.saturating_duration_since(self.began));
        self.observed_until.fetch_max(until, SeqCst);
    }

    /// True while somebody watches. Only then are response times measured.
    pub fn is_observed(&self, now: Instant) -> bool {
        self.watched.load(SeqCst) || {
            let until = self.observed_until.load(SeqCst);
            until > 0 && millis(now.saturating_duration_since(self.began)) < until
        }
    }

    /// The response times of all connections.
    pub fn response_times(&self) -> &ResponseTimes {
        &self.response_times
    }

    /// Marks the server as about to stop.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// True after [`drain`](StatusHub::drain).
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// The sum of the last snapshots of all loops.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for part in &*self.parts() {
            sum.add(&part.snapshot);
        }
        sum
    }

    /// The same as JSON.
    pub fn json(&self) -> Vec<u8> {
        let snapshot = self.snapshot();
        self.document(&snapshot, &snapshot.rows)
    }

    /// The same as a server-sent event (HTML standard), with each connection as an array of
    /// numbers. It fits in a mailbox.
    pub fn event(&self) -> Vec<u8> {
        let mut snapshot = self.snapshot();
        loop {
            let rows: Vec<_> = snapshot
                .rows
                .iter()
                .map(|row| row_as_array(&snapshot, row))
                .collect();
            let mut event = b"retry: 300\r\ndata: ".to_vec();
            event.extend(self.document(&snapshot, rows));
            event.extend(b"\r\n\r\n");
            if event.len() <= BUFFER_SIZE {
                return event;
            }
            snapshot.rows.truncate(snapshot.rows.len() / 2);
        }
    }

    fn document<R: serde::Serialize>(&self, snapshot: &Snapshot, rows: R) -> Vec<u8> {
        let document = Document {
            model: self.info.model,
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: millis(snapshot.uptime),
            draining: self.is_draining(),
            connections: snapshot.connections(),
            max_connections: self.info.max_connections,
            executors: snapshot.executors,
            loops: &snapshot.loops[..snapshot.loops.len().min(MAX_LOOPS)],
            loop_wait_ms: millis(snapshot.loop_wait),
            system_calls: snapshot.counters.system_calls(),
            counters: counters_by_name(&snapshot.counters),
            states: snapshot.states.clone(),
            in_flight: snapshot.in_flight.clone(),
            response_times_us: self.response_times.counts(),
            transitions: snapshot.transitions.iter().collect(),
            certificates: certificate_rows(&self.info.certificates.current()),
            rows,
        };
        serde_json::to_vec(&document).expect("all fields can be serialized")
    }

    /// Sends an event to each watcher that has read the previous one.
    fn send_events(&self) {
        let mut watchers = self.watchers();
        watchers.retain(|mailbox| mailbox.strong_count() > 0);
        if !watchers.is_empty() {
            let event = self.event().into();
            let mailboxes = watchers.iter().filter_map(Weak::upgrade);
            for mailbox in mailboxes.filter(|mailbox| mailbox.is_empty()) {
                mailbox.put(&event);
            }
        }
        if watchers.is_empty() {
            self.watched.store(false, SeqCst);
        }
    }

    fn wake(&self) {
        for part in &*self.parts() {
            if let Some(waker) = &part.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queries(&self) -> MutexGuard<'_, Vec<Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<Mailbox>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection as an array of numbers. States and operations are places in the snapshot's lists.
#[allow(clippy::type_complexity, reason = "it is only serialized")]
fn row_as_array(
    snapshot: &Snapshot,
    row: &ConnectionRow,
) -> (usize, usize, u8, Vec<usize>, u64, u64, u64, Option<u64>) {
    let place = |list: &[(&str, usize)], name| {
        let mut names = list.iter();
        names.position(|(known, _)| *known == name)
    };
    let in_flight = row.in_flight.iter();
    (
        row.key,
        place(&snapshot.states, row.state).unwrap_or(usize::MAX),
        row.waits_for as u8,
        in_flight
            .filter_map(|name| place(&snapshot.in_flight, name))
            .collect(),
        row.received_bytes,
        row.sent_bytes,
        millis(row.age),
        row.time_left.map(millis),
    )
}

impl Publisher {
    /// How long the loop may wait until it must publish. `None` if no query or watcher waits.
    pub fn time_until_due(&self, now: Instant) -> Option<Duration> {
        let hub = &self.hub;
        if self.has_query() {
            return Some(Duration::ZERO);
        }
        let watched = hub.watched.load(SeqCst);
        let left = |next: Instant| next.saturating_duration_since(now);
        watched.then(|| self.next.map_or(Duration::ZERO, left))
    }

    /// Begins a snapshot if one is due.
    pub fn begin_if_due(&self, now: Instant) -> Option<SnapshotStart> {
        let is_wanted = self.time_until_due(now).is_some_and(|left| left.is_zero());
        is_wanted.then(|| self.begin(now))
    }

    /// Begins a snapshot. It does not satisfy queries made from now on.
    pub fn begin(&self, now: Instant) -> SnapshotStart {
        SnapshotStart {
            query_count: self.hub.query_count.load(SeqCst),
            begin: now,
        }
    }

    /// Publishes a snapshot that was complete at `end`.
    pub fn publish(&mut self, start: &SnapshotStart, mut snapshot: Snapshot, end: Instant) {
        let cost = end.saturating_duration_since(start.begin);
        self.next = Some(end + EVENT_INTERVAL.max(cost * MAX_TIME_SHARE));
        self.answered = start.query_count;
        snapshot.uptime = end.saturating_duration_since(self.hub.began);
        let mut parts = self.hub.parts();
        let part = &mut parts[self.part];
        part.snapshot = snapshot;
        part.answered = part.answered.max(start.query_count);
        drop(parts);
        self.hub.finish_queries();
        if self.part == 0 {
            self.hub.send_events();
        }
    }

    /// A snapshot lists one in this many connections.
    pub fn row_stride(&self, connections: usize) -> usize {
        (connections * self.hub.loops).div_ceil(MAX_ROWS).max(1)
    }

    /// True while somebody watches.
    pub fn is_watched(&self) -> bool {
        self.hub.watched.load(SeqCst)
    }

    /// True if a query waits for the loop.
    pub fn has_query(&self) -> bool {
        self.hub.query_count.load(SeqCst) != self.answered
    }

    /// The response times of all connections.
    pub fn response_times(&self) -> &ResponseTimes {
        &self.hub.response_times
    }

    /// See [`StatusHub::drain`].
    pub fn drain(&self) {
        self.hub.drain();
    }
}

impl Drop for Publisher {
    /// Releases queries from waiting for a loop that has ended.
    fn drop(&mut self) {
        let mut parts = self.hub.parts();
        let part = &mut parts[self.part];
        part.answered = u64::MAX;
        part.waker = None;
        part.snapshot.states.clear();
        part.snapshot.in_flight.clear();
        part.snapshot.rows.clear();
        drop(parts);
        self.hub.finish_queries();
    }
}
