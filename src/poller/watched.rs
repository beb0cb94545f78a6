//! Descriptors that a poller stores between two waits. One of the two files with `unsafe`.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Removes the lifetime from a borrowed descriptor.
///
/// poll(2) and select(2) get all descriptors with every wait, so these pollers must store what
/// [`Poller::change`](super::Poller::change) only lends them.
pub(super) fn without_lifetime(fd: BorrowedFd<'_>) -> BorrowedFd<'static> {
    // SAFETY: the descriptor is open as long as it is stored: its owner stops watching it before
    // closing it (`Poller::CLOSE_UNWATCHES`). If the owner failed to, the number would be unused or
    // belong to another file, and the poller would only ask whether that file is ready. That harms
    // neither memory nor the file. A wrong report is corrected by the next call on the socket.
    unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }
}
