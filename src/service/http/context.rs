//! What all sessions of one http service share, whatever they are about.

use super::access_log_writer::AccessLogWriter;
use super::fields::ConfiguredFields;
use super::handler::Handler;
use super::head::HEAD_AND_STATUS_TEXT;
use super::response::Response;
use crate::config::Config;
use crate::http1::StatusCode;
use crate::session::Time;

/// A handler, and what its conversations must keep to.
pub(super) struct HttpContext {
    pub handler: Box<dyn Handler>,
    pub max_head: usize,
    pub max_body: u64,
    pub fields: ConfiguredFields,
    pub log: AccessLogWriter,
    /// What any answer fits in that has neither a location nor fields of its own, in bytes.
    pub response_room: usize,
}

impl HttpContext {
    pub fn new(handler: Box<dyn Handler>, config: &Config) -> HttpContext {
        let fields = ConfiguredFields::new(&config.http);
        HttpContext {
            handler,
            max_head: config.http.max_head,
            max_body: config.http.max_body,
            response_room: HEAD_AND_STATUS_TEXT + fields.room,
            fields,
            log: AccessLogWriter::new(config.access_log),
        }
    }

    /// The answer to a request that is refused before the handler has seen it.
    pub fn error_response(&self, status: StatusCode, time: &Time) -> Response {
        let response = self.handler.error_response(status, time);
        // There is no request that could wait for an answer or watch a stream.
        match response.is_complete() && !response.is_endless() {
            true => response,
            false => Response::status_text(status),
        }
    }
}
