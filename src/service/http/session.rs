//! One conversation over HTTP/1.1.
//!
//! It is always in one [`State`]. Answers to pipelined requests are gathered in the output until it is full or one of
//! them has a body of its own. What to answer is the [`Handler`](super::Handler)'s business; here it is said when, and
//! what becomes of the connection.

use super::answer::{Answer, CONTINUE, Parts, Pieces, Rest};
use super::context::{HttpContext, Unlogged};
use super::response::{LookUp, Outcome, Task};
use crate::config::AccessLog;
use crate::http1::{BodyReader, HeadEnd, Method, Request, RequestBody, StatusCode, request_line};
use crate::observe::access_log::{self, Outcome as LogEnd, Record};
use crate::observe::throttled;
use crate::session::{ACCEPTED, CLOSED, Step, WORK_PER_TURN};
use crate::session::{Body, Context, Inbox, Job, Mailbox, Moment, Session, Time, Timeout, Wait};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What TCP sends at once, before anything is acknowledged, in bytes (RFC 6928: ten segments), less a head.
const AT_ONCE: u64 = 12 * 1024;

/// What somebody is told who has too many connections already: one of them may be over in a moment.
const TRY_AGAIN: &[u8] = b"Retry-After: 1\r\n";

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last answer is out; a request is awaited or has come in part.
    ReadingRequest,
    /// A request's head has come, its body is still coming and is dropped.
    ReadingBody,
    /// What a request is about is looked up where one may wait for a file system.
    LookingUp,
    /// An answer is being made slice by slice, as that of a directory's listing is.
    MakingAnswer,
    /// An answer, or several, wait to be sent; the last one's head is among them.
    WritingHead,
    /// The last answer's head is out, its body is not.
    StreamingFile,
    /// The answer has no end of its own: it is what others leave in the mailbox.
    SendingEvents,
    /// Whatever is asked for, it cannot be had now. That is not said before something has come: it would be destroyed by
    /// whatever comes after the end.
    TurningAway,
}

/// The steps that a conversation can take from one state to the next.
pub(super) const STEPS: &[Step] = &[
    (ACCEPTED, "turning away"),
    (ACCEPTED, "reading request"),
    ("reading request", "reading body"),
    ("reading request", "looking up"),
    ("reading request", "making answer"),
    ("reading request", "writing head"),
    ("reading body", "looking up"),
    ("reading body", "making answer"),
    ("reading body", "writing head"),
    ("looking up", "making answer"),
    ("looking up", "writing head"),
    ("making answer", "writing head"),
    ("turning away", "writing head"),
    ("writing head", "streaming file"),
    ("writing head", "sending events"),
    ("writing head", "keep-alive"),
    ("streaming file", "keep-alive"),
    // What comes next had begun to come before.
    ("writing head", "reading request"),
    ("writing head", "reading body"),
    ("keep-alive", "reading request"),
    ("keep-alive", "reading body"),
    ("keep-alive", "looking up"),
    ("keep-alive", "making answer"),
    ("keep-alive", "writing head"),
    ("writing head", "closing"),
    ("streaming file", "closing"),
    ("closing", CLOSED),
];

pub(super) struct HttpSession {
    context: Arc<HttpContext>,
    peer: Option<IpAddr>,
    state: State,
    head_end: HeadEnd,
    /// The next request's first byte has come.
    begun: bool,
    /// When that was.
    since: ShortMoment,
    /// There has been a request.
    answered: bool,
    /// The one blank line before a request that RFC 9112 section 2.2 wants overlooked.
    blank_line_seen: bool,
    /// What comes after the last answer, once it is known to be the last.
    last: Option<Wait>,
    work: Option<Box<Work>>,
    unlogged: Option<Box<Unlogged>>,
}

/// What takes a request longer than a moment.
enum Work {
    /// Its body is on its way. It is answered when that is over: a client may not read before it has sent.
    Body { head: Arc<[u8]>, reader: BodyReader },
    /// Its answer is being made.
    Answer {
        head: Arc<[u8]>,
        task: Box<dyn Task>,
    },
    /// Something is done for it where one may wait for a file system. The job is there until the model takes it.
    Elsewhere {
        head: Arc<[u8]>,
        job: Option<Job>,
        finding: Finding,
    },
    /// Its answer goes out in parts.
    Parts(Parts),
    /// Its answer goes out in pieces, each made when the one before is out.
    Pieces(Box<dyn Pieces>),
    /// Its answer is what others leave here.
    Stream(Arc<Mailbox>),
}

/// Where a job leaves what it has found out. Nobody needs that if the session has dropped its side.
type Finding = Arc<Mutex<Option<Done>>>;

/// What a job has found out.
enum Done {
    /// What to answer.
    LookedUp(Outcome),
    /// A step of a task, and what came of it.
    Step(Box<dyn Task>, Option<Result<Answer, StatusCode>>),
}

impl Session for HttpSession {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        if self.state == State::TurningAway {
            self.say_that_it_is_too_many(input, cx);
            return input.len();
        }
        match self.work.as_deref() {
            Some(Work::Body { .. }) => return self.read_body(input, cx),
            // It has been told that there will be no other answer.
            Some(Work::Stream(_)) => return input.len(),
            _ => {}
        }
        if cx.room() < self.context.answer_room {
            return 0;
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.since = ShortMoment::at(cx.worker.time.moment());
        }
        match self.head_end.find(input, self.context.max_head) {
            Ok(None) if is_tls(input) => {
                self.refuse_tls(input, cx);
                input.len()
            }
            Ok(None) => 0,
            Ok(Some(2)) if !self.blank_line_seen => {
                self.blank_line_seen = true;
                2
            }
            Ok(Some(length)) => self.take_head(&input[..length], cx),
            Err(_) if is_tls(input) => {
                self.refuse_tls(input, cx);
                input.len()
            }
            Err(status) => {
                self.refuse(status, request_line(input), cx);
                input.len()
            }
        }
    }

    fn sent(&mut self, cx: &mut Context<'_>) {
        if !cx.output.is_empty() {
            if cx.output.bytes().is_empty() {
                self.state = State::StreamingFile;
            }
            return;
        }
        if let Some(Work::Parts(parts)) = self.work.as_deref_mut() {
            if !parts.is_over() {
                if let Some(body) = parts.put_next(cx) {
                    cx.put_body(body);
                }
                return;
            }
            self.work = None;
        }
        self.state = match self.work.as_deref() {
            Some(Work::Pieces(_)) => {
                self.state = State::StreamingFile;
                return;
            }
            Some(Work::Stream(_)) => State::SendingEvents,
            Some(_) => State::ReadingBody,
            None => State::ReadingRequest,
        };
        self.log_kept(0, cx);
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        let work = &mut cx.worker.work;
        match self.work.as_deref_mut() {
            Some(Work::Elsewhere { .. }) => self.take_finding(cx),
            Some(Work::Pieces(pieces)) => {
                let piece = pieces.next(work);
                if pieces.left() == 0 {
                    self.work = None;
                }
                cx.put_body(Body::bytes(piece));
            }
            Some(Work::Answer { task, .. }) => {
                let made = task.step(work);
                if made.is_none() && task.mount().is_none() {
                    return;
                }
                if let Some(Work::Answer { head, task }) = self.work.take().map(|work| *work) {
                    self.stepped(head, task, made, cx);
                }
            }
            _ => {}
        }
    }

    fn job(&mut self) -> Option<Job> {
        match self.work.as_deref_mut() {
            Some(Work::Elsewhere { job, .. }) => job.take(),
            _ => None,
        }
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        match timeout {
            Timeout::Head | Timeout::Body => self.refuse(StatusCode::REQUEST_TIMEOUT, b"", cx),
            Timeout::Files => {
                let head = self.take_kept_head();
                self.refuse(StatusCode::SERVICE_UNAVAILABLE, request_line(&head), cx);
            }
            _ => {}
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        let in_output = cx.output.body().map_or(0, Body::left);
        let in_parts = match self.work.as_deref() {
            Some(Work::Parts(parts)) => parts.unsent(),
            Some(Work::Pieces(pieces)) => pieces.left(),
            _ => 0,
        };
        self.log_kept(in_output + in_parts, cx);
    }

    fn waits_for(&self) -> Wait {
        match (self.last, self.work.as_deref()) {
            // A peer that says nothing need not be told.
            _ if self.state == State::TurningAway => Wait::Bytes(Timeout::Linger),
            (_, Some(Work::Pieces(_))) => Wait::Turn,
            (Some(wait), _) => wait,
            (None, Some(Work::Answer { .. })) => Wait::Turn,
            (None, Some(Work::Elsewhere { job: Some(_), .. })) => Wait::Job,
            (None, Some(Work::Elsewhere { job: None, .. })) => Wait::Result,
            (None, Some(Work::Body { .. })) => Wait::Bytes(Timeout::Body),
            (None, Some(Work::Stream(_))) => Wait::Bytes(Timeout::Forever),
            (None, _) if self.begun => Wait::Bytes(Timeout::Head),
            (None, _) if self.answered => Wait::Bytes(Timeout::Idle),
            (None, _) => Wait::Bytes(Timeout::First),
        }
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        match self.work.as_deref() {
            Some(Work::Stream(mailbox)) => Some(&**mailbox),
            _ => None,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::ReadingRequest if self.last.is_some() => "closing",
            State::ReadingRequest if self.answered && !self.begun => "keep-alive",
            State::ReadingRequest => "reading request",
            State::ReadingBody => "reading body",
            State::LookingUp => "looking up",
            State::MakingAnswer => "making answer",
            State::WritingHead => "writing head",
            State::StreamingFile => "streaming file",
            State::SendingEvents => "sending events",
            State::TurningAway => "turning away",
        }
    }
}

impl HttpSession {
    pub fn new(context: Arc<HttpContext>, peer: Option<IpAddr>) -> HttpSession {
        HttpSession {
            context,
            peer,
            state: State::ReadingRequest,
            head_end: HeadEnd::default(),
            begun: false,
            since: ShortMoment::default(),
            answered: false,
            blank_line_seen: false,
            last: None,
            work: None,
            unlogged: None,
        }
    }

    /// One with somebody who has too many of them already.
    pub fn turning_away(context: Arc<HttpContext>, peer: IpAddr) -> HttpSession {
        HttpSession {
            state: State::TurningAway,
            ..HttpSession::new(context, Some(peer))
        }
    }

    /// Answers a complete head, or begins to read the body that follows it. Says how many bytes it took: 0 if there is
    /// no room for the answer yet.
    fn take_head(&mut self, head: &[u8], cx: &mut Context<'_>) -> usize {
        let line = request_line(head);
        let request = match Request::parse(head) {
            Ok(request) => request,
            Err(status) => {
                self.refuse(status, line, cx);
                return head.len();
            }
        };
        if request.body == RequestBody::None {
            return match self.answer(&request, head, cx) {
                true => head.len(),
                false => 0,
            };
        }
        match BodyReader::new(request.body, self.context.max_body) {
            Ok(reader) => {
                if request.expects_continue {
                    cx.put(CONTINUE);
                }
                self.state = State::ReadingBody;
                self.work = Some(Box::new(Work::Body {
                    head: head.into(),
                    reader,
                }));
            }
            Err(status) => {
                let answer = self.context.refusal(status, &cx.worker.time);
                self.put(answer, Some(&request), false, line, cx);
            }
        }
        head.len()
    }

    fn read_body(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        // The answer must have room when the last byte has been taken.
        let Some(Work::Body { reader, .. }) = self.work.as_deref_mut() else {
            return 0;
        };
        if !cx.output.is_empty() {
            return 0;
        }
        let taken = reader.take(input);
        if taken.is_ok() && !reader.is_done() {
            return taken.unwrap_or(0);
        }
        let head = self.take_kept_head();
        match taken.and_then(|taken| Ok((taken, Request::parse(&head)?))) {
            Ok((taken, request)) => {
                self.answer(&request, &head, cx);
                taken
            }
            Err(status) => {
                self.refuse(status, request_line(&head), cx);
                input.len()
            }
        }
    }

    /// The head of the request that was worked on, which is then no longer.
    fn take_kept_head(&mut self) -> Arc<[u8]> {
        match self.work.take().map(|work| *work) {
            Some(
                Work::Body { head, .. } | Work::Answer { head, .. } | Work::Elsewhere { head, .. },
            ) => head,
            Some(Work::Parts(_) | Work::Pieces(_) | Work::Stream(_)) | None => Arc::default(),
        }
    }

    /// Answers a request that has come as a whole, or begins to make the answer. False if there is no room for it yet.
    fn answer(&mut self, request: &Request<'_>, head: &[u8], cx: &mut Context<'_>) -> bool {
        let made = self.context.handler.answer(request, &cx.worker.time).0;
        self.take_up(made, request, head, cx)
    }

    /// The same once it is known what to answer.
    #[inline]
    fn take_up(
        &mut self,
        made: Outcome,
        request: &Request<'_>,
        head: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        match made {
            Outcome::Answer(answer) => {
                let room = self.context.answer_room + answer.extra_room();
                if cx.room() < room && !cx.output.is_empty() {
                    return false;
                }
                self.put(answer, Some(request), true, request_line(head), cx);
            }
            Outcome::Stream(answer, begin) => {
                if cx.room() < self.context.answer_room + answer.extra_room()
                    && !cx.output.is_empty()
                {
                    return false;
                }
                let has_content = request.method != Method::Head;
                self.put(answer, Some(request), true, request_line(head), cx);
                if has_content {
                    let mailbox = Arc::<Mailbox>::default();
                    begin(mailbox.clone());
                    self.work = Some(Box::new(Work::Stream(mailbox)));
                    self.last = None;
                }
            }
            // What was gathered goes out first: the making can take a while.
            Outcome::Later(_) | Outcome::Elsewhere(_) if !cx.output.is_empty() => return false,
            Outcome::Later(task) => self.go_on_with(head.into(), task),
            Outcome::Elsewhere(look_up) => self.look_up(head.into(), look_up, &cx.worker.time),
        }
        self.begun = false;
        self.answered = true;
        self.blank_line_seen = false;
        true
    }

    /// Goes on with what a job has found out, if it has.
    fn take_finding(&mut self, cx: &mut Context<'_>) {
        let Some(Work::Elsewhere { finding, .. }) = self.work.as_deref() else {
            return;
        };
        let Some(done) = lock(finding).take() else {
            return;
        };
        let head = self.take_kept_head();
        match (done, Request::parse(&head)) {
            (Done::LookedUp(made), Ok(request)) => {
                self.take_up(made, &request, &head, cx);
            }
            (Done::Step(task, made), Ok(_)) => self.stepped(head, task, made, cx),
            (_, Err(status)) => self.refuse(status, request_line(&head), cx),
        }
    }

    /// Has a request looked up where one may wait.
    fn look_up(&mut self, head: Arc<[u8]>, look_up: LookUp, time: &Time) {
        self.state = State::LookingUp;
        let (of_job, time) = (head.clone(), time.clone());
        self.have_done(head, look_up.mount, move || {
            let made = match Request::parse(&of_job) {
                Ok(request) => (look_up.look)(&request, &time),
                Err(status) => Outcome::Answer(Answer::plain(status)),
            };
            Done::LookedUp(made)
        });
    }

    /// Goes on making an answer.
    fn go_on_with(&mut self, head: Arc<[u8]>, mut task: Box<dyn Task>) {
        self.state = State::MakingAnswer;
        match task.mount() {
            None => self.work = Some(Box::new(Work::Answer { head, task })),
            Some(mount) => self.have_done(head, mount, move || {
                let made = task.step(&mut WORK_PER_TURN.clone());
                Done::Step(task, made)
            }),
        }
    }

    fn have_done(
        &mut self,
        head: Arc<[u8]>,
        mount: u64,
        work: impl FnOnce() -> Done + Send + 'static,
    ) {
        let finding = Finding::default();
        let of_job = finding.clone();
        let work = Box::new(move || {
            if Arc::strong_count(&of_job) > 1 {
                let done = work();
                *lock(&of_job) = Some(done);
            }
        });
        self.work = Some(Box::new(Work::Elsewhere {
            head,
            job: Some(Job { mount, work }),
            finding,
        }));
    }

    /// A task has done a step: its answer goes out, or it goes on.
    fn stepped(
        &mut self,
        head: Arc<[u8]>,
        task: Box<dyn Task>,
        made: Option<Result<Answer, StatusCode>>,
        cx: &mut Context<'_>,
    ) {
        let Some(made) = made else {
            return self.go_on_with(head, task);
        };
        let answer = made.unwrap_or_else(|status| {
            let mut answer = self.context.refusal(status, &cx.worker.time);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                answer.fields.extend_from_slice(TRY_AGAIN);
            }
            answer
        });
        let line = request_line(&head);
        match Request::parse(&head) {
            Ok(request) => self.put(answer, Some(&request), true, line, cx),
            Err(status) => self.refuse(status, line, cx),
        }
    }

    /// Answers what cannot be understood. Where the next request begins is then unknown, so there is none.
    fn refuse(&mut self, status: StatusCode, line: &[u8], cx: &mut Context<'_>) {
        let answer = self.context.refusal(status, &cx.worker.time);
        self.put(answer, None, false, line, cx);
    }

    /// A TLS client would wait for a ServerHello until its head is overdue, and its user see nothing but that.
    fn refuse_tls(&mut self, input: &[u8], cx: &mut Context<'_>) {
        throttled!(
            Warn,
            "a TLS client connected to a plain http port: its URL must begin with http://, or a proxy must end TLS"
        );
        self.refuse(StatusCode::BAD_REQUEST, request_line(input), cx);
    }

    /// Answers whatever has come, be it a whole request or the beginning of one.
    fn say_that_it_is_too_many(&mut self, input: &[u8], cx: &mut Context<'_>) {
        self.since = ShortMoment::at(cx.worker.time.moment());
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut answer = self.context.refusal(status, &cx.worker.time);
        answer.fields.extend_from_slice(TRY_AGAIN);
        self.put(answer, None, false, request_line(input), cx);
    }

    /// Puts out an answer. `is_read` says that the request and its body have been read to their end: what comes next is
    /// another request.
    fn put(
        &mut self,
        answer: Answer,
        request: Option<&Request<'_>>,
        is_read: bool,
        line: &[u8],
        cx: &mut Context<'_>,
    ) {
        let answer = match request {
            Some(request) => answer.for_reader(request),
            None => answer,
        };
        let ends = !is_read || cx.worker.wants_last_answers() || answer.is_endless();
        let stays = !ends && request.is_some_and(|r| r.keep_alive);
        let length = match line.starts_with(b"HEAD ") {
            true => 0,
            false => answer.length(),
        };
        if !stays {
            // Whatever arrives after we have closed destroys what the client has not read by then. A short answer is
            // with it before it can say anything more; and whoever asked for the end says nothing more (RFC 9112
            // section 9.6), at least not while an answer of moderate length is on its way.
            // While others wait for its place, no client is given the time to send more without having read.
            let asked = cx.worker.crowded || request.is_some_and(|r| !r.keep_alive);
            let is_short = length == 0 || answer.is_short() || (asked && length <= AT_ONCE);
            self.last = Some(match is_read && is_short {
                true => Wait::Close,
                false => Wait::Linger,
            });
        }
        answer.put_head(request.map(|r| r.version), stays, &self.context, cx);
        self.state = State::WritingHead;
        cx.worker.counters.requests += 1;
        let status = answer.status;
        let (body, rest) = match length {
            0 => (None, None),
            _ => answer.into_body(cx),
        };
        self.work = rest.map(|rest| {
            Box::new(match rest {
                Rest::Parts(parts) => Work::Parts(*parts),
                Rest::Pieces(pieces) => Work::Pieces(pieces),
            })
        });
        if self.context.access_log != AccessLog::Off {
            let record = Record {
                peer: self.peer,
                date: cx.worker.time.log_date(),
                wall: cx.worker.time.wall(),
                line,
                status: status.code(),
                referer: request.and_then(|r| r.referer),
                user_agent: request.and_then(|r| r.user_agent),
            };
            self.log(&record, length, body.is_some(), cx);
        }
        if let Some(body) = body {
            cx.put_body(body);
        }
    }

    /// Writes the line of an answer into the access log, or, if its body has yet to be sent, keeps it until then.
    fn log(&mut self, record: &Record<'_>, length: u64, unsent: bool, cx: &mut Context<'_>) {
        let format = self.context.access_log;
        if unsent {
            let mut kept = self.context.spare_line();
            record.begin(format, &mut kept.text);
            kept.begin = kept.text.len();
            record.go_on(format, &mut kept.text);
            kept.length = length;
            kept.at = cx.worker.time.moment();
            kept.taken = self.taken(kept.at);
            self.unlogged = Some(kept);
        } else {
            let outcome = LogEnd {
                taken: self.taken(moment_for(format, &cx.worker.time)),
                aborted: false,
            };
            record.begin(format, &mut cx.worker.log);
            access_log::number(length, &mut cx.worker.log);
            record.go_on(format, &mut cx.worker.log);
            outcome.end(format, &mut cx.worker.log);
        }
    }

    /// How long the request has taken until now.
    fn taken(&self, now: Moment) -> Duration {
        self.since.until(now)
    }

    /// Writes the line that was kept, if there is one, now that all but `unsent` bytes of the body are out.
    fn log_kept(&mut self, unsent: u64, cx: &mut Context<'_>) {
        if let Some(kept) = self.unlogged.take() {
            let format = self.context.access_log;
            let outcome = LogEnd {
                taken: kept.taken + moment_for(format, &cx.worker.time).since(kept.at),
                aborted: unsent > 0,
            };
            let log = &mut cx.worker.log;
            let (begin, rest) = kept.text.split_at(kept.begin);
            log.extend_from_slice(begin);
            access_log::number(kept.length - unsent, log);
            log.extend_from_slice(rest);
            outcome.end(format, log);
            self.context.take_back(kept);
        }
    }
}

fn lock(finding: &Finding) -> MutexGuard<'_, Option<Done>> {
    finding.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if it begins as a TLS handshake does (RFC 8446 section 5.1): a record of type 22 of a version 3.x.
fn is_tls(input: &[u8]) -> bool {
    input.starts_with(&[0x16, 0x03])
}

/// When a line is ended: as a clock has it, which is only read if the line says how long the answer took.
fn moment_for(format: AccessLog, time: &Time) -> Moment {
    match format.says_time() {
        true => time.exact_moment(),
        false => time.moment(),
    }
}

/// A moment in microseconds, in five bytes: with eight, a session would take the next larger of the allocator's blocks. It
/// begins again after twelve days, and no request takes as long to come.
#[derive(Clone, Copy, Default)]
struct ShortMoment([u8; 5]);

impl ShortMoment {
    fn at(moment: Moment) -> ShortMoment {
        let bytes = micros(moment).to_le_bytes();
        ShortMoment([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
    }

    /// How much later `now` is.
    fn until(self, now: Moment) -> Duration {
        let [a, b, c, d, e] = self.0;
        let since = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
        Duration::from_micros(micros(now).wrapping_sub(since) & 0xff_ffff_ffff)
    }
}

fn micros(moment: Moment) -> u64 {
    moment.since(Moment::default()).as_micros() as u64
}

#[cfg(test)]
mod tests {
    use crate::config::{AccessLog, Config};
    use crate::http1::Request;
    use crate::service::http::{Handler, Response, service};
    use crate::session::{Connection, Time, Worker};
    use std::time::{Duration, Instant, SystemTime};

    struct Empty;

    impl Handler for Empty {
        fn answer(&self, _: &Request<'_>, _: &Time) -> Response {
            Response::text("")
        }
    }

    /// It is a large part of what an idle connection takes.
    #[test]
    fn a_session_is_small() {
        let size = size_of::<super::HttpSession>();
        assert!(size <= 56, "{size} bytes");
    }

    #[test]
    fn a_request_that_takes_hours_is_logged_with_all_of_them() {
        let config = Config {
            access_log: AccessLog::Json,
            ..Config::default()
        };
        let service = service(Empty, &config);
        let (begin, wall) = (Instant::now(), SystemTime::now());
        for minutes in [0, 71, 72, 24 * 60, 12 * 24 * 60] {
            let mut worker = Worker::new(Time::new(begin, wall));
            let mut connection = Connection::open(service.session(None), 0, &mut worker);
            connection.received(b"GET / HTTP/1.1\r\n", &mut worker);
            let taken = Duration::from_secs(minutes * 60) + Duration::from_micros(17);
            worker.time.set(begin + taken, wall);
            connection.received(b"Host: h\r\n\r\n", &mut worker);
            connection.close(&mut worker);
            let log = String::from_utf8_lossy(&worker.log);
            let field = format!("\"microseconds\":{},", taken.as_micros());
            assert!(log.contains(&field), "{log}");
        }
    }
}
