//! How a request's answer goes out, and what becomes of the connection.

use super::body::Content;
use super::response::Response;
use super::session::HttpSession;
use super::state::{Next, Sending, State};
use crate::http1::{Request, StatusCode, request_line};
use crate::observe::access_log::Record;
use crate::observe::throttled;
use crate::session::{Context, Mailbox, Moment, Wait, Worker};
use std::mem::take;
use std::sync::Arc;

/// What TCP sends at once, before anything is acknowledged, in bytes (RFC 6928: ten segments), less a head.
const AT_ONCE: u64 = 12 * 1024;

/// Added where trying again in a moment may help.
pub(super) const TRY_AGAIN: &[u8] = b"Retry-After: 1\r\n";

/// What is answered: a request, or what came in the place of one.
pub(super) struct Asked<'a> {
    /// None if it could not be understood.
    pub request: Option<&'a Request<'a>>,
    /// Its head, or as much of it as has come.
    pub head: &'a [u8],
    /// When its first byte came.
    pub since: Moment,
    /// It and its body have been read to their end: what comes next is another request.
    pub is_read: bool,
}

impl HttpSession {
    /// Answers what cannot be understood. Where the next request begins is then unknown, so there is none.
    pub(super) fn refuse(
        &mut self,
        status: StatusCode,
        head: &[u8],
        since: Moment,
        cx: &mut Context<'_>,
    ) {
        let response = self.context.refusal(status, &cx.worker.time);
        self.put(response, &Asked::unclear(head, since), cx);
    }

    /// A TLS client would wait for a ServerHello until its head is overdue, and its user see nothing but that.
    pub(super) fn refuse_tls(&mut self, input: &[u8], since: Moment, cx: &mut Context<'_>) {
        throttled!(
            Warn,
            "a TLS client connected to a plain http port: its URL must begin with http://, or a proxy must end TLS"
        );
        self.refuse(StatusCode::BAD_REQUEST, input, since, cx);
    }

    /// Answers whatever has come, be it a whole request or the beginning of one.
    pub(super) fn turn_away(&mut self, input: &[u8], cx: &mut Context<'_>) {
        let time = &cx.worker.time;
        let asked = Asked::unclear(input, time.moment());
        let response = self.context.refusal(StatusCode::SERVICE_UNAVAILABLE, time);
        self.put(response.with_line(TRY_AGAIN), &asked, cx);
    }

    /// Puts out an answer.
    pub(super) fn put(&mut self, response: Response, asked: &Asked<'_>, cx: &mut Context<'_>) {
        let response = match asked.request {
            Some(request) => response.for_client(request),
            None => response,
        };
        let is_head = asked.head.starts_with(b"HEAD ");
        let bytes = if is_head { 0 } else { response.length };
        let end = asked.end(&response, bytes, cx.worker);
        let version = asked.request.map(|request| request.version);
        response.put_head(version, end.is_none(), &self.context.fields, cx);
        cx.worker.counters.requests += 1;
        let log = &self.context.log;
        let record = (!log.is_off()).then(|| Record {
            peer: self.peer,
            date: cx.worker.time.log_date(),
            wall: cx.worker.time.wall(),
            line: request_line(asked.head),
            status: response.status.code(),
            referer: asked.request.and_then(|request| request.referer),
            user_agent: asked.request.and_then(|request| request.user_agent),
            bytes,
            aborted: false,
        });
        let mut next = Next::after_answer(end);
        let (body, rest) = match response {
            _ if is_head => (None, None),
            Response {
                content: Content::Stream(start),
                ..
            } => {
                let mailbox = Arc::<Mailbox>::default();
                start(mailbox.clone());
                next = Next::Events(mailbox);
                (None, None)
            }
            response => response.put_content(cx),
        };
        self.state = match body {
            Some(body) => {
                cx.put_body(body);
                State::Sending(Sending {
                    rest,
                    record: record.map(|record| log.keep(&record, asked.since)),
                    is_head_out: false,
                    end,
                })
            }
            None => {
                if let Some(record) = record {
                    log.write(&record, asked.since, cx.worker);
                }
                State::WritingHead(next)
            }
        };
    }

    /// The last byte of an answer is out.
    pub(super) fn end_answer(&mut self, cx: &mut Context<'_>) {
        if let State::Sending(sending) = take(&mut self.state) {
            if let Some(record) = sending.record {
                self.context.log.write_kept(record, self.peer, 0, cx.worker);
            }
            self.state = Next::after_answer(sending.end).into();
        }
    }
}

impl<'a> Asked<'a> {
    /// What could not be understood.
    fn unclear(head: &'a [u8], since: Moment) -> Asked<'a> {
        Asked {
            request: None,
            head,
            since,
            is_read: false,
        }
    }

    /// How the conversation ends behind this answer, of which so many bytes are sent. `None` if it goes on.
    fn end(&self, response: &Response, bytes: u64, worker: &Worker) -> Option<Wait> {
        let keep_alive = self.request.is_some_and(|request| request.keep_alive);
        if keep_alive && self.is_read && !worker.wants_last_answers() && !response.is_endless() {
            return None;
        }
        // Whatever arrives after we have closed destroys what the client has not read by then. A short answer is with it
        // before it can say anything more; and a client that asked for the end says nothing more (RFC 9112 section 9.6),
        // at least not while an answer of moderate length is on its way.
        // While others wait for its place, no client is given the time to send more without having read.
        let is_last = worker.crowded || (self.request.is_some() && !keep_alive);
        let is_short = bytes == 0 || response.is_short() || (is_last && bytes <= AT_ONCE);
        Some(match self.is_read && is_short {
            true => Wait::Close,
            false => Wait::Linger,
        })
    }
}
