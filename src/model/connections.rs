//! The connections of a loop: the run queue, the deadlines, and which have closed.
//!
//! This file does not know how the loop waits, nor what it does for a connection.

use super::timer_queue::TimerQueue;
use crate::session::{Connection, MIN_IDLE_AGE, Moment, TimeLimits, Timeout};
use bitflags::bitflags;
use slab::Slab;
use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::time::Duration;

/// How many connections are checked to find one to close, so that a turn stays short.
const MAX_CHECKED: usize = 256;

/// How long a connection that has sent no request must have been silent, or in its handshake, before
/// it may be closed to make room.
const MIN_FIRST_AGE: Duration = Duration::from_secs(1);

bitflags! {
    /// What has happened to a connection.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SlotFlags: u8 {
        /// It is in the run queue.
        const QUEUED = 1;
        /// Its deadline has passed.
        const EXPIRED = 2;
        /// Its waker was woken.
        const WOKEN = 4;
        /// A thread reads or sends its file.
        const OFFLOADED = 8;
        /// It has closed.
        const CLOSED = 16;
    }
}

/// A connection and its socket.
pub struct Slot<S> {
    /// The protocol's side: what to do with the socket.
    pub connection: Connection,
    /// The socket, with what the loop knows of it.
    pub io: S,
    /// What has happened to it.
    pub flags: SlotFlags,
    /// The index of its service in the permits.
    pub service: u16,
}

/// The connections of a loop, by key. A key is not reused before the end of the turn in which its
/// connection closes.
pub struct Connections<S> {
    slots: Slab<Slot<S>>,
    /// The run queue: connections that have something to do, each once.
    queue: VecDeque<usize>,
    /// Connections that have used up their budget of this turn. At its end they are queued behind
    /// those that have not acted yet.
    served: Vec<usize>,
    /// Connections that have closed in this turn.
    closed: Vec<usize>,
    timers: TimerQueue,
}

impl<S> Slot<S> {
    /// Clears a flag. Returns true if it was set.
    pub fn take_flag(&mut self, flag: SlotFlags) -> bool {
        let was_set = self.flags.contains(flag);
        self.flags.remove(flag);
        was_set
    }
}

impl<S> Connections<S> {
    /// No connections yet. `limits` are their timeouts.
    pub fn new(limits: &TimeLimits) -> Connections<S> {
        Connections {
            slots: Slab::new(),
            queue: VecDeque::new(),
            served: Vec::new(),
            closed: Vec::new(),
            timers: TimerQueue::new(limits),
        }
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there are no connections.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The key that [`insert`](Connections::insert) will return next.
    pub fn vacant_key(&self) -> usize {
        self.slots.vacant_key()
    }

    /// Adds a connection of a service, and queues it. Returns its key.
    pub fn insert(&mut self, connection: Connection, io: S, service: usize) -> usize {
        let key = self.slots.insert(Slot {
            connection,
            io,
            flags: SlotFlags::QUEUED,
            service: u16::try_from(service).expect("there are fewer listeners than ports"),
        });
        self.queue.push_back(key);
        key
    }

    /// The connection with this key, if there is one.
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Slot<S>> {
        self.slots.get_mut(key)
    }

    /// The connection with this key, if there is one.
    pub fn get(&self, key: usize) -> Option<&Slot<S>> {
        self.slots.get(key)
    }

    /// All connections, with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Slot<S>)> {
        self.slots.iter()
    }

    /// Queues a connection, unless it is queued already. Returns `None` if the key is not in use.
    pub fn enqueue(&mut self, key: usize) -> Option<&mut Slot<S>> {
        let slot = self.slots.get_mut(key)?;
        if slot.flags.contains(SlotFlags::CLOSED) {
            return None;
        }
        if !slot.flags.contains(SlotFlags::QUEUED) {
            slot.flags.insert(SlotFlags::QUEUED);
            self.queue.push_back(key);
        }
        Some(slot)
    }

    /// Calls `change` for each connection, and queues it.
    pub fn enqueue_all(&mut self, change: impl Fn(&mut Slot<S>)) {
        for (key, slot) in &mut self.slots {
            change(slot);
            if !slot.flags.intersects(SlotFlags::QUEUED | SlotFlags::CLOSED) {
                slot.flags.insert(SlotFlags::QUEUED);
                self.queue.push_back(key);
            }
        }
    }

    /// Queues a connection behind all others of this turn: its budget is used up.
    pub fn enqueue_served(&mut self, key: usize) {
        self.slots[key].flags.insert(SlotFlags::QUEUED);
        self.served.push(key);
    }

    /// The length of the run queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Takes the first key from the queue.
    pub fn pop_queued(&mut self) -> Option<usize> {
        self.queue.pop_front()
    }

    /// Begins a connection's turn, after its key was taken from the queue.
    pub fn begin(&mut self, key: usize) -> &mut Slot<S> {
        let slot = &mut self.slots[key];
        slot.flags.remove(SlotFlags::QUEUED);
        slot
    }

    /// Ends the turn: queues the connections that have used up their budget, and calls `remove`
    /// with each one that has closed.
    pub fn end_turn(&mut self, mut remove: impl FnMut(Slot<S>)) {
        // Usually there are none.
        if !self.served.is_empty() {
            self.queue.extend(self.served.drain(..));
        }
        for key in self.closed.drain(..) {
            remove(self.slots.remove(key));
        }
    }

    /// Starts the timer for a connection's current wait.
    pub fn start_deadline(&mut self, key: usize) {
        let (kind, since) = self.slots[key].connection.waiting();
        self.timers.start(key, kind, since);
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Moment> {
        self.timers.next_deadline()
    }

    /// Queues the connections whose deadlines have passed.
    pub fn expire(&mut self, now: Moment) {
        while let Some(key) = self.timers.pop_expired(now) {
            self.expire_one(key);
        }
    }

    /// Queues a connection as if its deadline had passed.
    pub fn expire_one(&mut self, key: usize) {
        if let Some(slot) = self.enqueue(key) {
            slot.flags.insert(SlotFlags::EXPIRED);
        }
    }

    /// Queues a connection that was woken. The key may belong to another connection by now; an
    /// extra wake does no harm.
    pub fn wake(&mut self, key: usize) {
        if let Some(slot) = self.enqueue(key) {
            slot.flags.insert(SlotFlags::WOKEN);
        }
    }

    /// The connection to close to make room: the one that has been idle longest, of those whose
    /// service `helps`, if it has been idle long enough.
    pub fn oldest_idle(&self, now: Moment, helps: impl Fn(usize) -> bool) -> Option<usize> {
        let may_go = |key: &usize| {
            let slot = &self.slots[*key];
            !slot.flags.contains(SlotFlags::EXPIRED) && helps(slot.service.into())
        };
        let waited = |key: &usize| now.since(self.slots[*key].connection.waiting().1);
        [
            (Timeout::Linger, MIN_IDLE_AGE),
            (Timeout::Idle, MIN_IDLE_AGE),
            (Timeout::First, MIN_FIRST_AGE),
            (Timeout::Handshake, MIN_FIRST_AGE),
        ]
        .into_iter()
        .find_map(|(kind, age)| {
            let oldest = self.timers.waiting(kind).take(MAX_CHECKED).find(may_go);
            oldest.filter(|key| waited(key) >= age)
        })
    }

    /// Closes a connection: from now on it is neither queued nor woken. Its key is reserved until
    /// [`free`](Connections::free).
    pub fn close(&mut self, key: usize) {
        self.timers.stop(key);
        let slot = &mut self.slots[key];
        slot.flags.insert(SlotFlags::CLOSED);
        if slot.take_flag(SlotFlags::QUEUED) {
            self.queue.retain(|queued| *queued != key);
            self.served.retain(|served| *served != key);
        }
    }

    /// Frees a closed connection for which no operation is under way. It is removed at the
    /// [end](Connections::end_turn) of the turn: until then its key is not reused.
    pub fn free(&mut self, key: usize) {
        self.closed.push(key);
    }
}

impl<S> Index<usize> for Connections<S> {
    type Output = Slot<S>;

    fn index(&self, key: usize) -> &Slot<S> {
        &self.slots[key]
    }
}

impl<S> IndexMut<usize> for Connections<S> {
    fn index_mut(&mut self, key: usize) -> &mut Slot<S> {
        &mut self.slots[key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::timer_queue;
    use crate::session::{Context, Session, Time, Wait, Worker};
    use std::time::{Instant, SystemTime};

    /// A session that waits with the timeout it is given.
    struct Waits(Timeout);

    impl Session for Waits {
        fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
            input.len()
        }

        fn waits_for(&self) -> Wait {
            Wait::Bytes(self.0)
        }
    }

    struct Test {
        connections: Connections<()>,
        worker: Worker,
        start: Instant,
    }

    impl Test {
        fn new() -> Test {
            let start = Instant::now();
            Test {
                connections: Connections::new(&timer_queue::time_limits(
                    &config::Timeouts::default(),
                )),
                worker: Worker::new(Time::new(start, SystemTime::UNIX_EPOCH)),
                start,
            }
        }

        /// Sets the time since the start.
        fn set_time(&mut self, seconds: f64) -> Moment {
            let now = self.start + Duration::from_secs_f64(seconds);
            self.worker.time.set(now, SystemTime::UNIX_EPOCH);
            self.worker.time.moment()
        }

        /// Adds a connection of service 1 that waits from now on.
        fn add(&mut self, timeout: Timeout) -> usize {
            let session: Box<dyn Session> = Box::new(Waits(timeout));
            let key = self.connections.vacant_key();
            let connection = Connection::open(session, key, &mut self.worker);
            assert_eq!(self.connections.insert(connection, (), 1), key);
            self.connections.start_deadline(key);
            key
        }

        /// Takes all keys from the queue.
        fn queue(&mut self) -> Vec<usize> {
            let mut keys = Vec::new();
            for _ in 0..self.connections.queued() {
                let key = self.connections.pop_queued().expect("it was counted");
                self.connections.begin(key);
                keys.push(key);
            }
            keys
        }

        /// Ends the turn. Returns how many connections were removed.
        fn end_turn(&mut self) -> usize {
            let mut removed = 0;
            self.connections.end_turn(|_| removed += 1);
            removed
        }
    }

    #[test]
    fn a_connection_is_queued_once_for_several_events() {
        let mut test = Test::new();
        let keys = [0, 1].map(|_| test.add(Timeout::Idle));
        assert_eq!(test.queue(), keys, "new connections are queued");
        test.connections.wake(keys[1]);
        test.connections.expire_one(keys[1]);
        assert!(test.connections.enqueue(keys[1]).is_some());
        assert!(test.connections.enqueue(99).is_none());
        test.connections.wake(99);
        assert_eq!(test.queue(), [keys[1]]);
        let slot = &mut test.connections[keys[1]];
        assert!(slot.take_flag(SlotFlags::WOKEN) && !slot.take_flag(SlotFlags::WOKEN));
        assert_eq!(slot.flags, SlotFlags::EXPIRED);
        test.connections
            .enqueue_all(|slot| slot.flags |= SlotFlags::WOKEN);
        assert_eq!(test.queue(), keys);
    }

    #[test]
    fn a_connection_with_no_budget_left_is_queued_behind_the_others() {
        let mut test = Test::new();
        let keys = [0, 1, 2].map(|_| test.add(Timeout::Idle));
        test.queue();
        test.connections.enqueue_served(keys[0]);
        test.connections.enqueue(keys[0]);
        test.connections.enqueue(keys[2]);
        assert_eq!(test.end_turn(), 0);
        test.connections.enqueue(keys[1]);
        assert_eq!(test.queue(), [keys[2], keys[0], keys[1]]);
    }

    #[test]
    fn an_expired_deadline_queues_its_connection_and_a_new_wait_moves_it() {
        let mut test = Test::new();
        let head = test.add(Timeout::Head);
        let forever = test.add(Timeout::Forever);
        test.queue();
        let deadline = test.connections.deadline().expect("one of two");
        let before = test.set_time(1.0);
        assert!(before < deadline);
        test.connections.expire(before);
        assert!(test.queue().is_empty());
        test.connections.expire(deadline);
        assert_eq!(test.queue(), [head]);
        assert!(test.connections[head].take_flag(SlotFlags::EXPIRED));
        assert_eq!(test.connections[forever].flags, SlotFlags::empty());
        assert_eq!(test.connections.deadline(), None);
        test.connections.start_deadline(head);
        assert_eq!(test.connections.deadline(), Some(deadline));
        test.connections.close(head);
        test.connections.free(head);
        assert_eq!(test.connections.deadline(), None);
    }

    #[test]
    fn a_closed_connection_keeps_its_key_until_the_end_of_the_turn() {
        let mut test = Test::new();
        let key = test.add(Timeout::Idle);
        test.connections.close(key);
        test.connections.free(key);
        assert!(test.queue().is_empty(), "it was queued");
        assert!(test.connections.get(key).is_some());
        assert_ne!(test.connections.vacant_key(), key);
        assert_eq!(test.end_turn(), 1);
        assert!(test.connections.is_empty() && test.connections.get(key).is_none());
        assert_eq!(test.add(Timeout::Idle), key);
        assert_eq!(test.connections.len(), 1);
    }

    #[test]
    fn the_oldest_idle_connection_is_closed_to_make_room() {
        let mut test = Test::new();
        test.add(Timeout::Head);
        let first = test.add(Timeout::First);
        let idle = test.add(Timeout::Idle);
        let now = test.set_time(0.05);
        assert_eq!(
            test.connections.oldest_idle(now, |_| true),
            None,
            "too soon"
        );
        let younger = test.add(Timeout::Idle);
        let now = test.set_time(0.2);
        assert_eq!(test.connections.oldest_idle(now, |from| from == 0), None);
        for (seconds, expected) in [
            (0.2, Some(idle)),
            (0.2, Some(younger)),
            (0.9, None),
            (1.1, Some(first)),
            (1.1, None),
        ] {
            let now = test.set_time(seconds);
            let found = test.connections.oldest_idle(now, |from| from == 1);
            assert_eq!(found, expected);
            found
                .into_iter()
                .for_each(|key| test.connections.expire_one(key));
        }
    }
}
