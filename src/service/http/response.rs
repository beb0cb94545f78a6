//! What a program says to a request: the public face of an answer.

use super::answer::Answer;
use crate::config::MAX_HEADERS;
use crate::files::regular_file_length;
use crate::http1::{Request, StatusCode, is_own_field, is_token};
use crate::observe::throttled;
use crate::session::{Mailbox, Time};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

/// Says what to answer to requests; shared by all threads that serve it.
///
/// ```
/// use evserve::http1::{Request, StatusCode};
/// use evserve::service::http::{Handler, Response};
/// use evserve::session::Time;
///
/// struct Hello;
///
/// impl Handler for Hello {
///     fn answer(&self, request: &Request<'_>, _: &Time) -> Response {
///         match request.target.path {
///             b"/" => Response::text("Hello!\n").header("X-Greeting", "yes"),
///             _ => Response::status(StatusCode::NOT_FOUND),
///         }
///     }
/// }
/// ```
pub trait Handler: Send + Sync {
    /// The answer to a request. Its body, if it had one, has been read and dropped. A HEAD request is answered like a
    /// GET; the content is left out later. This is called between others' turns, so it must not wait for anything.
    fn answer(&self, request: &Request<'_>, time: &Time) -> Response;

    /// The answer to what could not be understood, came too slowly or was too long.
    fn refusal(&self, status: StatusCode, _time: &Time) -> Response {
        Response::status(status)
    }

    /// What it is called, in a word for the log.
    fn name(&self) -> &str {
        "http"
    }

    /// What is served, in a few words for the log.
    fn about(&self) -> String {
        "a program's answers".into()
    }

    /// See [`Service::notifier`](crate::service::Service::notifier).
    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// See [`Service::notified`](crate::service::Service::notified).
    fn notified(&self) {}

    /// See [`Service::directories`](crate::service::Service::directories).
    fn directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// See [`Service::is_ready`](crate::service::Service::is_ready).
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }
}

/// An answer.
pub struct Response(pub(super) Outcome);

pub(super) enum Outcome {
    Answer(Answer),
    /// The answer is yet to be made.
    Later(Box<dyn Task>),
    /// What the answer is can be known only where one may wait for a file system.
    Elsewhere(LookUp),
    /// The answer begins, and then it is what others say.
    Stream(Answer, StreamStart),
}

/// Takes the mailbox that a stream's content is to be left in.
pub(super) type StreamStart = Box<dyn FnOnce(Arc<Mailbox>) + Send>;

/// A look-up that may wait for a file system.
pub(super) struct LookUp {
    /// A number for the mount that it may wait for.
    pub mount: u64,
    /// Looks up the same request once more.
    pub look: Box<dyn FnOnce(&Request<'_>, &Time) -> Outcome + Send>,
}

/// An answer that takes longer to make than others should wait.
pub(super) trait Task: Send {
    /// A number for the mount that the next step may wait for, if it can hang: then it must be done where one may wait.
    fn mount(&self) -> Option<u64>;

    /// Does at most so much work, which is taken off; the answer, once it is there, or the status to refuse with. It is not
    /// called again after that.
    fn step(&mut self, work: &mut usize) -> Option<Result<Answer, StatusCode>>;
}

impl Response {
    /// A status in words; nothing but the status if that is 304.
    pub fn status(status: StatusCode) -> Response {
        Response(Outcome::Answer(Answer::plain(status))).with_status(status)
    }

    /// What can be done with anything here, for OPTIONS: GET, HEAD and OPTIONS.
    pub fn options() -> Response {
        Response(Outcome::Answer(Answer::options()))
    }

    /// 200 with bytes of this media type.
    pub fn bytes(media_type: &'static str, bytes: impl Into<Vec<u8>>) -> Response {
        let page = Answer::page(bytes.into(), (media_type, ""));
        Response(Outcome::Answer(page))
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::bytes("text/plain; charset=utf-8", text.into())
    }

    /// 200 with a page.
    pub fn html(page: impl Into<String>) -> Response {
        Response::bytes("text/html; charset=utf-8", page.into())
    }

    /// 200 with the whole of a regular file, which goes out by sendfile(2).
    ///
    /// # Errors
    /// Those of fstat(2), and [`io::ErrorKind::InvalidInput`] if it is no regular file.
    pub fn file(media_type: &'static str, file: impl Into<OwnedFd>) -> io::Result<Response> {
        let file = file.into();
        let length = regular_file_length(&file)?;
        let answer = Answer::open_file(file, length, (media_type, ""));
        Ok(Response(Outcome::Answer(answer)))
    }

    /// 200 with content of this media type that is yet to come: whatever is left in a mailbox, which `begin` is given,
    /// until that [ends](Mailbox::end), the client goes or the server stops. The connection ends with it. Whoever does not
    /// read as fast as it comes is dropped when the mailbox is full.
    ///
    /// ```
    /// use evserve::service::http::Response;
    /// # let subscribers = std::sync::Mutex::new(Vec::new());
    /// # let subscribers = std::sync::Arc::new(subscribers);
    /// let all = subscribers.clone();
    /// let response = Response::stream("text/event-stream", move |mailbox| {
    ///     mailbox.put(&b"data: welcome\n\n".as_slice().into());
    ///     all.lock().unwrap().push(mailbox);
    /// });
    /// ```
    pub fn stream(
        media_type: &'static str,
        begin: impl FnOnce(Arc<Mailbox>) + Send + 'static,
    ) -> Response {
        let answer = Answer::endless((media_type, ""));
        Response(Outcome::Stream(answer, Box::new(begin)))
    }

    /// The same with another status; without its content if that is 304, which has none (RFC 9110 section 15.4.5).
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Response {
        Response(match self.0 {
            Outcome::Answer(answer) => Outcome::Answer(answer.with_status(status)),
            Outcome::Stream(answer, _) if status == StatusCode::NOT_MODIFIED => {
                Outcome::Answer(answer.with_status(status))
            }
            Outcome::Stream(answer, begin) => Outcome::Stream(answer.with_status(status), begin),
            later @ (Outcome::Later(_) | Outcome::Elsewhere(_)) => later,
        })
    }

    /// The same with a field more. Controls, which no value can have, become spaces. A field is left out, which is
    /// logged as an error, if its name is none, if the server itself says it, such as Content-Length, or if there are
    /// more than 4 KiB of them.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        if let Outcome::Answer(answer) | Outcome::Stream(answer, _) = &mut self.0 {
            let length = answer.fields.len() + name.len() + value.len() + 4;
            if !is_token(name.as_bytes()) || is_own_field(name) || length > MAX_HEADERS {
                throttled!(Error, "the field {name:?} cannot be added to an answer");
                return self;
            }
            let name = name.bytes();
            let value = value
                .bytes()
                .map(|b| if b.is_ascii_control() { b' ' } else { b });
            let line = name.chain(*b": ").chain(value).chain(*b"\r\n");
            answer.fields.extend(line);
        }
        self
    }
}
