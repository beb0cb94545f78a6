//! Signals as bytes on a descriptor, so that whoever waits for descriptors need not wait for anything else.

use rustix::io::{Errno, read};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The signals that ask for an end: SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch() -> io::Result<Signals> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM] {
            pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Signals { receiver })
    }

    /// How many have come since the last call.
    pub fn take(&self) -> usize {
        let mut bytes = [0; 16];
        match read(&self.receiver, &mut bytes) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // The other end lives as long as the process; should it ever fail, an end is the safe reading.
            Err(_) => 1,
        }
    }
}

/// Readable while signals wait to be taken.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
