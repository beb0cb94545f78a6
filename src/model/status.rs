//! What a model publishes for the status page. None of this exists without `--status`.

use super::clock::Clock;
use super::connections::{Connections, Slot, SlotFlags};
use crate::observe::{
    ConnectionRow, Executors, LoopRow, Publisher, Readiness, ResponseTimer, Snapshot, SnapshotStart,
};
use crate::session::{Connection, Counters, Moment, Transitions, Worker};
use std::time::{Duration, Instant};

/// The publishing side of the [hub](crate::observe::StatusHub), for a loop, a thread group or a
/// forking parent.
pub struct Status(Publisher);

/// A snapshot being built. All connections are counted, and some of them are listed.
pub struct SnapshotBuilder {
    start: SnapshotStart,
    snapshot: Snapshot,
    /// Every `stride`-th connection is listed.
    stride: usize,
}

/// The status of a loop, with the transfers of its connections. They are stored here to keep
/// [`Connection`](crate::session::Connection) small.
pub struct LoopStatus {
    status: Status,
    /// The place of the loop among all.
    index: usize,
    /// How long the loop has waited in total.
    loop_wait: Duration,
    /// When its last wait ended.
    turn_began: Moment,
    /// True while somebody watches.
    is_watched: bool,
    /// The next snapshot is taken when this many queued connections have acted.
    sample: Option<usize>,
    /// How many snapshots were taken while connections act.
    samples: u64,
    /// By the connection's key.
    transfers: Vec<Transfers>,
}

/// The connection that acts while a snapshot is taken: its key, and the first state that it entered
/// in this step.
pub type Acting = (usize, Option<&'static str>);

/// What a connection has transferred.
#[derive(Clone, Copy, Default)]
struct Transfers {
    since: Moment,
    received: u64,
    sent: u64,
    timer: ResponseTimer<Moment>,
}

impl Status {
    /// Creates a status; nothing is published yet.
    pub fn new(publisher: Publisher) -> Status {
        Status(publisher)
    }

    /// See [`Publisher::time_until_due`].
    pub fn time_until_due(&self, now: Instant) -> Option<Duration> {
        self.0.time_until_due(now)
    }

    /// Marks the status as draining: see [`StatusHub::drain`](crate::observe::StatusHub::drain).
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Begins a snapshot of `connections` connections, if one is due.
    pub fn begin_if_due(&self, connections: usize, now: Instant) -> Option<SnapshotBuilder> {
        let start = self.0.begin_if_due(now)?;
        Some(self.builder(connections, start))
    }

    /// Begins a snapshot of `connections` connections, even if none is due.
    pub fn begin(&self, connections: usize, now: Instant) -> SnapshotBuilder {
        self.builder(connections, self.0.begin(now))
    }

    fn builder(&self, connections: usize, start: SnapshotStart) -> SnapshotBuilder {
        SnapshotBuilder {
            start,
            snapshot: Snapshot::default(),
            stride: self.0.row_stride(connections),
        }
    }

    /// Publishes a snapshot, which was complete at `end`.
    pub fn publish(&mut self, builder: SnapshotBuilder, end: Instant) {
        self.0.publish(&builder.start, builder.snapshot, end);
    }
}

impl SnapshotBuilder {
    /// Sets what does the work: `count` executors of this kind, of which `busy` have a connection.
    pub fn set_executors(&mut self, kind: &'static str, count: usize, busy: usize) {
        self.snapshot.executors = Executors { kind, count, busy };
    }

    /// Sets how long the loop has waited.
    pub fn set_loop_wait(&mut self, loop_wait: Duration) {
        self.snapshot.loop_wait = loop_wait;
    }

    /// Adds counters and transitions.
    pub fn add(&mut self, counters: &Counters, transitions: Option<&Transitions>) {
        self.snapshot.counters.add(counters);
        if let Some(transitions) = transitions {
            self.snapshot.transitions.add(transitions);
        }
    }

    /// Counts a connection. Lists it if its key is a multiple of the stride.
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

impl LoopStatus {
    /// The status of a loop without connections, which has this place among all.
    pub fn new(publisher: Publisher, index: usize) -> LoopStatus {
        LoopStatus {
            status: Status::new(publisher),
            index,
            loop_wait: Duration::ZERO,
            turn_began: Moment::default(),
            is_watched: false,
            sample: None,
            samples: 0,
            transfers: Vec::new(),
        }
    }

    /// See [`Publisher::time_until_due`].
    pub fn time_until_due(&self, now: Instant) -> Option<Duration> {
        self.status.time_until_due(now)
    }

    /// See [`Status::drain`].
    pub fn drain(&self) {
        self.status.drain();
    }

    /// Adds the time of one wait, which has ended at `end`.
    pub fn add_wait(&mut self, time: Duration, end: Moment) {
        self.loop_wait += time;
        self.turn_began = end;
        let is_watched = self.status.0.is_watched();
        if is_watched && !self.is_watched {
            // What began unwatched is not measured.
            for transfers in &mut self.transfers {
                transfers.timer = ResponseTimer::default();
            }
        }
        self.is_watched = is_watched;
    }

    /// Begins counting the transfers of a new connection.
    pub fn begin(&mut self, key: usize, since: Moment) {
        if key >= self.transfers.len() {
            self.transfers.resize(key + 1, Transfers::default());
        }
        self.transfers[key] = Transfers {
            since,
            ..Transfers::default()
        };
    }

    /// Adds bytes received from a connection's peer and sent to it. Reads the clock if that was the
    /// end of a response and somebody watches.
    #[inline]
    pub fn add(
        &mut self,
        key: usize,
        (received, sent): (u64, u64),
        connection: &Connection,
        worker: &Worker,
    ) {
        let transfers = &mut self.transfers[key];
        transfers.received += received;
        transfers.sent += sent;
        if !self.is_watched {
            return;
        }
        let (timer, next) = (&mut transfers.timer, connection.next());
        if let Some(begun) = timer.step(received, sent, next, self.turn_began) {
            let time = worker.time.exact_moment().since(begun);
            self.status.0.response_times().add(time);
        }
    }

    /// Publishes a snapshot of the loop, if one is due. One for watchers is put off if connections
    /// are queued, until some of them have acted: see [`take_sample`](LoopStatus::take_sample).
    pub fn publish_if_due<S>(
        &mut self,
        connections: &Connections<S>,
        worker: &mut Worker,
        clock: &mut Clock,
        in_flight: fn(&S, &mut dyn FnMut(&'static str)),
    ) {
        let now = worker.time.now();
        if self.time_until_due(now) != Some(Duration::ZERO) {
            return;
        }
        match connections.queued() {
            queued if queued > 0 && !self.status.0.has_query() => {
                self.sample = Some(spread(self.samples, queued));
                self.samples += 1;
            }
            _ => self.publish(connections, None, worker, clock, in_flight),
        }
    }

    /// The place in the run queue of the connection whose step is to be followed by
    /// [`publish`](LoopStatus::publish), if a snapshot was put off. Between turns, nearly all
    /// connections wait for their clients; this shows what they do meanwhile.
    pub fn take_sample(&mut self) -> Option<usize> {
        self.sample.take()
    }

    /// Publishes a snapshot of the loop. `in_flight` calls its second argument with each operation
    /// that is under way for a socket in the kernel.
    pub fn publish<S>(
        &mut self,
        connections: &Connections<S>,
        acting: Option<Acting>,
        worker: &mut Worker,
        clock: &mut Clock,
        in_flight: fn(&S, &mut dyn FnMut(&'static str)),
    ) {
        let mut builder = self.status.begin(connections.len(), worker.time.now());
        builder.set_executors("loops", 1, usize::from(!connections.is_empty()));
        builder.set_loop_wait(self.loop_wait);
        let row = LoopRow::new(self.index, connections.len(), &worker.counters);
        builder.snapshot.loops = vec![row];
        builder.add(&worker.counters, worker.transitions.as_ref());
        for (key, slot) in connections.iter() {
            let acts = acting.filter(|(acting, _)| *acting == key);
            if acting.is_some() && acts.is_none() && slot.flags.contains(SlotFlags::CLOSED) {
                continue;
            }
            let state = acts.and_then(|(_, state)| state);
            let state = state.unwrap_or_else(|| slot.connection.state());
            in_flight(&slot.io, &mut |operation| {
                builder.snapshot.count_in_flight(operation);
            });
            builder.connection(key, state, || {
                let mut row = self.row(key, slot, worker);
                row.state = state;
                if acts.is_some() {
                    row.waits_for = Readiness::Acting;
                }
                in_flight(&slot.io, &mut |operation| row.in_flight.push(operation));
                row
            });
        }
        clock.read(&mut worker.time);
        self.status.publish(builder, worker.time.now());
    }

    fn row<S>(&self, key: usize, slot: &Slot<S>, worker: &Worker) -> ConnectionRow {
        let now = worker.time.moment();
        let transfers = &self.transfers[key];
        ConnectionRow {
            key,
            state: slot.connection.state(),
            waits_for: match slot
                .flags
                .intersects(SlotFlags::QUEUED | SlotFlags::OFFLOADED)
            {
                true => Readiness::Nothing,
                false => slot.connection.next().into(),
            },
            in_flight: Vec::new(),
            received_bytes: transfers.received,
            sent_bytes: transfers.sent,
            age: now.since(transfers.since),
            time_left: slot.connection.deadline(worker).map(|end| end.since(now)),
        }
    }
}

/// A place in a queue of this length. The places of successive samples are spread evenly.
fn spread(sample: u64, length: usize) -> usize {
    // The golden ratio, as a fraction of 2^64.
    let fraction = sample.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(fraction) * length as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{CertificateList, ExecutorKind, ServerInfo, StatusHub};
    use std::sync::Arc;
    use std::task::Waker;

    fn hub() -> Arc<StatusHub> {
        let about = ServerInfo {
            model: "a test",
            waits: "not at all",
            executors: ExecutorKind::Loops,
            why_no_stream: None,
            max_connections: None,
            services: Vec::new(),
            certificates: CertificateList::default(),
        };
        StatusHub::new(about, 1, Instant::now())
    }

    fn row(key: usize, state: &'static str) -> ConnectionRow {
        ConnectionRow {
            in_flight: Vec::new(),
            key,
            state,
            waits_for: Readiness::Nothing,
            received_bytes: 1,
            sent_bytes: 2,
            age: Duration::ZERO,
            time_left: None,
        }
    }

    #[test]
    fn all_connections_are_counted_and_some_are_listed() {
        let (hub, now) = (hub(), Instant::now());
        let mut status = Status::new(hub.publisher(None));
        for (connections, listed) in [(3, 3), (1000, 334)] {
            let mut builder = status.begin(connections, now);
            builder.set_executors("loops", 1, 1);
            for key in 0..connections {
                let state = if key == 0 { "first" } else { "open" };
                builder.connection(key, state, || row(key, state));
            }
            status.publish(builder, now);
            let snapshot = hub.snapshot();
            assert_eq!(snapshot.connections(), connections);
            assert_eq!(snapshot.states, [("first", 1), ("open", connections - 1)]);
            assert_eq!(snapshot.rows.len(), listed);
            assert_eq!(snapshot.executors.kind, "loops");
        }
    }

    #[test]
    fn counters_of_several_workers_are_added() {
        let (hub, now) = (hub(), Instant::now());
        let mut status = Status::new(hub.publisher(None));
        let mut builder = status.begin(0, now);
        let counters = Counters {
            send_calls: 2,
            ..Counters::default()
        };
        builder.add(&counters, None);
        builder.add(&counters, Some(&Transitions::default()));
        builder.set_loop_wait(Duration::from_secs(3));
        status.publish(builder, now);
        let snapshot = hub.snapshot();
        assert_eq!(snapshot.counters.send_calls, 4);
        assert_eq!(snapshot.loop_wait, Duration::from_secs(3));
    }

    #[test]
    fn no_snapshot_is_due_without_a_watcher() {
        let (hub, now) = (hub(), Instant::now());
        let status = Status::new(hub.publisher(Some(Waker::noop().clone())));
        assert!(status.begin_if_due(0, now).is_none());
        assert_eq!(status.time_until_due(now), None);
        let watcher = Arc::default();
        assert!(hub.watch(&watcher));
        assert!(status.begin_if_due(0, now).is_some());
        status.drain();
        assert!(hub.is_draining());
    }

    #[test]
    fn a_loop_publishes_the_transfers_of_its_connections() {
        let (hub, limits) = (hub(), crate::config::Timeouts::default());
        let mut status = LoopStatus::new(hub.publisher(Some(Waker::noop().clone())), 0);
        let in_flight = |(): &(), note: &mut dyn FnMut(&'static str)| {
            ["receive", "send"].into_iter().for_each(note);
        };
        let (mut clock, time) = Clock::start();
        let mut worker = Worker::new(time);
        worker.time_limits = crate::model::timer_queue::time_limits(&limits);
        let mut connections = Connections::new(&worker.time_limits);
        let session: Box<dyn crate::session::Session> = Box::new(Silent);
        let key = connections.vacant_key();
        let connection = crate::session::Connection::open(session, key, &mut worker);
        connections.insert(connection, (), 0);
        status.begin(key, worker.time.moment());
        for bytes in [(3, 4), (2, 0)] {
            status.add(key, bytes, &connections[key].connection, &worker);
        }
        status.publish_if_due(&connections, &mut worker, &mut clock, in_flight);
        assert_eq!(hub.snapshot().connections(), 0, "there is no watcher");
        let watcher = Arc::default();
        assert!(hub.watch(&watcher));
        let acting = (key, Some("a state"));
        for (acting, expected) in [
            (Some(acting), Readiness::Acting),
            (None, Readiness::Nothing),
            (None, Readiness::Read),
        ] {
            status.publish_if_due(&connections, &mut worker, &mut clock, in_flight);
            if let Some(place) = status.take_sample() {
                assert_eq!(place, 0, "the only one in the queue");
                status.publish(&connections, acting, &mut worker, &mut clock, in_flight);
            }
            let snapshot = hub.snapshot();
            let row = snapshot.rows.first().expect("the connection");
            assert_eq!((row.received_bytes, row.sent_bytes), (5, 4));
            assert_eq!(row.in_flight, ["receive", "send"]);
            assert_eq!(snapshot.in_flight, [("receive", 1), ("send", 1)]);
            assert_eq!(row.waits_for, expected, "a new connection is queued first");
            let state = if acting.is_some() { "a state" } else { "open" };
            assert_eq!(row.state, state);
            assert!(row.time_left.is_some_and(|left| left <= limits.idle));
            if acting.is_none() {
                connections.pop_queued();
                connections.begin(key);
            }
            let later = Instant::now() + Duration::from_secs(60);
            worker.time.set(later, std::time::SystemTime::UNIX_EPOCH);
        }
    }

    #[test]
    fn samples_are_spread_over_the_queue() {
        let mut places: Vec<_> = (0..64).map(|sample| spread(sample, 64)).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 48, "{places:?}");
        assert!(places.iter().all(|place| *place < 64));
    }

    struct Silent;

    impl crate::session::Session for Silent {
        fn receive(&mut self, input: &[u8], _: &mut crate::session::Context<'_>) -> usize {
            input.len()
        }
    }
}
