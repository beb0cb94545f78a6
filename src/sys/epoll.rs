//! epoll(7).

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The longest wait. A longer one returns early and is repeated: older kernels refuse a timeout that
/// does not fit in a C int of milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// epoll_create1(2): a list of watched descriptors. The descriptor is closed on exec.
///
/// # Errors
/// No descriptor is free, or a limit of epoll(7) is reached.
pub fn epoll_create() -> Result<OwnedFd, Errno> {
    epoll::create(CreateFlags::CLOEXEC)
}

/// epoll_ctl(2): watches a descriptor for `new` instead of `old`, with `key` in its events. `None`
/// means that it is not in the list.
///
/// # Errors
/// Those of epoll_ctl(2).
pub fn epoll_change(
    list: impl AsFd,
    fd: BorrowedFd<'_>,
    key: u64,
    old: Option<EventFlags>,
    new: Option<EventFlags>,
) -> Result<(), Errno> {
    let data = EventData::new_u64(key);
    match (old, new) {
        (None, None) => Ok(()),
        (None, Some(new)) => epoll::add(list, fd, data, new),
        (Some(_), Some(new)) => epoll::modify(list, fd, data, new),
        (Some(_), None) => epoll::delete(list, fd),
    }
}

/// epoll_wait(2) without a line in the trace: replaces the content of `events`, at most up to its
/// capacity. Returns no event if a signal interrupts the wait. Rounds the timeout up to
/// milliseconds.
///
/// # Errors
/// Those of epoll_wait(2).
pub fn epoll_wait_untraced(
    list: impl AsFd,
    events: &mut Vec<Event>,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let timeout = timeout.map(|time| time.min(LONGEST_WAIT));
    let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
    events.clear();
    match epoll::wait(list, spare_capacity(events), timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
