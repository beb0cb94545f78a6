//! A session and its loose ends: input it has not taken, output that has not gone, and how it all ends.
//!
//! This file does not know who performs what [`Connection::next`] asks for, nor how that one waits.

use super::buffer::{BUFFER_SIZE, Buffer};
use super::mailbox::Mail;
use super::output::{Output, Piece};
use super::steps::{ACCEPTED, CLOSED};
use super::{Context, Inbox, Job, Moment, Session, Timeout, Wait, Worker};
use crate::trace;

/// How much a connection that is over still reads and drops before it gives up on its peer, in bytes.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// How many bytes a peer must take, or send of a body, for its time to begin anew, in bytes: one every few seconds would
/// keep a connection for ever. With the usual 60 s to take them that is a rate of 68 bytes a second.
pub const MIN_PROGRESS: u32 = 4096;

/// The one question every model asks a connection has these answers. Each is shaped like an operation: a blocking
/// model performs it, a readiness model tries it and waits if it would block, a completion model submits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send [`Connection::front`], then tell [`Connection::sent`].
    Send,
    /// Receive at most [`Connection::room`] bytes, then tell [`Connection::received`], or [`Connection::ended`] if the
    /// peer has closed its side.
    Receive(Timeout),
    /// Call [`Connection::proceed`], when others have had their turn.
    Proceed,
    /// Do nothing until the session's inbox wakes it, then call [`Connection::woken`]; or until the time for
    /// [`Timeout::Pause`] is over, then call [`Connection::timed_out`].
    Pause,
    /// Take the [job](Connection::take_job), do its work or have it done, and call [`Connection::woken`] when it is done. A
    /// blocking model does it at once; a loop must not, for it may wait as long as it likes.
    Run,
    /// Nothing, until the job that was taken is done.
    Await,
    /// Tell the peer that nothing more will come, then tell [`Connection::shut`].
    ShutdownWrite,
    /// Call [`Connection::close`] and drop the socket.
    Close,
}

/// A session and its loose ends.
pub struct Connection {
    session: Box<dyn Session>,
    output: Output,
    /// Input that the session has not taken; never an empty buffer.
    held: Option<Buffer>,
    waiting: Timeout,
    since: Moment,
    /// How many bytes were taken or sent since then; while lingering, how many were read and dropped.
    moved: u32,
    /// The peer has closed its side.
    ended: bool,
    stage: Stage,
    farewell: Farewell,
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// No more input is wanted, whatever the session says.
    Finished,
    /// Nothing can be done for the peer any more.
    Aborted,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// As the session says.
    Open,
    /// Input was left unread when the conversation was over: closing at once could destroy the answer on its way
    /// (RFC 9112 section 9.6).
    Unread,
    /// Our side has been shut down.
    Shut,
}

impl Connection {
    /// Begins a conversation.
    pub fn open(session: Box<dyn Session>, worker: &mut Worker) -> Connection {
        let mut connection = Connection {
            session,
            output: Output::default(),
            held: None,
            waiting: Timeout::First,
            since: worker.time.moment(),
            moved: 0,
            ended: false,
            stage: Stage::Running,
            farewell: Farewell::Open,
        };
        if let Some(steps) = &mut worker.steps {
            steps.count(ACCEPTED, connection.session.state());
        }
        trace::step(ACCEPTED, connection.session.state());
        connection.call(worker, |session, cx| session.open(cx));
        connection.settle(0, worker);
        connection
    }

    /// What now?
    pub fn next(&self) -> Action {
        if self.stage == Stage::Aborted {
            return Action::Close;
        }
        if !self.output.is_empty() {
            return Action::Send;
        }
        match self.wait() {
            Wait::Bytes(timeout) => Action::Receive(timeout),
            Wait::Turn => Action::Proceed,
            Wait::Pause => Action::Pause,
            Wait::Job => Action::Run,
            Wait::Result => Action::Await,
            Wait::Abort => Action::Close,
            Wait::Close if self.farewell == Farewell::Open => Action::Close,
            Wait::Close | Wait::Linger => match self.farewell {
                _ if self.ended => Action::Close,
                Farewell::Shut if self.moved as usize > LINGER_BYTES => Action::Close,
                Farewell::Shut => Action::Receive(Timeout::Linger),
                Farewell::Open | Farewell::Unread => Action::ShutdownWrite,
            },
        }
    }

    /// What to send for [`Action::Send`].
    pub fn front(&self) -> Piece<'_> {
        self.output.front()
    }

    /// How many bytes [`Action::Receive`] may bring; never 0 when that is the answer.
    pub fn room(&self) -> usize {
        self.held.as_ref().map_or(BUFFER_SIZE, Buffer::room)
    }

    /// What the connection waits for and since when: the model ends the wait after the time it allows for its kind.
    pub fn waiting(&self) -> (Timeout, Moment) {
        (self.waiting, self.since)
    }

    /// True if closing now would lose nothing, unless the peer is just about to speak.
    pub fn is_idle(&self) -> bool {
        let nothing_begun = matches!(
            self.next(),
            Action::Receive(Timeout::First | Timeout::Idle | Timeout::Forever)
        );
        nothing_begun && self.held.is_none()
    }

    /// The session's mailbox: whoever runs the connection has itself woken by it, and calls
    /// [`woken`](Connection::woken) then.
    pub fn mailbox(&self) -> Option<&dyn Inbox> {
        self.session.mailbox()
    }

    /// The name of the session's state, for people.
    pub fn state(&self) -> &'static str {
        self.session.state()
    }

    /// These bytes came from the peer, at most [`room`](Connection::room) of them.
    pub fn received(&mut self, bytes: &[u8], worker: &mut Worker) {
        if !self.wants_bytes() {
            self.add_moved(bytes.len());
            return;
        }
        let taken = match self.held.take() {
            None => {
                let taken = self.feed(bytes, worker);
                if taken < bytes.len() {
                    let mut held = worker.pool.lend();
                    held.append(&bytes[taken..]);
                    self.held = Some(held);
                }
                taken
            }
            Some(mut held) => {
                let appended = held.append(bytes);
                debug_assert_eq!(appended, bytes.len(), "received more than there was room");
                self.feed_held(held, worker)
            }
        };
        self.settle(taken, worker);
    }

    /// The peer has closed its side.
    pub fn ended(&mut self, worker: &mut Worker) {
        self.ended = true;
        self.settle(0, worker);
    }

    /// The first `count` bytes of what [`front`](Connection::front) began are gone.
    pub fn sent(&mut self, count: usize, worker: &mut Worker) {
        self.output.consume(count, &mut worker.pool);
        self.call(worker, |session, cx| session.sent(cx));
        if trace::is_on() && self.has_answered() {
            trace::answered(1);
        }
        if self.session.mailbox().is_some() {
            // Before the next input: a peer that says much must not get ahead of one that says little.
            self.take_mail(worker);
            // It may have been woken while there was something to send.
            if self.next() == Action::Pause {
                self.call(worker, |session, cx| session.proceed(cx));
            }
        }
        if self.output.is_empty()
            && let Some(held) = self.held.take()
        {
            self.feed_held(held, worker);
        }
        self.settle(count, worker);
    }

    /// What is to be done for [`Action::Run`]; `None` if it has been taken.
    pub fn take_job(&mut self) -> Option<Job> {
        self.session.job()
    }

    /// Lets the session do a slice of its own work.
    pub fn proceed(&mut self, worker: &mut Worker) {
        self.call(worker, |session, cx| session.proceed(cx));
        if self.output.is_empty()
            && let Some(held) = self.held.take()
        {
            self.feed_held(held, worker);
        }
        self.settle(0, worker);
    }

    /// Something may lie in the mailbox, its job may be done, or a pause may be over.
    pub fn woken(&mut self, worker: &mut Worker) {
        match self.next() {
            Action::Pause | Action::Await => self.proceed(worker),
            _ => self.settle(0, worker),
        }
    }

    /// Our side has been shut down.
    pub fn shut(&mut self) {
        self.farewell = Farewell::Shut;
        self.moved = 0;
    }

    /// What it waited for did not come in time.
    pub fn timed_out(&mut self, worker: &mut Worker) {
        match self.waiting {
            Timeout::Send | Timeout::Linger => self.abort(),
            Timeout::Pause => {
                self.since = worker.time.moment();
                self.proceed(worker);
            }
            timeout => {
                self.call(worker, |session, cx| session.timed_out(timeout, cx));
                self.stage = Stage::Finished;
                self.settle(0, worker);
            }
        }
    }

    /// True if the peer may still be there and reading when [`Action::Close`] is the answer.
    pub fn can_linger(&self) -> bool {
        !(self.stage == Stage::Aborted || self.ended || self.farewell == Farewell::Shut)
            && self.wait() != Wait::Abort
    }

    /// The peer has said more, which nobody wants; but closing now would destroy what it has not read yet.
    pub fn linger(&mut self) {
        self.farewell = Farewell::Unread;
    }

    /// What was promised to the peer cannot be kept: close without a word.
    pub fn abort(&mut self) {
        self.stage = Stage::Aborted;
    }

    /// The conversation is over: the session has its last word, and what was borrowed goes back.
    pub fn close(&mut self, worker: &mut Worker) {
        self.stage = Stage::Aborted;
        self.call(worker, |session, cx| session.closed(cx));
        if let Some(steps) = &mut worker.steps {
            steps.count(self.session.state(), CLOSED);
        }
        trace::step(self.session.state(), CLOSED);
        self.output.clear(&mut worker.pool);
        self.drop_held(worker);
    }

    /// True if everything is out that there was to say, and nothing else has been begun.
    fn has_answered(&self) -> bool {
        let wait = self.wait();
        let is_within = matches!(
            wait,
            Wait::Turn
                | Wait::Pause
                | Wait::Job
                | Wait::Result
                | Wait::Bytes(Timeout::Head | Timeout::Body)
        );
        self.output.is_empty() && !is_within
    }

    /// Lets the session act. The step that it takes by that is counted, where somebody wants to know.
    fn call<T>(
        &mut self,
        worker: &mut Worker,
        act: impl FnOnce(&mut dyn Session, &mut Context<'_>) -> T,
    ) -> T {
        let is_seen = worker.steps.is_some() || trace::is_on();
        let before = is_seen.then(|| self.session.state());
        let output = &mut self.output;
        let result = act(&mut *self.session, &mut Context { output, worker });
        if let Some(before) = before {
            let after = self.session.state();
            if let Some(steps) = &mut worker.steps {
                steps.count(before, after);
            }
            trace::step(before, after);
        }
        result
    }

    fn wait(&self) -> Wait {
        if self.stage != Stage::Running {
            Wait::Close
        } else {
            self.session.waits_for()
        }
    }

    fn wants_bytes(&self) -> bool {
        matches!(self.wait(), Wait::Bytes(_))
    }

    /// Lets the session take what it will of `input`; says how much that was.
    fn feed(&mut self, input: &[u8], worker: &mut Worker) -> usize {
        let mut taken = 0;
        while taken < input.len() && self.output.body().is_none() && self.wants_bytes() {
            let count = self.call(worker, |session, cx| session.receive(&input[taken..], cx));
            if count == 0 {
                break;
            }
            taken += count;
        }
        taken
    }

    /// The same with input that was held; what is left of it is held again.
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

    /// Draws the conclusions after anything has happened.
    fn settle(&mut self, moved: usize, worker: &mut Worker) {
        if self.output.is_empty() && self.wants_bytes() {
            if self.ended {
                self.call(worker, |session, cx| session.end_of_input(cx));
            }
            // Either no more will come, or the session will never take what is there.
            if self.ended || self.room() == 0 {
                self.stage = Stage::Finished;
            }
        }
        if self.held.is_some() && matches!(self.wait(), Wait::Close | Wait::Linger) {
            self.farewell = Farewell::Unread;
            self.drop_held(worker);
        }
        self.take_mail(worker);
        let waiting = match self.next() {
            Action::Send => Timeout::Send,
            Action::Receive(timeout) => timeout,
            Action::Proceed => Timeout::Forever,
            Action::Pause => Timeout::Pause,
            Action::Run | Action::Await => Timeout::Files,
            Action::ShutdownWrite | Action::Close => Timeout::Linger,
        };
        self.add_moved(moved);
        if waiting != self.waiting || self.moved >= MIN_PROGRESS {
            self.waiting = waiting;
            self.since = worker.time.moment();
            self.moved = 0;
        }
    }

    /// Moves what others have left to the output, until the conversation is over. A peer that is too slow for them is
    /// given up.
    fn take_mail(&mut self, worker: &mut Worker) {
        if let Some(mailbox) = self.session.mailbox()
            && matches!(self.wait(), Wait::Bytes(_) | Wait::Turn | Wait::Pause)
        {
            let output = &mut self.output;
            match mailbox.take(&mut Context { output, worker }) {
                Mail::MayCome => {}
                Mail::IsOver => self.stage = Stage::Finished,
                Mail::IsTooMuch => self.stage = Stage::Aborted,
            }
        }
    }

    fn add_moved(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.moved = self.moved.saturating_add(count);
    }

    fn drop_held(&mut self, worker: &mut Worker) {
        if let Some(held) = self.held.take() {
            worker.pool.take_back(held);
        }
    }
}
