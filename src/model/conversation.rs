//! The blocking conversation: one connection from its beginning to its end, each call waiting until it is done.
//!
//! The models `blocking`, `threaded`, `pool` and `forking` differ in who runs this and how many do. This file knows
//! neither them nor the protocols.

use super::clock::Clock;
use super::wake_queue::WakeQueue;
use super::{contain, contain_start, give_up, load, send, timeouts, worker};
use crate::config::Timeouts;
use crate::observe::{LogFile, Readiness, throttled};
use crate::session::{ACCEPTED, Action, BUFFER_SIZE, Connection, Counters, Start, Steps};
use crate::session::{Timeout, WORK_PER_TURN, Wakers, Worker};
use crate::sys::{self, Errno, PollFd, PollFlags, poll};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How much of a file one call sends: as much as the pipe holds through which sendfile(2) moves it. For each filling the
/// call would wait anew.
const SHARE: usize = 64 * 1024;

/// How long a call that sends may wait inside the kernel. A sendfile(2) waits several times for as long as it was told,
/// and says only afterwards when the peer took what; a longer wait is one of poll(2), for what is left until the deadline.
const SEND_STEP: Duration = timeouts::TICK;

/// The longest that a call may wait, whatever it waits for. A call without any limit would be started again by the
/// kernel after a signal (signal(7)) and not return.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The conversation does not make room for others.
pub const BUSY: u8 = 0;

/// It waits for a peer that has had its answer: others who wait may have its place.
pub const SPARE: u8 = 1;

/// The same, and it was already so when it was last looked at.
pub const SEEN_SPARE: u8 = 2;

/// What others tell a conversation, and it tells them, while it waits.
#[derive(Default)]
pub struct Presence {
    /// It waits for a peer that has nothing under way, so it may be ended. It says so before it looks whether the
    /// server is stopping; who stops the server says that before it looks here: one of the two sees the other.
    pub idle: AtomicBool,
    /// One of [`BUSY`], [`SPARE`] and [`SEEN_SPARE`].
    pub spare: AtomicU8,
    /// It must end at once.
    pub cut_off: Arc<AtomicBool>,
    /// How it stands, if somebody may want to see that.
    pub shown: Option<Mutex<Shown>>,
}

/// What can be seen of a conversation.
pub struct Shown {
    /// When it began.
    pub since: Instant,
    /// Where it stands.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: Readiness,
    /// Until when, if there is an end to that.
    pub until: Option<Instant>,
    /// What was done for it.
    pub counters: Counters,
    /// Which steps it took.
    pub steps: Steps,
}

impl Shown {
    /// One that is about to begin.
    pub fn new(now: Instant) -> Shown {
        Shown {
            since: now,
            state: ACCEPTED,
            waits_for: Readiness::Nothing,
            until: None,
            counters: Counters::default(),
            steps: Steps::default(),
        }
    }
}

/// What a thread or a process works with that serves one connection at a time.
pub struct Desk<'a> {
    /// What its sessions share.
    pub worker: Worker,
    clock: Clock,
    scratch: Box<[u8]>,
    log: &'a Mutex<LogFile>,
    stopping: &'a AtomicBool,
    /// Conversations end with their first answer.
    one_exchange: &'a AtomicBool,
    /// Others wait for what the conversations of this desk hold.
    crowded: &'a AtomicBool,
    wakers: Arc<LazyQueue>,
    /// Its keys, once they are taken.
    woken: Vec<usize>,
}

/// The wake queue of a desk, for conversations that others can leave something for. There is none before one asks for it:
/// it takes a descriptor.
#[derive(Default)]
struct LazyQueue {
    queue: OnceLock<Arc<WakeQueue>>,
    /// The conversation that is under way has asked for it.
    is_wanted: AtomicBool,
}

impl Wakers for Arc<LazyQueue> {
    fn waker(&self, key: usize) -> io::Result<Waker> {
        let queue = match self.queue.get() {
            Some(queue) => queue.clone(),
            None => {
                let queue = WakeQueue::new().inspect_err(|error| {
                    throttled!(
                        Warn,
                        "a connection is closed, for nothing could wake it: {error}"
                    );
                })?;
                self.queue.get_or_init(|| queue).clone()
            }
        };
        self.is_wanted.store(true, SeqCst);
        Ok(queue.waker(key))
    }
}

/// A socket and how long its receiving calls have been told to wait, at most: they are told again only if that is too long
/// by more than a tick, or was too short.
struct Line<'a> {
    socket: &'a OwnedFd,
    receive: Duration,
    /// Its sending calls have been told to wait for [`SEND_STEP`] only.
    send_is_limited: bool,
    /// The last of them sent nothing in that time.
    is_full: bool,
    /// What else ends a wait. A call waits for one thing only, so with a wake queue it is poll(2) that waits, and no other
    /// call does.
    wake_queue: Option<Arc<WakeQueue>>,
}

impl<'a> Desk<'a> {
    /// A desk for the time until `stopping` is set. While `one_exchange` is set, conversations end with their first answer,
    /// for others wait; while `crowded` is, those that have had an answer end soon too.
    pub fn new(
        timeouts: &'a Timeouts,
        log: &'a Mutex<LogFile>,
        stopping: &'a AtomicBool,
        one_exchange: &'a AtomicBool,
        crowded: &'a AtomicBool,
    ) -> Desk<'a> {
        let (clock, time) = Clock::start();
        let wakers = Arc::<LazyQueue>::default();
        Desk {
            worker: worker(time, timeouts, Some(Box::new(wakers.clone()))),
            clock,
            scratch: vec![0; BUFFER_SIZE].into_boxed_slice(),
            log,
            stopping,
            one_exchange,
            crowded,
            wakers,
            woken: Vec::new(),
        }
    }

    /// Runs a connection from its beginning to its end.
    pub fn converse(&mut self, socket: &OwnedFd, start: Start, presence: &Presence) {
        let mut line = Line {
            socket,
            receive: Duration::MAX,
            send_is_limited: false,
            is_full: false,
            wake_queue: None,
        };
        self.wakers.is_wanted.store(false, SeqCst);
        self.look_up();
        let open = || Some(Connection::open(start, 0, &mut self.worker));
        if let Some(mut connection) = contain_start(open) {
            if contain(|| self.carry_on(&mut line, &mut connection, presence)).is_none() {
                give_up(&mut connection);
            }
            contain(|| connection.close(&mut self.worker));
            connection.release(&mut self.worker);
        }
        self.worker.counters.others += 1;
        self.write_log();
    }

    fn carry_on(&mut self, line: &mut Line<'_>, connection: &mut Connection, presence: &Presence) {
        while let Some(result) = self.step(line, connection, presence) {
            match result {
                // What was interrupted or took too long is looked at anew.
                Ok(()) | Err(Errno::INTR | Errno::AGAIN) => {}
                // The peer is gone, and with it whoever could be told.
                Err(_) => connection.abort(),
            }
        }
    }

    /// Lets others end the waits of a connection, as soon as they can leave something for it.
    fn register_waker(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        if line.wake_queue.is_some() || !self.wakers.is_wanted.load(SeqCst) {
            return Ok(());
        }
        let Some(wake_queue) = self.wakers.queue.get().cloned() else {
            return Ok(());
        };
        sys::set_nonblocking(line.socket, true)?;
        line.wake_queue = Some(wake_queue);
        Ok(())
    }

    /// With a wake queue, waits until the socket is ready or the connection is woken, and then takes what was left for it.
    /// False if what was to be done must be looked at anew. True when the time is over, too: what the peer has taken by
    /// then counts, even if that is too little for the socket to be called ready. Without readiness it waits for the wakes
    /// alone.
    fn wait(
        &mut self,
        line: &Line<'_>,
        connection: &mut Connection,
        readiness: PollFlags,
        left: Duration,
    ) -> Result<bool, Errno> {
        let Some(wake_queue) = &line.wake_queue else {
            return Ok(true);
        };
        let mut watched = [
            PollFd::new(line.socket, readiness),
            PollFd::new(wake_queue, PollFlags::IN),
        ];
        let first = usize::from(readiness.is_empty());
        let mut result = Ok(0);
        if wake_queue.prepare_to_wait() {
            self.worker.counters.waits += 1;
            result = poll(&mut watched[first..], Some(left));
        }
        if !watched[1].revents().is_empty() {
            wake_queue.clear();
        }
        wake_queue.take_woken(&mut self.woken);
        self.look_up();
        let woken = !self.woken.is_empty();
        self.woken.clear();
        if woken {
            connection.woken(&mut self.worker);
        }
        result.map(|_| !woken)
    }

    /// Waits for other connections. The socket is not watched: a peer that is gone would end every wait at once.
    fn pause(
        &mut self,
        line: &Line<'_>,
        connection: &mut Connection,
        left: Duration,
    ) -> Result<(), Errno> {
        self.write_log();
        if line.wake_queue.is_none() {
            std::thread::sleep(left);
            self.look_up();
        }
        self.wait(line, connection, PollFlags::empty(), left)
            .map(|_| ())
    }

    /// Does what the connection asks for; `None` if that is to close.
    fn step(
        &mut self,
        line: &mut Line<'_>,
        connection: &mut Connection,
        presence: &Presence,
    ) -> Option<Result<(), Errno>> {
        if presence.cut_off.load(SeqCst) {
            connection.abort();
        }
        if let Err(error) = self.register_waker(line) {
            throttled!(
                Warn,
                "a connection is closed, for it could not hear the others: {error}"
            );
            connection.abort();
        }
        let left = self.left(connection);
        let action = connection.next();
        if let Some(shown) = &presence.shown {
            self.show(shown, connection, action, left);
        }
        Some(match action {
            Action::Close { if_unread: true } if self.has_said_more(line) => {
                connection.unread();
                Ok(())
            }
            Action::Close { .. } => return None,
            Action::Receive => self.receive(line, connection, left, presence),
            _ if left.is_zero() => {
                connection.expired(&mut self.worker);
                Ok(())
            }
            Action::Send => self.send(line, connection, left),
            Action::Load => self.load(connection),
            Action::Wait => self.pause(line, connection, left),
            Action::Proceed => {
                self.proceed(line, connection);
                Ok(())
            }
            Action::Run => {
                if let Some(job) = connection.take_job() {
                    (job.work)();
                }
                self.look_up();
                connection.woken(&mut self.worker);
                Ok(())
            }
            Action::ShutdownWrite => {
                self.worker.counters.others += 1;
                connection.shut();
                sys::shutdown_write(line.socket)
            }
        })
    }

    /// Lets the session do its next slice of work, if anybody can still have what comes of it.
    fn proceed(&mut self, line: &Line<'_>, connection: &mut Connection) {
        self.worker.counters.others += 1;
        if sys::is_gone(line.socket) {
            return connection.abort();
        }
        self.worker.work = WORK_PER_TURN;
        connection.proceed(&mut self.worker);
        self.look_up();
    }

    /// Lets others see what comes next.
    fn show(
        &mut self,
        shown: &Mutex<Shown>,
        connection: &Connection,
        action: Action,
        left: Duration,
    ) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.state = connection.state();
        shown.waits_for = action.into();
        shown.until = (left < LONGEST).then(|| self.worker.time.now() + left);
        shown.counters = self.worker.counters;
        if let Some(steps) = &mut self.worker.steps {
            steps.move_to(&mut shown.steps);
        }
    }

    fn send(
        &mut self,
        line: &mut Line<'_>,
        connection: &mut Connection,
        left: Duration,
    ) -> Result<(), Errno> {
        if !self.wait(line, connection, PollFlags::OUT, left)? {
            return Ok(());
        }
        if line.wake_queue.is_none() {
            self.wait_to_send(line, left)?;
        }
        self.worker.counters.sends += 1;
        let result = send(line.socket, &connection.front(), SHARE);
        self.look_up();
        match result {
            Err(sys::SENDFILE_REFUSED) => {
                connection.send_refused(&mut self.worker);
                return Ok(());
            }
            Ok(count) => {
                self.worker.counters.sent += count as u64;
                connection.sent(count, &mut self.worker);
            }
            Err(errno) => {
                self.worker.counters.would_blocks += u64::from(errno == Errno::AGAIN);
                line.is_full = errno == Errno::AGAIN;
            }
        }
        result.map(|_| ())
    }

    fn load(&mut self, connection: &mut Connection) -> Result<(), Errno> {
        let count = load(&connection.front(), &mut self.scratch)?;
        self.look_up();
        connection.loaded(&self.scratch[..count], &mut self.worker);
        Ok(())
    }

    /// Waits until the socket takes something again, if it did not the last time. Returns when the time is over, too: see
    /// [`wait`](Desk::wait).
    fn wait_to_send(&mut self, line: &mut Line<'_>, left: Duration) -> Result<(), Errno> {
        if !line.send_is_limited {
            self.worker.counters.others += 1;
            sys::set_send_timeout(line.socket, SEND_STEP)?;
            line.send_is_limited = true;
        }
        if std::mem::take(&mut line.is_full) {
            self.worker.counters.waits += 1;
            let mut watched = [PollFd::new(line.socket, PollFlags::OUT)];
            poll(&mut watched, Some(left))?;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        line: &mut Line<'_>,
        connection: &mut Connection,
        left: Duration,
        presence: &Presence,
    ) -> Result<(), Errno> {
        self.write_log();
        let idle = connection.is_idle();
        presence.idle.store(idle, SeqCst);
        let spare = matches!(connection.waiting().0, Timeout::Idle | Timeout::Linger);
        presence
            .spare
            .store(if spare { SPARE } else { BUSY }, SeqCst);
        // Said before it looks: whoever stops the server says that before it looks who is idle.
        self.worker.stopping = self.stopping.load(SeqCst);
        let left = left.min(self.left(connection));
        let last_look = left.is_zero();
        if !last_look {
            let ready = self.wait(line, connection, PollFlags::IN, left);
            if ready != Ok(true) {
                presence.idle.store(false, SeqCst);
                presence.spare.store(BUSY, SeqCst);
                return ready.map(drop);
            }
        }
        if line.wake_queue.is_none() && left + timeouts::TICK < line.receive && !last_look {
            self.worker.counters.others += 1;
            sys::set_receive_timeout(line.socket, left)?;
            line.receive = left;
        }
        self.worker.counters.receives += 1;
        if line.wake_queue.is_none() && !last_look {
            let (fd, left) = (line.socket.as_raw_fd(), Some(left));
            trace::waits(|| format!("recv({fd}): {}", trace::at_most(left)));
        }
        let room = connection.room().min(self.scratch.len());
        let buffer = &mut self.scratch[..room];
        let result = match last_look {
            false => sys::receive(line.socket, buffer),
            // Whatever the peer has said until now is still answered.
            true => sys::receive_now(line.socket, buffer),
        };
        presence.idle.store(false, SeqCst);
        presence.spare.store(BUSY, SeqCst);
        self.look_up();
        match result {
            Ok(0) => connection.ended(&mut self.worker),
            Err(Errno::AGAIN) if last_look => {
                self.worker.counters.would_blocks += 1;
                connection.expired(&mut self.worker);
            }
            Ok(count) => {
                self.worker.counters.received += count as u64;
                connection.received(&self.scratch[..count], &mut self.worker);
            }
            Err(errno) => {
                self.worker.counters.would_blocks += u64::from(errno == Errno::AGAIN);
                line.receive = Duration::MAX;
            }
        }
        result.map(|_| ())
    }

    /// True if the peer has sent something that has not been received.
    fn has_said_more(&mut self, line: &Line<'_>) -> bool {
        self.worker.counters.receives += 1;
        let result = sys::receive_now(line.socket, &mut self.scratch);
        self.worker.counters.would_blocks += u64::from(result == Err(Errno::AGAIN));
        result.is_ok_and(|count| count > 0)
    }

    /// What time it is, and whether the server is still to go on.
    fn look_up(&mut self) {
        self.clock.read(&mut self.worker.time);
        self.worker.crowded = self.crowded.load(SeqCst);
        self.worker.one_exchange = self.one_exchange.load(SeqCst);
        self.worker.stopping = self.stopping.load(SeqCst);
    }

    /// How long the connection may wait from now on.
    fn left(&self, connection: &Connection) -> Duration {
        let now = self.worker.time.moment();
        let end = connection.deadline(&self.worker);
        end.map_or(LONGEST, |end| end.since(now).min(LONGEST))
    }

    fn write_log(&mut self) {
        if !self.worker.log.is_empty() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.write(&mut self.worker.log);
        }
    }
}
