//! A toy layer: records with a checksum, whose bytes are only flipped, behind a handshake of two
//! messages each.

use evserve::session::{Buffer, Context, Encryption, Layer, LayerError, NewSession, Session, Wait};
use evserve::session::{Timeout, Transition};
use fastrand::Rng;

/// The most bytes of a session in a record.
const RECORD: usize = 5000;

/// Kind, length and checksum.
const HEADER: usize = 7;

const HELLO: u8 = 1;
const DATA: u8 = 2;
const CLOSE: u8 = 3;
const ALERT: u8 = 4;

/// The messages of the server's handshake. The first one fits no buffer.
const MESSAGES: [usize; 2] = [40_000, 100];

/// The state of [`Prelude`], and its steps.
const PRELUDE: &str = "reading prelude";
pub const STEPS: &[Transition] = &[
    (evserve::session::ACCEPTED, PRELUDE),
    (PRELUDE, evserve::session::HANDSHAKING),
];

fn flipped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x5a).collect()
}

fn checksum(kind: u8, bytes: &[u8]) -> u32 {
    let all = [kind].into_iter().chain(bytes.iter().copied());
    all.fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short");
    let bytes = flipped(bytes);
    let sum = checksum(kind, &bytes).to_be_bytes();
    [&[kind][..], &length.to_be_bytes(), &sum, &bytes].concat()
}

/// The kind and content of the first record, and its length. `Err` if it was changed.
fn parse(input: &[u8]) -> Result<Option<(u8, Vec<u8>, usize)>, LayerError> {
    let Some(header) = input.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let &[kind, high, low, ref sum @ ..] = header;
    let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
    let Some(bytes) = input.get(HEADER..end) else {
        return Ok(None);
    };
    match checksum(kind, bytes).to_be_bytes() == *sum {
        true => Ok(Some((kind, flipped(bytes), end))),
        false => Err(LayerError::Malformed),
    }
}

/// The server's side.
#[derive(Default)]
pub struct Toy {
    input: Vec<u8>,
    received: Vec<u8>,
    output: Vec<u8>,
    greeted: usize,
    ended: bool,
    failed: bool,
    closed: bool,
}

impl Toy {
    fn check(&self) {
        assert!(!self.failed, "a layer was called after it had failed");
    }
}

impl Layer for Toy {
    fn receive(&mut self, input: &[u8]) -> Result<usize, LayerError> {
        self.check();
        assert!(!input.is_empty() && !self.ended, "nothing comes");
        assert!(self.received.is_empty(), "the session comes first");
        let taken = input.len().min(1000);
        self.input.extend_from_slice(&input[..taken]);
        while let Some((kind, bytes, length)) = parse(&self.input).inspect_err(|_| {
            self.output.extend(record(ALERT, b""));
            self.failed = true;
        })? {
            self.input.drain(..length);
            match kind {
                HELLO if self.greeted < MESSAGES.len() => {
                    self.output
                        .extend(record(HELLO, &vec![b'h'; MESSAGES[self.greeted]]));
                    self.greeted += 1;
                }
                DATA if !self.is_handshaking() => self.received.extend(bytes),
                CLOSE => {
                    self.ended = true;
                    self.input.clear();
                }
                _ => panic!("a forged record"),
            }
            if self.ended {
                break;
            }
        }
        Ok(taken)
    }

    fn received(&mut self) -> &[u8] {
        let length = self.received.len().min(700);
        &self.received[..length]
    }

    fn consume(&mut self, count: usize) {
        self.received.drain(..count);
    }

    fn is_handshaking(&self) -> bool {
        self.greeted < MESSAGES.len()
    }

    fn has_ended(&self) -> bool {
        self.ended && self.received.is_empty()
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn put(&mut self, output: &mut Buffer) {
        let taken = output.append(&self.output);
        self.output.drain(..taken);
    }

    fn seal(&mut self, bytes: &[u8], then: &[u8], output: &mut Buffer) -> usize {
        self.check();
        assert!(
            !self.is_handshaking() && !self.closed,
            "not now: {}",
            self.closed
        );
        let all = [bytes, then].concat();
        let mut taken = 0;
        while taken < all.len() && output.room() > HEADER && self.output.is_empty() {
            let count = (all.len() - taken).min(RECORD).min(output.room() - HEADER);
            output.append(&record(DATA, &all[taken..taken + count]));
            taken += count;
        }
        taken
    }

    fn close(&mut self) {
        self.check();
        assert!(!self.closed, "once");
        self.closed = true;
        self.output.extend(record(CLOSE, b""));
    }

    fn encryption(&self) -> Encryption {
        assert!(!self.is_handshaking());
        Encryption::default()
    }
}

/// A peer's side.
pub struct Peer {
    /// It says that it ends before it does.
    pub says_end: bool,
    /// What it says then, if it has not said it with everything else.
    pub last_word: Option<Vec<u8>>,
    /// Something was changed on the way.
    pub is_forged: bool,
    input: Vec<u8>,
    ended: bool,
}

impl Peer {
    /// Turns what a peer sends into records, and changes it now and then. `is_impatient` is true if
    /// it may say that it ends before it has heard anything.
    pub fn new(input: &mut Vec<u8>, is_impatient: bool, random: &mut Rng) -> Peer {
        let says_end = random.u8(..) < 200;
        let is_forged = random.u8(..) < 30;
        let mut all = [record(HELLO, b"hello"), record(HELLO, b"")].concat();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let length = random.usize(..=rest.len().min(RECORD));
            all.extend(record(DATA, &rest[..length]));
            rest = &rest[length..];
        }
        let mut last_word = None;
        if says_end {
            let mut word = record(CLOSE, b"");
            // To be ignored.
            word.extend(vec![b'?'; random.usize(..100)]);
            match is_impatient && random.bool() {
                true => all.extend(word),
                false => last_word = Some(word),
            }
        }
        if is_forged {
            let at = random.usize(..all.len());
            match random.bool() {
                true => all[at] ^= 1 << random.usize(..8),
                false => {
                    all.truncate(at);
                    last_word = None;
                }
            }
        }
        *input = all;
        Peer {
            says_end,
            last_word,
            is_forged,
            input: Vec::new(),
            ended: false,
        }
    }

    /// What the peer understands of these bytes.
    pub fn understand(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut heard = Vec::new();
        while let Some((kind, bytes, length)) = parse(&self.input).expect("an unbroken record") {
            assert!(!self.ended, "a record after the last one");
            self.input.drain(..length);
            match kind {
                DATA => heard.extend(bytes),
                HELLO => {}
                CLOSE => self.ended = true,
                ALERT => {
                    assert!(self.is_forged, "an alert without a cause");
                    self.ended = true;
                }
                _ => panic!("an unknown record"),
            }
        }
        heard
    }

    /// True if the server has said that nothing more comes.
    pub fn has_heard_end(&self) -> bool {
        self.ended && self.input.is_empty()
    }
}

/// Reads a byte in the clear, and hands over to a session with a layer.
pub struct Prelude {
    next: Option<NewSession>,
    is_read: bool,
}

impl Prelude {
    pub fn before(next: NewSession) -> NewSession {
        let session: Box<dyn Session> = Box::new(Prelude {
            next: Some(next),
            is_read: false,
        });
        session.into()
    }
}

impl Session for Prelude {
    fn receive(&mut self, _: &[u8], _: &mut Context<'_>) -> usize {
        self.is_read = true;
        1
    }

    fn closed(&mut self, _: &mut Context<'_>) {
        self.next = None;
    }

    fn waits_for(&self) -> Wait {
        match self.is_read {
            true => Wait::Successor,
            false => Wait::Bytes(Timeout::Head),
        }
    }

    fn successor(&mut self) -> Option<NewSession> {
        self.next.take()
    }

    fn state(&self) -> &'static str {
        PRELUDE
    }
}
