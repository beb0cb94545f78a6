//! Signals as bytes on a descriptor, so that whoever waits for descriptors need not wait for anything else.

use rustix::io::{Errno, read, retry_on_intr};
use rustix::net::SendFlags;
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Signals of one meaning: those that ask for an end, that tell of children, or that ask for a new log file.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
    actions: Vec<SigId>,
}

/// Does what a signal does, without one.
#[derive(Debug)]
pub struct SignalSender(UnixStream);

impl SignalSender {
    /// Whoever waits for signals hears one.
    pub fn send(&self) {
        // If there is no room, there are signals enough; if nobody listens any more, all is over.
        let _ = rustix::net::send(&self.0, b"x", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl Signals {
    /// Catches SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch() -> io::Result<Signals> {
        Signals::catch_each(&[SIGINT, SIGTERM])
    }

    /// Catches SIGHUP from now on, which would otherwise end the process.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch_hangups() -> io::Result<Signals> {
        Signals::catch_each(&[SIGHUP])
    }

    /// Catches SIGCHLD from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub(super) fn of_children() -> io::Result<Signals> {
        Signals::catch_each(&[SIGCHLD])
    }

    fn catch_each(signals: &[i32]) -> io::Result<Signals> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut actions = Vec::new();
        for signal in signals {
            actions.push(pipe::register(*signal, sender.try_clone()?)?);
        }
        Ok(Signals {
            receiver,
            sender,
            actions,
        })
    }

    /// What does the same as one of the signals.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn sender(&self) -> io::Result<SignalSender> {
        Ok(SignalSender(self.sender.try_clone()?))
    }

    /// How many have come since the last call.
    pub fn take(&self) -> usize {
        let mut bytes = [0; 16];
        // An edge-triggered poller tells of them once: whoever is interrupted must not leave them.
        match retry_on_intr(|| read(&self.receiver, &mut bytes)) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            // The other end lives as long as the process; should it ever fail, an end is the safe reading.
            Err(_) => 1,
        }
    }

    /// Catches them no more, and ignores them from then on. A child process does this: what it inherits would tell its
    /// parent of the child's signals.
    pub(super) fn ignore(&self) {
        for action in &self.actions {
            signal_hook::low_level::unregister(*action);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ignore();
    }
}

/// Readable while signals wait to be taken.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
