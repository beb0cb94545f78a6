//! A writer of lines that keeps what the descriptor has not taken yet.

use crate::sys::untraced::{fstat, open, ready_now, send, write};
use crate::sys::{
    Errno, FileType, Mode, OFlags, PIPE_BUF, PollFd, PollFlags, SendFlags, poll_untraced,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many bytes of lines wait for a slow reader. A reader that never comes back holds this
/// memory.
const PENDING_BYTES: usize = 1024 * 1024;

/// How many bytes to write to a terminal at once if it can only be polled. A terminal that polls as
/// writable has room for 256, but only for one piece: see [`terminal_piece`].
const TERMINAL_BYTES: usize = 128;

/// Writes lines to a file, pipe, socket or terminal without waiting for the reader.
///
/// Lines that are not taken at once wait in memory. Beyond 1 MiB, whole lines are dropped and
/// counted. A line once begun is completed before the next one.
#[derive(Debug)]
pub struct LineWriter {
    fd: OwnedFd,
    method: Method,
    /// Whole lines, or the rest of one, not yet taken.
    pending: Vec<u8>,
    /// The last byte taken was not the end of a line.
    within_line: bool,
    /// How many lines were dropped since the last [`take_lost`](LineWriter::take_lost).
    lost: usize,
}

/// How to write without waiting.
#[derive(Clone, Copy, Debug)]
enum Method {
    /// write(2): the open file description is our own and O_NONBLOCK, or the file has no reader.
    Write,
    /// send(2) with MSG_DONTWAIT: the descriptor is a socket.
    Send,
    /// poll(2), then write(2): other processes share the open file description, so it must not
    /// become O_NONBLOCK. The function returns how many bytes fit if poll(2) reports room. The
    /// write waits only if another process has filled that room meanwhile.
    Poll(fn(&[u8]) -> usize),
}

impl LineWriter {
    /// Creates a writer for a descriptor that other processes may share, such as standard output.
    ///
    /// # Errors
    /// The descriptor is closed, or none is free.
    pub fn shared(fd: BorrowedFd<'_>) -> io::Result<LineWriter> {
        let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
        if kind == FileType::Socket {
            return Ok(LineWriter::new(fd.try_clone_to_owned()?, Method::Send));
        }
        if !matches!(kind, FileType::Fifo | FileType::CharacterDevice) {
            return Ok(LineWriter::new(fd.try_clone_to_owned()?, Method::Write));
        }
        // O_NONBLOCK belongs to the open file description, which the shell uses too. So open
        // another description. That fails for terminals and pipes of other users, and without
        // procfs.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(own) => Ok(LineWriter::new(own, Method::Write)),
            Err(_) => LineWriter::polled(fd.try_clone_to_owned()?, kind),
        }
    }

    /// Creates a writer for a file opened with O_NONBLOCK for this purpose.
    pub fn own(file: OwnedFd) -> LineWriter {
        LineWriter::new(file, Method::Write)
    }

    fn polled(fd: OwnedFd, kind: FileType) -> io::Result<LineWriter> {
        let piece = match kind {
            FileType::Fifo => pipe_piece,
            _ => terminal_piece,
        };
        Ok(LineWriter::new(fd, Method::Poll(piece)))
    }

    fn new(fd: OwnedFd, method: Method) -> LineWriter {
        LineWriter {
            fd,
            method,
            pending: Vec::new(),
            within_line: false,
            lost: 0,
        }
    }

    /// Queues whole lines and empties `lines`. Returns false if there is no room: the lines are
    /// then dropped and counted.
    pub fn push(&mut self, lines: &mut Vec<u8>) -> bool {
        let fits = self.pending.is_empty() || self.pending.len() + lines.len() <= PENDING_BYTES;
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, lines);
        } else if fits {
            self.pending.append(lines);
        } else {
            self.lost += count_lines(lines);
            lines.clear();
        }
        fits
    }

    /// Writes as much as possible now. Returns the number of bytes.
    ///
    /// # Errors
    /// EAGAIN if nothing was taken; the lines stay queued. Any other error drops and counts all
    /// lines but the one that was begun.
    pub fn flush(&mut self) -> Result<usize, Errno> {
        let mut written = 0;
        let mut result = Ok(());
        while written < self.pending.len() {
            match self.write_some(&self.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            }
        }
        if written > 0 {
            self.within_line = self.pending[written - 1] != b'\n';
            self.pending.drain(..written);
        }
        if result.is_err_and(|errno| errno != Errno::AGAIN) {
            // The rest of a line that was begun must come first.
            let rest = self.rest_of_line();
            self.lost += count_lines(&self.pending[rest..]);
            self.pending.truncate(rest);
        }
        match result {
            Err(errno) if written == 0 || errno != Errno::AGAIN => Err(errno),
            _ => Ok(written),
        }
    }

    fn write_some(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.method {
            Method::Write => write(&self.fd, bytes),
            Method::Send => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                send(&self.fd, bytes, flags)
            }
            Method::Poll(piece) => match ready_now(&self.fd, PollFlags::OUT)?.is_empty() {
                true => Err(Errno::AGAIN),
                false => write(&self.fd, &bytes[..piece(bytes)]),
            },
        }
    }

    /// True if lines are pending. Call [`flush`](LineWriter::flush) soon.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many bytes are pending.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// How many lines were dropped since the last call.
    pub fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }

    /// Waits for a slow reader, for at most `time`, then drops the rest.
    pub fn finish(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.is_behind() {
            let left = end.saturating_duration_since(Instant::now());
            let mut watched = [PollFd::new(&self.fd, PollFlags::OUT)];
            match poll_untraced(&mut watched, Some(left)) {
                _ if left.is_zero() => break,
                Ok(0) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            if self.flush().is_err_and(|errno| errno != Errno::AGAIN) {
                break;
            }
        }
        self.drop_pending();
    }

    /// Switches to another file. Drops the rest of a line whose beginning is in the old one.
    pub fn replace(&mut self, file: OwnedFd) {
        let rest = self.rest_of_line();
        self.lost += count_lines(&self.pending[..rest]);
        self.pending.drain(..rest);
        self.within_line = false;
        (self.fd, self.method) = (file, Method::Write);
    }

    /// Discards pending lines and the count, because another process writes them.
    pub fn forget(&mut self) {
        self.pending.clear();
        self.within_line = false;
        self.lost = 0;
    }

    fn drop_pending(&mut self) {
        self.lost += count_lines(&self.pending);
        self.pending.clear();
    }

    /// How many pending bytes complete a line that was begun.
    fn rest_of_line(&self) -> usize {
        let end = memchr::memchr(b'\n', &self.pending);
        end.filter(|_| self.within_line).map_or(0, |end| end + 1)
    }
}

impl AsFd for LineWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A writable pipe has room for a whole page (pipe(7)).
fn pipe_piece(bytes: &[u8]) -> usize {
    bytes.len().min(PIPE_BUF)
}

/// The terminal driver takes characters that it must process, such as a line feed, separately from
/// the text before them. It may be full after either, and the rest of the same write(2) would wait.
fn terminal_piece(bytes: &[u8]) -> usize {
    let most = &bytes[..bytes.len().min(TERMINAL_BYTES)];
    let processed = most.iter().position(|byte| b"\n\r\t\x08".contains(byte));
    processed.map_or(most.len(), |position| position.max(1))
}

fn count_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::termios::{FlowArg, tcflow};
    use rustix::io::read;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustix::pipe::{PipeFlags, pipe_with};

    /// A nonblocking reader and its writer, for each method of writing.
    fn pairs() -> Vec<(&'static str, OwnedFd, LineWriter)> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (reopened, writer) = pipe();
        let reopened_writer = LineWriter::shared(writer.as_fd()).expect("a writer");
        assert!(matches!(reopened_writer.method, Method::Write));
        let (polled, writer) = pipe();
        let polled_writer = LineWriter::polled(writer, FileType::Fifo).expect("a writer");
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let (socket, other) = socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        let socket_writer = LineWriter::shared(other.as_fd()).expect("a writer");
        let terminal = nix::pty::openpty(None, None).expect("a terminal");
        let terminal_writer = LineWriter::shared(terminal.slave.as_fd()).expect("a writer");
        assert!(matches!(terminal_writer.method, Method::Write));
        let kind = FileType::CharacterDevice;
        let foreign = nix::pty::openpty(None, None).expect("a terminal");
        let foreign_writer = LineWriter::polled(foreign.slave, kind).expect("a writer");
        let all = vec![
            ("pipe", reopened, reopened_writer),
            ("pipe of another user", polled, polled_writer),
            ("socket", socket, socket_writer),
            ("terminal", terminal.master, terminal_writer),
            ("terminal of another user", foreign.master, foreign_writer),
        ];
        for (_, reader, _) in &all {
            rustix::io::ioctl_fionbio(reader, true).expect("not blocking");
        }
        all
    }

    fn read_all(reader: &OwnedFd, got: &mut Vec<u8>) {
        let mut some = [0; 65536];
        while let Ok(count @ 1..) = read(reader, &mut some) {
            got.extend_from_slice(&some[..count]);
        }
    }

    #[test]
    fn a_reader_that_stops_delays_nothing_and_loses_whole_lines() {
        const LINES: usize = 100_000;
        for (name, reader, mut writer) in pairs() {
            for number in 0..LINES {
                writer.push(&mut format!("line {number} of many\n").into_bytes());
                let _ = writer.flush();
            }
            assert!(writer.is_behind(), "{name}");
            let lost = writer.take_lost();
            assert!(lost > 0, "{name}");
            let mut got = Vec::new();
            while writer.is_behind() {
                read_all(&reader, &mut got);
                let _ = writer.flush();
            }
            read_all(&reader, &mut got);
            writer.push(&mut b"after\n".to_vec());
            writer.finish(Duration::from_secs(30));
            read_all(&reader, &mut got);
            let got = String::from_utf8(got).expect("ASCII");
            let lines: Vec<_> = got.lines().collect();
            assert_eq!(
                lines.len() + lost,
                LINES + 1,
                "{name}: each is there or counted"
            );
            for (number, line) in lines[..lines.len() - 1].iter().enumerate() {
                assert_eq!(*line, format!("line {number} of many"), "{name}");
            }
            assert_eq!(lines.last(), Some(&"after"), "{name}");
        }
    }

    #[test]
    fn a_stopped_terminal_delays_nothing() {
        for own in [true, false] {
            let terminal = nix::pty::openpty(None, None).expect("a terminal");
            tcflow(&terminal.slave, FlowArg::TCOOFF).expect("stopped");
            let kind = FileType::CharacterDevice;
            let mut writer = match own {
                true => LineWriter::shared(terminal.slave.as_fd()),
                false => LineWriter::polled(terminal.slave.try_clone().expect("one more"), kind),
            };
            let writer = writer.as_mut().expect("a writer");
            writer.push(&mut b"line\n".to_vec());
            assert_eq!(writer.flush(), Err(Errno::AGAIN));
            tcflow(&terminal.slave, FlowArg::TCOON).expect("goes on");
            assert_eq!(writer.flush(), Ok(5));
        }
    }

    #[test]
    fn a_shared_description_stays_blocking() {
        let (_reader, shared) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let mut writer = LineWriter::shared(shared.as_fd()).expect("a writer");
        writer.push(&mut b"line\n".to_vec());
        assert_eq!(writer.flush(), Ok(5));
        let flags = rustix::fs::fcntl_getfl(&shared).expect("open");
        assert!(!flags.contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_begun_line_is_completed_first() {
        let full = open("/dev/full", OFlags::WRONLY, Mode::empty()).expect("opened");
        let mut writer = LineWriter::own(full);
        writer.pending = b"rest of it\nsecond\n".to_vec();
        writer.within_line = true;
        writer.push(&mut b"third\n".to_vec());
        assert_eq!(writer.flush(), Err(Errno::NOSPC));
        assert_eq!(writer.pending, b"rest of it\n", "the disk is full");
        assert_eq!(writer.take_lost(), 2);
    }

    #[test]
    fn a_closed_reader_is_an_error() {
        for (name, reader, mut writer) in pairs() {
            drop(reader);
            writer.push(&mut b"line\n".to_vec());
            let result = writer.flush();
            assert!(
                matches!(result, Err(Errno::PIPE | Errno::IO)),
                "{name}: {result:?}"
            );
            assert_eq!(writer.take_lost(), 1, "{name}");
        }
    }
}
