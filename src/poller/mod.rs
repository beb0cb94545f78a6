//! The readiness back ends: what reports that descriptors are ready.
//!
//! This module knows descriptors and keys, and neither connections nor protocols.

mod epoll;
mod poll;
mod select;
mod watched;

pub use epoll::Epoll;
pub use poll::Poll;
pub use select::Select;

use std::fmt;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// What a descriptor is ready for, or what is wanted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadySet(u8);

impl ReadySet {
    /// Nothing.
    pub const NONE: ReadySet = ReadySet(0);
    /// Receiving or accepting would not block, though it may fail.
    pub const READABLE: ReadySet = ReadySet(1);
    /// Sending would not block, though it may fail.
    pub const WRITABLE: ReadySet = ReadySet(2);
    /// The peer's last bytes, its end of input or an error are waiting to be read: a short read does not mean that
    /// everything has been read. Reported only, never asked for.
    pub const END: ReadySet = ReadySet(4);
    /// Both directions.
    pub const BOTH: ReadySet = ReadySet(3);

    /// True if all of `other` is in this set.
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

/// For people.
impl fmt::Display for ReadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (ReadySet::READABLE, "readable"),
            (ReadySet::WRITABLE, "writable"),
            (ReadySet::END, "ending"),
        ];
        let has = names.iter().filter(|(one, _)| self.has(*one));
        let names: Vec<_> = has.map(|(_, name)| *name).collect();
        match names.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&names.join("+")),
        }
    }
}

/// Everything a readiness back end must do.
pub trait Poller: Sized {
    /// The system call that waits.
    const CALL: &'static str;

    /// True if it reports a condition once, when it begins (edge-triggered); false if it repeats the report while the
    /// condition lasts.
    const EDGE_TRIGGERED: bool;

    /// True if what one wait reports is in the order in which it happened. False if descriptors are looked at one after the
    /// other: what happens meanwhile may be missed at the first and seen at the last.
    const IN_ORDER: bool;

    /// True if each [`change`](Poller::change) is a system call of its own.
    const CHANGE_IS_SYSCALL: bool;

    /// True if closing a descriptor ends its watch. If not, it must be changed to [`ReadySet::NONE`] before it is closed.
    const CLOSE_UNWATCHES: bool;

    /// Descriptors from this one on cannot be watched.
    const FD_LIMIT: Option<RawFd> = None;

    /// A poller that watches nothing yet; `capacity` is how many events one wait may bring, if that must be fixed.
    ///
    /// # Errors
    /// Those of making one, such as no free descriptor.
    fn new(capacity: usize) -> io::Result<Self>;

    /// Changes what is wanted of a descriptor from `old` to `new`. [`ReadySet::NONE`] means that it is not watched at all,
    /// not even for errors. See [`Poller::CLOSE_UNWATCHES`] for a descriptor that closes.
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

    /// Waits until something is ready or the time is up, rounded up to what the back end can express, and appends what
    /// was found: each key once, with at least one of the things that were wanted of it. Without a timeout it waits without
    /// end. A signal, or a lack of memory, ends the wait with nothing found.
    ///
    /// # Errors
    /// Those of the back end; the poller is of no more use then.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()>;
}

/// What a poller says of itself, for those who do not know its type.
#[derive(Clone, Copy, Debug)]
pub struct Properties {
    /// [`Poller::EDGE_TRIGGERED`]
    pub edge_triggered: bool,
    /// [`Poller::IN_ORDER`]
    pub in_order: bool,
    /// [`Poller::FD_LIMIT`]
    pub fd_limit: Option<RawFd>,
}

impl Properties {
    /// Those of a poller.
    pub const fn of<P: Poller>() -> Properties {
        Properties {
            edge_triggered: P::EDGE_TRIGGERED,
            in_order: P::IN_ORDER,
            fd_limit: P::FD_LIMIT,
        }
    }
}

#[cfg(test)]
mod tests {
    //! What the trait promises, of each poller.

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

    fn keeps_its_promises<P: Poller>() {
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
            "nothing is wanted"
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
            "not even its end"
        );
    }

    #[test]
    fn all_pollers_keep_their_promises() {
        keeps_its_promises::<Epoll>();
        keeps_its_promises::<Poll>();
        keeps_its_promises::<Select>();
    }
}
