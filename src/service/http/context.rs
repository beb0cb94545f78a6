//! What all sessions of one http service share.

use super::access::Guard;
use super::access_log_writer::AccessLogWriter;
use super::fields::ConfiguredFields;
use super::handler::Handler;
use super::head::HEAD_AND_STATUS_TEXT;
use super::response::Response;
use crate::config::Config;
use crate::http1::StatusCode;
use crate::session::Time;

/// A handler and the limits of its sessions.
pub(super) struct HttpContext {
    pub handler: Box<dyn Handler>,
    /// Asks for a password. `None`: everybody may.
    pub guard: Option<Guard>,
    pub max_head: usize,
    pub max_body: u64,
    pub fields: ConfiguredFields,
    pub log: AccessLogWriter,
    /// The room that a response needs at most, in bytes, if it has neither a location nor added
    /// fields.
    pub response_room: usize,
}

impl HttpContext {
    pub fn new(handler: Box<dyn Handler>, config: &Config) -> HttpContext {
        let fields = ConfiguredFields::new(&config.http);
        let gate = config.http.gate.clone();
        HttpContext {
            guard: gate.map(|gate| Guard::new(gate, handler.open_requests())),
            handler,
            max_head: config.http.max_head,
            max_body: config.http.max_body,
            response_room: HEAD_AND_STATUS_TEXT + fields.room,
            fields,
            log: AccessLogWriter::new(config.access_log),
        }
    }

    /// The response to a request that is refused before the handler sees it.
    pub fn error_response(&self, status: StatusCode, time: &Time) -> Response {
        // An error page may be a file. Nobody has shown yet who asks.
        if self.guard.is_some() {
            return Response::status_text(status);
        }
        let response = self.handler.error_response(status, time);
        // A deferred or streamed response needs a request. There is none here.
        match response.is_complete() && !response.is_endless() {
            true => response,
            false => Response::status_text(status),
        }
    }
}
