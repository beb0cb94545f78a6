//! The readiness back ends: select(2), poll(2) and epoll(7) behind one trait.
//!
//! This module knows descriptors and keys. It knows neither connections nor protocols.

mod epoll;
mod poll;
mod select;
mod triggers;
mod watched;

pub use epoll::Epoll;
pub use poll::Poll;
pub use select::Select;
pub use triggers::{EdgeEpoll, LevelEpoll, OneShotEpoll};

use crate::recording::Syscall;
use std::fmt;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// A set of events: what a descriptor is ready for, or what to watch it for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadySet(u8);

impl ReadySet {
    /// The empty set.
    pub const NONE: ReadySet = ReadySet(0);
    /// Receiving or accepting would not block, though it may fail.
    pub const READABLE: ReadySet = ReadySet(1);
    /// Sending would not block, though it may fail.
    pub const WRITABLE: ReadySet = ReadySet(2);
    /// The end of input or an error waits behind the bytes to be read. A short read then does not
    /// mean that everything was read. A poller reports this by itself; it cannot be asked for.
    pub const END: ReadySet = ReadySet(4);
    /// Only in what to watch for: report one event, and then nothing more until the watch is changed.
    /// For pollers that are [`ONE_SHOT`](Poller::ONE_SHOT).
    pub const ONCE: ReadySet = ReadySet(8);
    /// Only in what to watch for: where several pollers watch a descriptor so, an event is reported
    /// to one of those that wait, and not to all. It cannot be changed, only ended. For pollers that
    /// [can](Poller::CAN_WATCH_EXCLUSIVELY).
    pub const EXCLUSIVE: ReadySet = ReadySet(16);
    /// Readable and writable.
    pub const BOTH: ReadySet = ReadySet(3);

    /// The set as a number, for recordings: 1 is readable, 2 writable, and 4 ending.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// True if this set contains all of `other`.
    pub fn has(self, other: ReadySet) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set without `other`.
    #[must_use]
    pub fn without(self, other: ReadySet) -> ReadySet {
        ReadySet(self.0 & !other.0)
    }
}

impl BitOr for ReadySet {
    type Output = ReadySet;

    fn bitor(self, other: ReadySet) -> ReadySet {
        ReadySet(self.0 | other.0)
    }
}

impl BitOrAssign for ReadySet {
    fn bitor_assign(&mut self, other: ReadySet) {
        self.0 |= other.0;
    }
}

/// For the trace.
impl fmt::Display for ReadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (ReadySet::READABLE, "readable"),
            (ReadySet::WRITABLE, "writable"),
            (ReadySet::END, "ending"),
            (ReadySet::ONCE, "once"),
            (ReadySet::EXCLUSIVE, "exclusive"),
        ];
        let has = names.iter().filter(|(one, _)| self.has(*one));
        let names: Vec<_> = has.map(|(_, name)| *name).collect();
        match names.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&names.join("+")),
        }
    }
}

/// What has passed through the queues of a poller that has some, as io_uring(7) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTraffic {
    /// Requests that were queued.
    pub requests: u64,
    /// Results that came back.
    pub results: u64,
    /// System calls besides the waits, because a queue was full.
    pub early_calls: u64,
}

/// A readiness back end.
pub trait Poller: Sized {
    /// The system call that waits.
    const CALL: Syscall;

    /// True if a condition is reported once, when it begins (edge-triggered). False if every wait
    /// reports it as long as it lasts (level-triggered).
    const EDGE_TRIGGERED: bool;

    /// True if connections are to be watched with [`ReadySet::ONCE`]. After an event, such a
    /// descriptor is watched for `ONCE` alone, which means: for nothing.
    const ONE_SHOT: bool = false;

    /// True if the events of one wait are in the order in which they happened. False if the kernel
    /// checks one descriptor after the other: of two events that happen meanwhile, a wait may then
    /// report only the second.
    const IN_ORDER: bool;

    /// True if each [`change`](Poller::change) makes a system call.
    const CHANGE_IS_SYSCALL: bool;

    /// True if the kernel stops watching a descriptor when it is closed. If false, change it to
    /// [`ReadySet::NONE`] before closing it.
    const CLOSE_UNWATCHES: bool;

    /// True if it understands [`ReadySet::EXCLUSIVE`].
    const CAN_WATCH_EXCLUSIVELY: bool = false;

    /// Descriptors with this number or a larger one cannot be watched.
    const FD_LIMIT: Option<RawFd> = None;

    /// Creates a poller that watches nothing yet. `capacity` is the most events that one wait
    /// returns. Back ends without such a limit ignore it.
    ///
    /// # Errors
    /// If it cannot be created, for example because no descriptor is free.
    fn new(capacity: usize) -> io::Result<Self>;

    /// Watches a descriptor for `new` instead of `old`. With [`ReadySet::NONE`] it is not watched
    /// at all, not even for errors. Before closing a descriptor, see [`Poller::CLOSE_UNWATCHES`].
    ///
    /// # Errors
    /// Those of the back end. The descriptor is then watched as before.
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()>;

    /// Waits until a descriptor is ready or `timeout` has passed; without a timeout, forever. The
    /// timeout is rounded up to what the back end can express.
    ///
    /// Appends each ready key once to `found`, with at least one of the events it is watched for.
    /// If a signal or a lack of memory interrupts the wait, `found` stays as it is.
    ///
    /// # Errors
    /// Those of the back end. The poller cannot be used after that.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()>;

    /// How long the next [`wait`](Poller::wait) with this timeout can take.
    fn wait_limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        timeout
    }

    /// What has passed through the queues since the last call.
    fn take_traffic(&mut self) -> QueueTraffic {
        QueueTraffic::default()
    }
}

/// The constants of a poller, for code that does not know its type.
#[derive(Clone, Copy, Debug)]
pub struct Properties {
    /// [`Poller::EDGE_TRIGGERED`]
    pub edge_triggered: bool,
    /// [`Poller::IN_ORDER`]
    pub in_order: bool,
    /// [`Poller::CAN_WATCH_EXCLUSIVELY`]
    pub can_watch_exclusively: bool,
    /// [`Poller::FD_LIMIT`]
    pub fd_limit: Option<RawFd>,
}

impl Properties {
    /// The properties of poller `P`.
    pub const fn of<P: Poller>() -> Properties {
        Properties {
            edge_triggered: P::EDGE_TRIGGERED,
            in_order: P::IN_ORDER,
            can_watch_exclusively: P::CAN_WATCH_EXCLUSIVELY,
            fd_limit: P::FD_LIMIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const LONG: Option<Duration> = Some(Duration::from_secs(30));

    fn wait<P: Poller>(poller: &mut P, timeout: Option<Duration>) -> Vec<(usize, ReadySet)> {
        let mut found = Vec::new();
        poller.wait(timeout, &mut found).expect("a wait");
        found.sort_unstable_by_key(|(key, _)| *key);
        found
    }

    fn check_contract<P: Poller>() {
        let mut poller = P::new(16).expect("a poller");
        assert_eq!(wait(&mut poller, Some(Duration::ZERO)), []);
        let mut pairs: Vec<_> = (0..3)
            .map(|_| UnixStream::pair().expect("a pair"))
            .collect();
        for (key, (ours, _)) in pairs.iter().enumerate() {
            let none = ReadySet::NONE;
            poller
                .change(ours.as_fd(), key, none, ReadySet::READABLE)
                .expect("watched");
        }
        assert_eq!(wait(&mut poller, Some(Duration::from_micros(1))), []);

        (&pairs[1].1).write_all(b"x").expect("sent");
        assert_eq!(wait(&mut poller, LONG), [(1, ReadySet::READABLE)]);
        let again = if P::EDGE_TRIGGERED {
            vec![]
        } else {
            vec![(1, ReadySet::READABLE)]
        };
        assert_eq!(wait(&mut poller, Some(Duration::ZERO)), again);
        (&pairs[1].0).read_exact(&mut [0]).expect("received");

        let fd = pairs[0].0.as_fd();
        poller
            .change(fd, 0, ReadySet::READABLE, ReadySet::WRITABLE)
            .expect("watched");
        assert_eq!(wait(&mut poller, LONG), [(0, ReadySet::WRITABLE)]);
        poller
            .change(fd, 0, ReadySet::WRITABLE, ReadySet::NONE)
            .expect("not watched");
        (&pairs[0].1).write_all(b"x").expect("sent");
        assert_eq!(
            wait(&mut poller, Some(Duration::ZERO)),
            [],
            "not watched for anything"
        );

        let (ours, theirs) = pairs.pop().expect("three");
        drop(theirs);
        let found = wait(&mut poller, LONG);
        assert!(
            matches!(found[..], [(2, ready)] if ready.has(ReadySet::READABLE)),
            "{found:?}"
        );
        poller
            .change(ours.as_fd(), 2, ReadySet::READABLE, ReadySet::NONE)
            .expect("not watched");
        assert_eq!(
            wait(&mut poller, Some(Duration::ZERO)),
            [],
            "not even for the end of input"
        );
    }

    /// A readable descriptor is reported once, then in no wait, and again when it is watched again.
    #[test]
    fn a_one_shot_watch_reports_one_event() {
        let mut poller = OneShotEpoll::new(16).expect("a poller");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let once = ReadySet::READABLE | ReadySet::ONCE;
        let fd = ours.as_fd();
        poller.change(fd, 7, ReadySet::NONE, once).expect("watched");
        for _ in 0..3 {
            (&theirs).write_all(b"x").expect("sent");
            assert_eq!(wait(&mut poller, LONG), [(7, ReadySet::READABLE)]);
            (&theirs).write_all(b"x").expect("sent");
            assert_eq!(wait(&mut poller, Some(Duration::ZERO)), []);
            poller
                .change(fd, 7, ReadySet::ONCE, once)
                .expect("watched again");
        }
        assert_eq!(wait(&mut poller, LONG), [(7, ReadySet::READABLE)]);
        poller
            .change(fd, 7, ReadySet::ONCE, ReadySet::NONE)
            .expect("not watched");
        drop(theirs);
        assert_eq!(wait(&mut poller, Some(Duration::ZERO)), []);
    }

    #[test]
    fn every_poller_keeps_the_contract() {
        check_contract::<Epoll>();
        check_contract::<EdgeEpoll>();
        check_contract::<LevelEpoll>();
        check_contract::<OneShotEpoll>();
        check_contract::<Poll>();
        check_contract::<Select>();
        check_contract::<crate::uring::Ring>();
    }
}
