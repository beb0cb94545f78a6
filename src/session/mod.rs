//! Protocols as state machines that do no I/O.
//!
//! A [`Session`] is the protocol state of one connection, and nothing else: for example, the HTTP
//! request being read. A [`Connection`] adds the buffers: input that the session has not taken,
//! output that is not sent yet. An I/O model keeps one [`Connection`] per socket, asks for its
//! [`next`](Connection::next) action, and performs it.
//!
//! This module is pure. It opens no socket or file, starts no thread and writes nothing. It reads
//! no clock except one that the model passes in ([`Time::with_clock`]). Time, memory and limits are
//! arguments, so a simulation can run the same code without a kernel (`tests/simulation`).

mod buffer;
mod connection;
mod counters;
mod file;
mod layer;
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
pub use layer::{Encryption, HANDSHAKING, Layer, LayerError, Layers};
pub use mailbox::{Inbox, InboxState, MAILBOX_SIZE, Mailbox};
pub use new_session::{NewSession, Permit};
pub use output::{Body, BodySource, Output, Piece};
pub use time::{Moment, Time};
pub use transitions::{ACCEPTED, CLOSED, TraceHooks, Transition, Transitions};
pub use worker::{MIN_IDLE_AGE, TimeLimits, WORK_PER_TURN, Wakers, Worker};

use enum_map::Enum;

/// The protocol state of one connection: bytes in, output out.
///
/// It serves either side. A server's connection begins when it is accepted. A client's begins when
/// it is made, and its session usually puts the first output into [`open`](Session::open).
///
/// The calls come in this order: [`open`](Session::open) once; then `receive`, `sent` and `proceed`
/// in any order; then at most one of `end_of_input` and `timed_out`, after which `receive` is not
/// called again; [`closed`](Session::closed) once, last. A session replaced by its
/// [`successor`](Session::successor) gets no `closed`.
pub trait Session: Send {
    /// Begins the session. A protocol in which the server speaks first puts its greeting into the
    /// output here.
    fn open(&mut self, _cx: &mut Context<'_>) {}

    /// Takes bytes from the front of `input`, which is never empty. Returns how many it took.
    ///
    /// Return 0 to ask for more bytes or, if output is pending, for more room. The next call then
    /// has the same bytes at the front; it comes when more bytes have arrived, or when all output
    /// is sent. A session that takes nothing of [`BUFFER_SIZE`] bytes while no output is pending
    /// can never continue: it is closed.
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize;

    /// The peer has shut down its side, and the session has seen all input. Output put now is still
    /// sent; then the connection closes.
    fn end_of_input(&mut self, _cx: &mut Context<'_>) {}

    /// Some output was sent; `cx.output` is what is left. When nothing is left, the session may put
    /// more, for example the next part of a long response.
    fn sent(&mut self, _cx: &mut Context<'_>) {}

    /// Does a slice of the session's own work. Called repeatedly while the session waits for its
    /// [turn](Wait::Turn). While it [pauses](Wait::Pause) or waits for a [job](Wait::JobResult),
    /// called when it is woken, and perhaps more often. Do no more than [`Worker::work`] allows,
    /// and subtract what you did.
    fn proceed(&mut self, _cx: &mut Context<'_>) {}

    /// Returns the work that may wait for a file system, once, while the session waits for its
    /// [job](Wait::Job). The model runs it where it delays no other connection, and then calls
    /// [`proceed`](Session::proceed).
    fn job(&mut self) -> Option<Job> {
        None
    }

    /// The current wait has lasted too long. Output put now is still sent; then the connection
    /// closes.
    fn timed_out(&mut self, _timeout: Timeout, _cx: &mut Context<'_>) {}

    /// The connection is closed; `cx.output` is what was never sent. Output put now is dropped.
    /// At a client, [`Worker::failure`] tells what went wrong, if anything did.
    fn closed(&mut self, _cx: &mut Context<'_>) {}

    /// What the session waits for once its output is sent. By default: for more bytes, as long as
    /// an idle connection may stay.
    fn waits_for(&self) -> Wait {
        Wait::Bytes(Timeout::Idle)
    }

    /// Messages from other connections to this peer. They are sent between the session's own
    /// output. Returns `None` until the session has an inbox, and then always the same one.
    fn mailbox(&self) -> Option<&dyn Inbox> {
        None
    }

    /// Returns the session that replaces this one, once, while this one waits for its
    /// [successor](Wait::Successor). This session ends without a call to
    /// [`closed`](Session::closed). The successor is opened, and gets the input that this one has
    /// not taken.
    fn successor(&mut self) -> Option<NewSession> {
        None
    }

    /// The name of the session's state, for display.
    fn state(&self) -> &'static str {
        "open"
    }
}

/// What a session waits for once its output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More bytes from the peer, for at most this timeout.
    Bytes(Timeout),
    /// The model to take its [job](Session::job).
    Job,
    /// The end of the job that the model has taken.
    JobResult,
    /// Its next turn: the session has work of its own, and does it in slices so that other
    /// connections get their turns.
    Turn,
    /// Other sessions of its service: it must not get ahead of them. It receives nothing meanwhile,
    /// which slows its peer down. [`proceed`](Session::proceed) is called when its [inbox](Inbox)
    /// wakes it, and otherwise after [`Timeout::Pause`]. Messages from the inbox are still sent.
    Pause,
    /// The [successor](Session::successor) to replace it.
    Successor,
    /// Nothing: close the connection.
    Close,
    /// Nothing, but the peer may still be sending: close in such a way that it can read the last
    /// output (RFC 9112 section 9.6).
    Linger,
    /// Nothing: close at once, without lingering.
    Abort,
}

/// The kinds of waits. [`Worker::time_limits`] has the longest time for each.
///
/// A timeout restarts when the kind of wait changes, and when [`MIN_PROGRESS`] bytes have been
/// taken or sent since it started. Bytes that merely arrive do not restart it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Timeout {
    /// For the rest of something that has begun, such as a request head.
    Head,
    /// For more of a request body, which is read and dropped.
    Body,
    /// For the first bytes of the connection.
    First,
    /// For the next request. When connections run out, these close first.
    Idle,
    /// For bytes in a protocol where silence is normal, such as a chat: no time limit.
    Forever,
    /// For the peer to read output.
    Send,
    /// For the peer to close its side after ours.
    Linger,
    /// For other sessions. When this time has passed, the session is not closed: it checks again
    /// whether it may continue.
    Pause,
    /// For a file system on another machine (NFS, SMB) or in another process (FUSE).
    Files,
    /// For the end of the handshake of a [`Layer`]. Progress does not restart it. At a client, also
    /// for the end of TCP's handshake.
    Handshake,
}

/// What a session may use during a call.
pub struct Context<'a> {
    /// The session's output.
    pub output: &'a mut Output,
    /// What all sessions of the thread share.
    pub worker: &'a mut Worker,
}

impl Context<'_> {
    /// How many bytes [`put`](Context::put) can take now.
    pub fn room(&self) -> usize {
        self.output.room()
    }

    /// Appends as much of `bytes` as there is room for. Returns how many bytes that was: 0 behind a
    /// body.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        self.output.put(bytes, &mut self.worker.pool)
    }

    /// Appends what `write` writes to a writer of [`room`](Context::room) bytes, for code that
    /// formats text.
    pub fn put_with<T>(&mut self, write: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        self.output.put_with(&mut self.worker.pool, write)
    }

    /// Puts a body behind the bytes.
    ///
    /// # Panics
    /// If the output has a body already.
    pub fn put_body(&mut self, body: Body) {
        self.output.put_body(body);
    }
}
