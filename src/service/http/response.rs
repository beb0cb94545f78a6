//! What is answered to a request, from the decision to the content that it has.

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

/// An answer.
pub struct Response {
    pub(super) status: StatusCode,
    /// Where the client is sent to.
    pub(super) location: Option<String>,
    /// Whole lines to add.
    pub(super) fields: Vec<u8>,
    /// It is a page that the server has made, and has its policy.
    pub(super) has_policy: bool,
    /// The file that it is about.
    pub(super) file: Option<Arc<Representation>>,
    pub(super) content_type: Option<MediaType>,
    /// The length of the file of which none of the wanted ranges exists.
    pub(super) unsatisfied: Option<u64>,
    /// What the choice depended on, if the file's own lines do not say it.
    pub(super) vary: Option<&'static str>,
    /// The length of the content in bytes.
    pub(super) length: u64,
    pub(super) content: Content,
}

/// What an answer has behind its head.
pub(super) enum Content {
    Empty,
    /// The status in words.
    StatusText,
    Bytes(Vec<u8>),
    /// A page that is made in pieces.
    Generated(Box<dyn GeneratedBody>),
    /// A page that would be made for another method than HEAD; its length is not known.
    Omitted,
    /// What comes later, until it ends.
    Stream(StreamStart),
    /// The file that the answer is about.
    WholeFile,
    /// A range of that file.
    Range(ByteRange),
    /// Several ranges of that file.
    Multipart(Box<Multipart>),
    /// All of a file that the answer is not about.
    BodySource(BodySource),
    /// There is no answer yet.
    Deferred(Deferred),
}

/// Takes the mailbox that a stream's content is to be left in.
pub(super) type StreamStart = Box<dyn FnOnce(Arc<Mailbox>) + Send>;

/// Why there is no answer yet, and how it comes about.
pub(super) enum Deferred {
    /// It is made slice by slice.
    Task(Box<dyn ResponseTask>),
    /// What the answer is can be known only where one may wait for a file system.
    Lookup(DeferredLookup),
}

/// An answer that takes longer to make than others should wait.
pub(super) trait ResponseTask: Send {
    /// A number for the mount that the next step may wait for, if it can hang: then it must be done where one may wait.
    fn mount(&self) -> Option<u64>;

    /// Does at most so much work, which is taken off; the answer, once it is there, or the status to refuse with. It is not
    /// called again after that.
    fn step(&mut self, work: &mut usize) -> Option<Result<Response, StatusCode>>;
}

/// A look-up that may wait for a file system.
pub(super) struct DeferredLookup {
    /// A number for the mount that it may wait for.
    pub mount: u64,
    /// Answers the same request, however long that takes.
    pub look: Box<dyn FnOnce(&Request<'_>, &Time) -> Response + Send>,
}

impl Response {
    /// A status in words; nothing but the status if that is 304.
    pub fn status(status: StatusCode) -> Response {
        Response::status_text(status).with_status(status)
    }

    /// What can be done with anything here, for OPTIONS: GET, HEAD and OPTIONS.
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
        let content = Content::BodySource(BodySource::file(file));
        Ok(Response::of_type((media_type, ""), length, content))
    }

    /// 200 with content of this media type that is yet to come: whatever is left in a mailbox, which `begin` is given,
    /// until that [ends](Mailbox::end), the client goes or the server stops. The connection ends with it. A client that
    /// does not read as fast as it comes is dropped when the mailbox is full.
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

    /// The same with another status; without its content if that is 304, which has none (RFC 9110 section 15.4.5).
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

    /// The same with a field more. Controls, which no value can have, become spaces. A field is left out, which is
    /// logged as an error, if its name is none, if the server itself says it, such as Content-Length, or if there are
    /// more than 4 KiB of them.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        if !self.is_complete() {
            return self;
        }
        let length = self.fields.len() + name.len() + value.len() + 4;
        if !is_token(name.as_bytes()) || is_reserved_field(name) || length > MAX_HEADER_BYTES {
            throttled!(Error, "the field {name:?} cannot be added to an answer");
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
    /// A status in words.
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

    /// 200 with a page that is made in pieces.
    pub(super) fn pieces(pieces: Box<dyn GeneratedBody>, media_type: MediaType) -> Response {
        Response::of_type(media_type, pieces.left(), Content::Generated(pieces))
    }

    /// The head of an answer whose body is not worth making, for HEAD: without a length (RFC 9110 section 8.6).
    pub(super) fn without_content(media_type: MediaType) -> Response {
        Response::of_type(media_type, 0, Content::Omitted)
    }

    /// The client has it already.
    pub(super) fn not_modified() -> Response {
        Response {
            status: StatusCode::NOT_MODIFIED,
            ..Response::options()
        }
    }

    /// The answer that a task makes.
    pub(super) fn task(task: Box<dyn ResponseTask>) -> Response {
        Response::deferred(Deferred::Task(task))
    }

    /// The answer that a look-up finds.
    pub(super) fn lookup(lookup: DeferredLookup) -> Response {
        Response::deferred(Deferred::Lookup(lookup))
    }

    fn deferred(deferred: Deferred) -> Response {
        Response {
            content: Content::Deferred(deferred),
            ..Response::options()
        }
    }

    /// A file, or what the request's conditions and ranges want of it (RFC 9110 section 13.2.2).
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

    /// The same with a file for a body, where it was only the status in words.
    pub(super) fn with_page(self, file: &Representation) -> Response {
        if !matches!(self.content, Content::StatusText) {
            return self;
        }
        Response {
            content_type: Some(file.media_type),
            length: file.length,
            content: Content::BodySource(file.content.clone()),
            ..self
        }
    }

    /// Makes it fit the client that sent this request: where it is only the status in words, it becomes a page for
    /// clients that like that better, as browsers do.
    pub(super) fn fit_client(&mut self, request: &Request<'_>) {
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

    /// The same with a whole line more.
    pub(super) fn with_line(mut self, line: &[u8]) -> Response {
        self.fields.extend_from_slice(line);
        self
    }

    /// False if it has yet to be made or found.
    pub(super) fn is_complete(&self) -> bool {
        !matches!(self.content, Content::Deferred(_))
    }

    /// True if it is with the client before the client can say anything more.
    pub(super) fn is_short(&self) -> bool {
        matches!(self.content, Content::Empty | Content::StatusText)
    }

    /// True if only the end of the connection ends it.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }
}
