//! A socket with a time limit for each call.
//!
//! A blocking call waits for one thing only. So once other connections can wake this one, its
//! socket becomes non-blocking, and poll(2) waits for the socket and for the wake queue.

use super::wake_queue::WakeQueue;
use super::{send, timer_queue};
use crate::observe::throttled;
use crate::recording::Syscall;
use crate::session::{Counters, Piece, Wakers};
use crate::sys::{self, Errno, PollFd, PollFlags};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

/// How many bytes of a file one call sends: the capacity of the pipe through which sendfile(2)
/// moves them. A larger call would wait again for each filling of the pipe.
const SENDFILE_CHUNK: usize = 64 * 1024;

/// How long a sending call may wait inside the kernel. sendfile(2) applies the timeout several
/// times, and reports only afterwards what the peer has taken. So longer waits are done by poll(2),
/// until the deadline.
const SEND_WAIT: Duration = timer_queue::TICK;

/// A socket whose calls wait for a limited time.
pub struct TimedSocket<'a> {
    socket: &'a OwnedFd,
    /// The SO_RCVTIMEO that is set. It is set again only if it is more than a tick too long, or
    /// after it has expired.
    receive_timeout: Duration,
    /// SO_SNDTIMEO is set to [`SEND_WAIT`].
    send_is_limited: bool,
    /// The last sending call sent nothing in that time.
    is_full: bool,
    wakers: LazyWakeQueue,
    /// Set once the connection has asked for a waker: a wake then ends a wait.
    wake_queue: Option<Arc<WakeQueue>>,
    woken: Vec<usize>,
}

/// The wake queue of a thread. It takes a descriptor, so it is created when a connection first asks
/// for a waker.
#[derive(Clone, Default)]
pub struct LazyWakeQueue(Arc<LazyState>);

#[derive(Default)]
struct LazyState {
    queue: OnceLock<Arc<WakeQueue>>,
    /// The current connection has asked for a waker.
    is_wanted: AtomicBool,
}

impl Wakers for LazyWakeQueue {
    fn waker(&self, key: usize) -> io::Result<Waker> {
        let LazyState { queue, is_wanted } = &*self.0;
        let queue = match queue.get() {
            Some(queue) => queue,
            None => {
                let new = WakeQueue::new().inspect_err(warn_no_waker)?;
                queue.get_or_init(|| new)
            }
        };
        is_wanted.store(true, SeqCst);
        Ok(queue.waker(key))
    }
}

fn warn_no_waker(error: &io::Error) {
    throttled!(
        Warn,
        "a connection is closed because no waker can be made: {error}"
    );
}

impl<'a> TimedSocket<'a> {
    /// The socket of a new connection, which may ask for its waker in `wakers`.
    pub fn new(socket: &'a OwnedFd, wakers: &LazyWakeQueue) -> TimedSocket<'a> {
        wakers.0.is_wanted.store(false, SeqCst);
        TimedSocket {
            socket,
            receive_timeout: Duration::MAX,
            send_is_limited: false,
            is_full: false,
            wakers: wakers.clone(),
            wake_queue: None,
            woken: Vec::new(),
        }
    }

    /// Receives into the front of `buffer`. Returns the number of bytes.
    ///
    /// # Errors
    /// EAGAIN when the time is up, EINTR when the connection was woken, and those of recv(2).
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        left: Duration,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if left.is_zero() {
            counters.receive_calls += 1;
            return sys::receive_now(self.socket, buffer);
        }
        if self.wait_for(PollFlags::IN, left, counters)? {
            counters.receive_calls += 1;
            return sys::receive(self.socket, buffer);
        }
        if left + timer_queue::TICK < self.receive_timeout {
            counters.other_calls += 1;
            sys::set_receive_timeout(self.socket, left)?;
            self.receive_timeout = left;
        }
        counters.receive_calls += 1;
        let fd = self.socket.as_raw_fd();
        let text = |limit| format!("recv({fd}): {limit}");
        trace::note_wait(Syscall::Recv, fd, || Some(left), text);
        let result = sys::receive(self.socket, buffer);
        if result.is_err() {
            self.receive_timeout = Duration::MAX;
        }
        result
    }

    /// Sends the beginning of a piece. Returns the number of bytes.
    ///
    /// # Errors
    /// EAGAIN when a tick has passed or the time is up, EINTR when the connection was woken, and
    /// those of [`send`].
    pub fn send(
        &mut self,
        piece: &Piece<'_>,
        left: Duration,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if !self.wait_for(PollFlags::OUT, left, counters)? {
            self.wait_to_send(left, counters)?;
        }
        counters.send_calls += 1;
        let result = send(self.socket, piece, SENDFILE_CHUNK);
        self.is_full = result == Err(Errno::AGAIN);
        result
    }

    /// True if the next sending call waits in poll(2) first: it probably cannot send at once.
    pub fn waits_to_send(&self) -> bool {
        self.is_full || self.wake_queue.is_some()
    }

    /// Waits until the socket is writable, if the last call could send nothing. Also returns when
    /// the time is up: bytes that the peer has taken by then count, even if they are too few for
    /// poll(2) to report the socket as writable.
    fn wait_to_send(&mut self, left: Duration, counters: &mut Counters) -> Result<(), Errno> {
        if !self.send_is_limited {
            counters.other_calls += 1;
            sys::set_send_timeout(self.socket, SEND_WAIT)?;
            self.send_is_limited = true;
        }
        if std::mem::take(&mut self.is_full) || left.is_zero() {
            counters.wait_calls += 1;
            let mut watched = [PollFd::new(self.socket, PollFlags::OUT)];
            let ready = sys::poll(&mut watched, Some(left))?;
            if left.is_zero() && ready == 0 {
                return Err(Errno::AGAIN);
            }
        }
        Ok(())
    }

    /// Waits for a wake; without a wake queue, sleeps. The socket is not watched: if the peer is
    /// gone, it would end every wait at once.
    ///
    /// # Errors
    /// EAGAIN when the time is up, and EINTR when the connection was woken.
    pub fn wait(&mut self, left: Duration, counters: &mut Counters) -> Result<(), Errno> {
        if !self.wait_for(PollFlags::empty(), left, counters)? {
            std::thread::sleep(left);
        }
        Err(Errno::AGAIN)
    }

    /// With a wake queue: waits until the socket is ready, the time is up, or the connection is
    /// woken (EINTR). Without one: returns false.
    fn wait_for(
        &mut self,
        readiness: PollFlags,
        left: Duration,
        counters: &mut Counters,
    ) -> Result<bool, Errno> {
        self.stop_blocking_if_wanted()?;
        let Some(queue) = &self.wake_queue else {
            return Ok(false);
        };
        let mut watched = [
            PollFd::new(queue, PollFlags::IN),
            PollFd::new(self.socket, readiness),
        ];
        let number = if readiness.is_empty() { 1 } else { 2 };
        let mut result = Ok(0);
        if queue.prepare_to_wait() {
            counters.wait_calls += 1;
            result = sys::poll(&mut watched[..number], Some(left));
        }
        if !watched[0].revents().is_empty() {
            queue.clear();
        }
        queue.take_woken(&mut self.woken);
        let is_woken = !self.woken.is_empty();
        self.woken.clear();
        match is_woken {
            true => Err(Errno::INTR),
            false => result.map(|_| true),
        }
    }

    /// Makes the socket non-blocking if the connection has asked for a waker: from then on poll(2)
    /// waits.
    fn stop_blocking_if_wanted(&mut self) -> Result<(), Errno> {
        if self.wake_queue.is_some() || !self.wakers.0.is_wanted.load(SeqCst) {
            return Ok(());
        }
        if let Err(errno) = sys::set_nonblocking(self.socket, true) {
            warn_no_waker(&errno.into());
            // Any errno that ends the connection.
            return Err(Errno::IO);
        }
        self.wake_queue = self.wakers.0.queue.get().cloned();
        Ok(())
    }

    /// True if unread input waits at the socket. Part of it is dropped into `buffer`.
    pub fn has_unread_input(&self, buffer: &mut [u8], counters: &mut Counters) -> bool {
        counters.receive_calls += 1;
        let result = sys::receive_now(self.socket, buffer);
        counters.would_blocks += u64::from(result == Err(Errno::AGAIN));
        result.is_ok_and(|count| count > 0)
    }

    /// True if nothing can reach the peer any more: see [`sys::is_gone`].
    pub fn is_gone(&self, counters: &mut Counters) -> bool {
        counters.other_calls += 1;
        sys::is_gone(self.socket)
    }

    /// Shuts down our side of the connection.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self, counters: &mut Counters) -> Result<(), Errno> {
        counters.other_calls += 1;
        sys::shutdown_write(self.socket)
    }
}
