//! A session with its buffered input and output, its deadline and its orderly close.
//!
//! This file does not know which model performs what [`Connection::next`] asks for, nor how that model waits. It is longer
//! than others, since it is one state machine whose events share their conclusions.

use super::buffer::{BUFFER_SIZE, Buffer};
use super::mailbox::InboxState;
use super::output::{Output, Piece};
use super::transitions::{ACCEPTED, CLOSED};
use super::{
    Context, Job, MIN_IDLE_AGE, Moment, NewSession, Permit, Session, Timeout, Wait, Worker,
};

/// How much a connection that is over still reads and drops before it gives up on its peer, in bytes.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// How many bytes must be sent to the peer, or taken from it, for its wait to begin again. If one byte were enough, a peer
/// could hold a connection without end. With the usual 60 s this demands 68 bytes a second.
pub const MIN_PROGRESS: u32 = 4096;

/// What the model is to do next. This is all that a model needs to know of a connection, together with one
/// [deadline](Connection::deadline).
///
/// Each action is an operation and not an event: a blocking model performs it, a readiness model tries it and waits if it
/// would block, a completion model submits it. Before it reports what an operation brought, the model updates
/// [`Worker::time`], [`Worker::stopping`], [`Worker::one_exchange`] and [`Worker::crowded`] (the last for this very
/// connection). After the report it asks [`Connection::next`] again. It also sets [`Worker::work`] at the beginning of
/// each turn, and writes out and empties [`Worker::log`].
///
/// - An operation that fails for good: [`Connection::abort`]. One that was interrupted or would block: ask again.
/// - The deadline has passed: try once more without waiting, for what came in time still counts. If that would block, call
///   [`Connection::expired`]. An operation that is under way is cancelled instead; if it has brought something after all,
///   that is said as ever, and nothing has expired.
/// - Whatever the action, the connection's [waker](super::Wakers) may be woken: call [`Connection::woken`] soon then. While
///   an operation is under way it may go on. Several wakes may be one call.
/// - An operation that is under way may end after other events, and after [`Connection::close`]: say what it brought all
///   the same. What it reads from stays in its place until then; see [`Connection::release`]. Of each action one operation
///   at most is under way; a receiving one may be so together with any other.
/// - A session may panic in any call: catch that and call [`Connection::abort`]; all other connections go on.
/// - Every connection ends with [`Connection::close`] and [`Connection::release`], also after an error: one that is
///   dropped with buffers that were not released panics in a debug build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send [`Connection::front`], or as much of its beginning as the socket takes, then call [`Connection::sent`] with how
    /// much that was; 0 if a file ended before it should. If the file cannot be sent as one, as where sendfile(2) is
    /// refused, call [`Connection::send_refused`].
    Send,
    /// Receive at most [`Connection::room`] bytes, then call [`Connection::received`], or [`Connection::input_ended`] if the
    /// peer has closed its side.
    Receive,
    /// [`Connection::front`] is a stretch of a file. Read its beginning into memory, then call [`Connection::loaded`]. This
    /// may wait for a disk, or for another machine if [`File::mount`](super::File::mount) says so.
    Load,
    /// Call [`Connection::proceed`] when the others have had their turn. If the peer is gone, nobody needs the work: a
    /// model that can tell calls [`Connection::abort`] instead.
    Proceed,
    /// Take the [job](Connection::take_job), do its work or have it done, and call [`Connection::woken`] when it is done.
    /// It may wait as long as it likes, so a loop has it done by a thread.
    Run,
    /// Do nothing until the waker is woken, the job that was taken is done, or the deadline passes.
    Wait,
    /// Tell the peer that nothing more will come (shutdown(2)), then call [`Connection::write_shut_down`].
    ShutdownWrite,
    /// Call [`Connection::close`], close the socket, and [`Connection::release`] when no operation is under way. But
    /// if something unread waits at the socket and `may_linger` is true, closing would destroy what the peer has not read
    /// yet (RFC 9112 section 9.6): call [`Connection::linger`] instead.
    Close {
        /// Unread input would matter.
        may_linger: bool,
    },
}

/// A session with its buffered input and output.
pub struct Connection {
    session: Box<dyn Session>,
    output: Output,
    /// Input that the session has not taken; never an empty buffer.
    held: Option<Buffer>,
    /// Boxed, for hardly any connection has one.
    permit: Option<Box<Permit>>,
    since: Moment,
    /// How many bytes were taken or sent since then; while lingering, how many were read and dropped.
    progress_bytes: u32,
    /// What its waker wakes.
    key: u32,
    waiting: Timeout,
    /// The peer has closed its side.
    ended: bool,
    phase: Phase,
    close_step: CloseStep,
    /// The session's mailbox has the connection's waker.
    has_waker: bool,
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// No more input is wanted, whatever the session says.
    Finished,
    /// Nothing can be done for the peer any more.
    Aborted,
    /// The session has been told that it is over.
    Closed,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseStep {
    /// As the session says.
    Open,
    /// Input was left unread when the conversation was over: closing at once could destroy the answer on its way
    /// (RFC 9112 section 9.6).
    Unread,
    /// Our side has been shut down.
    Shut,
}

impl Connection {
    /// Begins a conversation. Its waker wakes `key`, which must fit 32 bits.
    pub fn open(start: impl Into<NewSession>, key: usize, worker: &mut Worker) -> Connection {
        let NewSession { session, permit } = start.into();
        let mut connection = Connection {
            session,
            output: Output::default(),
            held: None,
            permit: permit.map(Box::new),
            since: worker.time.moment(),
            progress_bytes: 0,
            key: u32::try_from(key).expect("there are fewer connections than 2^32"),
            waiting: Timeout::First,
            ended: false,
            phase: Phase::Running,
            close_step: CloseStep::Open,
            has_waker: false,
        };
        worker.transition(ACCEPTED, connection.session.state());
        connection.invoke(worker, |session, cx| session.open(cx));
        connection.after_event(0, worker);
        connection
    }

    /// What now? Asking changes nothing.
    pub fn next(&self) -> Action {
        self.next_and_timeout(Connection::wait).0
    }

    /// What now, and what kind of wait that is. `wait` says what the session waits for.
    #[inline]
    fn next_and_timeout(&self, wait: impl FnOnce(&Connection) -> Wait) -> (Action, Timeout) {
        let close = |may_linger| (Action::Close { may_linger }, Timeout::Linger);
        if self.phase >= Phase::Aborted {
            return close(false);
        }
        if !self.output.is_empty() {
            return match self.output.must_load() {
                true => (Action::Load, Timeout::Files),
                false => (Action::Send, Timeout::Send),
            };
        }
        match wait(self) {
            Wait::Bytes(timeout) => (Action::Receive, timeout),
            Wait::Turn => (Action::Proceed, Timeout::Forever),
            Wait::Pause => (Action::Wait, Timeout::Pause),
            Wait::Job => (Action::Run, Timeout::Files),
            Wait::JobResult => (Action::Wait, Timeout::Files),
            Wait::Abort | Wait::Successor => close(false),
            Wait::Close if self.close_step == CloseStep::Open => close(!self.ended),
            Wait::Close | Wait::Linger => match self.close_step {
                _ if self.ended => close(false),
                CloseStep::Shut if self.progress_bytes as usize > LINGER_BYTES => close(false),
                CloseStep::Shut => (Action::Receive, Timeout::Linger),
                CloseStep::Open | CloseStep::Unread => (Action::ShutdownWrite, Timeout::Linger),
            },
        }
    }

    /// Until when the model may wait for what [`next`](Connection::next) asks for; `None` means without limit. It changes
    /// only after a call to this connection, or when [`Worker::stopping`] or [`Worker::crowded`] changes: while the server
    /// is stopping, an idle connection has no time left.
    pub fn deadline(&self, worker: &Worker) -> Option<Moment> {
        if worker.stopping && self.is_idle() {
            return Some(worker.time.moment());
        }
        let limit = worker.time_limits[self.waiting]?;
        let makes_room = worker.crowded && matches!(self.waiting, Timeout::Idle | Timeout::Linger);
        Some(self.since.after(match makes_room {
            true => limit.min(MIN_IDLE_AGE),
            false => limit,
        }))
    }

    /// The kind of the wait and when it began, for models that keep one list of connections per kind, and for people.
    /// [`Worker::stopping`] and [`Worker::crowded`] shorten only the [`deadline`](Connection::deadline): a model that goes
    /// by this instead must itself end idle connections in time.
    pub fn waiting(&self) -> (Timeout, Moment) {
        (self.waiting, self.since)
    }

    /// What to send for [`Action::Send`], or to read for [`Action::Load`].
    pub fn front(&self) -> Piece<'_> {
        self.output.front()
    }

    /// True if that is a stretch of a file.
    #[inline]
    pub fn sends_file(&self) -> bool {
        self.output.is_file_next()
    }

    /// How many bytes [`Action::Receive`] may bring; never 0 when that is the answer.
    pub fn room(&self) -> usize {
        self.held.as_ref().map_or(BUFFER_SIZE, Buffer::room)
    }

    /// True if closing now would lose nothing, unless the peer is just about to speak: others may have its place.
    pub fn is_idle(&self) -> bool {
        let is_between = matches!(
            self.wait(),
            Wait::Bytes(Timeout::First | Timeout::Idle | Timeout::Forever)
        );
        is_between && self.output.is_empty() && self.held.is_none()
    }

    /// The name of the session's state, for people.
    pub fn state(&self) -> &'static str {
        self.session.state()
    }

    /// These bytes came from the peer.
    ///
    /// # Panics
    /// If there are more than [`room`](Connection::room).
    pub fn received(&mut self, bytes: &[u8], worker: &mut Worker) {
        assert!(bytes.len() <= self.room(), "received more than was asked");
        if !self.wants_bytes() {
            return self.received_unwanted(bytes, worker);
        }
        let taken = match self.held.take() {
            None => {
                let taken = self.feed(bytes, worker);
                if taken < bytes.len() {
                    self.hold(&bytes[taken..], worker);
                }
                taken
            }
            Some(mut held) => {
                held.append(bytes);
                self.feed_held(held, worker)
            }
        };
        self.after_event(taken, worker);
    }

    /// The peer has closed its side.
    pub fn input_ended(&mut self, worker: &mut Worker) {
        self.ended = true;
        self.after_event(0, worker);
    }

    /// The first `count` bytes of what [`front`](Connection::front) began are gone. 0 means that a file has become shorter
    /// than was promised to the peer.
    ///
    /// # Panics
    /// If that is more than there was.
    pub fn sent(&mut self, count: usize, worker: &mut Worker) {
        if self.phase == Phase::Closed {
            return;
        }
        if count == 0 {
            return self.abort();
        }
        self.output.consume(count, &mut worker.pool);
        self.invoke(worker, |session, cx| session.sent(cx));
        if worker.trace.is_some() && self.has_answered() {
            worker.answered();
        }
        if self.has_waker {
            // Before the next input: a peer that says much must not get ahead of one that says little.
            self.take_mail(worker);
            // It may have been woken while there was something to send.
            if self.output.is_empty() && self.wait() == Wait::Pause {
                self.invoke(worker, |session, cx| session.proceed(cx));
            }
        }
        self.feed_held_if_free(worker);
        self.after_event(count, worker);
    }

    /// The file cannot be sent as one, so it will be [loaded](Action::Load).
    pub fn send_refused(&mut self, worker: &mut Worker) {
        self.output.load_file();
        self.after_event(0, worker);
    }

    /// The first bytes of the stretch of a file that [`front`](Connection::front) was. None mean that the file has become
    /// shorter than was promised to the peer.
    ///
    /// # Panics
    /// If nothing was to be loaded, or not as much.
    pub fn loaded(&mut self, bytes: &[u8], worker: &mut Worker) {
        if self.phase >= Phase::Aborted {
            return;
        }
        if bytes.is_empty() {
            return self.abort();
        }
        self.output.put_loaded(bytes, &mut worker.pool);
        self.after_event(0, worker);
    }

    /// What is to be done for [`Action::Run`]; `None` if it has been taken.
    pub fn take_job(&mut self) -> Option<Job> {
        self.session.job()
    }

    /// Lets the session do a slice of its own work.
    pub fn proceed(&mut self, worker: &mut Worker) {
        if self.phase == Phase::Closed {
            return;
        }
        self.invoke(worker, |session, cx| session.proceed(cx));
        self.feed_held_if_free(worker);
        self.after_event(0, worker);
    }

    /// The waker was woken, or the job is done. It does no harm to call this without a reason.
    pub fn woken(&mut self, worker: &mut Worker) {
        match self.next() {
            Action::Wait => self.proceed(worker),
            _ => self.after_event(0, worker),
        }
    }

    /// Our side has been shut down.
    pub fn write_shut_down(&mut self) {
        self.close_step = CloseStep::Shut;
        self.progress_bytes = 0;
    }

    /// The deadline has passed, and another try has brought nothing.
    pub fn expired(&mut self, worker: &mut Worker) {
        match self.waiting {
            _ if self.phase == Phase::Closed => {}
            Timeout::Send | Timeout::Linger => self.abort(),
            Timeout::Files if self.output.must_load() => self.abort(),
            Timeout::Pause => {
                self.since = worker.time.moment();
                self.proceed(worker);
            }
            timeout => {
                self.invoke(worker, |session, cx| session.timed_out(timeout, cx));
                if self.phase == Phase::Running {
                    self.phase = Phase::Finished;
                }
                self.after_event(0, worker);
            }
        }
    }

    /// Something unread waits at the socket of a connection that is to [close](Action::Close).
    pub fn linger(&mut self) {
        self.close_step = CloseStep::Unread;
    }

    /// An operation has failed, or nothing can reach the peer any more: close without a word.
    pub fn abort(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Aborted;
        }
    }

    /// The first phase of the end: the session has its last word, and the permit is released. Whatever else happens has no
    /// effect from now on. Buffers stay as they are.
    pub fn close(&mut self, worker: &mut Worker) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.invoke(worker, |session, cx| session.closed(cx));
        worker.transition(self.session.state(), CLOSED);
        // Before the socket closes: a client that sees that may come again at once.
        self.permit = None;
    }

    /// The second phase of the end: no operation is under way any more, and the buffers go back to the pool.
    ///
    /// # Panics
    /// If the connection is not closed.
    pub fn release(mut self, worker: &mut Worker) {
        assert_eq!(self.phase, Phase::Closed, "the session must know");
        self.output.clear(&mut worker.pool);
        self.drop_held(worker);
    }

    /// True if everything is out that there was to say, and nothing else has been begun.
    fn has_answered(&self) -> bool {
        let is_within = matches!(
            self.wait(),
            Wait::Turn
                | Wait::Pause
                | Wait::Job
                | Wait::JobResult
                | Wait::Bytes(Timeout::Head | Timeout::Body)
        );
        self.output.is_empty() && !is_within
    }

    /// Lets the session act. The step that it takes by that is counted, where that is wanted.
    fn invoke<T>(
        &mut self,
        worker: &mut Worker,
        act: impl FnOnce(&mut dyn Session, &mut Context<'_>) -> T,
    ) -> T {
        let before = worker.wants_transitions().then(|| self.session.state());
        let output = &mut self.output;
        let result = act(&mut *self.session, &mut Context { output, worker });
        if let Some(before) = before {
            worker.transition(before, self.session.state());
        }
        result
    }

    #[inline]
    fn wait(&self) -> Wait {
        if self.phase == Phase::Running {
            self.session.waits_for()
        } else {
            Wait::Close
        }
    }

    fn wants_bytes(&self) -> bool {
        matches!(self.wait(), Wait::Bytes(_))
    }

    /// Lets the session take what it will of `input`; says how much that was.
    fn feed(&mut self, input: &[u8], worker: &mut Worker) -> usize {
        let mut taken = 0;
        while taken < input.len() && self.output.body().is_none() && self.wants_bytes() {
            let count = self.invoke(worker, |session, cx| session.receive(&input[taken..], cx));
            if count == 0 {
                break;
            }
            taken += count;
        }
        taken
    }

    /// Takes input that the session does not wait for: counted and dropped once the conversation is over, held until
    /// then.
    fn received_unwanted(&mut self, bytes: &[u8], worker: &mut Worker) {
        match self.wait() {
            _ if bytes.is_empty() => {}
            Wait::Close | Wait::Linger | Wait::Abort => self.add_progress(bytes.len()),
            _ => self.hold(bytes, worker),
        }
    }

    /// Keeps input until the session takes it.
    fn hold(&mut self, bytes: &[u8], worker: &mut Worker) {
        let held = self.held.get_or_insert_with(|| worker.pool.lend());
        held.append(bytes);
    }

    /// [Feeds](Connection::feed) the session input that was held; holds again what it does not take.
    fn feed_held(&mut self, mut held: Buffer, worker: &mut Worker) -> usize {
        let taken = self.feed(held.filled(), worker);
        held.consume(taken);
        if held.is_empty() {
            worker.pool.take_back(held);
        } else {
            held.compact();
            self.held = Some(held);
        }
        taken
    }

    fn feed_held_if_free(&mut self, worker: &mut Worker) {
        if self.output.is_empty()
            && let Some(held) = self.held.take()
        {
            self.feed_held(held, worker);
        }
    }

    /// After each call to the session: hands over or finishes if it is due, drops input that comes too late, takes mail,
    /// and begins a new wait if its kind has changed or enough bytes have moved.
    fn after_event(&mut self, progress: usize, worker: &mut Worker) {
        if self.phase == Phase::Closed {
            return;
        }
        let mut wait = None;
        if self.output.is_empty() {
            wait = Some(self.settle_without_output(worker));
        }
        if self.held.is_some() && matches!(self.wait(), Wait::Close | Wait::Linger) {
            self.close_step = CloseStep::Unread;
            self.drop_held(worker);
        }
        if self.session.mailbox().is_some() {
            self.take_mail(worker);
            wait = None;
        }
        let (_, waiting) = self.next_and_timeout(|it| wait.unwrap_or_else(|| it.wait()));
        self.add_progress(progress);
        if waiting != self.waiting || self.progress_bytes >= MIN_PROGRESS {
            self.waiting = waiting;
            self.since = worker.time.moment();
            self.progress_bytes = 0;
        }
    }

    /// All output is sent: hands over to a successor, and finishes a session that can get no more input. Returns what it
    /// then waits for.
    #[inline]
    fn settle_without_output(&mut self, worker: &mut Worker) -> Wait {
        match self.wait() {
            // Either no more will come, or the session will never take what is there.
            Wait::Bytes(_) if self.ended || self.room() == 0 => self.finish(worker),
            Wait::Successor => self.hand_over(worker),
            wait => wait,
        }
    }

    /// The session waits for bytes that cannot come.
    #[cold]
    fn finish(&mut self, worker: &mut Worker) -> Wait {
        if self.ended {
            self.invoke(worker, |session, cx| session.end_of_input(cx));
        }
        self.phase = Phase::Finished;
        Wait::Close
    }

    /// Goes on with the session that comes after this one, and with the input that this one has left.
    #[cold]
    fn hand_over(&mut self, worker: &mut Worker) -> Wait {
        let before = self.session.state();
        let Some(NewSession { session, permit }) = self.session.successor() else {
            self.phase = Phase::Aborted;
            return Wait::Close;
        };
        self.session = session;
        self.permit = permit.map(Box::new);
        self.has_waker = false;
        worker.transition(before, self.session.state());
        self.invoke(worker, |session, cx| session.open(cx));
        if let Some(held) = self.held.take() {
            self.feed_held(held, worker);
        }
        match self.output.is_empty() {
            true => self.settle_without_output(worker),
            false => self.wait(),
        }
    }

    /// Moves what others have left to the output, until the conversation is over. A peer that is too slow for them is
    /// given up, as is one that nothing could be woken for.
    #[inline(never)]
    fn take_mail(&mut self, worker: &mut Worker) {
        let Some(mailbox) = self.session.mailbox() else {
            return;
        };
        if !self.has_waker {
            let waker = worker
                .wakers
                .as_ref()
                .map(|one| one.waker(self.key as usize));
            match waker.transpose() {
                Ok(waker) => {
                    if let Some(waker) = waker {
                        mailbox.set_waker(waker);
                    }
                    self.has_waker = true;
                }
                Err(_) => {
                    self.phase = Phase::Aborted;
                    return;
                }
            }
        }
        if matches!(self.wait(), Wait::Bytes(_) | Wait::Turn | Wait::Pause) {
            let output = &mut self.output;
            match mailbox.take(&mut Context { output, worker }) {
                InboxState::Open => {}
                InboxState::Ended => self.phase = Phase::Finished,
                InboxState::Overflowed => self.phase = Phase::Aborted,
            }
        }
    }

    fn add_progress(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.progress_bytes = self.progress_bytes.saturating_add(count);
    }

    fn drop_held(&mut self, worker: &mut Worker) {
        if let Some(held) = self.held.take() {
            worker.pool.take_back(held);
        }
    }
}

/// A connection that was closed and not released keeps what its pool has lent.
#[cfg(debug_assertions)]
impl Drop for Connection {
    fn drop(&mut self) {
        let is_clear = self.held.is_none() && self.output.bytes().is_empty();
        assert!(
            self.phase != Phase::Closed || is_clear || std::thread::panicking(),
            "a connection was dropped that had not been released"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Time;
    use std::time::{Instant, SystemTime};

    /// Waits for whatever it is told to.
    struct Waits(Wait);

    impl Session for Waits {
        fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
            input.len()
        }

        fn waits_for(&self) -> Wait {
            self.0
        }
    }

    /// Opens a connection whose session waits for this, lets it act, and ends it.
    fn with(wait: Wait, act: impl FnOnce(&mut Connection, &mut Worker)) {
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let session: Box<dyn Session> = Box::new(Waits(wait));
        let mut connection = Connection::open(session, 0, &mut worker);
        act(&mut connection, &mut worker);
        connection.close(&mut worker);
        connection.release(&mut worker);
        assert_eq!(worker.pool.lent(), 0);
    }

    #[test]
    fn unread_input_matters_unless_the_peer_has_ended() {
        with(Wait::Close, |connection, worker| {
            assert_eq!(connection.next(), Action::Close { may_linger: true });
            connection.input_ended(worker);
            assert_eq!(connection.next(), Action::Close { may_linger: false });
        });
        with(Wait::Abort, |connection, _| {
            assert_eq!(connection.next(), Action::Close { may_linger: false });
        });
    }

    #[test]
    fn a_connection_lingers_until_its_peer_ends_or_has_sent_too_much() {
        assert_eq!(LINGER_BYTES, 1_048_576);
        with(Wait::Close, |connection, worker| {
            connection.linger();
            assert_eq!(connection.next(), Action::ShutdownWrite);
            connection.write_shut_down();
            let chunk = vec![0; BUFFER_SIZE];
            for _ in 0..LINGER_BYTES / BUFFER_SIZE {
                assert_eq!(connection.next(), Action::Receive);
                connection.received(&chunk, worker);
            }
            assert_eq!(connection.next(), Action::Receive, "exactly as much");
            connection.received(&chunk[..1], worker);
            assert_eq!(connection.next(), Action::Close { may_linger: false });
        });
        with(Wait::Linger, |connection, worker| {
            assert_eq!(connection.next(), Action::ShutdownWrite);
            connection.write_shut_down();
            assert_eq!(connection.next(), Action::Receive);
            connection.input_ended(worker);
            assert_eq!(connection.next(), Action::Close { may_linger: false });
        });
    }

    #[test]
    fn a_stopping_server_leaves_idle_connections_no_time() {
        with(Wait::Bytes(Timeout::Idle), |connection, worker| {
            assert_eq!(connection.deadline(worker), None, "there are no limits");
            worker.stopping = true;
            assert_eq!(connection.deadline(worker), Some(worker.time.moment()));
            connection.expired(worker);
            assert_eq!(connection.next(), Action::Close { may_linger: true });
        });
        with(Wait::Bytes(Timeout::Head), |connection, worker| {
            worker.stopping = true;
            assert_eq!(connection.deadline(worker), None, "a request is coming");
        });
    }
}
