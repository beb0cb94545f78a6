//! The loops of a server, and how they share its listening sockets (`--accept`).
//!
//! Each loop knows the others here and nowhere else. It wakes them, and with `--accept handover` the
//! first loop puts accepted connections into their inboxes. Nothing here waits: locks are held for
//! moments.

use crate::config::Accept;
use crate::model::listeners::Listeners;
use crate::model::wake_queue::WakeQueue;
use crate::poller::ReadySet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The key of a waker that wakes only the loop, and no connection.
pub(super) const NO_CONNECTION: usize = usize::MAX;

/// The key of a waker that says: clients wait at the listeners, and another loop cannot accept them.
pub(super) const CLIENTS_WAIT: usize = usize::MAX - 1;

/// The loop that accepts for all with `--accept handover`.
const ACCEPTOR: usize = 0;

/// The room of a loop that has not published it. No loop runs before all have.
const UNKNOWN: usize = usize::MAX;

/// An accepted connection, on its way to the loop that serves it.
pub(super) struct Handed {
    /// The listener that it came from.
    pub listener: usize,
    /// Its socket.
    pub socket: OwnedFd,
    /// The client's address, unless it is unnamed.
    pub peer: Option<IpAddr>,
}

/// What other loops see of a loop.
struct Member {
    queue: Arc<WakeQueue>,
    /// Wakes it to accept.
    accept: Waker,
    /// Wakes it to look into its inbox.
    look: Waker,
    /// Connections handed to it. `None` when it takes no more.
    inbox: Mutex<Option<Vec<Handed>>>,
    /// How many connections were handed to it that its other figures do not contain yet.
    handed: AtomicUsize,
    /// How many connections it has.
    open: AtomicUsize,
    /// How many more connections it may have from each of its listeners.
    free: Vec<AtomicUsize>,
}

/// A loop's view of all loops.
#[derive(Clone)]
pub(super) struct Siblings {
    accept: Accept,
    members: Arc<[Member]>,
    /// Another loop may take a connection that waits at a listener of this one.
    shares: bool,
    /// What this loop watches its listeners for.
    interest: ReadySet,
    /// The place of this loop.
    own: usize,
    /// Where the next search for a loop begins, so that loops with equally many connections take
    /// turns.
    next: usize,
}

impl Siblings {
    /// The views of loops with so many listeners each, in their order.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn of(listeners: &[usize], accept: Accept) -> io::Result<Vec<Siblings>> {
        let members = listeners.iter().map(|count| {
            let queue = WakeQueue::new()?;
            Ok(Member {
                accept: queue.waker(CLIENTS_WAIT),
                look: queue.waker(NO_CONNECTION),
                queue,
                inbox: Mutex::new(Some(Vec::new())),
                handed: AtomicUsize::new(0),
                open: AtomicUsize::new(0),
                free: (0..*count).map(|_| AtomicUsize::new(UNKNOWN)).collect(),
            })
        });
        let members: Arc<[Member]> = members.collect::<io::Result<Vec<_>>>()?.into();
        let view = |own| Siblings {
            accept,
            members: members.clone(),
            shares: accept != Accept::Reuseport && members.len() > 1,
            interest: interest(accept, own),
            own,
            next: own,
        };
        Ok((0..members.len()).map(view).collect())
    }

    /// The wake queue of this loop.
    pub fn wake_queue(&self) -> Arc<WakeQueue> {
        self.members[self.own].queue.clone()
    }

    /// The place of this loop among all.
    pub fn own(&self) -> usize {
        self.own
    }

    /// True if another loop may take a connection that waits at a listener of this one.
    pub fn share_listeners(&self) -> bool {
        self.shares
    }

    /// What this loop watches its listeners for. Nothing if another loop accepts for it.
    pub fn interest(&self) -> ReadySet {
        self.interest
    }

    /// True if this loop alone is told of waiting clients, so that it must wake others when it cannot
    /// accept.
    fn is_told_alone(&self) -> bool {
        self.share_listeners() && self.accept != Accept::Shared
    }

    /// Has the other loops accept, if this one alone knows of clients that it cannot accept.
    pub fn pass_on(&self, listeners: &mut Listeners) {
        let cannot_accept = |listeners: &Listeners, index| !self.may_accept(listeners, index);
        if self.is_told_alone() && listeners.take_stuck(cannot_accept) {
            let others = self.members.iter().enumerate();
            let others = others.filter(|(index, _)| *index != self.own);
            others.for_each(|(_, member)| member.accept.wake_by_ref());
        }
    }

    /// True if another loop accepts for this one, which then must not accept: its permits are for
    /// what it is handed.
    pub fn is_handed_all(&self) -> bool {
        self.shares && self.accept == Accept::Handover && self.own != ACCEPTOR
    }

    /// Has the loop that accepts for all look for waiting clients.
    pub fn wake_acceptor(&self) {
        self.members[ACCEPTOR].accept.wake_by_ref();
    }

    /// True if this loop accepts for others.
    pub fn hands_over(&self) -> bool {
        self.shares && self.accept == Accept::Handover && self.own == ACCEPTOR
    }

    /// Tells the others how many connections this loop has and may have. Call this when that has
    /// changed.
    ///
    /// While this loop could have no more, it may have left a client to others that have no room now.
    /// So it looks again when it has room, or has the loop look that accepts for it.
    #[inline]
    pub fn publish(&self, listeners: &mut Listeners) {
        if self.shares {
            self.publish_figures(listeners);
        }
    }

    #[cold]
    fn publish_figures(&self, listeners: &mut Listeners) {
        let member = &self.members[self.own];
        for (index, free) in member.free.iter().enumerate() {
            let now = listeners.free(index);
            if free.swap(now, SeqCst) > 0 || now == 0 {
                continue;
            }
            match self.is_handed_all() {
                true => self.wake_acceptor(),
                false => listeners.set_ready(index),
            }
        }
        let open = listeners.permits().taken_by_all();
        member.open.store(open, SeqCst);
    }

    /// True if another loop has room for a connection that waits at a listener of this one.
    pub fn is_room_elsewhere(&self, listener: usize) -> bool {
        let others = self.members.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != self.own);
        self.share_listeners() && others.any(|(_, member)| member.load(listener).is_some())
    }

    /// True if connections may be waiting at a listener, and this loop may accept one: for itself or,
    /// if it accepts for all, for any loop that has room.
    pub fn may_accept(&self, listeners: &Listeners, listener: usize) -> bool {
        if !self.hands_over() {
            return listeners.may_accept(listener);
        }
        let mut members = self.members.iter();
        listeners.may_accept_for_others(listener)
            && members.any(|member| member.load(listener).is_some())
    }

    /// The loop with the fewest connections of those that have room for one more from this listener.
    /// `None` if none has any.
    pub fn choose(&mut self, listener: usize) -> Option<usize> {
        let number = self.members.len();
        let places = (0..number).map(|step| (self.next + step) % number);
        let loads = places.filter_map(|place| Some((self.members[place].load(listener)?, place)));
        let (_, chosen) = loads.min_by_key(|(load, _)| *load)?;
        self.next = (chosen + 1) % number;
        Some(chosen)
    }

    /// Keeps this loop from waiting before its next turn.
    pub fn continue_soon(&self) {
        self.members[self.own].look.wake_by_ref();
    }

    /// Hands a connection to another loop.
    ///
    /// # Errors
    /// The connection, if that loop takes no more because it stops.
    pub fn hand(&self, to: usize, connection: Handed) -> Result<(), Handed> {
        let member = &self.members[to];
        let mut inbox = member.inbox();
        let Some(waiting) = &mut *inbox else {
            return Err(connection);
        };
        waiting.push(connection);
        // Before the other loop can take it.
        member.handed.fetch_add(1, SeqCst);
        drop(inbox);
        member.look.wake_by_ref();
        Ok(())
    }

    /// Takes the connections that were handed to this loop. When they have their permits, call
    /// [`publish`](Siblings::publish) and [`took`](Siblings::took).
    pub fn take_handed(&self) -> Vec<Handed> {
        let member = &self.members[self.own];
        match member.handed.load(SeqCst) {
            0 => Vec::new(),
            _ => member
                .inbox()
                .as_mut()
                .map(std::mem::take)
                .unwrap_or_default(),
        }
    }

    /// Reports that the figures of this loop contain so many connections that were handed to it.
    pub fn took(&self, count: usize) {
        if count > 0 {
            self.members[self.own].handed.fetch_sub(count, SeqCst);
        }
    }

    /// Takes no more connections from other loops, and returns those that were handed to this one
    /// and not taken.
    pub fn close(&self) -> Vec<Handed> {
        self.members[self.own].inbox().take().unwrap_or_default()
    }
}

/// What a loop in this place watches its listeners for.
fn interest(accept: Accept, own: usize) -> ReadySet {
    match accept {
        Accept::Reuseport | Accept::Shared => ReadySet::READABLE,
        Accept::Exclusive => ReadySet::READABLE | ReadySet::EXCLUSIVE,
        Accept::Handover if own == ACCEPTOR => ReadySet::READABLE,
        Accept::Handover => ReadySet::NONE,
    }
}

impl Member {
    /// How many connections it has, if it has room for one more from this listener.
    fn load(&self, listener: usize) -> Option<usize> {
        // In this order: a connection that is counted in none of the two would get no permit.
        let handed = self.handed.load(SeqCst);
        let free = self.free.get(listener)?.load(SeqCst);
        let is_open = self.inbox().is_some();
        (free > handed && is_open).then(|| self.open.load(SeqCst) + handed)
    }

    fn inbox(&self) -> MutexGuard<'_, Option<Vec<Handed>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// Has a loop publish these figures.
    fn set(siblings: &Siblings, index: usize, open: usize, free: usize) {
        let member = &siblings.members[index];
        member.open.store(open, SeqCst);
        member.free[0].store(free, SeqCst);
    }

    fn connection() -> Handed {
        Handed {
            listener: 0,
            socket: UnixStream::pair().expect("a pair").0.into(),
            peer: None,
        }
    }

    fn hand(siblings: &mut Siblings) -> Option<usize> {
        let to = siblings.choose(0)?;
        assert!(siblings.hand(to, connection()).is_ok());
        Some(to)
    }

    #[test]
    fn the_loop_with_the_fewest_connections_is_chosen_and_equal_ones_take_turns() {
        let mut all = Siblings::of(&[2, 1, 1], Accept::Handover).expect("descriptors");
        let first = &mut all[0];
        (0..3).for_each(|index| set(first, index, 0, 10));
        let turns: Vec<_> = (0..6).map(|_| hand(first)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2].map(Some));
        set(first, 1, 5, 10);
        assert_eq!([hand(first), hand(first)], [Some(0), Some(2)]);
        set(first, 2, 9, 10);
        assert_eq!(hand(first), Some(0));
        set(first, 0, 7, 10);
        assert_eq!(hand(first), Some(1), "those that were handed over count");
        assert_eq!(first.choose(1), Some(0), "it alone has this listener");
    }

    /// A loop gets no more than it has room for, and counts what it has not taken yet.
    #[test]
    fn a_loop_without_room_is_not_chosen() {
        let mut all = Siblings::of(&[1, 1], Accept::Handover).expect("descriptors");
        let second = all.pop().expect("two");
        let first = &mut all[0];
        set(first, 0, 0, 0);
        set(first, 1, 0, 2);
        assert_eq!(
            [hand(first), hand(first), hand(first)],
            [Some(1), Some(1), None]
        );
        let taken = second.take_handed();
        assert_eq!(taken.len(), 2);
        assert_eq!(hand(first), None, "their permits are not taken yet");
        set(first, 1, 2, 1);
        second.took(2);
        assert_eq!(hand(first), Some(1));
        assert_eq!(second.close().len(), 1);
        assert!(first.hand(1, connection()).is_err() && hand(first).is_none());
    }

    #[test]
    fn what_a_loop_watches_follows_from_the_way_to_accept() {
        let cases = [
            (
                Accept::Reuseport,
                ReadySet::READABLE,
                ReadySet::READABLE,
                false,
            ),
            (Accept::Shared, ReadySet::READABLE, ReadySet::READABLE, true),
            (
                Accept::Exclusive,
                ReadySet::READABLE | ReadySet::EXCLUSIVE,
                ReadySet::READABLE | ReadySet::EXCLUSIVE,
                true,
            ),
            (Accept::Handover, ReadySet::READABLE, ReadySet::NONE, true),
        ];
        for (accept, first, second, shares) in cases {
            let all = Siblings::of(&[1, 1], accept).expect("descriptors");
            assert_eq!((all[0].interest(), all[1].interest()), (first, second));
            assert_eq!(all[0].share_listeners(), shares, "{accept:?}");
        }
    }
}
