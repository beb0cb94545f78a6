//! Results of system calls as numbers.

use rustix::event::PollFlags;
use rustix::fs::Stat;
use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// What a system call returns.
pub trait Outcome {
    /// The number that the call itself returns.
    fn number(&self) -> i64;
}

impl Outcome for () {
    fn number(&self) -> i64 {
        0
    }
}

impl Outcome for usize {
    fn number(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Outcome for u64 {
    fn number(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Outcome for i32 {
    fn number(&self) -> i64 {
        (*self).into()
    }
}

impl Outcome for OwnedFd {
    fn number(&self) -> i64 {
        self.as_raw_fd().into()
    }
}

/// How many descriptors are ready.
impl Outcome for PollFlags {
    fn number(&self) -> i64 {
        (!self.is_empty()).into()
    }
}

impl Outcome for Stat {
    fn number(&self) -> i64 {
        0
    }
}

impl Outcome for SocketAddr {
    fn number(&self) -> i64 {
        0
    }
}

/// The length of a link's target.
impl Outcome for CString {
    fn number(&self) -> i64 {
        self.count_bytes().number()
    }
}

impl<T: Outcome> Outcome for &T {
    fn number(&self) -> i64 {
        (*self).number()
    }
}

impl<T: Outcome, U> Outcome for (T, U) {
    fn number(&self) -> i64 {
        self.0.number()
    }
}

impl<T: Outcome, U, V> Outcome for (T, U, V) {
    fn number(&self) -> i64 {
        self.0.number()
    }
}
