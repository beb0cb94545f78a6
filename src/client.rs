//! A session that gets files over HTTP/1.1: the client's side of `service::http`.
//!
//! An [`HttpClient`] sends one request after the other on its connection, as long as the server
//! keeps it and there is something to get. What to get and what becomes of it is up to an
//! [`Exchanges`]. As every session it does no I/O, so a model runs it, such as
//! [`ClientLoop`](crate::model::ClientLoop).
//!
//! Whatever comes from the server is bounded: the head by [`MAX_HEAD`](crate::http1::MAX_HEAD), the
//! content by the caller, interim responses by [`MAX_INTERIM`], the time by the model.

use crate::http1::{BodyReader, HeadEnd, MAX_TARGET, ReceivedHead, ResponseError, StatusCode};
use crate::session::{Context, Session, Timeout, Wait};
use std::fmt;
use std::io;

/// The most interim responses (1xx) before the final one.
pub const MAX_INTERIM: u32 = 16;

/// The longest host with its port, in bytes.
const MAX_HOST: usize = 270;

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    host: String,
    target: String,
}

impl Get {
    /// Gets `target`, a path with an optional query, from `host`, with its port unless that is 80.
    /// `None` if one of them is too long, or has characters that a request must not have there: only
    /// visible ASCII is allowed.
    pub fn new(host: &str, target: &str) -> Option<Get> {
        let is_visible =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let is_short = host.len() <= MAX_HOST && target.len() <= MAX_TARGET;
        let is_valid = is_visible(host) && is_visible(target) && target.starts_with('/');
        (is_short && is_valid).then(|| Get {
            host: host.into(),
            target: target.into(),
        })
    }

    fn head(&self) -> String {
        let Get { host, target } = self;
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evserve/{version}\r\nAccept: */*\r\n\r\n"
        )
    }
}

/// The exchanges of one connection: what it requests, and what becomes of the responses.
///
/// For each request there is one call to [`complete`](Exchanges::complete) or to
/// [`failed`](Exchanges::failed), its last. After a failure the connection ends.
pub trait Exchanges: Send {
    /// The next request. `None` ends the connection. Called when the connection begins, even if it
    /// could not be made, and after each response if the server keeps the connection.
    fn request(&mut self) -> Option<Get>;

    /// The head of the final response.
    fn head(&mut self, head: &ReceivedHead<'_>);

    /// A piece of the content.
    ///
    /// # Errors
    /// If it cannot be taken. The exchange has then [failed](Exchanges::failed).
    fn content(&mut self, piece: &[u8]) -> io::Result<()>;

    /// The response has come as a whole.
    fn complete(&mut self);

    /// The exchange has failed.
    fn failed(&mut self, failure: Failure);
}

/// How an exchange has failed. Its text is for the user.
#[derive(Debug)]
pub struct Failure {
    /// How far it had come.
    pub stage: Stage,
    /// What happened then.
    pub cause: Cause,
    /// It was not the first exchange of its connection.
    pub reused: bool,
}

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request was not sent, not even in part: most often there is no connection.
    Connecting,
    /// The request was sent, at least in part. Nothing has come.
    Waiting,
    /// A part of the head has come.
    Head,
    /// The head has come, and `received` bytes of the content, of `expected` if that is known.
    Content {
        /// How many bytes of content have come.
        received: u64,
        /// How many the head has announced.
        expected: Option<u64>,
    },
}

/// What ended an exchange early.
#[derive(Debug)]
pub enum Cause {
    /// The server closed the connection.
    Closed,
    /// A call on the connection failed, or took too long.
    Broken(io::Error),
    /// The response is malformed.
    Malformed(ResponseError),
    /// The content could not be taken.
    NotTaken(io::Error),
}

impl Failure {
    /// True if the server may have closed the connection before it saw the request: it was kept
    /// from an earlier exchange, and nothing came. The request may be sent again on another
    /// connection (RFC 9112 section 9.3.1).
    pub fn may_be_repeated(&self) -> bool {
        let is_cut_off = matches!(self.cause, Cause::Closed | Cause::Broken(_));
        let is_unanswered = matches!(self.stage, Stage::Connecting | Stage::Waiting);
        self.reused && is_unanswered && is_cut_off && !self.is_timeout()
    }

    /// True if it took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(&self.cause, Cause::Broken(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Closed => f.write_str("the server closed the connection")?,
            Cause::Broken(error) | Cause::NotTaken(error) => write!(f, "{error}")?,
            Cause::Malformed(error) => write!(f, "{error}")?,
        }
        match self.stage {
            Stage::Connecting => f.write_str(", while connecting"),
            Stage::Waiting => f.write_str(", before the response"),
            Stage::Head => f.write_str(", in the head of the response"),
            Stage::Content { received, expected } => match expected {
                Some(expected) => write!(f, ", after {received} of {expected} bytes"),
                None => write!(f, ", after {received} bytes"),
            },
        }
    }
}

/// Gets one thing after the other over a connection.
pub struct HttpClient<E> {
    exchanges: E,
    /// The most bytes of content of a response.
    max_content: u64,
    state: State,
    /// How many exchanges have begun.
    begun: u32,
}

enum State {
    /// Before the first request, or between two.
    Ready,
    Awaiting {
        end: HeadEnd,
        interim: u32,
        stage: Stage,
    },
    Content {
        /// `None`: until the server closes.
        body: Option<BodyReader>,
        received: u64,
        expected: Option<u64>,
        keep_alive: bool,
    },
    Over,
}

impl<E: Exchanges> HttpClient<E> {
    /// A session for a new connection. A response with more than `max_content` bytes of content is
    /// refused.
    pub fn new(exchanges: E, max_content: u64) -> HttpClient<E> {
        HttpClient {
            exchanges,
            max_content,
            state: State::Ready,
            begun: 0,
        }
    }

    /// Sends the next request, or ends.
    fn begin(&mut self, cx: &mut Context<'_>) {
        self.state = State::Over;
        if let Some(get) = self.exchanges.request() {
            cx.put(get.head().as_bytes());
            self.begun = self.begun.saturating_add(1);
            self.state = State::Awaiting {
                end: HeadEnd::default(),
                interim: 0,
                stage: Stage::Connecting,
            };
        }
    }

    /// Ends the exchange under way, if there is one, and the connection.
    fn fail(&mut self, cause: Cause) {
        let stage = match std::mem::replace(&mut self.state, State::Over) {
            State::Ready | State::Over => return,
            State::Awaiting { stage, .. } => stage,
            State::Content {
                received, expected, ..
            } => Stage::Content { received, expected },
        };
        self.exchanges.failed(Failure {
            stage,
            cause,
            reused: self.begun > 1,
        });
    }

    /// Reads a head at the front of `input`. Returns how many bytes it has.
    fn read_head(&mut self, input: &[u8], cx: &mut Context<'_>) -> Result<usize, ResponseError> {
        let State::Awaiting {
            end,
            interim,
            stage,
        } = &mut self.state
        else {
            return Ok(0);
        };
        *stage = Stage::Head;
        let Some(length) = ReceivedHead::find_end(end, input)? else {
            return Ok(0);
        };
        let head = ReceivedHead::parse(&input[..length])?;
        if head.is_interim() {
            *interim += 1;
            // Only a client that asks for it gets 101.
            if *interim > MAX_INTERIM || head.status == 101 {
                return Err(ResponseError::UnexpectedInterim);
            }
            return Ok(length);
        }
        let body = head.body.reader(self.max_content)?;
        self.state = State::Content {
            body,
            received: 0,
            expected: head.body.length(),
            keep_alive: head.keep_alive,
        };
        self.exchanges.head(&head);
        self.end_if_complete(&input[length..], cx)?;
        Ok(length)
    }

    /// Passes on the content at the front of `input`. Returns how many bytes of it belong to the
    /// body.
    fn read_content(&mut self, input: &[u8], cx: &mut Context<'_>) -> Result<usize, Cause> {
        let State::Content { body, received, .. } = &mut self.state else {
            return Ok(0);
        };
        let (exchanges, most) = (&mut self.exchanges, self.max_content);
        let mut result = Ok(());
        let mut pass_on = |piece: &[u8]| {
            *received += piece.len() as u64;
            if result.is_ok() {
                result = exchanges.content(piece);
            }
        };
        let taken = match body {
            Some(body) => body.take_content(input, pass_on),
            None => {
                pass_on(input);
                Ok(input.len())
            }
        };
        let is_too_long = body.is_none() && *received > most;
        result.map_err(Cause::NotTaken)?;
        let taken = taken.map_err(|status| Cause::Malformed(body_error(status)))?;
        if is_too_long {
            return Err(Cause::Malformed(ResponseError::TooLong));
        }
        self.end_if_complete(&input[taken..], cx)
            .map_err(Cause::Malformed)?;
        Ok(taken)
    }

    /// Ends the exchange if the body has ended, and begins the next one. `rest` is what has come
    /// behind the body: as no further request is under way, nothing may.
    fn end_if_complete(&mut self, rest: &[u8], cx: &mut Context<'_>) -> Result<(), ResponseError> {
        let State::Content {
            body: Some(body),
            keep_alive,
            ..
        } = &self.state
        else {
            return Ok(());
        };
        if !body.is_done() {
            return Ok(());
        }
        if !rest.is_empty() {
            return Err(ResponseError::Excess);
        }
        let keep_alive = *keep_alive;
        self.state = State::Over;
        self.exchanges.complete();
        if keep_alive {
            self.begin(cx);
        }
        Ok(())
    }
}

impl<E: Exchanges> Session for HttpClient<E> {
    fn open(&mut self, cx: &mut Context<'_>) {
        self.begin(cx);
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let taken = match self.state {
            State::Ready | State::Over => return input.len(),
            State::Awaiting { .. } => self.read_head(input, cx).map_err(Cause::Malformed),
            State::Content { .. } => self.read_content(input, cx),
        };
        taken.unwrap_or_else(|cause| {
            self.fail(cause);
            input.len()
        })
    }

    fn sent(&mut self, _: &mut Context<'_>) {
        if let State::Awaiting { stage, .. } = &mut self.state
            && *stage == Stage::Connecting
        {
            *stage = Stage::Waiting;
        }
    }

    fn end_of_input(&mut self, _: &mut Context<'_>) {
        if let State::Content { body: None, .. } = self.state {
            self.state = State::Over;
            self.exchanges.complete();
        }
        self.fail(Cause::Closed);
    }

    fn timed_out(&mut self, wait: Timeout, _: &mut Context<'_>) {
        let what = match wait {
            Timeout::Head => "the server takes too long",
            Timeout::Body => "less than 4 KiB came in the time allowed",
            _ => "the server does not take the request",
        };
        let error = io::Error::new(io::ErrorKind::TimedOut, what);
        self.fail(Cause::Broken(error));
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        self.fail(match cx.worker.failure.take() {
            Some(error) => Cause::Broken(error),
            None => Cause::Closed,
        });
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            State::Ready | State::Awaiting { .. } => Wait::Bytes(Timeout::Head),
            State::Content { .. } => Wait::Bytes(Timeout::Body),
            // The server has nothing more to say, or nothing that matters.
            State::Over => Wait::Abort,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Ready => "ready",
            State::Awaiting { .. } => "awaiting response",
            State::Content { .. } => "receiving content",
            State::Over => "over",
        }
    }
}

/// The reader of bodies says what a server would answer.
fn body_error(status: StatusCode) -> ResponseError {
    match status {
        StatusCode::CONTENT_TOO_LARGE => ResponseError::TooLong,
        _ => ResponseError::MalformedChunks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Action, Connection, Piece, Time, Worker};
    use std::sync::{Arc, Mutex};
    use std::time::{Instant, SystemTime};

    /// What came of the exchanges, in words.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<String>>);

    impl Recorder {
        fn add(&self, text: &str) {
            self.0.lock().expect("no panic").push_str(text);
        }
    }

    impl Exchanges for Recorder {
        fn request(&mut self) -> Option<Get> {
            self.add("?");
            let is_over = self.0.lock().expect("no panic").matches('?').count() > 2;
            (!is_over).then(|| Get::new("h", "/").expect("valid"))
        }

        fn head(&mut self, head: &ReceivedHead<'_>) {
            self.add(&format!("{} ", head.status));
        }

        fn content(&mut self, piece: &[u8]) -> io::Result<()> {
            self.add(&String::from_utf8_lossy(piece));
            match piece {
                b"full" => Err(io::Error::other("the disk is full")),
                _ => Ok(()),
            }
        }

        fn complete(&mut self) {
            self.add(". ");
        }

        fn failed(&mut self, failure: Failure) {
            self.add(&format!("! {failure}"));
        }
    }

    /// What becomes of this input, in pieces of `step` bytes, after which the server closes.
    fn play(input: &str, step: usize) -> String {
        let recorder = Recorder::default();
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let session: Box<dyn Session> = Box::new(HttpClient::new(recorder.clone(), 20));
        let mut connection = Connection::open(session, 0, &mut worker);
        let mut pieces = input.as_bytes().chunks(step);
        loop {
            match connection.next() {
                Action::Send => {
                    let Piece::Bytes { bytes, .. } = connection.front() else {
                        panic!("a file");
                    };
                    connection.sent(bytes.len(), &mut worker);
                }
                Action::Receive => match pieces.next() {
                    Some(piece) => connection.received(piece, &mut worker),
                    None => connection.input_ended(&mut worker),
                },
                _ => break,
            }
        }
        connection.close(&mut worker);
        connection.release(&mut worker);
        assert_eq!(worker.pool.lent(), 0);
        recorder.0.lock().expect("no panic").clone()
    }

    #[test]
    fn responses_at_every_split() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let sized = format!("{ok}Content-Length: 3\r\n\r\nabc");
        let empty = format!("{ok}Content-Length: 0\r\n\r\n");
        let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let cases = [
            (
                sized,
                "?200 abc. ?! the server closed the connection, before the response",
            ),
            (
                empty,
                "?200 . ?! the server closed the connection, before the response",
            ),
            (
                chunked,
                "?200 abc. ?! the server closed the connection, before the response",
            ),
            (format!("{ok}\r\nabc"), "?200 abc. "),
            (
                format!("{ok}Connection: close\r\nContent-Length: 3\r\n\r\nabc"),
                "?200 abc. ",
            ),
            (
                format!("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n{ok}\r\nabc"),
                "?200 abc. ",
            ),
            (
                format!("{ok}Content-Length: 4\r\n\r\nabc"),
                "?200 abc! the server closed the connection, after 3 of 4 bytes",
            ),
            (
                format!("{ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
                "?200 abc! the server closed the connection, after 3 bytes",
            ),
            (
                ok.into(),
                "?! the server closed the connection, in the head of the response",
            ),
            (
                format!("{ok}Content-Length: 21\r\n\r\n"),
                "?! the content is longer than allowed, in the head of the response",
            ),
            (
                "SSH-2.0-x\r\n".into(),
                "?! what came is not a response of HTTP/1.1 or 1.0, in the head of the response",
            ),
            (
                "HTTP/1.1 101 x\r\n\r\n".into(),
                "?! an interim response that was not asked for, or too many of them, \
                 in the head of the response",
            ),
        ];
        for (input, expected) in cases {
            for step in 1..=input.len() {
                assert_eq!(play(&input, step), expected, "{input:?} in steps of {step}");
            }
        }
        let interim = "HTTP/1.1 100 x\r\n\r\n".repeat(MAX_INTERIM as usize + 1);
        assert!(play(&interim, 1).contains("too many of them"));
    }

    /// How much of it is passed on before depends on how it is split.
    #[test]
    fn responses_that_are_refused_on_the_way() {
        let ok = "HTTP/1.1 200 OK\r\n";
        for (input, expected) in [
            (format!("{ok}Content-Length: 3\r\n\r\nabcd"), "3 of 3 bytes"),
            (
                format!("{ok}\r\n{}", "x".repeat(21)),
                "content is longer than allowed",
            ),
            (
                format!("{ok}Transfer-Encoding: chunked\r\n\r\n15\r\n"),
                "longer than allowed",
            ),
            (
                format!("{ok}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
                "chunks are malformed",
            ),
            (
                format!("{ok}Content-Length: 9\r\n\r\nfull"),
                "the disk is full, after 4 of 9",
            ),
        ] {
            let found = play(&input, input.len());
            assert!(found.contains(expected), "{input:?}: {found}");
        }
    }

    /// Only a request that may not have been seen is worth another try.
    #[test]
    fn what_may_be_repeated() {
        let failure = |stage, cause, reused| Failure {
            stage,
            cause,
            reused,
        };
        let broken = |kind: io::ErrorKind| Cause::Broken(kind.into());
        for (expected, failure) in [
            (true, failure(Stage::Waiting, Cause::Closed, true)),
            (
                true,
                failure(Stage::Connecting, broken(io::ErrorKind::BrokenPipe), true),
            ),
            (false, failure(Stage::Waiting, Cause::Closed, false)),
            (false, failure(Stage::Head, Cause::Closed, true)),
            (
                false,
                failure(Stage::Waiting, broken(io::ErrorKind::TimedOut), true),
            ),
        ] {
            assert_eq!(failure.may_be_repeated(), expected, "{failure:?}");
        }
    }

    #[test]
    fn requests_cannot_be_split() {
        assert!(Get::new("h:80", "/a?b").is_some());
        for (host, target) in [
            ("h", "a"),
            ("h", ""),
            ("", "/"),
            ("h", "/ x"),
            ("h\r", "/"),
            ("h", "/\n"),
        ] {
            assert!(Get::new(host, target).is_none(), "{host:?} {target:?}");
        }
        let long = format!("/{}", "x".repeat(MAX_TARGET));
        assert!(Get::new("h", &long).is_none());
    }
}
