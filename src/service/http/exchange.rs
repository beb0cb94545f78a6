//! Puts out a response, and decides whether the connection continues after it.

use super::context::HttpContext;
use super::response::{Content, Response};
use super::state::{Next, Sending, State};
use crate::http1::{Request, StatusCode, request_line};
use crate::observe::access_log::AccessRecord;
use crate::session::{Context, Mailbox, Moment, Wait, Worker};
use std::net::IpAddr;
use std::sync::Arc;

/// What TCP sends before the first acknowledgement, in bytes: ten segments (RFC 6928), less a head.
const INITIAL_WINDOW: u64 = 12 * 1024;

/// What a response answers: a request, or bytes that are not one.
pub(super) struct Exchange<'a> {
    /// The client, if it has an address.
    pub peer: Option<IpAddr>,
    /// The request; `None` if it was malformed, incomplete or refused unread.
    pub request: Option<&'a Request<'a>>,
    /// The request's head, as far as it has arrived.
    pub head: &'a [u8],
    /// When its first byte arrived.
    pub since: Moment,
    /// The request and its body were read to the end, so another request may follow.
    pub is_read: bool,
}

impl HttpContext {
    /// Puts out a response and returns the session's next state.
    pub(super) fn put_response(
        &self,
        mut response: Response,
        exchange: &Exchange<'_>,
        cx: &mut Context<'_>,
    ) -> State {
        if let Some(request) = exchange.request {
            response.negotiate_error_page(request);
        }
        let is_head = exchange.head.starts_with(b"HEAD ");
        let bytes = if is_head { 0 } else { response.length };
        let end = exchange.end(&response, bytes, cx.worker);
        let version = exchange.request.map(|request| request.version);
        response.put_head(version, end.is_none(), &self.fields, cx);
        cx.worker.counters.requests += 1;
        let user = self.user(&response, exchange);
        let status = response.status.code();
        cx.worker
            .note_request(|| method_and_target(exchange), status);
        let record = (!self.log.is_off()).then(|| AccessRecord {
            peer: exchange.peer,
            date: cx.worker.time.log_date(),
            wall: cx.worker.time.wall(),
            user: user.as_deref(),
            line: request_line(exchange.head),
            status: response.status.code(),
            referer: exchange.request.and_then(|request| request.referer),
            user_agent: exchange.request.and_then(|request| request.user_agent),
            bytes,
            aborted: false,
        });
        let mut next = Next::after_response(end);
        let (body, rest) = match std::mem::replace(&mut response.content, Content::Empty) {
            _ if is_head => (None, None),
            Content::Stream(start) => {
                let mailbox = Arc::<Mailbox>::default();
                start(mailbox.clone());
                next = Next::Events(mailbox);
                (None, None)
            }
            content => response.put_content(content, cx),
        };
        match body {
            Some(body) => {
                cx.put_body(body);
                State::Sending(Sending {
                    rest,
                    record: record.map(|record| self.log.keep(&record, exchange.since)),
                    is_head_out: false,
                    end,
                })
            }
            None => {
                if let Some(record) = record {
                    self.log.write(&record, exchange.since, cx.worker);
                }
                State::WritingHead(next)
            }
        }
    }
}

impl HttpContext {
    /// The user whose request was answered, for the access log. `None` if there was no password to
    /// check, or none was right.
    fn user(&self, response: &Response, exchange: &Exchange<'_>) -> Option<Vec<u8>> {
        let guard = self.guard.as_ref().filter(|_| exchange.is_read)?;
        let is_refusal = matches!(
            response.status,
            StatusCode::UNAUTHORIZED
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
        );
        let request = exchange
            .request
            .filter(|_| !is_refusal && !self.log.is_off())?;
        guard.user(request, exchange.head)
    }
}

impl<'a> Exchange<'a> {
    /// An exchange without a request: malformed, incomplete or refused unread.
    pub fn unparsed(peer: Option<IpAddr>, head: &'a [u8], since: Moment) -> Exchange<'a> {
        Exchange {
            peer,
            request: None,
            head,
            since,
            is_read: false,
        }
    }

    /// How the connection ends after this response, of which `bytes` bytes of content are sent.
    /// `None` if it continues.
    fn end(&self, response: &Response, bytes: u64, worker: &Worker) -> Option<Wait> {
        let keep_alive = self.request.is_some_and(|request| request.keep_alive);
        if keep_alive && self.is_read && !worker.closes_after_response() && !response.is_endless() {
            return None;
        }
        // Input that arrives after the close resets the connection, which destroys what the client
        // has not read yet (RFC 9112 section 9.6). A short response reaches the client before it
        // can send more. A client that asked for the close sends nothing more, at least while a
        // response of moderate length is on its way.
        // While other clients wait for its place, no client gets the time to linger.
        let is_last = worker.crowded || (self.request.is_some() && !keep_alive);
        let is_short = bytes == 0 || response.is_short() || (is_last && bytes <= INITIAL_WINDOW);
        Some(match self.is_read && is_short {
            true => Wait::Close,
            false => Wait::Linger,
        })
    }
}

/// What a recording has of a request: nothing if it is none.
fn method_and_target<'a>(exchange: &Exchange<'a>) -> &'a [u8] {
    let line = match exchange.request {
        Some(_) => request_line(exchange.head),
        None => b"",
    };
    let end = line.iter().rposition(|byte| *byte == b' ');
    &line[..end.unwrap_or(0)]
}
