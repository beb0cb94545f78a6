//! One connection and its model. A readiness model tries each operation at once; a completion model
//! keeps it in progress for a while.

use super::layer::{Peer, Prelude, Toy};
use super::mixed::PermitCounter;
use super::script::{Expected, Script};
use super::world::{read, whole};
use evserve::session::{
    Action, BUFFER_SIZE, Connection, File, Job, NewSession, Piece, Timeout, Worker,
};
use fastrand::Rng;
use std::sync::Arc;

/// How a connection ended for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    /// The server closed it.
    Closed,
    /// It was cut off by anything else.
    CutOff,
}

/// How a model performs operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Readiness,
    Completion,
}

pub struct SimulatedConnection {
    script: Script,
    /// `None` once its buffers were returned.
    connection: Option<Connection>,
    style: Style,
    in_progress: Vec<Operation>,
    permits: PermitCounter,
    /// sendfile(2) is refused from this call on.
    refused_from: Option<usize>,
    ranges_sent: usize,
    input_taken: usize,
    ended: bool,
    /// The server has shut down writing.
    shut: bool,
    /// The peer leaves after this many bytes, counted in both directions.
    leaves_at: Option<usize>,
    /// Something happened, or may happen, that ends the connection early.
    pub may_be_cut_off: bool,
    /// What understands the output, if the connection has a layer.
    peer: Option<Peer>,
    /// What the peer has understood.
    output: Vec<u8>,
    pub fate: Fate,
}

enum Operation {
    Send(Lent),
    Receive(usize),
    Load(Arc<File>, u64, usize),
    Run(Job),
    ShutdownWrite,
}

/// What the kernel reads from until an operation ends.
#[derive(Debug, PartialEq)]
enum Lent {
    /// The addresses and the bytes there.
    Bytes([(usize, Vec<u8>); 2]),
    File(Arc<FileRange>),
}

#[derive(Debug)]
struct FileRange(Arc<File>, u64, usize);

impl PartialEq for FileRange {
    fn eq(&self, other: &FileRange) -> bool {
        Arc::ptr_eq(&self.0, &other.0) && (self.1, self.2) == (other.1, other.2)
    }
}

impl Lent {
    fn new(piece: &Piece<'_>) -> Lent {
        match piece {
            Piece::Bytes { bytes, then, .. } => {
                Lent::Bytes([bytes, then].map(|all| (all.as_ptr() as usize, all.to_vec())))
            }
            Piece::File {
                file,
                offset,
                count,
            } => {
                let count = usize::try_from(*count).expect("small");
                Lent::File(Arc::new(FileRange((*file).clone(), *offset, count)))
            }
        }
    }

    /// Panics if the connection has changed, moved or returned what an operation reads from. More
    /// may be appended.
    fn check(&self, now: &Piece<'_>) {
        match (self, Lent::new(now)) {
            (Lent::Bytes(before), Lent::Bytes(now)) => {
                let [(at, bytes), (then_at, then)] = before;
                assert_eq!(*at, now[0].0, "bytes were moved while they were sent");
                let same = now[0].1.starts_with(bytes) && now[1].1.starts_with(then);
                assert!(same, "bytes were changed while they were sent");
                let is_apart =
                    then.is_empty() || (bytes.len(), *then_at) == (now[0].1.len(), now[1].0);
                assert!(is_apart, "bytes came in between");
            }
            (before, now) => assert_eq!(*before, now, "a file was exchanged"),
        }
    }

    fn all(&self) -> Vec<u8> {
        match self {
            Lent::Bytes([(_, bytes), (_, then)]) => [&bytes[..], then].concat(),
            Lent::File(stretch) => read(&stretch.0, stretch.1, stretch.2),
        }
    }
}

impl SimulatedConnection {
    pub fn new(
        start: impl Into<NewSession>,
        mut script: Script,
        key: usize,
        permits: &PermitCounter,
        worker: &mut Worker,
        random: &mut Rng,
    ) -> SimulatedConnection {
        let mut start = start.into();
        if start.permit.is_none() {
            start.permit = Some(permits.permit());
        }
        // A member of a chat hears only what is said after its handshake, and a PROXY header is not
        // encrypted.
        let may_have_layer = !matches!(script.expected, Expected::Chat(..))
            && start.session.state() != "reading PROXY header";
        let mut peer = None;
        if may_have_layer && random.bool() {
            let is_impatient = script.may_leave(b"");
            peer = Some(Peer::new(&mut script.input, is_impatient, random));
            start.layer = Some(Box::new(Toy::default()));
            if random.u8(..) < 60 {
                script.input.insert(0, b'!');
                start = Prelude::before(start);
            }
        }
        SimulatedConnection {
            connection: Some(Connection::open(start, key, worker)),
            style: [Style::Readiness, Style::Completion][random.usize(..2)],
            in_progress: Vec::new(),
            permits: permits.clone(),
            refused_from: random.bool().then(|| random.usize(..3)),
            ranges_sent: 0,
            leaves_at: (random.u8(..) < 30).then(|| random.usize(..script.input.len() * 2 + 10)),
            script,
            input_taken: 0,
            ended: false,
            shut: false,
            may_be_cut_off: peer
                .as_ref()
                .is_some_and(|peer| peer.is_forged || !peer.says_end),
            peer,
            output: Vec::new(),
            fate: Fate::Open,
        }
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there")
    }

    /// How many buffers it may hold: for input and output, on both sides of a layer.
    pub fn max_buffers(&self) -> usize {
        match self.peer {
            Some(_) => 4,
            None => 2,
        }
    }

    /// True once it holds nothing.
    pub fn is_released(&self) -> bool {
        self.connection.is_none()
    }

    /// When it must be called without an event.
    pub fn deadline(&self, worker: &Worker) -> Option<evserve::session::Moment> {
        self.connection.as_ref()?.deadline(worker)
    }

    /// Its waker was woken, perhaps after its end.
    pub fn woken(&mut self, worker: &mut Worker) {
        if let Some(connection) = &mut self.connection {
            connection.woken(worker);
        }
    }

    /// Takes one step: starts an operation, ends one, or cancels one.
    pub fn step(&mut self, worker: &mut Worker, random: &mut Rng) {
        if self.fate != Fate::Open {
            return self.finish(worker, random);
        }
        let action = self.connection().next();
        assert_eq!(action, self.connection().next(), "asking changes nothing");
        assert!(
            !self.ended || action != Action::Receive,
            "nothing more can come"
        );
        assert!(self.connection().room() <= BUFFER_SIZE);
        let leaves = |at| self.input_taken + self.output.len() >= at;
        if self.leaves_at.is_some_and(leaves) && random.u8(..) < 60 {
            return self.abort(worker);
        }
        let is_late = |deadline| deadline <= worker.time.moment();
        let late = self.deadline(worker).is_some_and(is_late);
        match random.u8(..) {
            0..=5 => self.connection().woken(worker), // For nothing.
            6..=125 if !self.in_progress.is_empty() => {
                let index = random.usize(..self.in_progress.len());
                self.complete(index, late, worker, random);
            }
            _ => self.act(action, late, worker, random),
        }
    }

    fn act(&mut self, action: Action, late: bool, worker: &mut Worker, random: &mut Rng) {
        match action {
            Action::Proceed => {
                worker.work = random.usize(..=64);
                self.connection().proceed(worker);
            }
            Action::Wait if late => self.expire(worker),
            Action::Wait => {}
            Action::Close { may_linger } => self.close(may_linger, worker, random),
            Action::Send | Action::Receive | Action::Load | Action::Run | Action::ShutdownWrite => {
                self.operate(action, late, worker, random);
            }
        }
    }

    /// Starts an operation, unless one is in progress.
    fn operate(&mut self, action: Action, late: bool, worker: &mut Worker, random: &mut Rng) {
        if let Some(index) = self.in_progress.iter().position(|one| one.is(action)) {
            if late {
                // It is cancelled, unless it ends just now.
                self.complete(index, late, worker, random);
            }
            return;
        }
        if random.u8(..) < 60 && self.style == Style::Readiness {
            // It would block.
            if late {
                self.expire(worker);
            }
            return;
        }
        let operation = match action {
            Action::Send => {
                self.receive_meanwhile(random);
                Operation::Send(Lent::new(&self.connection().front()))
            }
            Action::Receive => Operation::Receive(self.connection().room()),
            Action::Load => {
                let Piece::File {
                    file,
                    offset,
                    count,
                } = self.connection().front()
                else {
                    panic!("no stretch of a file is to be loaded")
                };
                let count = usize::try_from(count).expect("small");
                assert!(count <= BUFFER_SIZE, "it fits a buffer");
                Operation::Load(file.clone(), offset, count)
            }
            Action::Run => Operation::Run(self.connection().take_job().expect("announced")),
            _ => Operation::ShutdownWrite,
        };
        self.in_progress.push(operation);
        if self.style == Style::Readiness && !matches!(action, Action::Run) {
            self.complete(self.in_progress.len() - 1, late, worker, random);
        }
    }

    /// A completion model may receive together with a send.
    fn receive_meanwhile(&mut self, random: &mut Rng) {
        let is_receive = |one: &Operation| matches!(one, Operation::Receive(_));
        if self.style == Style::Readiness || self.in_progress.iter().any(is_receive) {
            return;
        }
        let connection = self.connection();
        let room = connection.room();
        if (connection.receives_after_front() || connection.takes_input()) && random.u8(..) < 200 {
            self.in_progress.push(Operation::Receive(room));
        }
    }

    /// An operation ends, with a result or none.
    fn complete(&mut self, index: usize, late: bool, worker: &mut Worker, random: &mut Rng) {
        let operation = self.in_progress.swap_remove(index);
        if let Operation::Send(lent) = &operation {
            lent.check(&self.connection().front());
        }
        let is_asked_for = self.fate == Fate::Open && operation.is(self.connection().next());
        let is_cancelled = self.style == Style::Completion && late && random.bool();
        if is_cancelled && is_asked_for && !matches!(operation, Operation::Run(_)) {
            return self.expire(worker);
        }
        match operation {
            Operation::Send(lent) => self.send(&lent, worker, random),
            Operation::Receive(room) => self.receive(room, late, worker, random),
            Operation::Load(file, offset, count) => {
                let all = read(&file, offset, count);
                let count = split(random, all.len());
                self.connection().loaded(&all[..count], worker);
            }
            Operation::Run(job) => {
                (job.work)();
                self.connection().woken(worker);
            }
            Operation::ShutdownWrite => {
                self.shut = true;
                self.connection().write_shut_down();
            }
        }
    }

    fn send(&mut self, lent: &Lent, worker: &mut Worker, random: &mut Rng) {
        if let Lent::File(_) = lent {
            if self
                .refused_from
                .is_some_and(|from| self.ranges_sent >= from)
            {
                self.connection().send_refused(worker);
                if self.fate == Fate::Open {
                    let next = self.connection().next();
                    let is_over = matches!(next, Action::Close { may_linger: false });
                    assert!(next == Action::Load || is_over, "{next:?}");
                }
                return;
            }
            self.ranges_sent += 1;
        }
        let all = lent.all();
        let count = split(random, all.len());
        // A peer that has left does not receive late bytes.
        if self.fate == Fate::Open {
            match &mut self.peer {
                Some(peer) => self.output.extend(peer.understand(&all[..count])),
                None => self.output.extend_from_slice(&all[..count]),
            }
        }
        self.connection().sent(count, worker);
    }

    /// Receives bytes, the end of input, or nothing.
    fn receive(&mut self, room: usize, late: bool, worker: &mut Worker, random: &mut Rng) {
        assert!(room > 0, "it asked for bytes it has no room for");
        let left = &self.script.input[self.input_taken..];
        if !left.is_empty() {
            let count = split(random, left.len().min(room));
            let bytes = left[..count].to_vec();
            self.input_taken += count;
            self.connection().received(&bytes, worker);
        } else if self.ended {
            // It was submitted before the end of input.
        } else if random.bool() && self.may_leave() {
            if let Some(word) = self.peer.as_mut().and_then(|peer| peer.last_word.take()) {
                self.script.input.extend(word);
                return self.receive(room, late, worker, random);
            }
            self.ended = true;
            self.connection().input_ended(worker);
        } else if self.fate == Fate::Open && late && self.connection().next() == Action::Receive {
            self.expire(worker);
        } else if self.style == Style::Completion {
            self.in_progress.push(Operation::Receive(room));
        }
    }

    /// True if the peer has nothing to wait for.
    fn may_leave(&self) -> bool {
        let is_forged = self.peer.as_ref().is_some_and(|peer| peer.is_forged);
        self.shut || is_forged || self.script.may_leave(&self.output)
    }

    fn expire(&mut self, worker: &mut Worker) {
        let connection = self.connection();
        let is_end = connection.waiting().0 != Timeout::Pause;
        let is_hurried = worker.stopping && connection.is_idle();
        connection.expired(worker);
        self.may_be_cut_off |= is_end && !is_hurried;
    }

    fn abort(&mut self, worker: &mut Worker) {
        self.may_be_cut_off = true;
        self.connection().abort();
        let next = self.connection().next();
        assert_eq!(next, Action::Close { may_linger: false });
        self.end(worker);
    }

    fn close(&mut self, may_linger: bool, worker: &mut Worker, random: &mut Rng) {
        let is_receive = |one: &Operation| matches!(one, Operation::Receive(_));
        if may_linger && let Some(index) = self.in_progress.iter().position(is_receive) {
            // Nothing may happen between the check for unread input and the close.
            self.in_progress.swap_remove(index);
        }
        if may_linger && self.input_taken < self.script.input.len() && random.bool() {
            self.connection().linger();
            let next = self.connection().next();
            assert_eq!(next, Action::ShutdownWrite, "unread input matters");
            return;
        }
        self.end(worker);
    }

    fn end(&mut self, worker: &mut Worker) {
        self.fate = match self.may_be_cut_off {
            true => Fate::CutOff,
            false => Fate::Closed,
        };
        self.script.leave(self.ended && !self.may_be_cut_off);
        self.connection().close(worker);
        assert!(
            self.permits.are_free(),
            "its permit is released when it closes"
        );
        let next = self.connection().next();
        assert_eq!(next, Action::Close { may_linger: false });
    }

    /// After its end, no event has an effect. When no operation is in progress, its buffers are
    /// returned.
    fn finish(&mut self, worker: &mut Worker, random: &mut Rng) {
        let before = (worker.pool.lent(), worker.counters);
        match random.u8(..) {
            0..=19 => self.connection().woken(worker),
            20..=29 => self.connection().expired(worker),
            30..=39 => self.connection().abort(),
            40..=49 => self.connection().proceed(worker),
            50..=59 => self.connection().linger(),
            60..=69 => self.connection().input_ended(worker),
            70..=79 => self.connection().close(worker),
            _ if self.in_progress.is_empty() => {
                self.connection.take().expect("once").release(worker);
                return;
            }
            _ => {
                let index = random.usize(..self.in_progress.len());
                if let Operation::Receive(_) = self.in_progress[index]
                    && self.input_taken == self.script.input.len()
                {
                    self.in_progress.swap_remove(index);
                } else {
                    self.complete(index, false, worker, random);
                }
            }
        }
        let after = (worker.pool.lent(), worker.counters);
        assert_eq!(before, after, "an event after the end had an effect");
    }

    pub fn check(&self, hurried: bool) {
        let all_taken = self.input_taken == self.script.input.len();
        let fine = match self.fate {
            Fate::Open => {
                let connection = self
                    .connection
                    .as_ref()
                    .map(|one| (one.next(), one.state()));
                panic!(
                    "the connection did not end: {:?}, {connection:?}, {} in progress, {} of {} bytes of input taken",
                    self.style,
                    self.in_progress.len(),
                    self.input_taken,
                    self.script.input.len()
                )
            }
            Fate::Closed => self.script.may_end_with(&self.output, hurried, all_taken),
            Fate::CutOff => self.script.may_begin_with(&self.output),
        };
        let peer = self.peer.as_ref();
        // A handshake that has not begun ends without a word when the server stops.
        let was_asked_to_end = hurried && self.output.is_empty();
        assert!(
            self.fate == Fate::CutOff
                || was_asked_to_end
                || self.script.may_abort()
                || peer.is_none_or(Peer::has_heard_end),
            "it ended without saying so"
        );
        assert!(
            fine,
            "{:?} after {} of {} bytes of input\n{}\nwith {} bytes of output\n{}",
            self.fate,
            self.input_taken,
            self.script.input.len(),
            String::from_utf8_lossy(&self.script.input),
            self.output.len(),
            String::from_utf8_lossy(&self.output[self.output.len().saturating_sub(600)..])
        );
    }
}

impl Operation {
    fn is(&self, action: Action) -> bool {
        matches!(
            (self, action),
            (Operation::Send(_), Action::Send)
                | (Operation::Receive(_), Action::Receive)
                | (Operation::Load(..), Action::Load)
                | (Operation::Run(_), Action::Run)
                | (Operation::ShutdownWrite, Action::ShutdownWrite)
        )
    }
}

/// Often one byte, often all, else any number between.
fn split(random: &mut Rng, length: usize) -> usize {
    match random.u8(..) {
        _ if length == 0 => 0,
        0..=39 => 1,
        40..=149 => length,
        _ => random.usize(1..=length),
    }
}

/// Tests of the checks above.
mod checker {
    use super::*;
    use std::panic::catch_unwind;

    fn piece(bytes: &[u8]) -> Piece<'_> {
        Piece::Bytes {
            bytes,
            then: &[],
            more: false,
        }
    }

    #[test]
    fn the_check_of_lent_bytes_detects_changes() {
        let buffer = b"abcabc".to_vec();
        let lent = Lent::new(&piece(&buffer[..3]));
        lent.check(&piece(&buffer)); // More behind it is fine.
        let moved = b"abc".to_vec();
        for now in [&moved[..], &buffer[3..], &buffer[..2], &[]] {
            assert!(catch_unwind(|| lent.check(&piece(now))).is_err(), "{now:?}");
        }
        assert_eq!(whole(&piece(&buffer)), buffer);
    }
}
