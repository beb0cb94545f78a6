//! The response to a request: status, fields and content.

use super::error_page;
use super::remaining_body::{GeneratedBody, Multipart};
use super::representation::{MediaType, Representation};
use crate::config::MAX_HEADER_BYTES;
use crate::files::regular_file_length;
use crate::http1::{
    ByteRange, Method, Ranges, Request, StatusCode, Verdict, is_reserved_field, is_token,
};
use crate::observe::throttled;
use crate::session::{BodySource, Mailbox, Time};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The methods that are allowed where nothing else is said.
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// A response to one request.
pub struct Response {
    pub(super) status: StatusCode,
    /// The target of a redirect.
    pub(super) location: Option<String>,
    /// Header lines to add.
    pub(super) fields: Vec<u8>,
    /// It is a page that the server made, and gets the policy for such pages.
    pub(super) has_policy: bool,
    /// The file that it represents.
    pub(super) file: Option<Arc<Representation>>,
    pub(super) content_type: Option<MediaType>,
    /// For 416: the length of the file that contains none of the requested ranges.
    pub(super) unsatisfied: Option<u64>,
    /// The Vary field, unless `file` has it.
    pub(super) vary: Option<&'static str>,
    /// The methods that are allowed, for responses that say so.
    pub(super) allow: &'static str,
    /// The length of the content, in bytes.
    pub(super) length: u64,
    pub(super) content: Content,
}

/// What follows the head.
pub(super) enum Content {
    Empty,
    /// The status as plain text.
    StatusText,
    Bytes(Vec<u8>),
    /// Content that is generated in pieces.
    Generated(Box<dyn GeneratedBody>),
    /// For HEAD: content that was not made. Its length is unknown.
    Omitted,
    /// Content that others put into a mailbox, until they end it.
    Stream(StreamStart),
    /// All of `file`.
    WholeFile,
    /// A range of `file`.
    Range(ByteRange),
    /// Several ranges of `file`.
    Multipart(Box<Multipart>),
    /// Bytes or a file without validators, such as an error page.
    Source(BodySource),
    /// There is no response yet.
    Deferred(Deferred),
}

/// Receives the mailbox for a stream's content.
pub(super) type StreamStart = Box<dyn FnOnce(Arc<Mailbox>) + Send>;

/// How a missing response is made.
pub(super) enum Deferred {
    /// Slice by slice.
    Task(Box<dyn ResponseTask>),
    /// By a lookup on a thread that may wait for a file system.
    Lookup(DeferredLookup),
}

/// Makes a response that takes too long for one turn of a loop.
pub(super) trait ResponseTask: Send {
    /// Identifies the mount if the next step may hang on it: then run the step on a thread that may
    /// wait.
    fn mount(&self) -> Option<u64>;

    /// Does a slice of work and subtracts its cost from `work`. Returns the response, or the status
    /// to refuse with, once it has finished. Do not call it again after that.
    fn step(&mut self, work: &mut usize) -> Option<Result<Response, StatusCode>>;
}

/// A lookup that may wait for a file system.
pub(super) struct DeferredLookup {
    /// Identifies the mount that it may hang on.
    pub mount: u64,
    /// Responds to the same request, however long that takes.
    pub look: Box<dyn FnOnce(&Request<'_>, &Time) -> Response + Send>,
}

impl Response {
    /// The status as plain text. For 304 only the status.
    pub fn status(status: StatusCode) -> Response {
        Response::status_text(status).with_status(status)
    }

    /// The response to OPTIONS: GET, HEAD and OPTIONS are allowed.
    pub fn options() -> Response {
        Response {
            content_type: None,
            length: 0,
            content: Content::Empty,
            ..Response::status_text(StatusCode::OK)
        }
    }

    /// 200 with bytes of this media type.
    pub fn bytes(media_type: &'static str, bytes: impl Into<Vec<u8>>) -> Response {
        let bytes = bytes.into();
        Response::of_type((media_type, ""), bytes.len() as u64, Content::Bytes(bytes))
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::bytes("text/plain; charset=utf-8", text.into())
    }

    /// 200 with an HTML page.
    pub fn html(page: impl Into<String>) -> Response {
        Response::bytes("text/html; charset=utf-8", page.into())
    }

    /// 200 with a whole regular file, sent by sendfile(2).
    ///
    /// # Errors
    /// Those of fstat(2), and [`io::ErrorKind::InvalidInput`] if it is not a regular file.
    pub fn file(media_type: &'static str, file: impl Into<OwnedFd>) -> io::Result<Response> {
        let file = file.into();
        let length = regular_file_length(&file)?;
        let content = Content::Source(BodySource::file(file));
        Ok(Response::of_type((media_type, ""), length, content))
    }

    /// 200 with a stream of this media type. `begin` receives a mailbox; what is put into it is
    /// sent to the client. The stream ends when the mailbox is [ended](Mailbox::end), the client
    /// disconnects or the server stops; then the connection ends. A client that reads too slowly is
    /// disconnected when the mailbox is full.
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
        Response::of_type((media_type, ""), 0, Content::Stream(Box::new(begin)))
    }

    /// Changes the status. For 304 also drops the content (RFC 9110 section 15.4.5).
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Response {
        match status {
            _ if !self.is_complete() => self,
            StatusCode::NOT_MODIFIED => Response {
                fields: self.fields,
                ..Response::not_modified()
            },
            _ => Response { status, ..self },
        }
    }

    /// Adds a field. Control characters in its value become spaces. The field is dropped, and an
    /// error logged, if its name is not a token, if the server writes that field itself, such as
    /// Content-Length, or if the added fields exceed 4 KiB.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        if !self.is_complete() {
            return self;
        }
        let length = self.fields.len() + name.len() + value.len() + 4;
        if !is_token(name.as_bytes()) || is_reserved_field(name) || length > MAX_HEADER_BYTES {
            throttled!(Error, "cannot add the field {name:?} to a response");
            return self;
        }
        let value = value
            .bytes()
            .map(|b| if b.is_ascii_control() { b' ' } else { b });
        let line = name.bytes().chain(*b": ").chain(value).chain(*b"\r\n");
        self.fields.extend(line);
        self
    }
}

impl Response {
    /// The status as plain text.
    pub(super) fn status_text(status: StatusCode) -> Response {
        Response {
            status,
            location: None,
            fields: Vec::new(),
            has_policy: false,
            file: None,
            content_type: Some(("text/plain", "; charset=utf-8")),
            unsatisfied: None,
            vary: None,
            allow: ALLOW,
            length: status.text().len() as u64,
            content: Content::StatusText,
        }
    }

    fn of_type(media_type: MediaType, length: u64, content: Content) -> Response {
        Response {
            content_type: Some(media_type),
            length,
            content,
            ..Response::status_text(StatusCode::OK)
        }
    }

    /// 200 with content that is generated in pieces.
    pub(super) fn generated(pieces: Box<dyn GeneratedBody>, media_type: MediaType) -> Response {
        Response::of_type(media_type, pieces.left(), Content::Generated(pieces))
    }

    /// For HEAD: a head whose content is not worth making. It has no Content-Length (RFC 9110
    /// section 8.6).
    pub(super) fn without_content(media_type: MediaType) -> Response {
        Response::of_type(media_type, 0, Content::Omitted)
    }

    /// 304 Not Modified.
    pub(super) fn not_modified() -> Response {
        Response {
            status: StatusCode::NOT_MODIFIED,
            ..Response::options()
        }
    }

    /// A response that a task makes.
    pub(super) fn task(task: Box<dyn ResponseTask>) -> Response {
        Response::deferred(Deferred::Task(task))
    }

    /// A response that `make` makes where it delays no other connection, however long it takes.
    /// `queue` is the number of a mount, or of other work that waits (see `offload`).
    pub(in crate::service) fn slow(
        queue: u64,
        make: impl FnOnce() -> Response + Send + 'static,
    ) -> Response {
        Response::task(Box::new(SlowResponse {
            queue,
            make: Some(make),
        }))
    }

    /// 405, with the only method that is allowed.
    pub(in crate::service) fn only(method: &'static str) -> Response {
        Response {
            allow: method,
            ..Response::status(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    /// A response that a lookup finds.
    pub(super) fn lookup(lookup: DeferredLookup) -> Response {
        Response::deferred(Deferred::Lookup(lookup))
    }

    fn deferred(deferred: Deferred) -> Response {
        Response {
            content: Content::Deferred(deferred),
            ..Response::options()
        }
    }

    /// A file, or what the request's conditions and ranges ask for (RFC 9110 section 13.2.2).
    pub(super) fn of_file(
        request: &Request<'_>,
        file: Arc<Representation>,
        time: &Time,
    ) -> Response {
        let now = time.wall();
        match request.conditions.verdict(&file.validators, now) {
            Verdict::PreconditionFailed => Response {
                vary: file.vary,
                ..Response::status_text(StatusCode::PRECONDITION_FAILED)
            },
            Verdict::NotModified => Response {
                file: Some(file),
                ..Response::not_modified()
            },
            Verdict::Proceed => match request.range {
                Some(field)
                    if request.method == Method::Get
                        && request.conditions.allow_range(&file.validators, now) =>
                {
                    Response::ranges(field, file)
                }
                _ => Response::whole(file),
            },
        }
    }

    fn whole(file: Arc<Representation>) -> Response {
        Response {
            content_type: None,
            length: file.length,
            content: Content::WholeFile,
            file: Some(file),
            ..Response::status_text(StatusCode::OK)
        }
    }

    fn ranges(field: &[u8], file: Arc<Representation>) -> Response {
        let partial = Response::status_text(StatusCode::PARTIAL_CONTENT);
        match Ranges::parse(field, file.length) {
            Ranges::Whole => Response::whole(file),
            Ranges::Unsatisfiable => Response {
                unsatisfied: Some(file.length),
                vary: file.vary,
                ..Response::status_text(StatusCode::RANGE_NOT_SATISFIABLE)
            },
            Ranges::Some(ranges) => match ranges[..] {
                [only] => Response {
                    length: only.length(),
                    content: Content::Range(only),
                    content_type: Some(file.media_type),
                    file: Some(file),
                    ..partial
                },
                _ => {
                    let parts = Multipart::new(&file, ranges.to_vec());
                    Response {
                        length: parts.left(),
                        content: Content::Multipart(Box::new(parts)),
                        file: Some(file),
                        ..partial
                    }
                }
            },
        }
    }

    /// Replaces the status as plain text by a file's content.
    pub(super) fn with_page(self, file: &Representation) -> Response {
        if !matches!(self.content, Content::StatusText) {
            return self;
        }
        Response {
            content_type: Some(file.media_type),
            length: file.length,
            content: Content::Source(file.content.clone()),
            ..self
        }
    }

    /// Replaces an error status as plain text by a page if the client prefers HTML, as browsers do.
    pub(super) fn negotiate_error_page(&mut self, request: &Request<'_>) {
        let is_error = matches!(self.content, Content::StatusText) && self.status.code() >= 400;
        if !is_error || self.vary.is_some() {
            return;
        }
        self.vary = Some("Accept");
        if let Some(page) = error_page::html(self.status, request) {
            self.has_policy = true;
            self.content_type = Some(error_page::MEDIA_TYPE);
            self.length = page.len() as u64;
            self.content = Content::Bytes(page);
        }
    }

    /// Adds a complete header line.
    pub(super) fn with_line(mut self, line: &[u8]) -> Response {
        self.fields.extend_from_slice(line);
        self
    }

    /// False if the response is not made yet.
    pub(super) fn is_complete(&self) -> bool {
        !matches!(self.content, Content::Deferred(_))
    }

    /// True if the whole response reaches the client before the client can send more.
    pub(super) fn is_short(&self) -> bool {
        matches!(self.content, Content::Empty | Content::StatusText)
    }

    /// True if only the end of the connection ends the content.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }
}

/// See [`Response::slow`].
struct SlowResponse<F> {
    queue: u64,
    make: Option<F>,
}

impl<F: FnOnce() -> Response + Send> ResponseTask for SlowResponse<F> {
    fn mount(&self) -> Option<u64> {
        Some(self.queue)
    }

    fn step(&mut self, _work: &mut usize) -> Option<Result<Response, StatusCode>> {
        self.make.take().map(|make| Ok(make()))
    }
}
