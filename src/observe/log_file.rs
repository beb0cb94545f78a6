//! Where access log lines go: written without ever waiting for whoever reads them.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many bytes of lines wait for a slow reader before lines are lost.
const PENDING_BYTES: usize = 1024 * 1024;

/// How long the end of the server waits for a slow reader.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// An open file, pipe or terminal that takes log lines.
#[derive(Debug)]
pub struct LogFile {
    file: OwnedFd,
    /// Whole lines, or the rest of one, that the file has not taken yet.
    pending: Vec<u8>,
    /// The last byte the file took was not the end of a line.
    within_line: bool,
    /// Lines have been lost, and that has been said.
    losing: bool,
}

impl LogFile {
    /// The standard output.
    ///
    /// # Errors
    /// If it is closed, or no descriptor is free.
    pub fn stdout() -> io::Result<LogFile> {
        let stdout = io::stdout();
        let fd = stdout.as_fd();
        // What blocks is opened anew, since O_NONBLOCK set on the descriptor itself would be set for all programs that
        // share it. A socket cannot be opened; then waiting for its reader is all that is left.
        let blocks = matches!(
            FileType::from_raw_mode(fstat(fd)?.st_mode),
            FileType::Fifo | FileType::CharacterDevice
        );
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let anew = blocks.then(|| open(path, flags, Mode::empty()).ok());
        let file = match anew.flatten() {
            Some(file) => file,
            None => fd.try_clone_to_owned()?,
        };
        Ok(LogFile {
            file,
            pending: Vec::new(),
            within_line: false,
            losing: false,
        })
    }

    /// Writes out whole lines, and what was pending before them, and empties `lines`.
    ///
    /// What the file does not take now waits for the next call, up to a limit; then new lines are lost, which is said
    /// once until all is well again. Serving goes on in any case.
    pub fn write(&mut self, lines: &mut Vec<u8>) {
        if lines.is_empty() && self.pending.is_empty() {
            return;
        }
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, lines);
        } else if self.pending.len() + lines.len() <= PENDING_BYTES {
            self.pending.append(lines);
        } else {
            self.say_lost("its reader is too slow");
        }
        self.flush();
        // The swapped buffer goes back, so that both keep what they have grown to.
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, lines);
        }
        lines.clear();
    }

    /// True if lines wait for their reader: call [`write`](LogFile::write) again soon, though there may be no new ones.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits a moment for a slow reader. After that there is nobody to write what is left.
    pub fn finish(&mut self) {
        let end = Instant::now() + LAST_WAIT;
        while self.is_behind() {
            let left = end.saturating_duration_since(Instant::now());
            let time = Timespec::try_from(left).unwrap_or_default();
            let mut watched = [PollFd::new(&self.file, PollFlags::OUT)];
            let ready = poll(&mut watched, Some(&time)).is_ok_and(|count| count > 0);
            if left.is_zero() || !ready {
                break;
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut written = 0;
        let error = loop {
            match write(&self.file, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(errno) => break Some(errno),
            }
            if written == self.pending.len() {
                break None;
            }
        };
        if written > 0 {
            self.within_line = self.pending[written - 1] != b'\n';
            self.pending.drain(..written);
        }
        match error {
            None => self.losing = false,
            Some(Errno::AGAIN) => {}
            Some(errno) => {
                self.say_lost(&errno.to_string());
                // The rest of a line that was begun must come before any other.
                let end = memchr::memchr(b'\n', &self.pending);
                let rest = end.filter(|_| self.within_line).map_or(0, |end| end + 1);
                self.pending.truncate(rest);
            }
        }
    }

    fn say_lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.losing, true) {
            log::warn!("cannot write the access log: {why}; lines are lost");
        }
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read;

    fn log_file(file: OwnedFd) -> LogFile {
        LogFile {
            file,
            pending: Vec::new(),
            within_line: false,
            losing: false,
        }
    }

    #[test]
    fn a_reader_that_stops_loses_whole_lines_and_nothing_waits_for_it() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut log = log_file(writer);
        for number in 0..100_000 {
            log.write(&mut format!("line {number} of many\n").into_bytes());
        }
        assert!(log.is_behind() && log.losing);
        let mut got = String::new();
        let mut reader = std::fs::File::from(reader);
        while log.is_behind() {
            let mut some = [0; 65536];
            let count = reader.read(&mut some).expect("there is something");
            got += str::from_utf8(&some[..count]).expect("ASCII");
            log.write(&mut Vec::new());
        }
        log.write(&mut b"after\n".to_vec());
        assert!(!log.losing);
        drop(log);
        reader.read_to_string(&mut got).expect("the rest");
        let (last, lines) = got
            .lines()
            .collect::<Vec<_>>()
            .split_last()
            .map(|(l, r)| (*l, r.to_vec()))
            .expect("lines");
        assert_eq!(last, "after");
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {number} of many"));
        }
    }

    #[test]
    fn a_line_that_was_begun_is_ended_before_another() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut log = log_file(writer);
        log.pending = b"rest of it\nsecond\n".to_vec();
        log.within_line = true;
        log.file = rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).expect("opened");
        log.write(&mut b"third\n".to_vec());
        assert_eq!(log.pending, b"rest of it\n", "the disk is full");
        drop(reader);
    }
}
