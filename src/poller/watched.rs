//! Descriptors that a poller stores between two waits. One of the few files with `unsafe`.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Removes the lifetime from a borrowed descriptor.
///
/// poll(2) and select(2) get all descriptors with every wait, so these pollers must store what
/// [`Poller::change`](super::Poller::change) only lends them.
pub(super) fn without_lifetime(fd: BorrowedFd<'_>) -> BorrowedFd<'static> {
    // SAFETY: the owner changes a descriptor to nothing before it closes it
    // (`Poller::CLOSE_UNWATCHES`). If it did not, the number would be closed or belong to another
    // file. The poller would then only ask whether that file is ready. This harms neither memory
    // nor the file, and a wrong report is a hint that the next call corrects.
    unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }
}
