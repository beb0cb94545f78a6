//! Who says what is ready.
//!
//! This room knows descriptors and keys, and neither connections nor protocols.

mod epoll;

pub use epoll::Epoll;

use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A set of things a descriptor is ready for, or that somebody wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Ready = Ready(0);
    /// Receiving or accepting would not block, though it may fail.
    pub const READABLE: Ready = Ready(1);
    /// Sending would not block, though it may fail.
    pub const WRITABLE: Ready = Ready(2);
    /// The peer's last bytes, its end of input or an error are waiting to be read: a short read does not mean that
    /// everything has been read. Reported only, never asked for.
    pub const END: Ready = Ready(4);
    /// Both directions.
    pub const BOTH: Ready = Ready(3);

    /// True if all of `other` is in this set.
    pub fn has(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set without `other`.
    #[must_use]
    pub fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

/// Everything a readiness back end must do.
pub trait Poller: Sized {
    /// True if it speaks once per change (edge-triggered), false if it repeats itself while the condition lasts.
    const EDGE: bool;

    /// A poller that watches nothing yet; `capacity` is how many events one wait may bring, if that must be fixed.
    ///
    /// # Errors
    /// Those of making one, such as no free descriptor.
    fn new(capacity: usize) -> io::Result<Self>;

    /// Changes what is wanted of a descriptor from `old` to `new`. [`Ready::NONE`] means that it is not watched at all,
    /// not even for errors. A descriptor that has been watched for anything must be changed to nothing before it is
    /// closed, unless [`Poller::EDGE`].
    ///
    /// # Errors
    /// Those of the back end. The descriptor is then watched as before.
    fn change(&mut self, fd: BorrowedFd<'_>, key: usize, old: Ready, new: Ready) -> io::Result<()>;

    /// Waits until something is ready or the time is up, rounded up to what the back end can express, and appends what
    /// was found: each key once, with at least one of the things that were wanted of it. No timeout means to wait for
    /// ever. An interrupting signal ends the wait with nothing found.
    ///
    /// # Errors
    /// Those of the back end; the poller is of no more use then.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, Ready)>,
    ) -> io::Result<()>;
}
