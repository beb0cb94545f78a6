//! Performs the calls for one connection at a time, on a thread or in a child process. It has a
//! clock, a buffer, and the worker of its sessions.

use super::acting::{Cause, awaited, record_cause, record_stop, record_turn};
use super::clock::Clock;
use super::connection_control::{ConnectionControl, SharedFlags};
use super::timed_socket::{LazyWakeQueue, TimedSocket};
use super::{load, new_worker, update_trace};
use crate::config::Timeouts;
use crate::observe::LogFile;
use crate::recording::{self, End, Event, Kind};
use crate::session::{BUFFER_SIZE, Connection, Job, Piece, WORK_PER_TURN, Worker};
use crate::sys::Errno;
use crate::trace;
use parking_lot::Mutex;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// The longest time that a call may wait. Without any limit the kernel would restart the call after
/// a signal (signal(7)), and it would not return.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// The clock, the buffer and the worker for one connection at a time.
pub struct Runner {
    /// What the sessions share.
    pub worker: Worker,
    /// The bytes that were received or loaded last.
    pub buffer: Box<[u8]>,
    clock: Clock,
    log: Arc<Mutex<LogFile>>,
    flags: SharedFlags,
    wakers: LazyWakeQueue,
    /// The descriptor of the connection.
    fd: i32,
    /// The recording says that the connection has stopped.
    is_stopped: bool,
}

impl Runner {
    /// Creates a runner for connections that obey `flags`.
    pub fn new(timeouts: &Timeouts, log: &Arc<Mutex<LogFile>>, flags: &SharedFlags) -> Runner {
        let (clock, time) = Clock::start();
        let wakers = LazyWakeQueue::default();
        Runner {
            worker: new_worker(time, timeouts, Some(Box::new(wakers.clone()))),
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            clock,
            log: log.clone(),
            flags: flags.clone(),
            wakers,
            fd: -1,
            is_stopped: false,
        }
    }

    /// Begins a connection: returns its socket, whose calls have time limits.
    pub fn begin<'a>(&mut self, socket: &'a OwnedFd) -> TimedSocket<'a> {
        self.refresh();
        update_trace(&mut self.worker);
        self.fd = socket.as_raw_fd();
        trace::note_opened(self.fd);
        trace::record(|| Event::new(Kind::Turn, self.fd));
        self.worker.work = WORK_PER_TURN;
        TimedSocket::new(socket, &self.wakers)
    }

    /// Ends a connection, in this way.
    pub fn end(&mut self, end: End) {
        trace::note_closed(self.fd, || end);
        // Counts the caller's close(2).
        self.worker.counters.other_calls += 1;
        self.write_log();
    }

    /// Applies the flags to the connection, and publishes its state. Returns how long the next call
    /// may wait.
    pub fn begin_step(
        &mut self,
        connection: &mut Connection,
        control: &ConnectionControl,
    ) -> Duration {
        if control.cut_off.load(SeqCst) {
            connection.abort();
        }
        control.begin_wait(connection);
        self.read_flags();
        let left = self.worker.left(connection.deadline(&self.worker));
        control.show(connection, left, &mut self.worker);
        left.map_or(MAX_WAIT, |left| left.min(MAX_WAIT))
    }

    /// Receives bytes for the connection into the front of the buffer: see
    /// [`TimedSocket::receive`].
    pub fn receive(
        &mut self,
        socket: &mut TimedSocket<'_>,
        connection: &Connection,
        left: Duration,
    ) -> Result<usize, Errno> {
        self.write_log();
        update_trace(&mut self.worker);
        if trace::is_on() {
            self.record_stop(connection, left, true);
        }
        let room = connection.room().min(self.buffer.len());
        let counters = &mut self.worker.counters;
        let result = socket.receive(&mut self.buffer[..room], left, counters);
        counters.received_bytes += result.map_or(0, |count| count as u64);
        self.end_call(connection, result)
    }

    /// See [`TimedSocket::send`].
    pub fn send(
        &mut self,
        socket: &mut TimedSocket<'_>,
        connection: &Connection,
        left: Duration,
    ) -> Result<usize, Errno> {
        if trace::is_on() {
            self.record_stop(connection, left, socket.waits_to_send());
        }
        let counters = &mut self.worker.counters;
        let result = socket.send(&connection.front(), left, counters);
        counters.sent_bytes += result.map_or(0, |count| count as u64);
        self.end_call(connection, result)
    }

    /// See [`TimedSocket::wait`].
    pub fn wait(
        &mut self,
        socket: &mut TimedSocket<'_>,
        connection: &Connection,
        left: Duration,
    ) -> Result<(), Errno> {
        self.write_log();
        if trace::is_on() {
            self.record_stop(connection, left, true);
        }
        let result = socket.wait(left, &mut self.worker.counters);
        self.refresh();
        if trace::is_on() {
            self.record_turn(connection, result.err());
        }
        result
    }

    /// Reads the beginning of a file range into the buffer. Returns the number of bytes.
    pub fn load(&mut self, piece: &Piece<'_>) -> Result<usize, Errno> {
        let result = load(piece, &mut self.buffer);
        self.refresh();
        result
    }

    /// Runs a job on this thread, however long that takes.
    pub fn run_job(&mut self, job: Option<Job>) {
        if let Some(job) = job {
            (job.work)();
        }
        self.refresh();
    }

    /// Begins a turn of a session that has work of its own. It gets all work of the turn, since no
    /// other connection waits for this thread.
    pub fn begin_turn(&mut self) -> &mut Worker {
        self.refresh();
        self.worker.work = WORK_PER_TURN;
        &mut self.worker
    }

    /// See [`TimedSocket::is_gone`].
    pub fn is_gone(&mut self, socket: &TimedSocket<'_>) -> bool {
        socket.is_gone(&mut self.worker.counters)
    }

    /// See [`TimedSocket::has_unread_input`].
    pub fn has_unread_input(&mut self, socket: &TimedSocket<'_>) -> bool {
        socket.has_unread_input(&mut self.buffer, &mut self.worker.counters)
    }

    /// See [`TimedSocket::shutdown_write`].
    pub fn shutdown_write(&mut self, socket: &TimedSocket<'_>) -> Result<(), Errno> {
        socket.shutdown_write(&mut self.worker.counters)
    }

    fn end_call(
        &mut self,
        connection: &Connection,
        result: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        self.worker.counters.would_blocks += u64::from(result == Err(Errno::AGAIN));
        self.refresh();
        if trace::is_on() {
            self.record_turn(connection, result.err());
        }
        result
    }

    /// Records that the connection stops, if the next call `may_wait`.
    #[cold]
    #[inline(never)]
    fn record_stop(&mut self, connection: &Connection, left: Duration, may_wait: bool) {
        trace::when_recording(|| {
            if left.is_zero() {
                record_cause(self.fd, Cause::Expired, connection);
            } else if may_wait {
                record_stop(self.fd, awaited(connection), connection, &self.worker);
                self.is_stopped = true;
            }
        });
    }

    /// Records that the connection goes on after a call, if it had stopped.
    #[cold]
    #[inline(never)]
    fn record_turn(&mut self, connection: &Connection, error: Option<Errno>) {
        trace::when_recording(|| {
            // The recording may have begun during the call.
            recording::set_subject(self.fd);
            update_trace(&mut self.worker);
            if std::mem::take(&mut self.is_stopped) {
                let cause = match error {
                    Some(Errno::INTR) => Cause::Woken,
                    _ => Cause::Ready,
                };
                record_turn(self.fd, cause, connection);
            }
        });
    }

    /// Reads the clock and the flags.
    fn refresh(&mut self) {
        self.clock.read(&mut self.worker.time);
        self.read_flags();
    }

    fn read_flags(&mut self) {
        self.worker.crowded = self.flags.crowded.load(SeqCst);
        self.worker.one_exchange = self.flags.one_exchange.load(SeqCst);
        self.worker.stopping = self.flags.stopping.load(SeqCst);
    }

    fn write_log(&mut self) {
        if !self.worker.log.is_empty() {
            self.log.lock().write(&mut self.worker.log);
        }
    }
}
