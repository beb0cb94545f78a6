//! Where access log lines go: written without ever waiting for whoever reads them.

use crate::transcript;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How many bytes of lines wait for a slow reader before lines are lost.
const PENDING_BYTES: usize = 1024 * 1024;

/// How long the end of the server waits for a slow reader.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// An open file, pipe or terminal that takes log lines.
#[derive(Debug)]
pub struct LogFile {
    file: OwnedFd,
    /// Where it can be opened anew.
    place: Option<Place>,
    /// It is to be opened anew before the next line.
    reopen: Arc<AtomicBool>,
    /// Whole lines, or the rest of one, that the file has not taken yet.
    pending: Vec<u8>,
    /// The last byte the file took was not the end of a line.
    within_line: bool,
    /// Lines are being lost, and that has been said.
    losing: bool,
    /// How many lines were lost since that was last said.
    lost: usize,
}

/// Where a file is.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Open from the beginning, for a confined process may have no other way there.
    directory: OwnedFd,
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
        Ok(LogFile::new(file, None))
    }

    /// A file to append to. It is made, for its owner and to be read by its group, if it is not there.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = Place {
            directory: open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?,
            path: path.into(),
        };
        Ok(LogFile::new(place.open_to_append()?, Some(place)))
    }

    fn new(file: OwnedFd, place: Option<Place>) -> LogFile {
        LogFile {
            file,
            place,
            reopen: Arc::default(),
            pending: Vec::new(),
            within_line: false,
            losing: false,
            lost: 0,
        }
    }

    /// Opens the file anew: somebody has moved it away, to be read or compressed. If that cannot be done, which is said,
    /// lines go where they went. True if it was done; what is no file cannot be opened anew.
    pub fn reopen(&mut self) -> bool {
        let Some(place) = &self.place else {
            return false;
        };
        match place.open_to_append() {
            Ok(file) => {
                self.flush();
                self.keep_whole_lines();
                self.file = file;
                true
            }
            Err(error) => {
                let path = place.path.display();
                log::error!(
                    "cannot open the access log {path} anew: {error}; lines go where they went"
                );
                false
            }
        }
    }

    /// The directory in which it is opened anew, made if it is not there.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.place.as_ref().map(|place| place.directory.as_fd())
    }

    /// Whoever sets this has the file opened anew before the next line.
    pub fn reopen_flag(&self) -> Arc<AtomicBool> {
        self.reopen.clone()
    }

    /// Writes out whole lines, and what was pending before them, and empties `lines`.
    ///
    /// What the file does not take now waits for the next call, up to a limit; then new lines are lost, which is said
    /// once, and how many they were when all is well again. Serving goes on in any case.
    pub fn write(&mut self, lines: &mut Vec<u8>) {
        if lines.is_empty() && self.pending.is_empty() {
            return;
        }
        if self.reopen.load(SeqCst) && self.reopen.swap(false, SeqCst) {
            self.reopen();
        }
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, lines);
        } else if self.pending.len() + lines.len() <= PENDING_BYTES {
            self.pending.append(lines);
        } else {
            self.lost += count_lines(lines);
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
        self.lost += count_lines(&self.pending);
        self.pending.clear();
        self.say_how_many();
    }

    fn flush(&mut self) {
        let mut written = 0;
        let error = loop {
            let (call, left) = (transcript::call(), &self.pending[written..]);
            let result = write(&self.file, left);
            let called = || {
                let (fd, length) = (self.file.as_raw_fd(), left.len());
                format!("write({fd}, {length} bytes for the access log)")
            };
            call.returned(&result, called, usize::to_string);
            match result {
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
            None => self.say_how_many(),
            Some(Errno::AGAIN) => {}
            Some(errno) => {
                self.say_lost(&errno.to_string());
                // The rest of a line that was begun must come before any other.
                let rest = self.rest_of_line();
                self.lost += count_lines(&self.pending[rest..]);
                self.pending.truncate(rest);
            }
        }
    }

    /// How much of what is pending is the rest of a line of which the file has the beginning.
    fn rest_of_line(&self) -> usize {
        let end = memchr::memchr(b'\n', &self.pending);
        end.filter(|_| self.within_line).map_or(0, |end| end + 1)
    }

    /// Gives up the rest of a line whose beginning is in another file.
    fn keep_whole_lines(&mut self) {
        let rest = self.rest_of_line();
        self.lost += count_lines(&self.pending[..rest]);
        self.pending.drain(..rest);
        self.within_line = false;
    }

    fn say_how_many(&mut self) {
        self.losing = false;
        match std::mem::take(&mut self.lost) {
            0 => {}
            1 => log::warn!("1 line of the access log was lost"),
            lost => log::warn!("{lost} lines of the access log were lost"),
        }
    }

    fn say_lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.losing, true) {
            log::warn!("cannot write the access log: {why}; lines are lost");
        }
    }
}

impl Place {
    fn open_to_append(&self) -> io::Result<OwnedFd> {
        let name = self.path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        // Not blocking, for it may be a FIFO or a terminal.
        let more = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o640);
        Ok(openat(&self.directory, name, flags | more, mode)?)
    }
}

fn count_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
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
        LogFile::new(file, None)
    }

    #[test]
    fn a_reader_that_stops_loses_whole_lines_and_nothing_waits_for_it() {
        const LINES: usize = 100_000;
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut log = log_file(writer);
        for number in 0..LINES {
            log.write(&mut format!("line {number} of many\n").into_bytes());
        }
        assert!(log.is_behind() && log.losing);
        let lost = log.lost;
        let mut got = String::new();
        let mut reader = std::fs::File::from(reader);
        while log.is_behind() {
            let mut some = [0; 65536];
            let count = reader.read(&mut some).expect("there is something");
            got += str::from_utf8(&some[..count]).expect("ASCII");
            log.write(&mut Vec::new());
        }
        log.write(&mut b"after\n".to_vec());
        assert!(!log.losing && log.lost == 0, "it has been said");
        drop(log);
        reader.read_to_string(&mut got).expect("the rest");
        let (last, lines) = got
            .lines()
            .collect::<Vec<_>>()
            .split_last()
            .map(|(l, r)| (*l, r.to_vec()))
            .expect("lines");
        assert_eq!(last, "after");
        assert_eq!(lines.len() + lost, LINES, "each is there or counted");
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
        assert_eq!(log.lost, 2);
        drop(reader);
    }
}
