//! Makes the runtime watch a descriptor. The only file of this model with `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the runtime watches until this is dropped.
pub(super) type Watched<'fd> = AsyncFd<BorrowedFd<'fd>>;

/// Makes the runtime of this task watch a descriptor.
///
/// # Errors
/// Those of epoll_ctl(2).
pub(super) fn watch(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Watched<'_>> {
    // SAFETY: the descriptor must stay open, with the same file, as long as it is watched. It is
    // borrowed for longer than that, and a borrowed descriptor is never closed.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(io::Error::from)
}
