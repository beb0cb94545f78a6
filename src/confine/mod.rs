//! Least privilege: what a process gives up for good before it serves strangers.
//!
//! This room knows neither sockets nor protocols. It is handed descriptors of what will still be needed, and the kernel
//! is told to refuse the rest. All of it holds for the calling thread and those it starts, so it comes before the first
//! of them; and none of it can be undone, so a library never does it by itself.

mod landlock;
mod parent_directories;
mod user;

pub use landlock::AllowedAccess;
pub use parent_directories::{ParentDirectory, directories_for_file, parent_directories};
pub use user::{Account, is_root};

use crate::config::StartError;
use rustix::fs::{Mode, OFlags, open, openat, stat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Fails if there is another thread: it would keep what this one gives up.
///
/// # Errors
/// A sentence for whoever wrote the program.
pub fn require_single_thread() -> Result<(), StartError> {
    // The directory has a link for each thread besides the two that every directory has. Without a proc(5) nobody knows.
    match stat(c"/proc/self/task") {
        Ok(task) if task.st_nlink > 3 => Err(StartError(
            "a server can be confined only before any thread is started".into(),
        )),
        _ => Ok(()),
    }
}

/// No program that is executed can bring back privileges (PR_SET_NO_NEW_PRIVS), and with `no_core` memory, in which
/// others' requests and files are, is never written to a file or read by a debugger of the same user.
///
/// # Errors
/// Those of prctl(2) and setrlimit(2).
pub fn give_up_privileges(no_core: bool) -> io::Result<()> {
    set_no_new_privs(true)?;
    if no_core {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        setrlimit(Resource::Core, none)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

/// Closes off everything that is not needed, as far as the kernel can, and logs how far that is: in a few
/// words at level info, in detail at level debug.
pub fn sandbox(allowed: &AllowedAccess<'_>) {
    match landlock::restrict(allowed) {
        Ok(restricted) => {
            log::info!("{}", restricted.summary);
            if !restricted.details.is_empty() {
                log::debug!("{}", restricted.details);
            }
        }
        Err(error) => log::warn!("no sandbox: {error}"),
    }
}

/// Opens what is served, a directory or a file, by its absolute name, to allow it later.
///
/// # Errors
/// Those of open(2).
pub fn open_place(name: &Path) -> io::Result<OwnedFd> {
    Ok(open(name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Checks that everything to be served can be read.
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
            // There is no proc(5): requests will show it.
            Err(Errno::NOENT) => {}
            result => drop(result?),
        }
    }
    Ok(())
}
