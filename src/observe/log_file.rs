//! Where access log lines go.

use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// An open file, pipe or terminal that takes log lines.
#[derive(Debug)]
pub struct LogFile {
    file: OwnedFd,
    /// The last write failed, and that has been said.
    failing: bool,
}

impl LogFile {
    /// The standard output.
    ///
    /// # Errors
    /// If it is closed, or no descriptor is free.
    pub fn stdout() -> io::Result<LogFile> {
        Ok(LogFile {
            file: io::stdout().as_fd().try_clone_to_owned()?,
            failing: false,
        })
    }

    /// Writes out whole lines and empties `lines`. Lines that cannot be written are lost: serving goes on, and that
    /// there is a gap is said once.
    pub fn write(&mut self, lines: &mut Vec<u8>) {
        let mut rest = &lines[..];
        while !rest.is_empty() {
            match write(&self.file, rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    self.failing = false;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        log::warn!("cannot write the access log: {errno}; lines are lost");
                    }
                    break;
                }
            }
        }
        lines.clear();
    }
}
