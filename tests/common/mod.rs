//! Starts the real program as a child process, and talks to it.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test program uses a part of it"
)]
#![allow(missing_docs)]

mod client;
mod models;
mod program;
mod skipped;
#[cfg(feature = "tls")]
mod tls;

pub use client::{Client, Response};
pub use models::*;
pub use program::{Ended, Evserve, Program, READY, address_in, more_options};
pub use skipped::{is_missing, is_not_root, skip};
#[cfg(feature = "tls")]
pub use tls::{Identity, client_side};

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails: far longer than any takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Returns bytes without repetition, so that a test sees it if any are lost or swapped.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// The number in an environment variable, if it is set.
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number")),
    )
}

/// Waits until a child has exited.
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        assert!(Instant::now() < end, "the process does not exit");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns both sides of a new terminal. No other process inherits them, so the terminal closes
/// when they are dropped.
pub fn terminal() -> (OwnedFd, OwnedFd) {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).expect("a terminal");
    nix::pty::grantpt(&master).expect("a terminal");
    nix::pty::unlockpt(&master).expect("a terminal");
    let name = nix::pty::ptsname_r(&master).expect("a name");
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags(OFlag::O_NOCTTY.bits());
    let slave = options.open(name).expect("opened");
    let master = master.as_fd().try_clone_to_owned().expect("one more");
    (master, slave.into())
}
