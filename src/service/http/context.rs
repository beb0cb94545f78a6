//! What all sessions of one http service share, whatever they are about.

use super::answer::{ANSWER_ROOM, Answer};
use super::response::{Handler, Outcome};
use crate::config::{AccessLog, Config};
use crate::http1::{SERVER, StatusCode, before_date};
use crate::session::{Moment, Time};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many log lines are kept for the next who needs one, and how long they may be, in bytes.
const SPARE_LINES: usize = 64;
const SPARE_LINE: usize = 1024;

/// A handler, and what its conversations must keep to.
pub(super) struct HttpContext {
    pub handler: Box<dyn Handler>,
    pub max_head: usize,
    pub max_body: u64,
    /// The lines to add to answers that bring none of their own.
    pub headers: String,
    /// What the program calls itself, as [`before_date`] writes it.
    pub before_date: String,
    /// Pages that the server makes have its own Content-Security-Policy: the lines to add have none.
    pub adds_policy: bool,
    pub access_log: AccessLog,
    /// What any answer fits in that has neither a location nor fields of its own.
    pub answer_room: usize,
    /// Log lines that nobody needs at the moment.
    lines: Mutex<SpareLines>,
}

#[allow(
    clippy::vec_box,
    reason = "what is kept small is the session that holds a box"
)]
type SpareLines = Vec<Box<Unlogged>>;

/// The log line of an answer whose body is on its way: it waits for the number of bytes.
#[derive(Default)]
pub(super) struct Unlogged {
    /// The line without that number and without its end.
    pub text: Vec<u8>,
    /// Where the number belongs.
    pub begin: usize,
    /// The number, if all is sent.
    pub length: u64,
    /// How long the request had taken when the line was kept.
    pub taken: Duration,
    /// When that was.
    pub at: Moment,
}

impl HttpContext {
    pub fn new(handler: Box<dyn Handler>, config: &Config) -> HttpContext {
        let http = &config.http;
        let cache_control = http.cache_control.as_ref();
        let cache_control =
            cache_control.map_or(0, |value| "Cache-Control: \r\n".len() + value.len());
        let server = http.server.as_deref().unwrap_or(SERVER);
        let mut names = http
            .headers
            .lines()
            .filter_map(|line| line.split(':').next());
        HttpContext {
            handler,
            max_head: http.max_head,
            max_body: http.max_body,
            answer_room: ANSWER_ROOM + http.headers.len() + server.len() + cache_control,
            headers: http.headers.clone(),
            before_date: before_date(server),
            adds_policy: !names.any(|name| name.eq_ignore_ascii_case("content-security-policy")),
            access_log: config.access_log,
            lines: Mutex::default(),
        }
    }

    /// The answer to a request that is refused before anybody has looked what it is about.
    pub fn refusal(&self, status: StatusCode, time: &Time) -> Answer {
        match self.handler.refusal(status, time).0 {
            Outcome::Answer(answer) => answer,
            // Whoever refuses does not begin to work.
            Outcome::Later(_) | Outcome::Elsewhere(_) | Outcome::Stream(..) => {
                Answer::plain(status)
            }
        }
    }

    /// An empty line, one that has been used before if there is any.
    pub fn spare_line(&self) -> Box<Unlogged> {
        self.spare_lines().pop().unwrap_or_default()
    }

    /// Takes a line back that has been written out.
    pub fn take_back(&self, mut line: Box<Unlogged>) {
        line.text.clear();
        line.text.shrink_to(SPARE_LINE);
        let mut lines = self.spare_lines();
        if lines.len() < SPARE_LINES {
            lines.push(line);
        }
    }

    fn spare_lines(&self) -> MutexGuard<'_, SpareLines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
