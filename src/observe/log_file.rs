//! Writes access log lines to their file without waiting, and reopens the file.

use super::throttled;
use crate::lines::LineWriter;
use crate::recording::Syscall;
use crate::sys::untraced::{open, openat, stat};
use crate::sys::{Errno, Mode, OFlags};
use crate::trace;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How long the server waits for a slow reader at its end.
const FINAL_WAIT: Duration = Duration::from_millis(500);

/// A file, pipe, socket or terminal that access log lines are written to.
#[derive(Debug)]
pub struct LogFile {
    writer: LineWriter,
    /// The path to reopen; `None` for the standard output.
    path: Option<LogPath>,
    /// Set to reopen the file before the next line.
    reopen: Arc<AtomicBool>,
    /// True after a loss was logged, until all lines are written again.
    losing: bool,
}

/// The path of a log file.
#[derive(Debug)]
struct LogPath {
    /// The absolute path as configured, links not resolved.
    path: PathBuf,
    /// The directory that contained it at the start. A process that has switched to another user
    /// may be unable to reach it by path.
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

    /// Opens a file for appending. Creates it, with mode 0640, if it is missing.
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

    /// Opens the path again, for example after logrotate has renamed the file. Returns true on
    /// success. On failure logs an error and keeps the old file. The standard output is never
    /// reopened.
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
                        " (a replaced directory may be outside the sandbox: see --sandbox)"
                    }
                    _ => "",
                };
                throttled!(
                    Error,
                    "cannot reopen the access log {path}: {errno}{hint}; lines still go to the old file"
                );
                false
            }
        }
    }

    /// The absolute path that is reopened.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref().map(|path| &*path.path)
    }

    /// The flag that reopens the file before the next line.
    pub fn reopen_flag(&self) -> Arc<AtomicBool> {
        self.reopen.clone()
    }

    /// Writes out `lines`, after lines that are still pending, and empties it.
    ///
    /// Bytes that the file does not take wait for the next call. Beyond a limit new lines are
    /// dropped. That is logged once, and their number once all pending lines are written. This
    /// never blocks.
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

    /// True if lines are pending: call [`write`](LogFile::write) again soon, even without new
    /// lines.
    pub fn is_behind(&self) -> bool {
        self.writer.is_behind()
    }

    /// Waits at most `time` for a slow reader. What it has not read by then is lost.
    pub fn finish(&mut self, time: Duration) {
        self.writer.finish(time);
        self.log_lost_lines();
    }

    fn flush(&mut self) {
        let call = trace::call(Syscall::Write, self.writer.as_fd().as_raw_fd());
        let (fd, length) = (self.writer.as_fd().as_raw_fd(), self.writer.pending_bytes());
        let result = self.writer.flush();
        let called = || format!("write({fd}, {length} bytes for the access log)");
        call.returned(&result, called, usize::to_string);
        match result {
            Ok(_) if !self.writer.is_behind() => self.log_lost_lines(),
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => self.log_loss(&errno.to_string()),
        }
    }

    fn log_lost_lines(&mut self) {
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
    /// Opens the path, following links, or creates the file.
    fn open_to_append(&self) -> Result<OwnedFd, Errno> {
        let name = self.path.file_name().ok_or(Errno::ISDIR)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        // The path may be a FIFO or a terminal, which could block.
        let more = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o640);
        let parent = self.path.parent().unwrap_or(&self.path);
        // The sandbox does not affect stat(2), so an error here means that the user lacks access.
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
    fn a_loss_is_logged_once_and_the_lost_lines_are_counted() {
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
        assert!(
            !log.losing && log.writer.take_lost() == 0,
            "the count was logged"
        );
    }
}
