//! One connection of a client after the other, with blocking calls.

use super::{close, expire, not_in_time, open, refuse, worker};
use crate::model::clock::Clock;
use crate::model::timed_socket::{LazyWakeQueue, TimedSocket};
use crate::model::{abort_after_panic, catch_panic, load};
use crate::session::{
    Action, BUFFER_SIZE, Connection, NewSession, TimeLimits, Timeout, WORK_PER_TURN, Worker,
};
use crate::sys::{self, Errno, SocketFlags};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The longest time that a call may wait; see the blocking models.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Makes one connection at a time, and runs its session until it ends.
pub struct ClientThread {
    clock: Clock,
    worker: Worker,
    wakers: LazyWakeQueue,
    buffer: Box<[u8]>,
}

impl ClientThread {
    /// `limits` are the time limits of its connections; [`Timeout::Handshake`] is that of
    /// connect(2).
    pub fn new(limits: &TimeLimits) -> ClientThread {
        let wakers = LazyWakeQueue::default();
        let (clock, worker) = worker(limits, wakers.clone());
        ClientThread {
            clock,
            worker,
            wakers,
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
        }
    }

    /// What this has done so far.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Makes a connection and runs its session to the end.
    pub fn run(&mut self, address: &SocketAddr, session: impl Into<NewSession>) {
        let start = session.into();
        let made = self.connect(address);
        self.clock.read(&mut self.worker.time);
        let socket = match made {
            Ok(socket) => socket,
            Err(error) => return refuse(start, 0, error, &mut self.worker),
        };
        let Some(mut connection) = open(start, 0, &mut self.worker) else {
            return;
        };
        let mut timed = TimedSocket::new(&socket, &self.wakers);
        let mut failure = None;
        let run = || self.converse(&mut connection, &mut timed, &mut failure);
        if catch_panic(run).is_none() {
            abort_after_panic(&mut connection);
        }
        close(connection, failure, &mut self.worker);
    }

    /// connect(2) waits as long as SO_SNDTIMEO says.
    fn connect(&self, address: &SocketAddr) -> io::Result<OwnedFd> {
        let socket = sys::tcp_socket(address, SocketFlags::empty())?;
        if let Some(limit) = self.worker.time_limits[Timeout::Handshake] {
            sys::set_send_timeout(&socket, limit)?;
        }
        match sys::connect(&socket, address) {
            Err(Errno::INPROGRESS) => Err(not_in_time()),
            result => Ok(result.map(|()| socket)?),
        }
    }

    /// Performs the connection's actions until it ends.
    fn converse(
        &mut self,
        connection: &mut Connection,
        socket: &mut TimedSocket<'_>,
        failure: &mut Option<io::Error>,
    ) {
        loop {
            self.clock.read(&mut self.worker.time);
            let left = self.worker.left(connection.deadline(&self.worker));
            let left = left.map_or(MAX_WAIT, |left| left.min(MAX_WAIT));
            match self.perform(connection, socket, left) {
                Ok(true) => {}
                Ok(false) => return,
                Err(Errno::AGAIN) if left.is_zero() => {
                    *failure = expire(connection, &mut self.worker);
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => connection.woken(&mut self.worker),
                Err(sys::SENDFILE_REFUSED) => connection.send_refused(&mut self.worker),
                Err(errno) => {
                    *failure = Some(errno.into());
                    connection.abort();
                }
            }
        }
    }

    /// Performs one action, and waits at most `left` for the socket. Returns false if the connection
    /// is to be closed.
    fn perform(
        &mut self,
        connection: &mut Connection,
        socket: &mut TimedSocket<'_>,
        left: Duration,
    ) -> Result<bool, Errno> {
        let worker = &mut self.worker;
        match connection.next() {
            Action::Send => {
                let count = socket.send(&connection.front(), left, &mut worker.counters)?;
                worker.counters.sent_bytes += count as u64;
                connection.sent(count, worker);
            }
            Action::Receive => {
                let room = connection.room().min(self.buffer.len());
                let into = &mut self.buffer[..room];
                let count = socket.receive(into, left, &mut worker.counters)?;
                worker.counters.received_bytes += count as u64;
                self.clock.read(&mut worker.time);
                match count {
                    0 => connection.input_ended(worker),
                    _ => connection.received(&self.buffer[..count], worker),
                }
            }
            Action::Load => {
                let count = load(&connection.front(), &mut self.buffer)?;
                connection.loaded(&self.buffer[..count], worker);
            }
            Action::Proceed => {
                worker.work = WORK_PER_TURN;
                connection.proceed(worker);
            }
            Action::Run => {
                if let Some(job) = connection.take_job() {
                    (job.work)();
                }
                connection.woken(worker);
            }
            Action::Wait => socket.wait(left, &mut worker.counters)?,
            Action::ShutdownWrite => {
                socket.shutdown_write(&mut worker.counters)?;
                connection.write_shut_down();
            }
            Action::Close { may_linger: true }
                if socket.has_unread_input(&mut self.buffer, &mut worker.counters) =>
            {
                connection.linger();
            }
            Action::Close { .. } => return Ok(false),
        }
        Ok(true)
    }
}
