//! The states of an http session: what each holds, what it waits for, its name, and which states
//! may follow.

use super::access_log_writer::PendingRecord;
use super::deferred::{DeferredRequest, OffloadedRequest, RunningTask};
use super::remaining_body::RemainingBody;
use crate::http1::{BodyReader, HeadEnd};
use crate::session::{ACCEPTED, CLOSED, Mailbox, Moment, Timeout, Transition, Wait};
use std::sync::Arc;

/// The state of a session.
pub(super) enum State {
    /// The client has too many connections. The refusal is sent only after its first bytes: bytes
    /// that arrive after the close would destroy the refusal.
    RefusingConnection,
    /// A request is missing or incomplete.
    Reading(Reading),
    /// The head is complete. The body is read and dropped before the response is sent: some clients
    /// do not read before they have sent everything.
    ReadingBody(Box<UnreadBody>),
    /// A job checks the user's password.
    CheckingPassword(Box<OffloadedRequest>),
    /// A job looks up the file on a thread that may wait for a file system.
    LookingUp(Box<OffloadedRequest>),
    /// The response is made slice by slice, for example a directory listing.
    BuildingResponse(Box<RunningTask>),
    /// A job makes the next slice on a thread that may wait for a file system.
    BuildingOffloaded(Box<OffloadedRequest>),
    /// Responses are being sent. All of them are in the output's bytes.
    WritingHead(Next),
    /// Responses are being sent. The last one has a body behind the output's bytes.
    Sending(Sending),
    /// A stream without a length: what is put into the mailbox is sent.
    SendingEvents(Arc<Mailbox>),
    /// The last response was sent.
    Closing(Wait),
}

/// What follows once all responses are sent.
pub(super) enum Next {
    /// Another request, which may have begun to arrive.
    Request(Reading),
    /// A stream of what is put into the mailbox.
    Events(Arc<Mailbox>),
    /// The end of the connection, in this way.
    End(Wait),
}

/// The part of a request's head that has arrived.
#[derive(Default)]
pub(super) struct Reading {
    pub head_end: HeadEnd,
    /// A blank line before the request was skipped (RFC 9112 section 2.2).
    pub blank_line_seen: bool,
    progress: Progress,
}

/// How far the request has arrived.
#[derive(Clone, Copy, Default)]
enum Progress {
    /// This is the connection's first request, and none of it has arrived.
    #[default]
    First,
    /// None of it has arrived since the last response.
    Idle,
    /// Its first byte arrived at this time.
    Started(CompactMoment),
}

/// A request whose body is arriving.
pub(super) struct UnreadBody {
    pub request: DeferredRequest,
    pub reader: BodyReader,
}

/// A response whose body is being sent.
pub(super) struct Sending {
    /// What follows the body in the output.
    pub rest: Option<Box<RemainingBody>>,
    /// The data of its access log line, if there is a log.
    pub record: Option<Box<PendingRecord>>,
    /// The head was sent.
    pub is_head_out: bool,
    /// How the connection ends after it; `None` if another request may follow.
    pub end: Option<Wait>,
}

const READING_REQUEST: &str = "reading request";
const KEEP_ALIVE: &str = "keep-alive";
const REFUSING_CONNECTION: &str = "refusing connection";
const READING_BODY: &str = "reading body";
const CHECKING_PASSWORD: &str = "checking password";
const LOOKING_UP_FILE: &str = "looking up file";
const BUILDING_RESPONSE: &str = "building response";
const WRITING_HEAD: &str = "writing head";
const STREAMING_FILE: &str = "streaming file";
const SENDING_EVENTS: &str = "sending events";
const CLOSING: &str = "closing";

/// Writes out pairs of states from lists.
macro_rules! transitions {
    ($($from:ident => $($to:ident)+;)*) => { &[$($(($from, $to),)+)*] };
}

/// All transitions of an http session. The last step of a state's first lines is the usual one:
/// diagrams draw it straight.
pub(super) const TRANSITIONS: &[Transition] = transitions! {
    ACCEPTED => REFUSING_CONNECTION READING_REQUEST;
    READING_REQUEST => READING_BODY CHECKING_PASSWORD LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    READING_BODY => CHECKING_PASSWORD LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    CHECKING_PASSWORD => LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    LOOKING_UP_FILE => BUILDING_RESPONSE WRITING_HEAD;
    BUILDING_RESPONSE => WRITING_HEAD;
    REFUSING_CONNECTION => WRITING_HEAD;
    WRITING_HEAD => STREAMING_FILE SENDING_EVENTS KEEP_ALIVE;
    STREAMING_FILE => KEEP_ALIVE;
    // The next request arrived before the response was sent.
    WRITING_HEAD => READING_REQUEST READING_BODY;
    KEEP_ALIVE => READING_REQUEST READING_BODY CHECKING_PASSWORD;
    KEEP_ALIVE => LOOKING_UP_FILE BUILDING_RESPONSE WRITING_HEAD;
    WRITING_HEAD => CLOSING;
    STREAMING_FILE => CLOSING;
    CLOSING => CLOSED;
};

impl State {
    /// The name of the state, for the status page and the trace.
    pub fn name(&self) -> &'static str {
        match self {
            State::RefusingConnection => REFUSING_CONNECTION,
            State::Reading(Reading {
                progress: Progress::Idle,
                ..
            }) => KEEP_ALIVE,
            State::Reading(_) => READING_REQUEST,
            State::ReadingBody(_) => READING_BODY,
            State::CheckingPassword(_) => CHECKING_PASSWORD,
            State::LookingUp(_) => LOOKING_UP_FILE,
            State::BuildingResponse(_) | State::BuildingOffloaded(_) => BUILDING_RESPONSE,
            State::Sending(sending) if sending.is_head_out => STREAMING_FILE,
            State::WritingHead(_) | State::Sending(_) => WRITING_HEAD,
            State::SendingEvents(_) => SENDING_EVENTS,
            State::Closing(_) => CLOSING,
        }
    }

    /// What the session waits for once its output is sent.
    pub fn waits_for(&self) -> Wait {
        match self {
            // A client that sends nothing needs no response.
            State::RefusingConnection => Wait::Bytes(Timeout::Linger),
            State::Reading(reading) | State::WritingHead(Next::Request(reading)) => {
                reading.waits_for()
            }
            State::ReadingBody(_) => Wait::Bytes(Timeout::Body),
            State::CheckingPassword(offloaded)
            | State::LookingUp(offloaded)
            | State::BuildingOffloaded(offloaded) => offloaded.waits_for(),
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
    /// The end, or another request.
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
    /// When the request began. `now`, if it begins with this call.
    pub fn begin(&mut self, now: Moment) -> Moment {
        match self.progress {
            Progress::Started(since) => since.last_before(now),
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

/// A time in microseconds, in five bytes: with eight, a session would need the next larger block of
/// the allocator. It wraps around after twelve days, longer than any request takes to arrive.
#[derive(Clone, Copy)]
struct CompactMoment([u8; 5]);

impl CompactMoment {
    fn at(moment: Moment) -> CompactMoment {
        let [a, b, c, d, e, ..] = micros(moment).to_le_bytes();
        CompactMoment([a, b, c, d, e])
    }

    /// The last time before `now` that it can mean.
    fn last_before(self, now: Moment) -> Moment {
        let [a, b, c, d, e] = self.0;
        let since = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
        let ago = micros(now).wrapping_sub(since) & 0xff_ffff_ffff;
        Moment::from_nanos(1000 * (micros(now) - ago))
    }
}

fn micros(moment: Moment) -> u64 {
    moment.as_nanos() / 1000
}
