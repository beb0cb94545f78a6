//! Waiting for descriptors.

use super::untraced::ready_now;
use crate::recording::Syscall;
use crate::trace;
use nix::sys::select::FdSet;
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

/// The delay after a wait for which the kernel had no memory. Retrying at once would hinder the
/// processes that could free some.
const MEMORY_PAUSE: Duration = Duration::from_millis(10);

/// The longest wait of select(2), in microseconds: a day. A longer one returns early and is
/// repeated.
const LONGEST_US: i64 = 24 * 60 * 60 * 1_000_000;

/// poll(2) for callers that check everything after each wait. Returns 0 if a signal interrupted the
/// wait, or after a short delay if the kernel had no memory. These errors pass, and closing all
/// connections for them would do more harm.
///
/// A timeout too long for the kernel means no timeout.
///
/// # Errors
/// Those that do not pass.
pub fn poll(watched: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<usize, Errno> {
    // Of a connection's own wait, the socket is the last.
    let fd = match watched {
        [socket] | [_, socket] => socket.as_fd().as_raw_fd(),
        _ => -1,
    };
    trace::note_wait(
        Syscall::Poll,
        fd,
        || timeout,
        |limit| format!("poll: {limit}"),
    );
    let call = trace::call(Syscall::Poll, fd);
    let result = poll_untraced(watched, timeout);
    let shown = |one: &PollFd<'_>| format!("{}", one.as_fd().as_raw_fd());
    let came = |count: &usize| {
        let ready = watched.iter().filter(|one| !one.revents().is_empty());
        let ready: Vec<_> = ready.map(shown).collect();
        format!("{count}: [{}]", ready.join(", "))
    };
    let called = || {
        let all: Vec<_> = watched.iter().map(shown).collect();
        format!("poll({})", all.join(", "))
    };
    call.returned(&result, called, came);
    result
}

/// True if the descriptor is readable, or if that is unknown. Does not wait.
pub fn is_readable(fd: impl AsFd) -> bool {
    let call = trace::call(Syscall::Poll, fd.as_fd().as_raw_fd());
    let result = ready_now(&fd, PollFlags::IN);
    let called = || format!("poll([{}], 0)", fd.as_fd().as_raw_fd());
    call.returned(&result, called, |ready| {
        u8::from(!ready.is_empty()).to_string()
    });
    match result {
        Ok(ready) => !ready.is_empty(),
        Err(errno) => errno != Errno::INTR,
    }
}

/// [`poll`] without a line in the trace, for callers that write their own.
///
/// # Errors
/// Those that do not pass.
pub fn poll_untraced(
    watched: &mut [PollFd<'_>],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
    ignore_transient(rustix::event::poll(watched, timeout.as_ref()))
}

/// select(2): leaves the ready descriptors below `limit` in the sets, and returns how many they
/// are. If it returns 0, the sets mean nothing. Errors that pass give 0, as in [`poll`].
///
/// Rounds the timeout up to microseconds. Otherwise a wait shorter than one would return at once,
/// again and again.
///
/// # Errors
/// Those that do not pass.
pub fn select<'fd>(
    limit: RawFd,
    readable: &mut FdSet<'fd>,
    writable: &mut FdSet<'fd>,
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let mut timeout = timeout.map(time_val);
    let result = nix::sys::select::select(limit, readable, writable, None, &mut timeout);
    let result = result.map(|count| usize::try_from(count).unwrap_or(0));
    ignore_transient(result.map_err(|errno| Errno::from_raw_os_error(errno as i32)))
}

fn time_val(time: Duration) -> TimeVal {
    let microseconds = i64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_US);
    TimeVal::microseconds(microseconds.min(LONGEST_US))
}

fn ignore_transient(result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Err(Errno::INTR) => Ok(0),
        Err(Errno::NOMEM) => {
            // A poll(2) without descriptors needs no memory.
            sleep(MEMORY_PAUSE);
            Ok(0)
        }
        result => result,
    }
}

/// Sleeps, at most until a signal comes (poll(2) without descriptors).
pub fn sleep(time: Duration) {
    let time = Timespec::try_from(time).ok();
    let _ = rustix::event::poll(&mut [], time.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        for (nanos, microseconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            let rounded = time_val(Duration::from_nanos(nanos));
            assert_eq!(rounded.num_microseconds(), microseconds);
        }
        assert_eq!(time_val(Duration::MAX).num_microseconds(), LONGEST_US);
    }
}
