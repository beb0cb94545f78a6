//! The states of a conversation: what each holds, what it waits for, what it is called, and which can follow it.

use super::access_log_writer::PendingRecord;
use super::deferred::{DeferredRequest, OffloadedRequest, RunningTask};
use super::remaining_body::RemainingBody;
use crate::http1::{BodyReader, HeadEnd};
use crate::session::{ACCEPTED, CLOSED, Mailbox, Moment, Timeout, Transition, Wait};
use std::sync::Arc;

/// Where a conversation stands.
pub(super) enum State {
    /// The client has too many connections. The refusal waits for its first bytes: bytes that come after the end would
    /// destroy it.
    RefusingConnection,
    /// A request is awaited or has come in part.
    Reading(Reading),
    /// A request's head has come. Its body is read and dropped before the answer: a client may not read before it has
    /// sent.
    ReadingBody(Box<UnreadBody>),
    /// A job looks up what the request is about, where it may wait for a file system.
    LookingUp(Box<OffloadedRequest>),
    /// The answer is made slice by slice, as a directory's listing is.
    BuildingResponse(Box<RunningTask>),
    /// A job makes the next slice, where it may wait for a file system.
    BuildingOffloaded(Box<OffloadedRequest>),
    /// Answers wait to be sent, all of them in the output's bytes.
    WritingHead(Next),
    /// Answers wait to be sent. The last one has a body behind the output's bytes.
    Sending(Sending),
    /// The answer has no end of its own: it is whatever is left in the mailbox.
    SendingEvents(Arc<Mailbox>),
    /// The last answer is out.
    Closing(Wait),
}

/// How a conversation goes on when its answers are out.
pub(super) enum Next {
    /// With another request, which may have begun to come.
    Request(Reading),
    /// With whatever is left in the mailbox.
    Events(Arc<Mailbox>),
    /// It ends, in this way.
    End(Wait),
}

/// What has come of a request's head.
#[derive(Default)]
pub(super) struct Reading {
    pub head_end: HeadEnd,
    /// One blank line before the request has come, which RFC 9112 section 2.2 wants ignored.
    pub blank_line_seen: bool,
    progress: Progress,
}

/// How far the request has come.
#[derive(Clone, Copy, Default)]
enum Progress {
    /// There has been no request.
    #[default]
    First,
    /// The last request has been answered.
    Idle,
    /// The request's first byte came then.
    Started(CompactMoment),
}

/// A request whose body is coming.
pub(super) struct UnreadBody {
    pub request: DeferredRequest,
    pub reader: BodyReader,
}

/// An answer whose body is on its way.
pub(super) struct Sending {
    /// What follows the body that is in the output.
    pub rest: Option<Box<RemainingBody>>,
    /// The access log's line, unless there is no log.
    pub record: Option<Box<PendingRecord>>,
    /// The head is out.
    pub is_head_out: bool,
    /// How the conversation ends after it; `None` if another request may follow.
    pub end: Option<Wait>,
}

const READING_REQUEST: &str = "reading request";
const KEEP_ALIVE: &str = "keep-alive";
const REFUSING_CONNECTION: &str = "refusing connection";
const READING_BODY: &str = "reading body";
const LOOKING_UP_FILE: &str = "looking up file";
const BUILDING_RESPONSE: &str = "building response";
const WRITING_HEAD: &str = "writing head";
const STREAMING_FILE: &str = "streaming file";
const SENDING_EVENTS: &str = "sending events";
const CLOSING: &str = "closing";

/// Writes out which states can follow which.
macro_rules! transitions {
    ($($from:ident => $($to:ident)+;)*) => { &[$($(($from, $to),)+)*] };
}

/// The steps that a conversation can take from one state to the next.
pub(super) const TRANSITIONS: &[Transition] = transitions! {
    ACCEPTED => REFUSING_CONNECTION READING_REQUEST;
    READING_REQUEST => READING_BODY LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    READING_BODY => LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    LOOKING_UP_FILE => BUILDING_RESPONSE WRITING_HEAD;
    BUILDING_RESPONSE => WRITING_HEAD;
    REFUSING_CONNECTION => WRITING_HEAD;
    WRITING_HEAD => STREAMING_FILE SENDING_EVENTS KEEP_ALIVE;
    STREAMING_FILE => KEEP_ALIVE;
    // The next request had begun to come before.
    WRITING_HEAD => READING_REQUEST READING_BODY;
    KEEP_ALIVE => READING_REQUEST READING_BODY LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    WRITING_HEAD => CLOSING;
    STREAMING_FILE => CLOSING;
    CLOSING => CLOSED;
};

impl State {
    /// What it is called, for people.
    pub fn name(&self) -> &'static str {
        match self {
            State::RefusingConnection => REFUSING_CONNECTION,
            State::Reading(Reading {
                progress: Progress::Idle,
                ..
            }) => KEEP_ALIVE,
            State::Reading(_) => READING_REQUEST,
            State::ReadingBody(_) => READING_BODY,
            State::LookingUp(_) => LOOKING_UP_FILE,
            State::BuildingResponse(_) | State::BuildingOffloaded(_) => BUILDING_RESPONSE,
            State::Sending(sending) if sending.is_head_out => STREAMING_FILE,
            State::WritingHead(_) | State::Sending(_) => WRITING_HEAD,
            State::SendingEvents(_) => SENDING_EVENTS,
            State::Closing(_) => CLOSING,
        }
    }

    /// What it waits for once its output is gone.
    pub fn waits_for(&self) -> Wait {
        match self {
            // A client that sends nothing needs no answer.
            State::RefusingConnection => Wait::Bytes(Timeout::Linger),
            State::Reading(reading) | State::WritingHead(Next::Request(reading)) => {
                reading.waits_for()
            }
            State::ReadingBody(_) => Wait::Bytes(Timeout::Body),
            State::LookingUp(offloaded) | State::BuildingOffloaded(offloaded) => {
                offloaded.waits_for()
            }
            State::BuildingResponse(_) => Wait::Turn,
            State::Sending(sending) => sending.waits_for(),
            State::SendingEvents(_) | State::WritingHead(Next::Events(_)) => {
                Wait::Bytes(Timeout::Forever)
            }
            State::Closing(wait) | State::WritingHead(Next::End(wait)) => *wait,
        }
    }
}

impl Default for State {
    fn default() -> State {
        State::Reading(Reading::default())
    }
}

impl From<Next> for State {
    fn from(next: Next) -> State {
        match next {
            Next::Request(reading) => State::Reading(reading),
            Next::Events(mailbox) => State::SendingEvents(mailbox),
            Next::End(wait) => State::Closing(wait),
        }
    }
}

impl Next {
    /// With this end, or with another request.
    pub fn after_response(end: Option<Wait>) -> Next {
        match end {
            Some(wait) => Next::End(wait),
            None => Next::Request(Reading {
                progress: Progress::Idle,
                ..Reading::default()
            }),
        }
    }
}

impl Reading {
    /// When the request began: `now`, if this is its beginning.
    pub fn begin(&mut self, now: Moment) -> Moment {
        match self.progress {
            Progress::Started(since) => since.before(now),
            Progress::First | Progress::Idle => {
                self.progress = Progress::Started(CompactMoment::at(now));
                now
            }
        }
    }

    fn waits_for(&self) -> Wait {
        Wait::Bytes(match self.progress {
            Progress::First => Timeout::First,
            Progress::Idle => Timeout::Idle,
            Progress::Started(_) => Timeout::Head,
        })
    }
}

impl Sending {
    fn waits_for(&self) -> Wait {
        match (self.rest.as_deref(), self.end) {
            (Some(RemainingBody::Generated(_)), _) => Wait::Turn,
            (_, Some(wait)) => wait,
            (_, None) => Wait::Bytes(Timeout::Idle),
        }
    }
}

/// A moment in microseconds, in five bytes: with eight, a session would take the next larger of the allocator's blocks. It
/// begins again after twelve days, and no request takes as long to come.
#[derive(Clone, Copy)]
struct CompactMoment([u8; 5]);

impl CompactMoment {
    fn at(moment: Moment) -> CompactMoment {
        let [a, b, c, d, e, ..] = micros(moment).to_le_bytes();
        CompactMoment([a, b, c, d, e])
    }

    /// The last such moment before `now`.
    fn before(self, now: Moment) -> Moment {
        let [a, b, c, d, e] = self.0;
        let since = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
        let ago = micros(now).wrapping_sub(since) & 0xff_ffff_ffff;
        Moment::from_nanos(1000 * (micros(now) - ago))
    }
}

fn micros(moment: Moment) -> u64 {
    moment.as_nanos() / 1000
}
