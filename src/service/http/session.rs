//! An HTTP/1.1 session.
//!
//! It is a state machine: see [`State`]. Responses to pipelined requests collect in the output
//! until it is full or one of them has a separate body. The [`Handler`](super::Handler) decides
//! what to respond, this file decides when, and `exchange.rs` decides whether the connection
//! continues.

use super::access::Judgement;
use super::context::HttpContext;
use super::deferred::{DeferredRequest, JobResult, OffloadedRequest, RunningTask};
use super::exchange::Exchange;
use super::head::CONTINUE;
use super::remaining_body::RemainingBody;
use super::response::{Content, Deferred, Response, ResponseTask};
use super::state::{Next, State, UnreadBody};
use crate::auth::Outcome;
use crate::http1::{BodyReader, Request, RequestBody, StatusCode};
use crate::observe::throttled;
use crate::session::{Body, Context, Inbox, Job, Moment, Session, Time, Timeout, Wait};
use std::mem::take;
use std::net::IpAddr;
use std::sync::Arc;

/// Added to responses where the client may try again soon.
const TRY_AGAIN: &[u8] = b"Retry-After: 1\r\n";

/// How a request whose head was kept continues.
enum Resumption {
    /// Find out whether its user may, then ask the handler.
    Answer,
    /// Ask the handler.
    Ask,
    /// With this response, which may be a refusal.
    Respond(Response),
}

pub(super) struct HttpSession {
    context: Arc<HttpContext>,
    peer: Option<IpAddr>,
    state: State,
}

impl Session for HttpSession {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        match &self.state {
            State::Reading(_) | State::WritingHead(Next::Request(_)) => self.read_head(input, cx),
            State::ReadingBody(_) => self.read_body(input, cx),
            State::RefusingConnection => {
                self.refuse_connection(input, cx);
                input.len()
            }
            // Dropped: the client was told that no further response comes.
            State::SendingEvents(_) | State::WritingHead(_) => input.len(),
            _ => 0,
        }
    }

    fn sent(&mut self, cx: &mut Context<'_>) {
        if let State::Sending(sending) = &mut self.state {
            sending.is_head_out |= cx.output.bytes().is_empty();
        }
        if !cx.output.is_empty() {
            return;
        }
        match &mut self.state {
            State::WritingHead(_) => {
                if let State::WritingHead(next) = take(&mut self.state) {
                    self.state = next.into();
                }
            }
            State::Sending(sending) => match sending.rest.as_deref_mut() {
                Some(RemainingBody::Multipart(parts)) if !parts.is_finished() => {
                    if let Some(body) = parts.put_next(cx) {
                        cx.put_body(body);
                    }
                }
                // `proceed` generates the next piece.
                Some(RemainingBody::Generated(_)) => {}
                Some(RemainingBody::Multipart(_)) | None => self.end_response(cx),
            },
            _ => {}
        }
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        match &mut self.state {
            State::CheckingPassword(offloaded)
            | State::LookingUp(offloaded)
            | State::BuildingOffloaded(offloaded) => {
                if let Some(result) = offloaded.take_result() {
                    self.take_result(result, cx);
                }
            }
            State::BuildingResponse(making) => {
                let made = making.task.step(&mut cx.worker.work);
                if (made.is_some() || making.task.mount().is_some())
                    && let State::BuildingResponse(making) = take(&mut self.state)
                {
                    self.after_step(making.request, making.task, made, cx);
                }
            }
            State::Sending(sending) => {
                if let Some(RemainingBody::Generated(pieces)) = sending.rest.as_deref_mut() {
                    let piece = pieces.next(&mut cx.worker.work);
                    if pieces.left() == 0 {
                        sending.rest = None;
                    }
                    cx.put_body(Body::bytes(piece));
                }
            }
            _ => {}
        }
    }

    fn job(&mut self) -> Option<Job> {
        match &mut self.state {
            State::CheckingPassword(offloaded)
            | State::LookingUp(offloaded)
            | State::BuildingOffloaded(offloaded) => offloaded.job.take(),
            _ => None,
        }
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        let now = cx.worker.time.moment();
        match (timeout, take(&mut self.state)) {
            (Timeout::Head, State::Reading(mut reading)) => {
                let since = reading.begin(now);
                self.refuse(StatusCode::REQUEST_TIMEOUT, b"", since, cx);
            }
            (Timeout::Body, State::ReadingBody(body)) => {
                let since = body.request.since;
                self.refuse(StatusCode::REQUEST_TIMEOUT, b"", since, cx);
            }
            (
                Timeout::Files,
                State::CheckingPassword(offloaded)
                | State::LookingUp(offloaded)
                | State::BuildingOffloaded(offloaded),
            ) => {
                let DeferredRequest { head, since } = offloaded.request;
                self.refuse(StatusCode::SERVICE_UNAVAILABLE, &head, since, cx);
            }
            (_, state) => self.state = state,
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        if let State::Sending(sending) = &mut self.state
            && let Some(record) = sending.record.take()
        {
            let in_output = cx.output.body().map_or(0, Body::left);
            let unsent = in_output + sending.rest.as_deref().map_or(0, RemainingBody::left);
            self.context
                .log
                .write_kept(record, self.peer, unsent, cx.worker);
        }
    }

    fn waits_for(&self) -> Wait {
        self.state.waits_for()
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        match &self.state {
            State::SendingEvents(mailbox) | State::WritingHead(Next::Events(mailbox)) => {
                Some(&**mailbox)
            }
            _ => None,
        }
    }

    fn state(&self) -> &'static str {
        self.state.name()
    }
}

impl HttpSession {
    pub fn new(context: Arc<HttpContext>, peer: Option<IpAddr>) -> HttpSession {
        HttpSession {
            context,
            peer,
            state: State::default(),
        }
    }

    /// A session that refuses a client with too many connections.
    pub fn refusing(context: Arc<HttpContext>, peer: IpAddr) -> HttpSession {
        HttpSession {
            state: State::RefusingConnection,
            ..HttpSession::new(context, Some(peer))
        }
    }

    /// Looks for the end of a head, and takes the head.
    fn read_head(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let (State::Reading(reading) | State::WritingHead(Next::Request(reading))) =
            &mut self.state
        else {
            return 0;
        };
        if cx.room() < self.context.response_room {
            return 0;
        }
        let since = reading.begin(cx.worker.time.moment());
        match reading.head_end.find(input, self.context.max_head) {
            Ok(Some(2)) if !reading.blank_line_seen => {
                reading.blank_line_seen = true;
                2
            }
            Ok(Some(length)) => self.take_head(&input[..length], since, cx),
            Ok(None) | Err(_) if is_tls(input) => {
                self.refuse_tls(input, since, cx);
                input.len()
            }
            Ok(None) => 0,
            Err(status) => {
                self.refuse(status, input, since, cx);
                input.len()
            }
        }
    }

    /// Responds to a complete head, or starts to read the body that follows it. Returns the number
    /// of bytes taken: 0 if there is no room for the response yet.
    fn take_head(&mut self, head: &[u8], since: Moment, cx: &mut Context<'_>) -> usize {
        let request = match Request::parse(head) {
            Ok(request) => request,
            Err(status) => {
                self.refuse(status, head, since, cx);
                return head.len();
            }
        };
        if request.body == RequestBody::None {
            return match self.answer(&request, head, since, cx) {
                true => head.len(),
                false => 0,
            };
        }
        match BodyReader::new(request.body, self.context.max_body) {
            Ok(reader) => {
                if request.expects_continue {
                    cx.put(CONTINUE);
                }
                let request = DeferredRequest {
                    head: head.into(),
                    since,
                };
                self.state = State::ReadingBody(Box::new(UnreadBody { request, reader }));
            }
            Err(status) => {
                let response = self.context.error_response(status, &cx.worker.time);
                let exchange = Exchange {
                    peer: self.peer,
                    request: Some(&request),
                    head,
                    since,
                    is_read: false,
                };
                self.state = self.context.put_response(response, &exchange, cx);
            }
        }
        head.len()
    }

    fn read_body(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let State::ReadingBody(body) = &mut self.state else {
            return 0;
        };
        // Once the last byte is taken, the response must fit into the output.
        if !cx.output.is_empty() {
            return 0;
        }
        let taken = match body.reader.take(input) {
            Ok(taken) if !body.reader.is_done() => return taken,
            taken => taken,
        };
        let State::ReadingBody(body) = take(&mut self.state) else {
            return 0;
        };
        match taken {
            Ok(taken) => {
                self.resume(&body.request, Resumption::Answer, cx);
                taken
            }
            Err(status) => {
                let DeferredRequest { head, since } = body.request;
                self.refuse(status, &head, since, cx);
                input.len()
            }
        }
    }

    /// Responds to a complete request if its user may, or starts to find out. Returns false if that
    /// must wait until earlier responses are sent.
    #[inline]
    fn answer(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        since: Moment,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.context.guard.is_some()
            && let Some(is_taken) = self.judge(request, head, since, cx)
        {
            return is_taken;
        }
        let response = self.context.handler.respond(request, &cx.worker.time);
        self.respond(response, request, head, since, cx)
    }

    /// Refuses a request, or starts to check its password. `None` if its user may.
    #[cold]
    fn judge(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        since: Moment,
        cx: &mut Context<'_>,
    ) -> Option<bool> {
        let guard = self.context.guard.as_ref()?;
        match guard.judge(request, head) {
            Judgement::Allowed => None,
            Judgement::Refused => {
                let response = guard.refusal(Outcome::Wrong);
                Some(self.respond(response, request, head, since, cx))
            }
            // Earlier responses go out first, since a check takes a while.
            Judgement::Unproven(_) if !cx.output.is_empty() => Some(false),
            Judgement::Unproven(credentials) => {
                let gate = guard.gate.clone();
                let head = head.into();
                let request = DeferredRequest { head, since };
                let offloaded = OffloadedRequest::check(request, gate, credentials, self.peer);
                self.state = State::CheckingPassword(Box::new(offloaded));
                Some(true)
            }
        }
    }

    /// Responds to a complete request, or starts to make the response. Returns false if that must
    /// wait until earlier responses are sent.
    #[inline]
    fn respond(
        &mut self,
        response: Response,
        request: &Request<'_>,
        head: &[u8],
        since: Moment,
        cx: &mut Context<'_>,
    ) -> bool {
        let is_first = cx.output.is_empty();
        match response {
            Response {
                content: Content::Deferred(deferred),
                ..
            } => {
                // Earlier responses go out first, since making this one may take a while.
                if is_first {
                    let head = head.into();
                    self.defer(DeferredRequest { head, since }, deferred, &cx.worker.time);
                }
                is_first
            }
            response => {
                let room = self.context.response_room + response.extra_room();
                if cx.room() < room && !is_first {
                    return false;
                }
                let exchange = Exchange {
                    peer: self.peer,
                    request: Some(request),
                    head,
                    since,
                    is_read: true,
                };
                self.state = self.context.put_response(response, &exchange, cx);
                true
            }
        }
    }

    /// Continues with a request whose head was kept.
    fn resume(&mut self, kept: &DeferredRequest, next: Resumption, cx: &mut Context<'_>) {
        let DeferredRequest { head, since } = kept;
        match Request::parse(head) {
            Ok(request) => {
                let response = match next {
                    Resumption::Answer => {
                        self.answer(&request, head, *since, cx);
                        return;
                    }
                    Resumption::Ask => self.context.handler.respond(&request, &cx.worker.time),
                    Resumption::Respond(response) => response,
                };
                self.respond(response, &request, head, *since, cx);
            }
            Err(status) => self.refuse(status, head, *since, cx),
        }
    }

    /// Starts to make a response that takes time.
    fn defer(&mut self, request: DeferredRequest, deferred: Deferred, time: &Time) {
        match deferred {
            Deferred::Task(task) => self.run_task(request, task),
            Deferred::Lookup(lookup) => {
                let offloaded = OffloadedRequest::look_up(request, lookup, time);
                self.state = State::LookingUp(Box::new(offloaded));
            }
        }
    }

    /// Runs the next step of a task, here or on a thread that may wait.
    fn run_task(&mut self, request: DeferredRequest, task: Box<dyn ResponseTask>) {
        self.state = match task.mount() {
            None => State::BuildingResponse(Box::new(RunningTask { request, task })),
            Some(mount) => {
                let offloaded = OffloadedRequest::step(request, task, mount);
                State::BuildingOffloaded(Box::new(offloaded))
            }
        };
    }

    /// Continues with the result of a job.
    fn take_result(&mut self, result: JobResult, cx: &mut Context<'_>) {
        let (State::CheckingPassword(offloaded)
        | State::LookingUp(offloaded)
        | State::BuildingOffloaded(offloaded)) = take(&mut self.state)
        else {
            return;
        };
        match result {
            JobResult::Found(response) => {
                self.resume(&offloaded.request, Resumption::Respond(response), cx);
            }
            JobResult::Checked(outcome) => {
                let guard = self
                    .context
                    .guard
                    .as_ref()
                    .filter(|_| outcome != Outcome::Right);
                let next = guard.map_or(Resumption::Ask, |guard| {
                    Resumption::Respond(guard.refusal(outcome))
                });
                self.resume(&offloaded.request, next, cx);
            }
            JobResult::Step(task, made) => self.after_step(offloaded.request, task, made, cx),
        }
    }

    /// Responds if the task has finished; otherwise continues it.
    fn after_step(
        &mut self,
        request: DeferredRequest,
        task: Box<dyn ResponseTask>,
        made: Option<Result<Response, StatusCode>>,
        cx: &mut Context<'_>,
    ) {
        let Some(made) = made else {
            return self.run_task(request, task);
        };
        let response = made.unwrap_or_else(|status| {
            let refusal = self.context.error_response(status, &cx.worker.time);
            match status {
                StatusCode::SERVICE_UNAVAILABLE => refusal.with_line(TRY_AGAIN),
                _ => refusal,
            }
        });
        self.resume(&request, Resumption::Respond(response), cx);
    }

    /// Refuses a request that cannot be completed. The connection closes after it, since where the
    /// request ends is usually unknown.
    fn refuse(&mut self, status: StatusCode, head: &[u8], since: Moment, cx: &mut Context<'_>) {
        let response = self.context.error_response(status, &cx.worker.time);
        let exchange = Exchange::unparsed(self.peer, head, since);
        self.state = self.context.put_response(response, &exchange, cx);
    }

    /// Refuses a TLS client at once. Otherwise it would wait for a ServerHello until the head times
    /// out.
    fn refuse_tls(&mut self, input: &[u8], since: Moment, cx: &mut Context<'_>) {
        throttled!(
            Warn,
            "a TLS client connected to a plain http port: its URL must begin with http://, or a proxy must terminate TLS"
        );
        self.refuse(StatusCode::BAD_REQUEST, input, since, cx);
    }

    /// Refuses a connection of a client that has too many. `input` need not be a request.
    fn refuse_connection(&mut self, input: &[u8], cx: &mut Context<'_>) {
        let time = &cx.worker.time;
        let exchange = Exchange::unparsed(self.peer, input, time.moment());
        let response = self
            .context
            .error_response(StatusCode::SERVICE_UNAVAILABLE, time);
        let response = response.with_line(TRY_AGAIN);
        self.state = self.context.put_response(response, &exchange, cx);
    }

    /// The last byte of a response was sent.
    fn end_response(&mut self, cx: &mut Context<'_>) {
        if let State::Sending(sending) = take(&mut self.state) {
            if let Some(record) = sending.record {
                self.context.log.write_kept(record, self.peer, 0, cx.worker);
            }
            self.state = Next::after_response(sending.end).into();
        }
    }
}

/// True if the input looks like a TLS handshake: a record of type 22, version 3.x (RFC 8446 section
/// 5.1).
fn is_tls(input: &[u8]) -> bool {
    input.starts_with(&[0x16, 0x03])
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
        fn respond(&self, _: &Request<'_>, _: &Time) -> Response {
            Response::text("")
        }
    }

    /// A session is a large part of the memory of an idle connection.
    #[test]
    fn a_session_is_small() {
        let size = size_of::<super::HttpSession>();
        assert!(size <= 56, "{size} bytes");
    }

    #[test]
    fn a_request_that_takes_days_is_logged_with_its_duration() {
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
            connection.release(&mut worker);
            let log = String::from_utf8_lossy(&worker.log);
            let field = format!("\"duration_us\":{},", taken.as_micros());
            assert!(log.contains(&field), "{log}");
        }
    }
}
