//! A connection with a layer, such as encryption.
//!
//! To the session's side of the connection, the layer is a model: it performs `Send` and `Receive`,
//! with records instead of a socket. All other actions are left to the real model. What the session
//! puts out stays in its output until the records made of it are sent.

use super::{Action, CloseStep};
use super::{Connection, Phase, Worker};
use crate::session::buffer::{BUFFER_SIZE, Buffer};
use crate::session::layer::{Encryption, Layer, LayerError};
use crate::session::transitions::CLOSED;
use crate::session::{Piece, Timeout, Wait};

/// How many bytes of a file are loaded at most, so that their records fit into one buffer.
const LOAD: u64 = BUFFER_SIZE as u64 - 64;

/// The least that a step of a handshake counts as [work](Worker::work): a turn has at most 32 steps,
/// however fast they are.
const MIN_STEP: usize = 16;

/// How much [work](Worker::work) a microsecond of a handshake counts as. So a turn goes on for 128 µs
/// with handshakes, which is one key exchange or two, and connections that are ready then need not
/// wait for more of them.
const WORK_PER_MICROSECOND: usize = 4;

/// A layer with its buffered input and output.
pub(super) struct Layered {
    layer: Box<dyn Layer>,
    /// Input that the layer has not taken. `None` instead of an empty buffer.
    input: Option<Buffer>,
    /// Output to be sent. `None` instead of an empty buffer.
    output: Option<Buffer>,
    /// How many bytes of the session's output are in `output`. They count as sent once all of it is.
    sealed: usize,
    /// A file follows `output`.
    more: bool,
    stage: Stage,
    /// The peer has sent something.
    heard: bool,
    /// The session was opened.
    is_opened: bool,
    /// The socket brings no more input.
    socket_ended: bool,
    /// What was agreed on. While the session acts, it is in [`Worker::encryption`].
    encryption: Option<Box<Encryption>>,
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The session has not been opened.
    Handshaking,
    /// The session speaks with the peer.
    Open,
    /// The layer has said that nothing more comes.
    Closed,
    /// The layer cannot go on.
    Failed,
}

/// What a model reports.
#[derive(Clone, Copy)]
pub(super) enum Event<'a> {
    Received(&'a [u8]),
    InputEnded,
    Sent(usize),
    Loaded(&'a [u8]),
    Proceed,
    Woken,
    Expired,
    Close,
    /// Nothing: a layer was put into a connection that had begun without one.
    Installed,
}

impl Layered {
    pub fn new(layer: Box<dyn Layer>, input: Option<Buffer>) -> Layered {
        Layered {
            layer,
            heard: input.is_some(),
            input,
            output: None,
            sealed: 0,
            more: false,
            stage: Stage::Handshaking,
            is_opened: false,
            socket_ended: false,
            encryption: None,
        }
    }

    /// See [`Connection::next`], with the timeout.
    #[cold]
    pub fn next_and_timeout(&self, connection: &Connection) -> (Action, Timeout) {
        let is_handshaking = self.is_handshaking(connection);
        match &self.output {
            _ if connection.phase >= Phase::Aborted => connection.plain_next_and_timeout(),
            Some(_) if is_handshaking => (Action::Send, Timeout::Handshake),
            Some(_) => (Action::Send, Timeout::Send),
            // The step must wait for work in the next turn.
            None if is_handshaking && self.input.is_some() => (Action::Proceed, Timeout::Handshake),
            None if is_handshaking => (Action::Receive, Timeout::Handshake),
            None => match connection.plain_next_and_timeout() {
                // Output that can no longer become records: it must not be sent as it is.
                (Action::Send, _) => (Action::Close { may_linger: false }, Timeout::Linger),
                next => next,
            },
        }
    }

    /// See [`Connection::front`].
    #[cold]
    pub fn front<'a>(&'a self, connection: &'a Connection) -> Piece<'a> {
        let front = connection.output.front();
        match (&self.output, front) {
            (Some(output), _) => Piece::Bytes {
                bytes: output.filled(),
                then: &[],
                more: self.more,
            },
            (
                None,
                Piece::File {
                    file,
                    offset,
                    count,
                },
            ) => Piece::File {
                file,
                offset,
                count: count.min(LOAD),
            },
            // Never the session's bytes as they are.
            (None, Piece::Bytes { .. }) => Piece::Bytes {
                bytes: &[],
                then: &[],
                more: false,
            },
        }
    }

    /// See [`Connection::receives_after_front`].
    #[cold]
    pub fn receives_after_front(&self, connection: &Connection) -> bool {
        let is_all = self.sealed == connection.output.front_length()
            && connection.output.is_one_piece()
            && !connection.has_waker;
        let takes_more = connection.plain_takes_input() && is_all;
        self.input.is_none()
            && !self.socket_ended
            && !self.layer.has_output()
            && (takes_more || self.is_handshaking(connection))
    }

    /// See [`Connection::takes_input`].
    #[cold]
    pub fn takes_input(&self, connection: &Connection) -> bool {
        self.stage == Stage::Open
            && self.input.is_none()
            && !self.socket_ended
            && connection.plain_takes_input()
    }

    /// See [`Connection::room`].
    #[cold]
    pub fn room(&self) -> usize {
        self.input.as_ref().map_or(BUFFER_SIZE, Buffer::room)
    }

    /// See [`Connection::is_idle`].
    #[cold]
    pub fn is_idle(&self, connection: &Connection) -> bool {
        let is_between = match self.stage {
            Stage::Handshaking => !self.heard,
            Stage::Open => connection.plain_is_idle(),
            Stage::Closed | Stage::Failed => false,
        };
        is_between && self.output.is_none() && self.input.is_none()
    }

    /// The state, unless it is the session's.
    #[cold]
    pub fn state(&self) -> Option<&'static str> {
        (!self.is_opened).then(|| self.layer.state())
    }

    /// True if it holds buffers.
    #[cfg(debug_assertions)]
    pub fn holds_buffers(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Returns the buffers.
    pub fn release(&mut self, worker: &mut Worker) {
        let buffers = self.input.take().into_iter().chain(self.output.take());
        buffers.for_each(|buffer| worker.pool.take_back(buffer));
    }

    fn is_handshaking(&self, connection: &Connection) -> bool {
        self.stage == Stage::Handshaking && connection.phase == Phase::Running
    }

    /// True if the session gets no more input.
    fn is_over(&self, connection: &Connection) -> bool {
        let is_over = || matches!(connection.wait(), Wait::Close | Wait::Linger | Wait::Abort);
        connection.phase >= Phase::Finished || (self.is_opened && is_over())
    }
}

/// A connection while its layer acts: its methods act as if it had none.
///
/// It ends when this is dropped, also when a session panics: a kernel may still read the output.
pub(super) struct Inside<'a> {
    connection: &'a mut Connection,
    worker: &'a mut Worker,
    /// `None` only during `drop`.
    layered: Option<Box<Layered>>,
}

impl<'a> Inside<'a> {
    /// `None` if the connection has no layer.
    pub fn begin(connection: &'a mut Connection, worker: &'a mut Worker) -> Option<Inside<'a>> {
        let mut layered = connection.take_layered()?;
        worker.encryption = layered.encryption.take();
        Some(Inside {
            connection,
            worker,
            layered: Some(layered),
        })
    }

    /// Handles an event, and everything that follows from it.
    pub fn handle(mut self, event: Event<'_>) {
        if let Some(layered) = &mut self.layered {
            layered.handle(event, self.connection, self.worker);
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(mut layered) = self.layered.take() {
            layered.encryption = self.worker.encryption.take();
            self.connection.put_layered(layered);
        }
    }
}

/// Inside.
impl Layered {
    fn handle(&mut self, event: Event<'_>, connection: &mut Connection, worker: &mut Worker) {
        match event {
            // Counted and dropped, as it is.
            Event::Received(bytes) if self.is_over(connection) => {
                return connection.received(bytes, worker);
            }
            Event::Received(bytes) => self.receive(bytes, connection, worker),
            Event::InputEnded => self.socket_ended = true,
            Event::Sent(count) => self.sent(count, connection, worker),
            Event::Loaded(bytes) => self.loaded(bytes, connection, worker),
            Event::Proceed if self.is_opened => connection.proceed(worker),
            Event::Woken if self.is_opened => connection.woken(worker),
            Event::Expired => connection.expired(worker),
            Event::Close => return self.close(connection, worker),
            Event::Proceed | Event::Woken | Event::Installed => {}
        }
        if connection.phase >= Phase::Aborted {
            return;
        }
        self.open_held(connection, worker);
        self.end_input(connection, worker);
        self.fill_output(connection, worker);
        if self.is_handshaking(connection) {
            // Progress does not extend a handshake.
            connection.progress_bytes = 0;
        }
        let (_, waiting) = self.next_and_timeout(connection);
        connection.restart_timeout(waiting, worker);
    }

    /// Passes on what the session takes, and holds the rest.
    fn receive(&mut self, bytes: &[u8], connection: &mut Connection, worker: &mut Worker) {
        self.heard = true;
        let mut rest = bytes;
        if self.input.is_none() {
            self.open(&mut rest, true, connection, worker);
        }
        if !rest.is_empty() {
            let held = self.input.get_or_insert_with(|| worker.pool.lend());
            held.append(rest);
        }
    }

    /// Opens the input that was held.
    fn open_held(&mut self, connection: &mut Connection, worker: &mut Worker) {
        let Some(mut held) = self.input.take() else {
            let mut nothing = &[][..];
            return self.open(&mut nothing, false, connection, worker);
        };
        let mut rest = held.filled();
        self.open(&mut rest, false, connection, worker);
        let taken = held.filled().len() - rest.len();
        let is_over = self.is_over(connection);
        if is_over && !rest.is_empty() {
            connection.close_step = CloseStep::Unread;
        }
        held.consume(taken);
        if held.is_empty() || is_over {
            worker.pool.take_back(held);
        } else {
            held.compact();
            self.input = Some(held);
        }
    }

    /// Takes input as long as the handshake or the session needs it. `is_new` is true if it has just
    /// come: then a session may get it although its output is not sent.
    fn open(
        &mut self,
        input: &mut &[u8],
        is_new: bool,
        connection: &mut Connection,
        worker: &mut Worker,
    ) {
        loop {
            if self.stage == Stage::Handshaking {
                if input.is_empty() || worker.work == 0 || connection.phase != Phase::Running {
                    return;
                }
                self.shake_hands(input, connection, worker);
                continue;
            }
            let may_pass = connection.output.is_empty()
                || (is_new && connection.held.is_none() && connection.output.body().is_none());
            if self.stage != Stage::Open || !may_pass || !connection.wants_bytes() {
                return;
            }
            let received = self.layer.received();
            let count = received.len().min(connection.plain_room());
            if count > 0 {
                connection.received(&received[..count], worker);
                self.layer.consume(count);
            } else if !received.is_empty() || input.is_empty() {
                return;
            } else if self.layer.has_ended() {
                *input = &[];
            } else {
                self.take(input, connection, worker);
            }
        }
    }

    /// Lets the layer take input.
    fn take(&mut self, input: &mut &[u8], connection: &mut Connection, worker: &mut Worker) {
        match self.layer.receive(input) {
            Ok(taken) => {
                debug_assert!(taken > 0, "a layer must take input");
                *input = &input[taken..];
            }
            Err(error) => {
                *input = &[];
                self.fail(error, connection, worker);
            }
        }
    }

    /// Takes a step of the handshake. Its cost is measured, since a key exchange may be a hundred
    /// times as long as another step, and is taken from the work of the turn.
    fn shake_hands(&mut self, input: &mut &[u8], connection: &mut Connection, worker: &mut Worker) {
        let begin = worker.time.exact_moment();
        self.take(input, connection, worker);
        let micros = worker.time.exact_moment().since(begin).as_micros();
        let cost = usize::try_from(micros).unwrap_or(usize::MAX);
        let cost = cost.saturating_mul(WORK_PER_MICROSECOND).max(MIN_STEP);
        worker.work = worker.work.saturating_sub(cost);
        if self.stage != Stage::Handshaking {
            return;
        }
        if self.layer.is_handshaking() {
            if self.layer.has_ended() {
                *input = &[];
                self.socket_ended = true;
            }
            return;
        }
        self.stage = Stage::Open;
        self.is_opened = true;
        let encryption = self.layer.encryption();
        worker.counters.handshakes += 1;
        worker.counters.resumed_handshakes += u64::from(encryption.resumed);
        worker.encryption = Some(Box::new(encryption));
        worker.transition(self.layer.state(), connection.session.state());
        connection.invoke(worker, |session, cx| session.open(cx));
        connection.after_event(0, worker);
    }

    /// The layer cannot go on. What it has to say is still sent; what the session has put out is
    /// not.
    #[cold]
    fn fail(&mut self, error: LayerError, connection: &mut Connection, worker: &mut Worker) {
        let counters = &mut worker.counters;
        *match error {
            LayerError::PlainHttp => &mut counters.plain_http_clients,
            LayerError::NothingInCommon => &mut counters.incompatible_clients,
            LayerError::Refused => &mut counters.refusing_clients,
            LayerError::Malformed => &mut counters.malformed_records,
        } += 1;
        self.stage = Stage::Failed;
        self.sealed = 0;
        connection.output.clear(&mut worker.pool);
        connection.drop_held(worker);
        connection.phase = Phase::Finished;
    }

    /// Tells the session that no more input comes, once it has seen all that came. Without the
    /// peer's own word for it, somebody else may have cut it off: then only complete requests are
    /// answered.
    fn end_input(&mut self, connection: &mut Connection, worker: &mut Worker) {
        if self.socket_ended && self.is_over(connection) {
            connection.ended = true;
        }
        if connection.ended || connection.phase != Phase::Running || self.input.is_some() {
            return;
        }
        let is_drained = self.stage == Stage::Handshaking || self.layer.received().is_empty();
        if self.stage == Stage::Open && is_drained && self.layer.has_ended() {
            return connection.input_ended(worker);
        }
        let waits = self.stage == Stage::Handshaking
            || (connection.output.is_empty() && connection.wants_bytes());
        if self.socket_ended && is_drained && waits {
            worker.counters.truncated_connections += u64::from(self.is_opened);
            connection.ended = true;
            connection.phase = Phase::Finished;
            connection.drop_held(worker);
        }
    }

    /// Makes records of the layer's own output and the session's, as much as fits into a buffer.
    fn fill_output(&mut self, connection: &mut Connection, worker: &mut Worker) {
        if self.output.is_some() {
            return;
        }
        // Not sooner: a session may put out more when its output is sent.
        let is_over = matches!(connection.wait(), Wait::Close | Wait::Linger);
        if self.stage == Stage::Open && is_over && connection.output.is_empty() {
            self.layer.close();
            self.stage = Stage::Closed;
        }
        let mut takes = self.stage == Stage::Open && !connection.output.is_empty();
        if takes && connection.output.is_file_next() {
            connection.output.load_file();
            takes = false;
        }
        if !takes && !self.layer.has_output() {
            return;
        }
        let mut buffer = worker.pool.lend();
        self.layer.put(&mut buffer);
        self.more = false;
        if takes && let Piece::Bytes { bytes, then, more } = connection.output.front() {
            self.sealed = self.layer.seal(bytes, then, &mut buffer);
            self.more = more && self.sealed == bytes.len();
        }
        if buffer.is_empty() {
            worker.pool.take_back(buffer);
            connection.abort();
        } else {
            self.output = Some(buffer);
        }
    }

    fn sent(&mut self, count: usize, connection: &mut Connection, worker: &mut Worker) {
        if connection.phase == Phase::Closed {
            return;
        }
        if count == 0 {
            return connection.abort();
        }
        let mut output = self.output.take().expect("sent more bytes than there were");
        output.consume(count);
        if !output.is_empty() {
            self.output = Some(output);
            return connection.add_progress(count);
        }
        worker.pool.take_back(output);
        match std::mem::take(&mut self.sealed) {
            0 => {}
            sealed => connection.sent(sealed, worker),
        }
    }

    /// Makes records of loaded bytes at once, without a copy in between.
    fn loaded(&mut self, bytes: &[u8], connection: &mut Connection, worker: &mut Worker) {
        if connection.phase >= Phase::Aborted || bytes.is_empty() {
            return connection.abort();
        }
        if self.stage != Stage::Open {
            return;
        }
        assert!(connection.output.must_load(), "nothing was to be loaded");
        if self.output.is_some() {
            // A word of the layer's own came in between. The bytes are loaded again after it.
            return;
        }
        let mut output = worker.pool.lend();
        self.more = false;
        self.sealed = self.layer.seal(bytes, &[], &mut output);
        self.output = Some(output);
    }

    fn close(&mut self, connection: &mut Connection, worker: &mut Worker) {
        if self.is_opened {
            return connection.close(worker);
        }
        if connection.phase != Phase::Closed {
            let has_failed = self.stage == Stage::Failed;
            worker.counters.abandoned_handshakes += u64::from(self.heard && !has_failed);
            connection.phase = Phase::Closed;
            worker.transition(self.layer.state(), CLOSED);
            connection.drop_permit();
        }
    }
}
