//! The task of a connection: performs its actions, and awaits what they wait for.

use super::shared::{Alive, Local, Shared};
use super::watch::{Watched, watch};
use crate::model::acting::{Cause, awaited, record_cause, record_stop, record_turn};
use crate::model::thread_group::{Accepted, ActiveConnection};
use crate::model::{
    abort_after_panic, catch_panic, catch_start_panic, ending, load, load_now, send,
};
use crate::observe::throttled;
use crate::offload;
use crate::recording::{End, Event, Kind, Reason};
use crate::session::{Action, BUFFER_SIZE, Connection, Piece};
use crate::sys::{self, Errno};
use crate::trace;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Poll, Waker, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep};

/// How many bytes a connection moves before other tasks have their turn. The runtime itself counts
/// calls, not bytes.
const TURN_BYTES: usize = 64 * 1024;

/// A connection and what its task waits with.
struct Task<'a> {
    shared: &'a Arc<Shared>,
    active: &'a Arc<ActiveConnection>,
    socket: &'a Watched<'a>,
    timer: Pin<&'a mut Sleep>,
    connection: Connection,
    /// How many bytes it has moved since it last let others have their turn.
    moved: usize,
}

/// What ends a wait for a socket.
enum Waited<'a> {
    /// The socket may be ready.
    Ready(AsyncFdReadyGuard<'a, BorrowedFd<'a>>),
    /// The deadline has passed: try once more.
    Expired,
}

/// What a call on a socket has done.
struct Moved {
    bytes: usize,
    /// The call has emptied the socket.
    is_drained: bool,
}

/// Serves a connection from its beginning to its end. A panic of its session ends only this
/// connection.
pub(super) async fn serve(shared: Arc<Shared>, accepted: Accepted, _alive: Alive) {
    let shared = &shared;
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let begin = |local: &mut Local| shared.group.begin_task(accepted, waker, &mut local.worker);
    let (key, _permit, active, start) = Local::with(shared, begin);
    let fd = active.socket.as_raw_fd();
    trace::note(|| format!("a task serves fd {fd}"));
    match watch(
        active.socket.as_fd(),
        Interest::READABLE | Interest::WRITABLE,
    ) {
        Ok(socket) => {
            let open = |local: &mut Local| {
                local.begin(&active);
                trace::note_opened(fd);
                trace::record(|| Event::new(Kind::Turn, fd));
                local.worker.counters.interest_change_calls += 1;
                catch_start_panic(|| Some(Connection::open(start, key, &mut local.worker)))
            };
            if let Some(connection) = Local::with(shared, open) {
                let timer = pin!(sleep(Duration::ZERO));
                let task = Task {
                    shared,
                    active: &active,
                    socket: &socket,
                    timer,
                    connection,
                    moved: 0,
                };
                task.run_to_end().await;
            } else {
                trace::note_closed(fd, || End::Refused);
            }
        }
        Err(error) => throttled!(
            Warn,
            "a connection cannot be watched and is closed: {error}"
        ),
    }
    trace::note_close(&active.socket);
    Local::with(shared, |local| {
        // The runtime stops watching the socket, and the socket is closed.
        local.worker.counters.interest_change_calls += 1;
        local.worker.counters.other_calls += 1;
        shared.group.end_task(&active, &mut local.worker);
    });
}

impl<'a> Task<'a> {
    async fn run_to_end(mut self) {
        let ran = {
            let mut run = pin!(self.run());
            poll_fn(|cx| match catch_panic(|| run.as_mut().poll(cx)) {
                Some(poll) => poll.map(Some),
                None => Poll::Ready(None),
            })
            .await
        };
        if ran.is_none() {
            abort_after_panic(&mut self.connection);
        }
        let mut connection = self.connection;
        Local::with(self.shared, |local| {
            let end = ending(&connection);
            catch_panic(|| connection.close(&mut local.worker));
            connection.release(&mut local.worker);
            trace::note_closed(self.active.socket.as_raw_fd(), || end);
            self.shared.group.write_log(&mut local.worker);
        });
    }

    /// Performs the connection's actions until it closes.
    async fn run(&mut self) {
        loop {
            let result = match self.connection.next() {
                Action::Send => self.send().await,
                Action::Receive => self.receive().await,
                Action::Load => self.load().await,
                Action::Proceed => self.proceed().await,
                Action::Run => self.run_job(),
                Action::Wait => self.wait(None).await.and(Err(Errno::AGAIN)),
                Action::ShutdownWrite => self.shut_down_write(),
                Action::Close { may_linger: true } if self.has_unread() => {
                    self.connection.linger();
                    Ok(())
                }
                Action::Close { .. } => return,
            };
            match result {
                Ok(()) => {}
                // The deadline has passed.
                Err(Errno::AGAIN) => {
                    self.here(|it, local| it.connection.expired(&mut local.worker));
                }
                // Another connection has a message for this one, or its job has ended.
                Err(Errno::INTR) => self.here(|it, local| it.connection.woken(&mut local.worker)),
                Err(sys::SENDFILE_REFUSED) => {
                    self.here(|it, local| it.connection.send_refused(&mut local.worker));
                }
                // The peer is gone, or a file cannot be read.
                Err(_) => self.connection.abort(),
            }
            if self.moved >= TURN_BYTES {
                self.moved = 0;
                self.yield_turn().await;
            }
        }
    }

    async fn send(&mut self) -> Result<(), Errno> {
        if may_wait_for_disk(&self.connection.front()) {
            return Err(sys::SENDFILE_REFUSED);
        }
        self.when_ready(Interest::WRITABLE, |it, local| {
            local.worker.counters.send_calls += 1;
            let bytes = send(it.socket.get_ref(), &it.connection.front(), TURN_BYTES)?;
            local.worker.counters.sent_bytes += bytes as u64;
            it.connection.sent(bytes, &mut local.worker);
            Ok(Moved {
                bytes,
                is_drained: false,
            })
        })
        .await
    }

    async fn receive(&mut self) -> Result<(), Errno> {
        self.when_ready(Interest::READABLE, |it, local| {
            local.worker.counters.receive_calls += 1;
            let room = it.connection.room().min(local.buffer.len());
            let bytes = sys::receive(it.socket.get_ref(), &mut local.buffer[..room])?;
            local.worker.counters.received_bytes += bytes as u64;
            match bytes {
                0 => it.connection.input_ended(&mut local.worker),
                _ => {
                    let received = &local.buffer[..bytes];
                    it.connection.received(received, &mut local.worker);
                }
            }
            Ok(Moved {
                bytes,
                is_drained: bytes < room,
            })
        })
        .await
    }

    /// Loads the beginning of a file range: here if it is in memory, otherwise on a thread that may
    /// wait for the disk.
    async fn load(&mut self) -> Result<(), Errno> {
        let Piece::File {
            file,
            offset,
            count,
        } = self.connection.front()
        else {
            return Err(Errno::IO);
        };
        let (file, mount) = (file.clone(), file.mount());
        if mount.is_none() {
            let loaded = self.here(|it, local| {
                let count = load_now(&it.connection.front(), &mut local.buffer)?;
                let loaded = &local.buffer[..count];
                it.connection.loaded(loaded, &mut local.worker);
                it.moved += count;
                Ok(())
            });
            if loaded != Err(Errno::AGAIN) {
                return loaded;
            }
        }
        let (result, waker) = (Arc::new(Mutex::new(None)), Waker::from(self.active.clone()));
        let for_thread = result.clone();
        let work = move || {
            let mut bytes = vec![0; BUFFER_SIZE];
            let piece = Piece::File {
                file: &file,
                offset,
                count,
            };
            // Without the task nobody needs them.
            if Arc::strong_count(&for_thread) > 1 {
                let loaded = load(&piece, &mut bytes);
                *for_thread.lock() = Some(loaded.map(|count| (bytes, count)));
            }
            waker.wake();
        };
        if !offload::run(mount.unwrap_or_default(), Box::new(work)) {
            return Err(Errno::NOMEM);
        }
        self.here(|_, local| local.worker.counters.readaheads += 1);
        loop {
            let waited = self.wait(None).await;
            let ended = result.lock().take();
            match ended {
                Some(loaded) => {
                    let (bytes, count) = loaded?;
                    self.here(|it, local| {
                        it.connection.loaded(&bytes[..count], &mut local.worker);
                    });
                    // It may have been woken for something else as well.
                    return Err(Errno::INTR);
                }
                None if matches!(waited, Err(Errno::INTR)) => {
                    self.here(|it, local| it.connection.woken(&mut local.worker));
                }
                None => return waited.and(Err(Errno::AGAIN)),
            }
        }
    }

    async fn proceed(&mut self) -> Result<(), Errno> {
        let _working = Working::begin(self.shared);
        self.yield_turn().await;
        self.here(|it, local| {
            local.worker.counters.other_calls += 1;
            match sys::is_gone(it.socket.get_ref()) {
                true => it.connection.abort(),
                false => it.connection.proceed(&mut local.worker),
            }
        });
        Ok(())
    }

    /// Lets other tasks have their turn.
    async fn yield_turn(&mut self) {
        let fd = self.active.socket.as_raw_fd();
        trace::when_recording(|| {
            Local::with(self.shared, |local| {
                record_stop(fd, Reason::Budget, &self.connection, &local.worker);
            });
        });
        yield_now().await;
        trace::when_recording(|| record_turn(fd, Cause::Ready, &self.connection));
    }

    /// Has a thread do a job that may wait for a file system.
    fn run_job(&mut self) -> Result<(), Errno> {
        let Some(job) = self.connection.take_job() else {
            return Ok(());
        };
        let (waker, work) = (Waker::from(self.active.clone()), job.work);
        let work = move || {
            catch_panic(work);
            waker.wake();
        };
        match offload::run(job.mount, Box::new(work)) {
            true => Ok(()),
            // Too much work waits.
            false => Err(Errno::AGAIN),
        }
    }

    fn shut_down_write(&mut self) -> Result<(), Errno> {
        self.here(|it, local| {
            local.worker.counters.other_calls += 1;
            sys::shutdown_write(it.socket.get_ref())?;
            it.connection.write_shut_down();
            Ok(())
        })
    }

    /// True if unread input waits at the socket. Consumes a byte of it.
    fn has_unread(&mut self) -> bool {
        self.here(|it, local| {
            local.worker.counters.receive_calls += 1;
            let has_unread = sys::has_unread(it.socket.get_ref());
            local.worker.counters.would_blocks += u64::from(!has_unread);
            has_unread
        })
    }

    /// Waits until the socket is ready, and makes a call on it.
    ///
    /// # Errors
    /// AGAIN when the deadline has passed and the call would still block, INTR when the connection
    /// was woken, and those of the call.
    async fn when_ready(
        &mut self,
        direction: Interest,
        mut call: impl FnMut(&mut Self, &mut Local) -> Result<Moved, Errno>,
    ) -> Result<(), Errno> {
        loop {
            let waited = self.wait(Some(direction)).await?;
            let result = self.here(|it, local| {
                let result = call(it, local);
                let blocks = matches!(result, Err(Errno::AGAIN));
                local.worker.counters.would_blocks += u64::from(blocks);
                result
            });
            match (result, waited) {
                (Err(Errno::AGAIN), Waited::Ready(mut ready)) => ready.clear_ready(),
                (Ok(moved), waited) => {
                    if let (true, Waited::Ready(mut ready)) = (moved.is_drained, waited) {
                        // Without another call that finds nothing. The end of input stays noted.
                        ready.clear_ready();
                    }
                    self.moved += moved.bytes;
                    return Ok(());
                }
                (Err(errno), _) => return Err(errno),
            }
        }
    }

    /// Waits until the socket is ready in this direction, or without one only for a wake. Reads no
    /// clock: a deadline that has passed since the last call ends the wait at once.
    ///
    /// # Errors
    /// INTR when the connection was woken, and another one when it is cut off.
    async fn wait(&mut self, direction: Option<Interest>) -> Result<Waited<'a>, Errno> {
        let (socket, active, shared) = (self.socket, self.active, self.shared);
        let (connection, fd) = (&mut self.connection, active.socket.as_raw_fd());
        active.control.begin_wait(connection);
        if active.control.cut_off.load(SeqCst) {
            return Err(Errno::CONNABORTED);
        }
        let deadline = Local::with(self.shared, |local| {
            let worker = &mut local.worker;
            self.shared.group.read_flags(active, worker);
            let left = worker.left(connection.deadline(worker));
            left.map(|left| (left, worker.time.now() + left))
        });
        if let Some((left, end)) = deadline {
            if left.is_zero() {
                active.control.end_wait();
                trace::when_recording(|| record_cause(fd, Cause::Expired, connection));
                return Ok(Waited::Expired);
            }
            self.timer.as_mut().reset(Instant::from_std(end));
        }
        let waited = poll_fn(|cx| {
            if active.task.take_woken() {
                return Poll::Ready(Err(Errno::INTR));
            }
            let ready = match direction {
                Some(Interest::READABLE) => socket.poll_read_ready(cx),
                Some(_) => socket.poll_write_ready(cx),
                None => Poll::Pending,
            };
            if let Poll::Ready(ready) = ready {
                return Poll::Ready(ready.map(Waited::Ready).map_err(|_| Errno::IO));
            }
            if deadline.is_none() {
                return Poll::Pending;
            }
            ready!(self.timer.as_mut().poll(cx));
            Poll::Ready(Ok(Waited::Expired))
        });
        let mut waited = pin!(waited);
        let mut is_stopped = false;
        // Moved, since a task may borrow a connection across threads only alone.
        let waited = poll_fn(move |cx| {
            let polled = waited.as_mut().poll(cx);
            trace::when_recording(|| match polled {
                Poll::Pending if !is_stopped => {
                    is_stopped = true;
                    Local::with(shared, |local| {
                        record_stop(fd, awaited(connection), connection, &local.worker);
                    });
                }
                Poll::Ready(ref result) if is_stopped => {
                    record_turn(fd, cause(result), connection);
                }
                _ => {}
            });
            polled
        });
        let waited = waited.await;
        active.control.end_wait();
        waited
    }

    /// Calls `act` with what the tasks of this thread share.
    fn here<T>(&mut self, act: impl FnOnce(&mut Self, &mut Local) -> T) -> T {
        Local::with(self.shared, |local| {
            local.begin(self.active);
            let result = act(self, local);
            let worker = &mut local.worker;
            let left = worker.left(self.connection.deadline(worker));
            self.active.control.show(&self.connection, left, worker);
            self.shared.group.write_log(worker);
            result
        })
    }
}

/// Why a task goes on.
fn cause(waited: &Result<Waited<'_>, Errno>) -> Cause {
    match waited {
        Ok(Waited::Ready(_)) => Cause::Ready,
        Ok(Waited::Expired) => Cause::Expired,
        Err(_) => Cause::Woken,
    }
}

/// Counts a session that has work of its own.
struct Working<'a>(&'a Shared);

impl Working<'_> {
    fn begin(shared: &Shared) -> Working<'_> {
        shared.working.fetch_add(1, SeqCst);
        Working(shared)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, SeqCst);
    }
}

/// True if sending this piece may wait for a disk, as far as one sample shows. sendfile(2) waits for
/// it even on a non-blocking socket, and the thread would wait with all its tasks.
fn may_wait_for_disk(piece: &Piece<'_>) -> bool {
    match piece {
        Piece::Bytes { .. } => false,
        Piece::File {
            file,
            offset,
            count,
        } => {
            let last = offset + count.min(&(TURN_BYTES as u64)) - 1;
            file.mount().is_some() || !sys::is_in_memory(file, last)
        }
    }
}
