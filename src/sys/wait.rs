//! Waiting for descriptors.

use crate::trace;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// How long a wait that the kernel has no memory for is put off: whoever asked again at once would only be in the way of
/// those who could give some back.
const MEMORY_PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// poll(2) for whoever looks anew after each wait: one that was interrupted, or for which the kernel had no memory (then
/// a moment later), has found nothing. Ending all connections for it would give back more than was missing.
///
/// # Errors
/// Those that will not pass.
pub fn poll(watched: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, Errno> {
    trace::waits(|| {
        let time = timeout.and_then(|time| Duration::try_from(*time).ok());
        format!("poll: {}", trace::at_most(time))
    });
    let call = trace::call();
    let result = poll_quietly(watched, timeout);
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

/// True if the descriptor is readable, or if that cannot be found out. Does not wait.
pub fn is_readable(fd: impl AsFd) -> bool {
    let call = trace::call();
    let mut watched = [PollFd::new(&fd, PollFlags::IN)];
    let result = rustix::event::poll(&mut watched, Some(&Timespec::default()));
    let called = || format!("poll([{}], 0)", fd.as_fd().as_raw_fd());
    call.returned(&result, called, usize::to_string);
    !matches!(result, Ok(0) | Err(Errno::INTR))
}

/// The same for a caller that writes the trace itself.
///
/// # Errors
/// Those that will not pass.
pub fn poll_quietly(
    watched: &mut [PollFd<'_>],
    timeout: Option<&Timespec>,
) -> Result<usize, Errno> {
    match rustix::event::poll(watched, timeout) {
        Err(Errno::INTR) => Ok(0),
        Err(Errno::NOMEM) => {
            wait_for_memory();
            Ok(0)
        }
        result => result,
    }
}

/// Waits for a moment in which others may give memory back.
pub fn wait_for_memory() {
    // Without descriptors it is only a sleep, and needs no memory.
    let _ = rustix::event::poll(&mut [], Some(&MEMORY_PAUSE));
}
