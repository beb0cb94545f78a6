//! A protocol that uses everything a session can do. Its input is units of two bytes; the first one
//! decides how the second is answered. It also checks what the contract promises to a session.

use evserve::session::{ACCEPTED, CLOSED, Timeout, Transition, Wait};
use evserve::session::{
    Body, BodySource, Context, File, Inbox, InboxState, Job, NewSession, Permit, Session,
};
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// Sent when the second byte of a unit does not come in time.
pub const LATE: &[u8] = b"late";

/// Sent at the end of input.
const LAST: &[u8] = b".";

/// Room for the longest response from memory.
const ROOM: usize = 512;

/// After how many checks a pause ends if no waker ends it.
const LOOKS: u8 = 3;

pub const STEPS: &[Transition] = &[
    (ACCEPTED, "between"),
    ("between", "within"),
    ("within", "between"),
    ("between", "ending"),
    ("within", "ending"),
    ("between", CLOSED),
];

/// The meanings of the first byte.
const PLAIN: u8 = 0;
const TURN: u8 = 1;
const JOB: u8 = 2;
const PAUSE: u8 = 3;
const FILE: u8 = 4;
const MEMORY: u8 = 5;
const SUCCESSOR: u8 = 6;
const LINGER: u8 = 7;
const CLOSE: u8 = 8;
const ABORT: u8 = 9;
/// The file is shorter than announced.
const SHORT_FILE: u8 = 10;

/// The file that is sent, and its content.
pub struct Stretches {
    pub file: Arc<File>,
    pub content: Vec<u8>,
}

/// A counted place.
#[derive(Clone, Default)]
pub struct PermitCounter {
    pub taken: Arc<AtomicUsize>,
    pub released: Arc<AtomicUsize>,
}

struct CountedPermit(PermitCounter);

impl PermitCounter {
    pub fn permit(&self) -> Permit {
        self.taken.fetch_add(1, SeqCst);
        Permit::new(CountedPermit(self.clone()))
    }

    pub fn are_free(&self) -> bool {
        self.taken.load(SeqCst) == self.released.load(SeqCst)
    }
}

impl Drop for CountedPermit {
    fn drop(&mut self) {
        self.0.released.fetch_add(1, SeqCst);
    }
}

/// Wakes a paused session.
#[derive(Clone, Default)]
pub struct WakeSignal(Arc<Mutex<WakeState>>);

#[derive(Default)]
struct WakeState {
    is_set: bool,
    waker: Option<Waker>,
}

impl WakeSignal {
    pub fn set(&self) {
        let mut state = self.0.lock().expect("no panic");
        state.is_set = true;
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }

    fn take_signal(&self) -> bool {
        std::mem::take(&mut self.0.lock().expect("no panic").is_set)
    }
}

impl Inbox for WakeSignal {
    fn set_waker(&self, waker: Waker) {
        self.0.lock().expect("no panic").waker = Some(waker);
    }

    fn take(&self, _: &mut Context<'_>) -> InboxState {
        InboxState::Open
    }
}

pub struct Mixed {
    stretches: Arc<Stretches>,
    permits: PermitCounter,
    signal: WakeSignal,
    stage: Stage,
    opened: bool,
    closed: bool,
    handed_over: bool,
}

enum Stage {
    Between,
    /// The first byte of a unit was received.
    Within,
    Turn(u8, u8),
    Job(u8),
    Result(u8, Arc<AtomicBool>),
    Pause(u8, u8),
    Successor(u8),
    Over(Wait),
}

impl Mixed {
    pub fn start(
        stretches: &Arc<Stretches>,
        permits: &PermitCounter,
        signal: &WakeSignal,
    ) -> NewSession {
        NewSession {
            session: Box::new(Mixed {
                stretches: stretches.clone(),
                permits: permits.clone(),
                signal: signal.clone(),
                stage: Stage::Between,
                opened: false,
                closed: false,
                handed_over: false,
            }),
            permit: Some(permits.permit()),
            layer: None,
        }
    }

    fn check(&self) {
        assert!(self.opened, "a session was not opened");
        assert!(
            !self.closed,
            "a session was called after it had been closed"
        );
        assert!(
            !self.handed_over,
            "a session was called after its successor"
        );
    }

    fn answer(&mut self, byte: u8, cx: &mut Context<'_>) {
        let answer = vec![byte; usize::from(byte) + 1];
        assert_eq!(cx.put(&answer), answer.len(), "there was room");
        self.stage = Stage::Between;
    }

    fn begin(&mut self, kind: u8, byte: u8, cx: &mut Context<'_>) {
        self.stage = match kind {
            TURN => Stage::Turn(byte, byte % 5 + 1),
            JOB => Stage::Job(byte),
            PAUSE => Stage::Pause(byte, 0),
            SUCCESSOR => Stage::Successor(byte),
            LINGER => Stage::Over(Wait::Linger),
            CLOSE => Stage::Over(Wait::Close),
            ABORT => Stage::Over(Wait::Abort),
            _ => Stage::Between,
        };
        match kind {
            PLAIN => self.answer(byte, cx),
            MEMORY => cx.put_body(Body::bytes(memory(byte))),
            FILE | SHORT_FILE => {
                let content = &self.stretches.content;
                let (offset, length) = stretch(kind, byte, content.len());
                let source = BodySource::File(self.stretches.file.clone());
                cx.put(&[kind]);
                cx.put_body(Body::new(source, offset as u64, length as u64));
            }
            LINGER | CLOSE | ABORT => {
                cx.put(LAST);
            }
            _ => {}
        }
    }
}

fn memory(byte: u8) -> Vec<u8> {
    vec![byte; usize::from(byte) * 300]
}

fn stretch(kind: u8, byte: u8, length: usize) -> (usize, usize) {
    let byte = usize::from(byte);
    match kind {
        SHORT_FILE => (length - byte, byte + 1 + byte * 500),
        _ => (byte * 100, 1 + byte * 250),
    }
}

fn greeting(byte: u8) -> &'static [u8] {
    if byte.is_multiple_of(2) {
        b"here I am"
    } else {
        b""
    }
}

impl Session for Mixed {
    fn open(&mut self, cx: &mut Context<'_>) {
        assert!(!self.opened, "a session was opened twice");
        self.opened = true;
        if let Stage::Successor(byte) = self.stage {
            cx.put(greeting(byte));
            self.stage = Stage::Between;
        }
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.check();
        assert!(!input.is_empty(), "there is input");
        assert!(
            matches!(self.stage, Stage::Between | Stage::Within),
            "it takes input"
        );
        let &[kind, byte, ..] = input else {
            self.stage = Stage::Within;
            return 0;
        };
        if cx.room() < ROOM {
            return 0;
        }
        self.begin(kind, byte, cx);
        2
    }

    fn end_of_input(&mut self, cx: &mut Context<'_>) {
        self.check();
        cx.put(LAST);
    }

    fn sent(&mut self, _: &mut Context<'_>) {
        self.check();
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        self.check();
        match &mut self.stage {
            Stage::Turn(byte, slices) if cx.worker.work > 0 => {
                cx.worker.work -= 1;
                *slices -= 1;
                if *slices == 0 {
                    let byte = *byte;
                    self.answer(byte, cx);
                }
            }
            Stage::Result(byte, done) if done.load(SeqCst) => {
                let byte = *byte;
                self.answer(byte, cx);
            }
            Stage::Pause(byte, looks) => {
                *looks += 1;
                if self.signal.take_signal() || *looks == LOOKS {
                    let byte = *byte;
                    self.answer(byte, cx);
                }
            }
            _ => {}
        }
    }

    fn job(&mut self) -> Option<Job> {
        let Stage::Job(byte) = self.stage else {
            return None;
        };
        let done = Arc::new(AtomicBool::new(false));
        self.stage = Stage::Result(byte, done.clone());
        Some(Job {
            mount: 1,
            work: Box::new(move || done.store(true, SeqCst)),
        })
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        self.check();
        if timeout == Timeout::Head {
            cx.put(LATE);
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        self.check();
        self.closed = true;
        cx.put(b"late output");
    }

    fn waits_for(&self) -> Wait {
        match self.stage {
            Stage::Between => Wait::Bytes(Timeout::Idle),
            Stage::Within => Wait::Bytes(Timeout::Head),
            Stage::Turn(..) => Wait::Turn,
            Stage::Job(_) => Wait::Job,
            Stage::Result(..) => Wait::JobResult,
            Stage::Pause(..) => Wait::Pause,
            Stage::Successor(_) => Wait::Successor,
            Stage::Over(wait) => wait,
        }
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        Some(&self.signal)
    }

    fn successor(&mut self) -> Option<NewSession> {
        self.check();
        let Stage::Successor(byte) = self.stage else {
            panic!("there is no successor");
        };
        self.handed_over = true;
        let mut start = Mixed::start(&self.stretches, &self.permits, &self.signal);
        start.session = Box::new(Mixed {
            stretches: self.stretches.clone(),
            permits: self.permits.clone(),
            signal: self.signal.clone(),
            stage: Stage::Successor(byte),
            opened: false,
            closed: false,
            handed_over: false,
        });
        Some(start)
    }

    fn state(&self) -> &'static str {
        match self.stage {
            Stage::Between | Stage::Successor(_) => "between",
            Stage::Over(_) => "ending",
            _ => "within",
        }
    }
}

impl Drop for Mixed {
    fn drop(&mut self) {
        let is_over = self.closed || self.handed_over || !self.opened;
        assert!(
            is_over || std::thread::panicking(),
            "a session was not closed"
        );
    }
}

/// The input of a peer.
pub fn input(random: &mut Rng) -> Vec<u8> {
    let units = random.usize(..40);
    let mut input = Vec::new();
    for _ in 0..units {
        let kind = match random.u8(..) {
            0..=2 => random.u8(LINGER..=SHORT_FILE),
            3..=99 => PLAIN,
            _ => random.u8(TURN..=SUCCESSOR),
        };
        input.extend([kind, random.u8(..)]);
    }
    if random.u8(..) < 30 {
        input.push(PLAIN);
    }
    input
}

/// The output for this input on an undisturbed connection.
pub fn output(input: &[u8], content: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for unit in input.chunks_exact(2) {
        let (kind, byte) = (unit[0], unit[1]);
        match kind {
            PLAIN | TURN | JOB | PAUSE => output.extend(vec![byte; usize::from(byte) + 1]),
            MEMORY => output.extend(memory(byte)),
            FILE | SHORT_FILE => {
                let (offset, length) = stretch(kind, byte, content.len());
                let end = content.len().min(offset + length);
                output.push(kind);
                output.extend_from_slice(&content[offset..end]);
                if end < offset + length {
                    return output;
                }
            }
            SUCCESSOR => output.extend_from_slice(greeting(byte)),
            _ => {
                output.extend_from_slice(LAST);
                return output;
            }
        }
    }
    output.extend_from_slice(LAST);
    output
}
