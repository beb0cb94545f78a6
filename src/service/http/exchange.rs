//! How a request's answer goes out, and what becomes of the connection.

use super::context::HttpContext;
use super::response::{Content, Response};
use super::state::{Next, Sending, State};
use crate::http1::{Request, request_line};
use crate::observe::access_log::AccessRecord;
use crate::session::{Context, Mailbox, Moment, Wait, Worker};
use std::net::IpAddr;
use std::sync::Arc;

/// What TCP sends at once, before anything is acknowledged, in bytes (RFC 6928: ten segments), less a head.
const INITIAL_WINDOW: u64 = 12 * 1024;

/// What is answered: a request, or what came in the place of one.
pub(super) struct Exchange<'a> {
    /// The client, if it has an address.
    pub peer: Option<IpAddr>,
    /// `None` if it could not be understood.
    pub request: Option<&'a Request<'a>>,
    /// Its head, or as much of it as has come.
    pub head: &'a [u8],
    /// When its first byte came.
    pub since: Moment,
    /// It and its body have been read to their end: what comes next is another request.
    pub is_read: bool,
}

impl HttpContext {
    /// Puts out an answer, and returns the state in which the conversation is then.
    pub(super) fn put_response(
        &self,
        mut response: Response,
        exchange: &Exchange<'_>,
        cx: &mut Context<'_>,
    ) -> State {
        if let Some(request) = exchange.request {
            response.fit_client(request);
        }
        let is_head = exchange.head.starts_with(b"HEAD ");
        let bytes = if is_head { 0 } else { response.length };
        let end = exchange.end(&response, bytes, cx.worker);
        let version = exchange.request.map(|request| request.version);
        response.put_head(version, end.is_none(), &self.fields, cx);
        cx.worker.counters.requests += 1;
        let record = (!self.log.is_off()).then(|| AccessRecord {
            peer: exchange.peer,
            date: cx.worker.time.log_date(),
            wall: cx.worker.time.wall(),
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

impl<'a> Exchange<'a> {
    /// What could not be understood.
    pub fn unparsed(peer: Option<IpAddr>, head: &'a [u8], since: Moment) -> Exchange<'a> {
        Exchange {
            peer,
            request: None,
            head,
            since,
            is_read: false,
        }
    }

    /// How the conversation ends after this answer, of which so many bytes are sent. `None` if it goes on.
    fn end(&self, response: &Response, bytes: u64, worker: &Worker) -> Option<Wait> {
        let keep_alive = self.request.is_some_and(|request| request.keep_alive);
        if keep_alive && self.is_read && !worker.closes_after_response() && !response.is_endless() {
            return None;
        }
        // Whatever arrives after we have closed destroys what the client has not read by then. A short answer is with it
        // before it can say anything more; and a client that asked for the end says nothing more (RFC 9112 section 9.6),
        // at least not while an answer of moderate length is on its way.
        // While others wait for its place, no client is given the time to send more without having read.
        let is_last = worker.crowded || (self.request.is_some() && !keep_alive);
        let is_short = bytes == 0 || response.is_short() || (is_last && bytes <= INITIAL_WINDOW);
        Some(match self.is_read && is_short {
            true => Wait::Close,
            false => Wait::Linger,
        })
    }
}
