//! Descriptors that a poller keeps between two waits. One of the few files with `unsafe`.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

/// The same descriptor without the lifetime of its owner.
///
/// poll(2) and select(2) are handed all descriptors with every wait, so a poller must keep what [`Poller::change`]
/// (super::Poller::change) only lends it.
pub(super) fn without_lifetime(fd: BorrowedFd<'_>) -> BorrowedFd<'static> {
    // SAFETY: a descriptor is changed to nothing before it is closed, says `Poller::CLOSE_UNWATCHES`. Were that
    // forgotten, the number would be closed or another file's: the poller only asks whether it is ready, which harms
    // neither memory nor that file, and what it then reports of it is a hint that a call would correct.
    unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }
}
