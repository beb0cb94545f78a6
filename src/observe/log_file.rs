//! Where access log lines go, and how their file is reopened.

use super::throttled;
use crate::lines::LineWriter;
use crate::sys::untraced::{open, openat, stat};
use crate::sys::{Errno, Mode, OFlags};
use crate::trace;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How long the end of the server waits for a slow reader.
const FINAL_WAIT: Duration = Duration::from_millis(500);

/// An open file, pipe, socket or terminal that takes log lines.
#[derive(Debug)]
pub struct LogFile {
    writer: LineWriter,
    /// Where it can be reopened.
    path: Option<LogPath>,
    /// It is to be reopened before the next line.
    reopen: Arc<AtomicBool>,
    /// Lines are being lost, and that has been logged.
    losing: bool,
}

/// Where a file is.
#[derive(Debug)]
struct LogPath {
    /// As it was configured, links and all; absolute.
    path: PathBuf,
    /// The directory that held it at the start, for a process that has become a user who does not get there by name.
    directory: OwnedFd,
}

impl LogFile {
    /// The standard output.
    ///
    /// # Errors
    /// If it is closed, or no descriptor is free.
    pub fn stdout() -> io::Result<LogFile> {
        let writer = LineWriter::shared(io::stdout().as_fd())?;
        Ok(LogFile::new(writer, None))
    }

    /// A file to append to. It is made, for its owner and to be read by its group, if it is not there.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let path = std::path::absolute(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = LogPath {
            directory: open(path.parent().unwrap_or(&path), flags, Mode::empty())?,
            path,
        };
        let writer = LineWriter::own(path.open_to_append()?);
        Ok(LogFile::new(writer, Some(path)))
    }

    fn new(writer: LineWriter, path: Option<LogPath>) -> LogFile {
        LogFile {
            writer,
            path,
            reopen: Arc::default(),
            losing: false,
        }
    }

    /// Opens the file anew: somebody has moved it away, to be read or compressed. If that cannot be done, which is said,
    /// lines go where they went. True if it was done; what is no file cannot be reopened.
    pub fn reopen(&mut self) -> bool {
        let Some(path) = &self.path else {
            return false;
        };
        match path.open_to_append() {
            Ok(file) => {
                self.flush();
                self.writer.replace(file);
                true
            }
            Err(errno) => {
                let path = path.path.display();
                let hint = match errno {
                    Errno::ACCESS => {
                        " (a directory that was replaced may lie outside the sandbox: see --sandbox)"
                    }
                    _ => "",
                };
                throttled!(
                    Error,
                    "cannot open the access log {path} anew: {errno}{hint}; lines go on into the old file"
                );
                false
            }
        }
    }

    /// Its absolute name, by which it is reopened; it is made if it is not there.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref().map(|path| &*path.path)
    }

    /// Whoever sets this has the file reopened before the next line.
    pub fn reopen_flag(&self) -> Arc<AtomicBool> {
        self.reopen.clone()
    }

    /// Writes out whole lines, and what was pending before them, and empties `lines`.
    ///
    /// What the file does not take now waits for the next call, up to a limit; then new lines are lost, which is said
    /// once, and how many they were when all is well again. Serving goes on in any case.
    pub fn write(&mut self, lines: &mut Vec<u8>) {
        if lines.is_empty() && !self.writer.is_behind() {
            return;
        }
        if self.reopen.load(SeqCst) && self.reopen.swap(false, SeqCst) {
            self.reopen();
        }
        if !self.writer.push(lines) {
            self.log_loss("its reader is too slow");
        }
        self.flush();
    }

    /// True if lines wait for their reader: call [`write`](LogFile::write) again soon, though there may be no new ones.
    pub fn is_behind(&self) -> bool {
        self.writer.is_behind()
    }

    /// Waits for a slow reader, for so long at most. After that there is nobody to write what is left.
    pub fn finish(&mut self, time: Duration) {
        self.writer.finish(time);
        self.log_how_many();
    }

    fn flush(&mut self) {
        let call = trace::call();
        let (fd, length) = (self.writer.as_fd().as_raw_fd(), self.writer.pending_bytes());
        let result = self.writer.flush();
        let called = || format!("write({fd}, {length} bytes for the access log)");
        call.returned(&result, called, usize::to_string);
        match result {
            Ok(_) if !self.writer.is_behind() => self.log_how_many(),
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => self.log_loss(&errno.to_string()),
        }
    }

    fn log_how_many(&mut self) {
        self.losing = false;
        match self.writer.take_lost() {
            0 => {}
            1 => log::warn!("1 line of the access log was lost"),
            lost => log::warn!("{lost} lines of the access log were lost"),
        }
    }

    fn log_loss(&mut self, why: &str) {
        if !std::mem::replace(&mut self.losing, true) {
            log::warn!("cannot write the access log: {why}; lines are lost");
        }
    }
}

impl LogPath {
    /// Opens what has the name now, links followed, or makes it.
    fn open_to_append(&self) -> Result<OwnedFd, Errno> {
        let name = self.path.file_name().ok_or(Errno::ISDIR)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        // Not blocking, for it may be a FIFO or a terminal.
        let more = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o640);
        let parent = self.path.parent().unwrap_or(&self.path);
        // The sandbox hides no directory, so this is about what the user may.
        match stat(parent) {
            Err(Errno::ACCESS) => openat(&self.directory, name, flags | more, mode),
            _ => open(&self.path, flags | more, mode),
        }
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.finish(FINAL_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read;

    #[test]
    fn a_loss_is_logged_once_and_then_how_many_lines_it_was() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut log = LogFile::new(LineWriter::own(writer), None);
        while !log.losing {
            log.write(&mut vec![b'\n'; 65536]);
        }
        assert!(log.is_behind());
        let mut reader = std::fs::File::from(reader);
        while log.is_behind() {
            let count = reader.read(&mut [0; 65536]).expect("there is something");
            assert!(count > 0);
            log.write(&mut Vec::new());
        }
        assert!(!log.losing && log.writer.take_lost() == 0, "it was logged");
    }
}
