//! Calls that the trace does not show, under the names of their manual pages: they set the server up, end it, look at
//! limits or at many names in a row, or write lines, those of the trace among them.

pub use nix::ifaddrs::getifaddrs;
pub use nix::net::if_::{if_indextoname, if_nameindex};
pub use rustix::fs::{
    accessat, chmod, chownat, fchmod, flock, fstat, fstatfs, inotify::init as inotify_init,
    inotify::remove_watch as inotify_rm_watch, lstat, makedev, memfd_create, open, openat, openat2,
    readlink, stat, statat, statx, unlink, unlinkat,
};
pub use rustix::io::{ioctl_fionbio, pread, pwrite, read, write};
pub use rustix::net::{recv, send};
pub use rustix::process::{
    getpid, getppid, getrlimit, getuid, set_parent_process_death_signal, setrlimit,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;
use std::time::Duration;

/// poll(2): what of `wanted` the descriptor is ready for now, and what has befallen it.
///
/// # Errors
/// Those of poll(2).
pub fn ready_now(fd: impl AsFd, wanted: PollFlags) -> Result<PollFlags, Errno> {
    let mut watched = [PollFd::new(&fd, wanted)];
    poll(&mut watched, Some(&Timespec::default()))?;
    Ok(watched[0].revents())
}

/// clock_gettime(2): the time since the machine was started, which is the same in all processes.
pub fn monotonic_time() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

/// ioctl_tty(2), TIOCGWINSZ: the columns and rows of a terminal. `None` if it does not know them, or is none.
pub fn terminal_size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    let (columns, rows) = (size.ws_col.into(), size.ws_row.into());
    (columns > 0 && rows > 0).then_some((columns, rows))
}
