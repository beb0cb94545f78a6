//! Calls without a line in the trace, named as in their manual pages. They start or end the server,
//! read limits, read many names in a row, or write lines, such as those of the trace itself.

pub use nix::ifaddrs::getifaddrs;
pub use nix::net::if_::{if_indextoname, if_nameindex};
pub use rustix::fs::{
    accessat, chmod, chownat, fchmod, flock, fstat, fstatfs, fsync, ftruncate,
    inotify::add_watch as inotify_add_watch, inotify::init as inotify_init,
    inotify::remove_watch as inotify_rm_watch, lstat, makedev, memfd_create, mkdir, open, openat,
    openat2, readlink, renameat_with, stat, statat, statx, unlink, unlinkat,
};
pub use rustix::io::{ioctl_fionbio, pread, pwrite, read, write};
pub use rustix::net::{recv, send};
pub use rustix::process::{
    getpid, getppid, getrlimit, getuid, set_parent_process_death_signal, setpriority_process,
    setrlimit,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// poll(2) without waiting: returns which of `wanted` the descriptor is ready for, and its errors.
///
/// # Errors
/// Those of poll(2).
pub fn ready_now(fd: impl AsFd, wanted: PollFlags) -> Result<PollFlags, Errno> {
    let mut watched = [PollFd::new(&fd, wanted)];
    poll(&mut watched, Some(&Timespec::default()))?;
    Ok(watched[0].revents())
}

/// clock_gettime(2): the time since the machine started. The same in all processes.
pub fn monotonic_time() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

/// clock_gettime(2): the time since 1970, as the wall clock tells it. By the standard library: rustix,
/// which looks for the vDSO itself, crashes under valgrind.
pub fn real_time() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// ioctl_tty(2) with TIOCGWINSZ: the columns and rows of a terminal. `None` if they are unknown, or
/// if this is not a terminal.
pub fn terminal_size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    let (columns, rows) = (size.ws_col.into(), size.ws_row.into());
    (columns > 0 && rows > 0).then_some((columns, rows))
}
