//! A session with its buffered input and output, its deadline and its orderly close.
//!
//! This file does not know which model performs the actions, nor how that model waits. It is long
//! because it is one state machine: every event ends in the same [`Connection::after_event`].

mod layered;

use super::buffer::{BUFFER_SIZE, Buffer};
use super::mailbox::InboxState;
use super::output::{Body, Output, Piece};
use super::transitions::{ACCEPTED, CLOSED};
use super::{
    Context, Job, Layer, MIN_IDLE_AGE, Moment, NewSession, Permit, Session, Timeout, Wait, Worker,
};
use layered::{Event, Inside, Layered};

/// How many bytes a lingering connection reads and drops before it closes without waiting for the
/// peer any longer.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// How many bytes must be sent to the peer, or taken from it, to restart the timeout. If one byte
/// were enough, a peer could hold a connection forever. With the usual 60 s this demands 68 bytes a
/// second.
pub const MIN_PROGRESS: u32 = 4096;

/// What the model must do next. Together with the [deadline](Connection::deadline), this is all
/// that a model needs to know of a connection.
///
/// Each action is an operation, not an event. A blocking model performs it. A readiness model tries
/// it, and waits if it would block. A completion model submits it. When the operation has ended,
/// the model reports the result with the method named below, and then asks [`Connection::next`]
/// again.
///
/// Before each report, update [`Worker::time`], [`Worker::stopping`], [`Worker::one_exchange`] and,
/// for this connection, [`Worker::crowded`]. At the beginning of each turn, set [`Worker::work`].
/// From time to time, write out and empty [`Worker::log`].
///
/// - **Errors.** If an operation fails for good, call [`Connection::abort`]. If it was interrupted
///   or would block, ask again.
/// - **Deadline.** When it has passed, try the action once more without waiting: what came in time
///   still counts. If that would block, call [`Connection::expired`]. A completion model cancels
///   the operation under way instead; if it has completed after all, report its result as usual,
///   without `expired`.
/// - **Wakes.** The connection's [waker](super::Wakers) may be woken during any action: then call
///   [`Connection::woken`] soon. An operation under way may continue. One call may stand for
///   several wakes.
/// - **Operations under way.** At most one of each action may be under way; a `Receive` may be
///   under way together with any other. An operation may end after other events, and even after
///   [`Connection::close`]: report its result all the same. The bytes it reads from stay in place
///   until [`Connection::release`].
/// - **Panics.** A session may panic in any call: catch the panic and call [`Connection::abort`].
///   No other connection may be affected.
/// - **The end.** Call [`Connection::close`] and then [`Connection::release`] for each connection,
///   also after an error. In a debug build, dropping a closed connection that still holds buffers
///   panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send [`Connection::front`], or as much of its beginning as the socket takes, then call
    /// [`Connection::sent`] with the number of bytes; 0 if a file ended too early. If the file
    /// cannot be sent directly, for example because sendfile(2) is refused, call
    /// [`Connection::send_refused`].
    Send,
    /// Receive at most [`Connection::room`] bytes, then call [`Connection::received`], or
    /// [`Connection::input_ended`] if the peer has shut down its side.
    Receive,
    /// Read the beginning of [`Connection::front`], which is a range of a file, into memory, then
    /// call [`Connection::loaded`]; with no bytes if the file ended too early. The read may wait
    /// for a disk, or for another machine if [`File::mount`](super::File::mount) returns a mount.
    Load,
    /// Call [`Connection::proceed`] after all other connections have had their turn. If the model
    /// can tell that the peer is gone, it calls [`Connection::abort`] instead: nobody needs the
    /// work.
    Proceed,
    /// Take the [job](Connection::take_job), run its work here or on another thread, then call
    /// [`Connection::woken`]. The work may take arbitrarily long, so a loop gives it to a thread.
    Run,
    /// Do nothing until the waker is woken, the job that was taken has ended, or the deadline
    /// passes.
    Wait,
    /// Shut down our side (shutdown(2)), so that the peer sees the end of our output, then call
    /// [`Connection::write_shut_down`].
    ShutdownWrite,
    /// Call [`Connection::close`], close the socket, and call [`Connection::release`] when no
    /// operation is under way.
    ///
    /// If `may_linger` is true, first check whether unread input waits at the socket. If it does,
    /// call [`Connection::linger`] instead: closing now would reset the connection, and the peer
    /// might lose output that it has not read yet (RFC 9112 section 9.6).
    Close {
        /// Call [`Connection::linger`] instead if unread input waits at the socket.
        may_linger: bool,
    },
}

/// A session with its buffered input and output.
pub struct Connection {
    session: Box<dyn Session>,
    output: Output,
    /// Input that the session has not taken. `None` instead of an empty buffer.
    held: Option<Buffer>,
    /// Boxed to keep idle connections small: few have any.
    extras: Option<Box<Extras>>,
    /// When the current wait began.
    since: Moment,
    /// Bytes taken or sent since then; while lingering, bytes read and dropped.
    progress_bytes: u32,
    /// The key that its waker wakes.
    key: u32,
    waiting: Timeout,
    /// The peer has shut down its side.
    ended: bool,
    phase: Phase,
    close_step: CloseStep,
    side: Side,
    /// The session's mailbox has this connection's waker.
    has_waker: bool,
    /// Messages have gone out since the session last acted.
    messages_sent: bool,
}

/// What only some connections have.
#[derive(Default)]
struct Extras {
    permit: Option<Permit>,
    /// `None` also while it [acts](Side::Inside).
    layer: Option<Box<Layered>>,
}

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// From the model: the connection has no layer.
    Plain,
    /// From the model: the connection has a layer, which handles them first.
    Outside,
    /// From the layer, which acts as a model.
    Inside,
}

/// How far a connection is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// The session gets no more input. Pending output is still sent.
    Finished,
    /// Nothing more can be sent to the peer.
    Aborted,
    /// [`Connection::close`] was called.
    Closed,
}

/// How far the lingering close has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseStep {
    /// Not begun.
    Open,
    /// Unread input waits: closing at once could destroy output on its way to the peer (RFC 9112
    /// section 9.6).
    Unread,
    /// Our side is shut down.
    Shut,
}

impl Connection {
    /// Opens a connection with a new session. Its waker wakes `key`, which must fit into 32 bits.
    pub fn open(start: impl Into<NewSession>, key: usize, worker: &mut Worker) -> Connection {
        let NewSession {
            session,
            permit,
            layer,
        } = start.into();
        let mut connection = Connection {
            session,
            output: Output::default(),
            held: None,
            extras: None,
            since: worker.time.moment(),
            progress_bytes: 0,
            key: u32::try_from(key).expect("fewer than 2^32 connections"),
            waiting: Timeout::First,
            ended: false,
            phase: Phase::Running,
            close_step: CloseStep::Open,
            side: Side::Plain,
            has_waker: false,
            messages_sent: false,
        };
        connection.put_permit(permit);
        match layer {
            None => {
                worker.transition(ACCEPTED, connection.session.state());
                connection.invoke(worker, |session, cx| session.open(cx));
                connection.after_event(0, worker);
            }
            Some(layer) => {
                worker.transition(ACCEPTED, layer.state());
                connection.install(layer, worker);
            }
        }
        connection
    }

    /// Returns what to do next. Calling it again returns the same: it changes nothing.
    #[inline]
    pub fn next(&self) -> Action {
        match self.layered() {
            None => self.plain_next_and_timeout().0,
            Some(layered) => layered.next_and_timeout(self).0,
        }
    }

    #[inline]
    fn plain_next_and_timeout(&self) -> (Action, Timeout) {
        self.next_and_timeout(Connection::wait)
    }

    /// Returns the next action and its timeout. `wait` returns what the session waits for.
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

    /// Returns the time until which the model may wait for the [next](Connection::next) action;
    /// `None` means without limit.
    ///
    /// The deadline changes only with a call to this connection, or when [`Worker::stopping`] or
    /// [`Worker::crowded`] changes: while the server is stopping, an idle connection has no time
    /// left.
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

    /// Returns the kind of the current wait and when it began, for models that keep one list of
    /// connections per kind, and for display.
    ///
    /// [`Worker::stopping`] and [`Worker::crowded`] shorten only the
    /// [`deadline`](Connection::deadline). A model that uses this method instead must close idle
    /// connections in time by itself.
    pub fn waiting(&self) -> (Timeout, Moment) {
        (self.waiting, self.since)
    }

    /// What to send for [`Action::Send`], or to read for [`Action::Load`].
    pub fn front(&self) -> Piece<'_> {
        match self.layered() {
            None => self.output.front(),
            Some(layered) => layered.front(self),
        }
    }

    /// True if [`front`](Connection::front) is a range of a file.
    #[inline]
    pub fn sends_file(&self) -> bool {
        match self.layered() {
            None => self.output.is_file_next(),
            Some(layered) => matches!(layered.front(self), Piece::File { .. }),
        }
    }

    /// How many bytes of the file that is sent or loaded are left, from the beginning of
    /// [`front`](Connection::front) on. A loop may have them read ahead.
    pub fn file_left(&self) -> u64 {
        self.output.body().map_or(0, Body::left)
    }

    /// True if the next action will probably be [`Action::Receive`] when
    /// [`front`](Connection::front) is sent. A completion model may then submit both at once. It
    /// may turn out that the session sends more first.
    pub fn receives_after_front(&self) -> bool {
        match self.layered() {
            None => self.plain_takes_input() && self.output.is_one_piece() && !self.has_waker,
            Some(layered) => layered.receives_after_front(self),
        }
    }

    /// True if the session takes input although output is pending. A model that does not send all
    /// of it in one turn must receive meanwhile: messages may come faster than they are sent, and
    /// the session would never be heard.
    pub fn takes_input(&self) -> bool {
        match self.layered() {
            None => self.plain_takes_input(),
            Some(layered) => layered.takes_input(self),
        }
    }

    fn plain_takes_input(&self) -> bool {
        self.held.is_none() && !self.ended && self.output.body().is_none() && self.wants_bytes()
    }

    /// How many bytes [`Action::Receive`] may bring; never 0 while that is the action.
    pub fn room(&self) -> usize {
        match self.layered() {
            None => self.plain_room(),
            Some(layered) => layered.room(),
        }
    }

    #[inline]
    fn plain_room(&self) -> usize {
        self.held.as_ref().map_or(BUFFER_SIZE, Buffer::room)
    }

    /// True if the peer has nothing under way: no request begun, no output pending. Closing now
    /// loses nothing, unless a request is just arriving.
    pub fn is_idle(&self) -> bool {
        match self.layered() {
            None => self.plain_is_idle(),
            Some(layered) => layered.is_idle(self),
        }
    }

    fn plain_is_idle(&self) -> bool {
        let is_between = matches!(
            self.wait(),
            Wait::Bytes(Timeout::First | Timeout::Idle | Timeout::Forever)
        );
        is_between && self.output.is_empty() && self.held.is_none()
    }

    /// The name of the session's state, for display. Before the session is opened, that of its
    /// layer.
    pub fn state(&self) -> &'static str {
        let layered = self.layered().and_then(Layered::state);
        layered.unwrap_or_else(|| self.session.state())
    }

    /// How many bytes of output are pending, with what is left of a file, and how many bytes of
    /// input the session has not taken. For display.
    pub fn buffered(&self) -> (u64, usize) {
        let output = self.output.bytes().len() as u64 + self.file_left();
        (
            output,
            self.held.as_ref().map_or(0, |held| held.filled().len()),
        )
    }

    /// True if an operation has failed, the peer is gone, or the model has given up the connection.
    pub fn is_aborted(&self) -> bool {
        self.phase == Phase::Aborted
    }

    /// True if the peer has shut down its side.
    pub fn peer_has_ended(&self) -> bool {
        self.ended
    }

    /// Reports bytes received from the peer.
    ///
    /// # Panics
    /// If there are more than [`room`](Connection::room).
    pub fn received(&mut self, bytes: &[u8], worker: &mut Worker) {
        assert!(
            bytes.len() <= self.room(),
            "received more bytes than asked for"
        );
        if self.side == Side::Outside {
            return self.received_outside(bytes, worker);
        }
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

    /// Reports that the peer has shut down its side: no more input will come.
    pub fn input_ended(&mut self, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::InputEnded, worker);
        }
        self.ended = true;
        self.after_event(0, worker);
    }

    /// Reports that the first `count` bytes of [`front`](Connection::front) were sent. 0 means that
    /// a file has become shorter than the length promised to the peer.
    ///
    /// # Panics
    /// If `count` is more than `front` had.
    pub fn sent(&mut self, count: usize, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.sent_outside(count, worker);
        }
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
            // Messages go out before the next input is read. Otherwise a peer that sends much
            // would get ahead of the others.
            self.send_messages(worker);
            // A wake during the send has had no effect yet.
            if self.output.is_empty() && self.wait() == Wait::Pause {
                self.invoke(worker, |session, cx| session.proceed(cx));
            }
        }
        self.feed_held_if_free(worker);
        self.after_event(count, worker);
    }

    /// Reports that the file cannot be sent directly. It is [loaded](Action::Load) piece by piece
    /// from now on.
    pub fn send_refused(&mut self, worker: &mut Worker) {
        self.output.load_file();
        self.after_event(0, worker);
    }

    /// Reports the bytes that were read for [`Action::Load`]: the beginning of the range in
    /// [`front`](Connection::front). No bytes mean that the file has become shorter than the length
    /// promised to the peer.
    ///
    /// # Panics
    /// If nothing was to be loaded, or if there are more bytes than the range or a buffer has.
    pub fn loaded(&mut self, bytes: &[u8], worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::Loaded(bytes), worker);
        }
        let mut buffer = worker.pool.lend();
        assert_eq!(
            buffer.append(bytes),
            bytes.len(),
            "loaded more bytes than a buffer has"
        );
        self.loaded_buffer(buffer, worker);
    }

    /// As [`loaded`](Connection::loaded), with the bytes in a buffer of [`Worker::pool`], so that
    /// they need not be copied.
    ///
    /// # Panics
    /// If nothing was to be loaded, or if there are more bytes than the range has.
    pub fn loaded_buffer(&mut self, buffer: Buffer, worker: &mut Worker) {
        if self.side == Side::Outside {
            self.tell_layer(Event::Loaded(buffer.filled()), worker);
            return worker.pool.take_back(buffer);
        }
        if self.phase >= Phase::Aborted || buffer.is_empty() {
            worker.pool.take_back(buffer);
            return self.abort();
        }
        self.output.put_loaded(buffer);
        self.after_event(0, worker);
    }

    /// Takes the job for [`Action::Run`]. `None` if it was taken before.
    pub fn take_job(&mut self) -> Option<Job> {
        self.session.job()
    }

    /// Lets the session do a slice of its own work, for [`Action::Proceed`].
    pub fn proceed(&mut self, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::Proceed, worker);
        }
        if self.phase == Phase::Closed {
            return;
        }
        self.messages_sent = false;
        self.invoke(worker, |session, cx| session.proceed(cx));
        self.feed_held_if_free(worker);
        self.after_event(0, worker);
    }

    /// Reports that the waker was woken or the job has ended. A call without a reason does no harm.
    pub fn woken(&mut self, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::Woken, worker);
        }
        match self.next() {
            Action::Wait => self.proceed(worker),
            _ => self.after_event(0, worker),
        }
    }

    /// Reports that our side is shut down.
    pub fn write_shut_down(&mut self) {
        self.close_step = CloseStep::Shut;
        self.progress_bytes = 0;
    }

    /// Reports that the deadline has passed and that one more try would block.
    pub fn expired(&mut self, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::Expired, worker);
        }
        match self.waiting {
            _ if self.phase == Phase::Closed => {}
            Timeout::Send | Timeout::Linger | Timeout::Handshake => self.abort(),
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

    /// Call this for [`Action::Close`] if unread input waits at the socket: the connection then
    /// shuts down its side and reads until the peer closes, before it closes itself.
    pub fn linger(&mut self) {
        self.close_step = CloseStep::Unread;
    }

    /// Ends the connection without sending anything more: an operation has failed, or the peer is
    /// gone.
    pub fn abort(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Aborted;
        }
    }

    /// First phase of the end: the session's [`closed`](Session::closed) is called, and the permit
    /// is released. Later events have no effect. The buffers stay, since an operation under way may
    /// still read from them.
    pub fn close(&mut self, worker: &mut Worker) {
        if self.side == Side::Outside {
            return self.tell_layer(Event::Close, worker);
        }
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.invoke(worker, |session, cx| session.closed(cx));
        worker.transition(self.session.state(), CLOSED);
        // Released before the socket closes: a client that sees the close may reconnect at once.
        self.drop_permit();
    }

    /// Second phase of the end: returns the buffers to the pool. Call this when no operation is
    /// under way.
    ///
    /// # Panics
    /// If the connection is not closed.
    pub fn release(mut self, worker: &mut Worker) {
        assert_eq!(self.phase, Phase::Closed, "close() comes first");
        self.output.clear(&mut worker.pool);
        self.drop_held(worker);
        if let Some(layered) = self
            .extras
            .as_mut()
            .and_then(|extras| extras.layer.as_mut())
        {
            layered.release(worker);
        }
    }

    /// The layer, unless there is none or it acts itself.
    #[inline]
    fn layered(&self) -> Option<&Layered> {
        match self.side {
            Side::Outside => self.outer_layer(),
            Side::Plain | Side::Inside => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn outer_layer(&self) -> Option<&Layered> {
        self.extras.as_ref()?.layer.as_deref()
    }

    // Apart, so that connections without a layer do not prepare an event.
    #[cold]
    #[inline(never)]
    fn received_outside(&mut self, bytes: &[u8], worker: &mut Worker) {
        self.tell_layer(Event::Received(bytes), worker);
    }

    #[cold]
    #[inline(never)]
    fn sent_outside(&mut self, count: usize, worker: &mut Worker) {
        self.tell_layer(Event::Sent(count), worker);
    }

    /// Lets the layer handle an event.
    #[cold]
    #[inline(never)]
    fn tell_layer(&mut self, event: Event<'_>, worker: &mut Worker) {
        if let Some(inside) = Inside::begin(self, worker) {
            inside.handle(event);
        }
    }

    /// Puts a layer between the socket and the session, which is opened when the layer's handshake
    /// has ended. Held input is the layer's.
    #[cold]
    fn install(&mut self, layer: Box<dyn Layer>, worker: &mut Worker) {
        assert_eq!(self.side, Side::Plain, "a connection has one layer at most");
        let layered = Layered::new(layer, self.held.take());
        self.put_layered(Box::new(layered));
        self.tell_layer(Event::Installed, worker);
    }

    /// Takes the layer, so that it can act.
    fn take_layered(&mut self) -> Option<Box<Layered>> {
        let layered = self.extras.as_mut()?.layer.take();
        if layered.is_some() {
            self.side = Side::Inside;
        }
        layered
    }

    /// The layer has acted.
    fn put_layered(&mut self, layered: Box<Layered>) {
        self.extras.get_or_insert_default().layer = Some(layered);
        self.side = Side::Outside;
    }

    fn put_permit(&mut self, permit: Option<Permit>) {
        if permit.is_some() || self.extras.is_some() {
            self.extras.get_or_insert_default().permit = permit;
        }
    }

    fn drop_permit(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.permit = None;
        }
    }

    /// True if the response is sent completely, and the session is not in the middle of the next
    /// request.
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

    /// Calls the session, and counts the transition that results, if transitions are counted.
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

    /// Lets the session take input. Returns how many bytes it took.
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

    /// Handles input that the session does not wait for: dropped and counted once the session has
    /// ended, held before that.
    fn received_unwanted(&mut self, bytes: &[u8], worker: &mut Worker) {
        match self.wait() {
            _ if bytes.is_empty() => {}
            Wait::Close | Wait::Linger | Wait::Abort => self.add_progress(bytes.len()),
            _ => self.hold(bytes, worker),
        }
    }

    /// Holds input until the session takes it.
    fn hold(&mut self, bytes: &[u8], worker: &mut Worker) {
        let held = self.held.get_or_insert_with(|| worker.pool.lend());
        held.append(bytes);
    }

    /// [Feeds](Connection::feed) the held input to the session, and holds what it does not take.
    fn feed_held(&mut self, mut held: Buffer, worker: &mut Worker) -> usize {
        self.messages_sent = false;
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

    /// Runs after each event. Hands over to a successor, finishes a session that can get no more
    /// input, drops input that the session will not take, takes messages from the mailbox, and
    /// restarts the timeout; with a layer, that one does.
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
            self.send_messages(worker);
            wait = None;
        }
        self.add_progress(progress);
        if self.side == Side::Plain {
            let (_, waiting) = self.next_and_timeout(|it| wait.unwrap_or_else(|| it.wait()));
            self.restart_timeout(waiting, worker);
        }
    }

    /// Restarts the timeout if the kind of wait has changed or enough bytes have moved.
    #[inline]
    fn restart_timeout(&mut self, waiting: Timeout, worker: &Worker) {
        if waiting != self.waiting || self.progress_bytes >= MIN_PROGRESS {
            self.waiting = waiting;
            self.since = worker.time.moment();
            self.progress_bytes = 0;
        }
    }

    /// Once all output is sent: hands over to a successor, or finishes a session that can get no
    /// more input. Returns what the session then waits for.
    #[inline]
    fn settle_without_output(&mut self, worker: &mut Worker) -> Wait {
        match self.wait() {
            // The input has ended, or the buffer is full and the session takes nothing of it.
            Wait::Bytes(_) if self.ended || self.room() == 0 => self.finish(worker),
            Wait::Successor => self.hand_over(worker),
            wait => wait,
        }
    }

    /// Ends a session that waits for bytes that cannot come.
    #[cold]
    fn finish(&mut self, worker: &mut Worker) -> Wait {
        if self.ended {
            self.invoke(worker, |session, cx| session.end_of_input(cx));
        }
        self.phase = Phase::Finished;
        Wait::Close
    }

    /// Replaces the session by its successor, which gets the input that is left.
    #[cold]
    fn hand_over(&mut self, worker: &mut Worker) -> Wait {
        let before = self.session.state();
        let Some(NewSession {
            session,
            permit,
            layer,
        }) = self.session.successor()
        else {
            self.phase = Phase::Aborted;
            return Wait::Close;
        };
        self.session = session;
        self.put_permit(permit);
        self.has_waker = false;
        if let Some(layer) = layer {
            worker.transition(before, layer.state());
            self.install(layer, worker);
            return self.wait();
        }
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

    /// Moves messages from the session's mailbox to the output. Aborts the connection if the
    /// mailbox has overflowed because the peer reads too slowly, or if no waker can be made.
    #[inline(never)]
    fn send_messages(&mut self, worker: &mut Worker) {
        let is_turn_of_session = self.messages_sent
            && self.output.is_empty()
            && (self.held.is_some() || self.wait() == Wait::Turn);
        let Some(mailbox) = self.session.mailbox() else {
            return;
        };
        if is_turn_of_session {
            // Messages may come faster than the model sends them.
            return;
        }
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
                InboxState::Open => self.messages_sent = !self.output.is_empty(),
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

/// Panics if a closed connection still holds buffers: the model has not called `release`.
#[cfg(debug_assertions)]
impl Drop for Connection {
    fn drop(&mut self) {
        let layered = self
            .extras
            .as_ref()
            .and_then(|extras| extras.layer.as_ref());
        let is_clear = self.held.is_none()
            && self.output.bytes().is_empty()
            && layered.is_none_or(|layered| !layered.holds_buffers());
        assert!(
            self.phase != Phase::Closed || is_clear || std::thread::panicking(),
            "a closed connection was dropped without release()"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Inbox, Mailbox, Time};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::{Instant, SystemTime};

    /// A session that waits for what the test sets.
    struct Waits(Wait);

    impl Session for Waits {
        fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
            input.len()
        }

        fn waits_for(&self) -> Wait {
            self.0
        }
    }

    /// Opens a connection whose session waits for `wait`, runs `act`, and closes it.
    fn with(wait: Wait, act: impl FnOnce(&mut Connection, &mut Worker)) {
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let session: Box<dyn Session> = Box::new(Waits(wait));
        let mut connection = Connection::open(session, 0, &mut worker);
        act(&mut connection, &mut worker);
        connection.close(&mut worker);
        connection.release(&mut worker);
        assert_eq!(worker.pool.lent(), 0);
    }

    /// A session that gets messages as fast as they are sent, and has work to do.
    struct Busy {
        mailbox: Mailbox,
        worked: Arc<AtomicU32>,
    }

    impl Session for Busy {
        fn receive(&mut self, _: &[u8], _: &mut Context<'_>) -> usize {
            0
        }

        fn proceed(&mut self, _: &mut Context<'_>) {
            self.worked.fetch_add(1, Relaxed);
            self.mailbox.put(&b"message"[..].into());
        }

        fn sent(&mut self, _: &mut Context<'_>) {
            self.mailbox.put(&b"message"[..].into());
        }

        fn mailbox(&self) -> Option<&dyn Inbox> {
            Some(&self.mailbox)
        }

        fn waits_for(&self) -> Wait {
            Wait::Turn
        }
    }

    #[test]
    fn a_session_works_although_messages_come_as_fast_as_they_are_sent() {
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let worked = Arc::new(AtomicU32::new(0));
        let session: Box<dyn Session> = Box::new(Busy {
            mailbox: Mailbox::default(),
            worked: worked.clone(),
        });
        let mut connection = Connection::open(session, 0, &mut worker);
        connection.proceed(&mut worker);
        let mut sent = 0;
        for _ in 0..100 {
            match connection.next() {
                Action::Send => {
                    let Piece::Bytes { bytes, .. } = connection.front() else {
                        panic!("a file");
                    };
                    sent += 1;
                    connection.sent(bytes.len(), &mut worker);
                }
                Action::Proceed => connection.proceed(&mut worker),
                other => panic!("{other:?}"),
            }
        }
        let worked = worked.load(Relaxed);
        assert!(worked >= 40 && sent >= 40, "{worked} {sent}");
        connection.close(&mut worker);
        connection.release(&mut worker);
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
            assert_eq!(
                connection.next(),
                Action::Receive,
                "the limit itself is allowed"
            );
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
            assert_eq!(connection.deadline(worker), None, "no limits are set");
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
