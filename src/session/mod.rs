//! What a conversation is.
//!
//! A [`Session`] is the protocol state of one conversation and nothing else. A [`Connection`] is a session with its
//! buffers: input not yet taken, output not yet sent. Every I/O model keeps one connection per peer, asks it
//! [`Connection::next`] ("what now?") and does what it answers.
//!
//! This module is pure: it opens no socket and no file, starts no thread, writes nothing, and reads no clock but one that
//! the model passes in ([`Time::with_clock`]). Time, memory
//! and limits are arguments, so that a model without a kernel can drive the very same code (`tests/simulation`).

mod buffer;
mod connection;
mod counters;
mod file;
mod mailbox;
mod new_session;
mod output;
mod time;
mod transitions;
mod worker;

pub use buffer::{BUFFER_SIZE, Buffer, Pool};
pub use connection::{Action, Connection, LINGER_BYTES, MIN_PROGRESS};
pub use counters::Counters;
pub use file::{File, Job};
pub use mailbox::{Inbox, InboxState, MAILBOX_SIZE, Mailbox};
pub use new_session::{NewSession, Permit};
pub use output::{Body, BodySource, Output, Piece};
pub use time::{Moment, Time};
pub use transitions::{ACCEPTED, CLOSED, TraceHooks, Transition, Transitions};
pub use worker::{MIN_IDLE_AGE, TimeLimits, WORK_PER_TURN, Wakers, Worker};

use enum_map::Enum;

/// One conversation with one peer: bytes in, output out.
///
/// The order of calls is: [`open`](Session::open) once; then `receive`, `sent` and `proceed` in any order; then at most one
/// of `end_of_input` and `timed_out`, after which `receive` is not called again; [`closed`](Session::closed) once, last,
/// unless a [`successor`](Session::successor) has taken over.
pub trait Session: Send {
    /// The peer is there. A protocol in which the server speaks first puts its greeting out here.
    fn open(&mut self, _cx: &mut Context<'_>) {}

    /// Takes what it can from the front of `input` and says how many bytes that was.
    ///
    /// 0 means: it needs more bytes or, if output is pending, more room. It is then asked again with the same bytes at
    /// the front once more have come, or once all output has been sent. `input` is never empty. A session that takes
    /// nothing of [`BUFFER_SIZE`] bytes while no output is pending could never go on, and is closed.
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize;

    /// The peer will send nothing more, and the session has seen all it sent. What it puts out now is still sent; then
    /// the connection closes.
    fn end_of_input(&mut self, _cx: &mut Context<'_>) {}

    /// Some of its output went out; `cx.output` is what is left. When nothing is left it may put out more, as a
    /// protocol with endless or piecewise output does.
    fn sent(&mut self, _cx: &mut Context<'_>) {}

    /// Does a slice of its own work: called again and again while it [waits for its turn](Wait::Turn), and from time to
    /// time while it [pauses](Wait::Pause) or [waits for its job](Wait::JobResult). It does no more than [`Worker::work`] allows, and takes off what it does.
    fn proceed(&mut self, _cx: &mut Context<'_>) {}

    /// What may wait for a file system, while it [waits for that](Wait::Job): taken once. The model has it done where it
    /// holds up nobody else, and then lets it [proceed](Session::proceed).
    fn job(&mut self) -> Option<Job> {
        None
    }

    /// What it waited for did not come in time. What it puts out now is still sent; then the connection closes.
    fn timed_out(&mut self, _timeout: Timeout, _cx: &mut Context<'_>) {}

    /// The connection is over; `cx.output` is what was never sent. Nothing put out now goes anywhere.
    fn closed(&mut self, _cx: &mut Context<'_>) {}

    /// What it waits for once its output is gone: for more bytes, as long as an idle connection may stay, unless it says
    /// otherwise.
    fn waits_for(&self) -> Wait {
        Wait::Bytes(Timeout::Idle)
    }

    /// Where others leave what its peer is to hear from them, once there is such a place. It is sent whenever there is
    /// room for it among the session's own output. `None` until then, from then on the same for ever.
    fn mailbox(&self) -> Option<&dyn Inbox> {
        None
    }

    /// What the conversation goes on as, once it [waits for that](Wait::Successor): taken once, for this session then ends
    /// without a [`closed`](Session::closed). The other one is opened, and has what this one has not taken of the input.
    fn successor(&mut self) -> Option<NewSession> {
        None
    }

    /// The name of its state, for people.
    fn state(&self) -> &'static str {
        "open"
    }
}

/// What a session waits for once its output is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More bytes from the peer, for as long as this timeout allows.
    Bytes(Timeout),
    /// A [job](Session::job), which it has ready for the model.
    Job,
    /// The job that the model has taken.
    JobResult,
    /// Only its turn: it has work of its own, which it does in slices so that others get theirs.
    Turn,
    /// Other sessions of its service, which it must not get ahead of. It receives nothing meanwhile, so its peer is
    /// slowed down. It is asked to [proceed](Session::proceed) when its [inbox](Inbox) wakes it, and otherwise after the
    /// time for [`Timeout::Pause`]. Messages from its inbox are sent meanwhile.
    Pause,
    /// Its [successor](Session::successor).
    Successor,
    /// Nothing: the conversation is over.
    Close,
    /// Nothing, but the peer may still be sending: the answer must reach it before the connection goes away
    /// (RFC 9112 section 9.6).
    Linger,
    /// Nothing, and the peer is owed nothing: the connection goes away at once, whatever is on its way.
    Abort,
}

/// The kinds of waiting that have an end. How long each may last is said in [`Worker::time_limits`].
///
/// A wait begins again when its kind changes, and when [`MIN_PROGRESS`] bytes have been taken or sent since it began;
/// bytes that merely arrive do not extend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Timeout {
    /// For the rest of something begun, such as a request head.
    Head,
    /// For more of a body that is read and dropped.
    Body,
    /// For the peer to begin at all.
    First,
    /// For the peer to begin again: it has had what it wanted, and where descriptors are short it makes room first.
    Idle,
    /// For the peer to begin or to go on where silence is part of the protocol, so that it may last for ever.
    Forever,
    /// For the peer to take output.
    Send,
    /// For the peer to see that the conversation is over.
    Linger,
    /// For other sessions. When it is over, nothing ends: the session looks again.
    Pause,
    /// For a file system that is answered by another process or machine.
    Files,
}

/// What a session may use while it is being called.
pub struct Context<'a> {
    /// Its own output.
    pub output: &'a mut Output,
    /// What it shares with the other sessions of its thread.
    pub worker: &'a mut Worker,
}

impl Context<'_> {
    /// How many bytes can be [`put`](Context::put) now.
    pub fn room(&self) -> usize {
        self.output.room()
    }

    /// Appends as much of `bytes` as there is room for and says how much that was. A body already set takes all room.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        self.output.put(bytes, &mut self.worker.pool)
    }

    /// Appends what `write` writes, for code that formats into a writer: one of [`room`](Context::room) bytes.
    pub fn put_with<T>(&mut self, write: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        self.output.put_with(&mut self.worker.pool, write)
    }

    /// Puts a body behind the bytes. There is at most one until it has been sent.
    pub fn put_body(&mut self, body: Body) {
        self.output.put_body(body);
    }
}
