//! Least privilege: what a process gives up forever before it serves clients.
//!
//! This module knows neither sockets nor protocols. It gets descriptors of what is still needed,
//! and makes the kernel forbid the rest. All of this holds for the calling thread and those it
//! starts, so call it before starting any. It cannot be undone, so the library does nothing of it
//! unasked.

mod landlock;
mod parent_directories;
mod user;

pub use landlock::AllowedAccess;
pub use parent_directories::{
    ParentDirectory, directories_for_file, directories_on_path, parent_directories,
};
pub use user::{Account, is_root};

use crate::config::StartError;
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat, stat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Fails if there is another thread: it would keep what this one gives up.
///
/// # Errors
/// A sentence for the programmer.
pub fn require_single_thread() -> Result<(), StartError> {
    // The directory has two links like all directories, and one for each thread. Without procfs the
    // number of threads is unknown.
    match stat(c"/proc/self/task") {
        Ok(task) if task.st_nlink > 3 => Err(StartError(
            "confine the server before starting any thread".into(),
        )),
        _ => Ok(()),
    }
}

/// Keeps executed programs from gaining privileges (PR_SET_NO_NEW_PRIVS). With `no_core`, memory is
/// never written to a core file, nor read by debuggers of the same user: it contains requests and
/// files of clients.
///
/// # Errors
/// Those of prctl(2) and setrlimit(2).
pub fn give_up_privileges(no_core: bool) -> io::Result<()> {
    set_no_new_privs(true)?;
    match no_core {
        true => protect_memory(),
        false => Ok(()),
    }
}

/// Keeps the memory of this process out of core files, and from debuggers of the same user
/// (PR_SET_DUMPABLE). Call this before a secret is read.
///
/// # Errors
/// Those of prctl(2) and setrlimit(2).
pub fn protect_memory() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Enters the sandbox, as far as the kernel supports it. Logs the result: in a few words at level
/// info, in detail at level debug.
pub fn sandbox(allowed: &AllowedAccess<'_>) {
    match landlock::restrict(allowed) {
        Ok(restrictions) => {
            log::info!("{}", restrictions.summary);
            if !restrictions.details.is_empty() {
                log::debug!("{}", restrictions.details);
            }
        }
        Err(error) => log::warn!("no sandbox: {error}"),
    }
}

/// Opens a served directory or file with O_PATH, to allow it later. The name must be absolute.
///
/// # Errors
/// Those of open(2).
pub fn open_place(name: &Path) -> io::Result<OwnedFd> {
    Ok(open(name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// True for an open regular file.
pub fn is_file(place: &OwnedFd) -> bool {
    let stat = fstat(place);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Checks that everything to be served is readable.
///
/// # Errors
/// Those of open(2).
pub fn check_readable(allowed: &AllowedAccess<'_>) -> io::Result<()> {
    for place in &allowed.readable {
        let opened = match landlock::is_directory(place)? {
            true => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                openat(place, c".", flags, Mode::empty())
            }
            false => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                open(
                    format!("/proc/self/fd/{}", place.as_raw_fd()),
                    flags,
                    Mode::empty(),
                )
            }
        };
        match opened {
            // Without procfs, requests will show it.
            Err(Errno::NOENT) => {}
            result => drop(result?),
        }
    }
    Ok(())
}
