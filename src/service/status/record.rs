//! The button that records the next two seconds.
//!
//! A press is a POST with the page's token, which no other site can know or send. The recording is
//! made on a thread that may wait, or on the client's own thread; no loop waits for it.

use crate::http1::{Method, Request, StatusCode};
use crate::observe::{RecordingPermit, recording_facts};
use crate::offload::RECORDINGS;
use crate::service::http::Response;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

/// The field with the token.
const TOKEN: &str = "x-evserve-token";

/// The response where the model cannot be recorded from here.
pub const IMPOSSIBLE: &str = "This model serves each connection in a process of its own, so the status cannot record. \
                              Start the server with --record instead.\n";

/// What the button does, where the model can be recorded.
pub struct Recorder {
    /// What the page sends to show that it is the page.
    pub token: String,
    model: &'static str,
    workers: usize,
    /// The most events of a recording.
    events: usize,
}

impl Recorder {
    /// A recorder with a new token.
    pub fn new(model: &'static str, workers: usize, events: usize) -> Recorder {
        let mut token = String::new();
        for number in 0..2 {
            // A SipHash whose key comes from the kernel's random numbers.
            let random = RandomState::new().hash_one(number);
            let _ = write!(token, "{random:016x}");
        }
        Recorder {
            token,
            model,
            workers,
            events,
        }
    }

    /// Answers a press of the button, after the recording. `finish` adds what every response has.
    pub fn respond(&self, request: &Request<'_>, finish: fn(Response) -> Response) -> Response {
        if request.method != Method::Post {
            return Response::only("POST");
        }
        if !is_same_origin(request) || !self.knows(request.field(TOKEN)) {
            return refuse(
                StatusCode::FORBIDDEN,
                "Only the button of this server's status page can record. Load the page again if the server was restarted.\n",
            );
        }
        let Some(permit) = RecordingPermit::take() else {
            return refuse(
                StatusCode::CONFLICT,
                "A recording is under way. Try again in two seconds.\n",
            );
        };
        let (events, name) = (self.events, format!("evserve-{}.evrec", self.model));
        let facts = recording_facts(self.model, self.workers);
        Response::slow(RECORDINGS, move || {
            finish(match permit.record(events, facts) {
                Ok(file) => Response::bytes("application/octet-stream", file).header(
                    "Content-Disposition",
                    &format!("attachment; filename=\"{name}\""),
                ),
                Err(error) => refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("There is no memory for a recording: {error}\n"),
                ),
            })
        })
    }

    /// Compares all bytes, so that the time says nothing about how many are right.
    fn knows(&self, token: Option<&[u8]>) -> bool {
        let (right, token) = (self.token.as_bytes(), token.unwrap_or_default());
        let pairs = right.iter().zip(token);
        right.len() == token.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// False if a browser says that a page of another origin makes the request (Fetch Metadata, and
/// RFC 6454 section 7.3).
fn is_same_origin(request: &Request<'_>) -> bool {
    let site = request.field("sec-fetch-site");
    let is_foreign = |origin: &[u8]| {
        let schemes = [&b"http://"[..], b"https://"];
        let mut hosts = schemes.iter().filter_map(|one| origin.strip_prefix(*one));
        !hosts.any(|host| request.host == Some(host))
    };
    site.is_none_or(|site| site == b"same-origin")
        && !request.field("origin").is_some_and(is_foreign)
}

fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    Response::text(why).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_compared_as_a_whole() {
        let [one, other] = [(); 2].map(|()| Recorder::new("epoll", 1, 64));
        assert_eq!(one.token.len(), 32);
        assert_ne!(one.token, other.token);
        assert!(one.knows(Some(one.token.as_bytes())));
        for wrong in [None, Some(&b""[..]), Some(&one.token.as_bytes()[1..])] {
            assert!(!one.knows(wrong));
        }
        assert!(!one.knows(Some(other.token.as_bytes())));
    }

    #[test]
    fn a_page_of_another_origin_is_told_apart() {
        for (fields, is_same) in [
            ("", true),
            ("Origin: http://h:1\r\n", true),
            (
                "Origin: https://h:1\r\nSec-Fetch-Site: same-origin\r\n",
                true,
            ),
            ("Origin: http://h\r\n", false),
            ("Origin: http://evil.example\r\n", false),
            ("Origin: null\r\n", false),
            ("Sec-Fetch-Site: same-site\r\n", false),
            ("Sec-Fetch-Site: cross-site\r\n", false),
        ] {
            let head = format!("POST /record HTTP/1.1\r\nHost: h:1\r\n{fields}\r\n");
            let request = Request::parse(head.as_bytes()).expect("a request");
            assert_eq!(is_same_origin(&request), is_same, "{fields}");
        }
    }
}
