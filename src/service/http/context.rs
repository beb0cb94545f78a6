//! What all sessions of one http service share, whatever they are about.

use super::fields::Fields;
use super::handler::Handler;
use super::head::HEAD_AND_PHRASE;
use super::log_line::LineWriter;
use super::response::Response;
use crate::config::Config;
use crate::http1::StatusCode;
use crate::session::Time;

/// A handler, and what its conversations must keep to.
pub(super) struct HttpContext {
    pub handler: Box<dyn Handler>,
    pub max_head: usize,
    pub max_body: u64,
    pub fields: Fields,
    pub log: LineWriter,
    /// What any answer fits in that has neither a location nor fields of its own, in bytes.
    pub answer_room: usize,
}

impl HttpContext {
    pub fn new(handler: Box<dyn Handler>, config: &Config) -> HttpContext {
        let fields = Fields::new(&config.http);
        HttpContext {
            handler,
            max_head: config.http.max_head,
            max_body: config.http.max_body,
            answer_room: HEAD_AND_PHRASE + fields.room,
            fields,
            log: LineWriter::new(config.access_log),
        }
    }

    /// The answer to a request that is refused before the handler has seen it.
    pub fn refusal(&self, status: StatusCode, time: &Time) -> Response {
        let response = self.handler.refusal(status, time);
        // There is no request that could wait for an answer or watch a stream.
        match response.is_complete() && !response.is_endless() {
            true => response,
            false => Response::phrase(status),
        }
    }
}
