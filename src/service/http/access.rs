//! Asks for a user and a password (HTTP Basic, RFC 7617) before the handler sees a request.

use super::handler::OpenRequests;
use super::response::Response;
use crate::auth::{Credentials, Gate, Outcome};
use crate::http1::{Method, Request, StatusCode, field_lines};
use crate::observe::throttled;
use std::sync::Arc;

/// What asks for credentials. No cache keeps it, not even one that is told to keep everything.
const CHALLENGE: &[u8] = b"WWW-Authenticate: Basic realm=\"evserve\", charset=\"UTF-8\"\r\n\
    Cache-Control: no-store\r\n";

/// Guards a handler.
pub(super) struct Guard {
    pub gate: Arc<Gate>,
    open: OpenRequests,
}

/// What is known of a request's user.
pub(super) enum Judgement {
    /// The user may, or everybody.
    Allowed,
    /// No usable credentials.
    Refused,
    /// These must be checked.
    Unproven(Credentials),
}

impl Guard {
    pub fn new(gate: Arc<Gate>, open: OpenRequests) -> Guard {
        Guard { gate, open }
    }

    /// Judges a request without waiting.
    pub fn judge(&self, request: &Request<'_>, head: &[u8]) -> Judgement {
        if self.is_open(request, head) {
            return Judgement::Allowed;
        }
        match credentials(head) {
            None => Judgement::Refused,
            Some(credentials) if self.gate.knows(&credentials) => Judgement::Allowed,
            Some(credentials) => Judgement::Unproven(credentials),
        }
    }

    /// The name of the user of a request that was allowed.
    pub fn user(&self, request: &Request<'_>, head: &[u8]) -> Option<Vec<u8>> {
        let is_open = self.is_open(request, head);
        let credentials = credentials(head).filter(|_| !is_open)?;
        Some(credentials.user().into())
    }

    /// The response to a request whose user may not.
    pub fn refusal(&self, outcome: Outcome) -> Response {
        match outcome {
            Outcome::Wrong | Outcome::Right => {
                Response::status_text(StatusCode::UNAUTHORIZED).with_line(CHALLENGE)
            }
            Outcome::TooMany(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let lines = format!("Retry-After: {seconds}\r\nCache-Control: no-store\r\n");
                Response::status_text(StatusCode::TOO_MANY_REQUESTS).with_line(lines.as_bytes())
            }
            Outcome::Unknown | Outcome::NoMemory => {
                let why = match outcome {
                    Outcome::NoMemory => "there is not enough memory",
                    _ => "the file of users cannot be read",
                };
                throttled!(Warn, "cannot check a password: {why}; its client gets 503");
                Response::status_text(StatusCode::SERVICE_UNAVAILABLE)
                    .with_line(b"Retry-After: 1\r\n")
            }
        }
    }

    /// True for what everybody may ask.
    fn is_open(&self, request: &Request<'_>, head: &[u8]) -> bool {
        match self.open {
            OpenRequests::None => false,
            OpenRequests::Path(path) => request.target.path == path,
            OpenRequests::Preflights => {
                let has = |name| field_lines(head, name).next().is_some();
                request.method == Method::Options
                    && has("origin")
                    && has("access-control-request-method")
            }
        }
    }
}

/// The credentials in a head. A second Authorization field makes both useless: it is not a list.
fn credentials(head: &[u8]) -> Option<Credentials> {
    let mut lines = field_lines(head, "authorization");
    let only = lines.next().filter(|_| lines.next().is_none())?;
    Credentials::basic(only)
}
