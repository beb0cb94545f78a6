//! Files over HTTP/1.1: the only place where `http1` and `files` meet.
//!
//! A session is always in one [`State`]. Answers to pipelined requests are gathered in the output until it is full or
//! one of them has a body of its own.

use super::Service;
use crate::config::{AccessLog, Config, StartError};
use crate::files::{Found, PathError, Refusal, RelativePath, Root, listing};
use crate::http1::{
    Body as RequestBody, HEAD_ROOM, HeadEnd, Method, Request, ResponseHead, Status, Version,
    request_line,
};
use crate::observe::access_log::{self, Record};
use crate::session::{Body, Context, Session, Timeout, Wait};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

/// The most bytes that `404 Not Found` and its kind take as a body.
const PHRASE_ROOM: usize = 64;

/// What every answer that has no location fits in.
const ANSWER_ROOM: usize = HEAD_ROOM + PHRASE_ROOM;

const ALLOW: &str = "GET, HEAD";

/// What a query has by the leniency of [`crate::http1::Target`] and a Location field may not have.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\');

/// What all http sessions share.
struct Site {
    root: Root,
    access_log: AccessLog,
}

struct Http(Arc<Site>);

pub(super) fn start(config: &Config) -> Result<Arc<dyn Service>, StartError> {
    let root = Root::open(&config.root).map_err(|error| {
        StartError(match error.kind() {
            ErrorKind::Unsupported => {
                "this kernel has no openat2(2), which keeps requests inside the \
                                       root: Linux 5.6 or later is needed"
                    .into()
            }
            _ => format!(
                "cannot serve {}: {error}; name a directory that can be read",
                config.root.display()
            ),
        })
    })?;
    let access_log = config.access_log;
    Ok(Arc::new(Http(Arc::new(Site { root, access_log }))))
}

impl Service for Http {
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(HttpSession {
            site: self.0.clone(),
            peer,
            state: State::ReadingRequest,
            head_end: HeadEnd::default(),
            begun: false,
            answered: false,
            blank_line_seen: false,
            last: None,
            unlogged: None,
        })
    }

    fn about(&self) -> String {
        self.0.root.path().display().to_string()
    }

    fn url_scheme(&self) -> Option<&'static str> {
        Some("http")
    }
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last answer is out; a request is awaited or has come in part.
    ReadingRequest,
    /// An answer, or several, wait to be sent; the last one's head is among them.
    WritingHead,
    /// The last answer's head is out, its body is not.
    StreamingFile,
}

struct HttpSession {
    site: Arc<Site>,
    peer: Option<IpAddr>,
    state: State,
    head_end: HeadEnd,
    /// The next request's first byte has come.
    begun: bool,
    /// There has been a request.
    answered: bool,
    /// The one blank line before a request that RFC 9112 section 2.2 wants overlooked.
    blank_line_seen: bool,
    /// What comes after the last answer, once it is known to be the last.
    last: Option<Wait>,
    unlogged: Option<Box<Unlogged>>,
}

/// The log line of an answer whose body is on its way: it waits for the number of bytes.
struct Unlogged {
    begin: Vec<u8>,
    end: Vec<u8>,
    length: u64,
}

/// An answer, decided but not written.
struct Answer {
    status: Status,
    location: Option<String>,
    modified: Option<SystemTime>,
    content_type: (&'static str, &'static str),
    length: u64,
    content: Content,
}

enum Content {
    /// The status in words.
    Phrase,
    Page(String),
    File(OwnedFd),
}

impl Session for HttpSession {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        if cx.room() < ANSWER_ROOM {
            return 0;
        }
        self.begun = true;
        match self.head_end.find(input) {
            Ok(None) => 0,
            Ok(Some(2)) if !self.blank_line_seen => {
                self.blank_line_seen = true;
                2
            }
            Ok(Some(length)) => self.answer(&input[..length], cx),
            Err(status) => {
                self.refuse(status, request_line(input), cx);
                input.len()
            }
        }
    }

    fn sent(&mut self, cx: &mut Context<'_>) {
        if cx.output.is_empty() {
            self.state = State::ReadingRequest;
            self.log_kept(0, cx);
        } else if cx.output.bytes().is_empty() {
            self.state = State::StreamingFile;
        }
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        if timeout == Timeout::Head {
            self.refuse(Status::REQUEST_TIMEOUT, b"", cx);
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        let unsent = cx.output.body().map_or(0, Body::left);
        self.log_kept(unsent, cx);
    }

    fn waits_for(&self) -> Wait {
        match self.last {
            Some(wait) => wait,
            None if self.begun => Wait::Bytes(Timeout::Head),
            None if self.answered => Wait::Bytes(Timeout::Idle),
            None => Wait::Bytes(Timeout::First),
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::ReadingRequest => "reading request",
            State::WritingHead => "writing head",
            State::StreamingFile => "streaming file",
        }
    }
}

impl HttpSession {
    /// Answers a complete head and says how many bytes it took: 0 if there is no room for the answer yet.
    fn answer(&mut self, head: &[u8], cx: &mut Context<'_>) -> usize {
        let line = request_line(head);
        let request = match Request::parse(head) {
            Ok(request) => request,
            Err(status) => {
                self.refuse(status, line, cx);
                return head.len();
            }
        };
        let answer = self.site.decide(&request);
        let location_length = answer.location.as_ref().map_or(0, String::len);
        if cx.room() < ANSWER_ROOM + location_length && !cx.output.is_empty() {
            return 0;
        }
        cx.worker.costly |= matches!(answer.content, Content::Page(_));
        self.begun = false;
        self.answered = true;
        self.blank_line_seen = false;
        self.put(answer, Some(&request), line, cx);
        head.len()
    }

    /// Answers what cannot be understood. Where the next request begins is then unknown, so there is none.
    fn refuse(&mut self, status: Status, line: &[u8], cx: &mut Context<'_>) {
        self.put(Answer::plain(status), None, line, cx);
    }

    fn put(
        &mut self,
        answer: Answer,
        request: Option<&Request<'_>>,
        line: &[u8],
        cx: &mut Context<'_>,
    ) {
        // A body that is not read would be taken for the next request.
        let no_body_follows = request.is_some_and(|r| r.body == RequestBody::None);
        let stays = no_body_follows && !cx.worker.closing && request.is_some_and(|r| r.keep_alive);
        let length = match line.starts_with(b"HEAD ") {
            true => 0,
            false => answer.length,
        };
        let is_short = length == 0 || matches!(answer.content, Content::Phrase);
        if !stays {
            // Whatever arrives after we have closed destroys what the client has not read by then. A short answer is
            // with it before it can say anything more.
            self.last = Some(match no_body_follows && is_short {
                true => Wait::Close,
                false => Wait::Linger,
            });
        }
        let date = *cx.worker.time.date();
        let now = cx.worker.time.wall();
        let head = ResponseHead {
            status: answer.status,
            date: &date,
            content_length: answer.length,
            content_type: answer.content_type,
            last_modified: answer.modified.map(|modified| modified.min(now)),
            location: answer.location.as_ref().map(String::as_bytes),
            allow: (answer.status == Status::METHOD_NOT_ALLOWED).then_some(ALLOW),
            connection: match request.map(|r| r.version) {
                _ if !stays => Some("close"),
                Some(Version::Http10) => Some("keep-alive"),
                _ => None,
            },
        };
        head.write(cx).expect("its room was asked for");
        self.state = State::WritingHead;
        cx.worker.counters.requests += 1;
        let body = match answer.content {
            _ if length == 0 => None,
            Content::Phrase => {
                cx.put(answer.status.text().as_bytes());
                None
            }
            Content::Page(page) => Some(Body::bytes(page.into_bytes())),
            Content::File(file) => Some(Body::File {
                file: Arc::new(file),
                offset: 0,
                left: length,
            }),
        };
        if self.site.access_log != AccessLog::Off {
            let record = Record {
                peer: self.peer,
                date: cx.worker.time.log_date(),
                line,
                status: answer.status.code(),
                referer: request.and_then(|r| r.referer),
                user_agent: request.and_then(|r| r.user_agent),
            };
            self.log(&record, length, body.is_some(), cx);
        }
        if let Some(body) = body {
            cx.put_body(body);
        }
    }

    /// Writes the line of an answer into the access log, or, if its body has yet to be sent, keeps it until then.
    fn log(&mut self, record: &Record<'_>, length: u64, unsent: bool, cx: &mut Context<'_>) {
        let format = self.site.access_log;
        if unsent {
            let (mut begin, mut end) = (Vec::new(), Vec::new());
            record.begin(&mut begin);
            record.end(format, &mut end);
            self.unlogged = Some(Box::new(Unlogged { begin, end, length }));
        } else {
            record.begin(&mut cx.worker.log);
            access_log::number(length, &mut cx.worker.log);
            record.end(format, &mut cx.worker.log);
        }
    }

    /// Writes the line that was kept, if there is one, now that all but `unsent` bytes of the body are out.
    fn log_kept(&mut self, unsent: u64, cx: &mut Context<'_>) {
        if let Some(kept) = self.unlogged.take() {
            let log = &mut cx.worker.log;
            log.extend_from_slice(&kept.begin);
            access_log::number(kept.length - unsent, log);
            log.extend_from_slice(&kept.end);
        }
    }
}

impl Site {
    /// What to answer. It opens files, and changes nothing.
    fn decide(&self, request: &Request<'_>) -> Answer {
        if request.method == Method::Known {
            return Answer::plain(Status::METHOD_NOT_ALLOWED);
        }
        let path = match RelativePath::decode(request.target.path) {
            Ok(path) => path,
            Err(PathError::Malformed) => return Answer::plain(Status::BAD_REQUEST),
            Err(PathError::NoSuchName) => return Answer::plain(Status::NOT_FOUND),
        };
        self.look_up(request, &path).unwrap_or_else(|refusal| {
            Answer::plain(match refusal {
                Refusal::NotFound => Status::NOT_FOUND,
                Refusal::Forbidden => Status::FORBIDDEN,
                Refusal::Busy(error) => {
                    log::debug!("cannot open {:?}: {error}", path.as_path());
                    Status::SERVICE_UNAVAILABLE
                }
                Refusal::Failed(error) => {
                    log::error!("cannot open {:?}: {error}", path.as_path());
                    Status::INTERNAL_SERVER_ERROR
                }
            })
        })
    }

    fn look_up(&self, request: &Request<'_>, path: &RelativePath) -> Result<Answer, Refusal> {
        Ok(match self.root.find(path)? {
            Found::File(found) => Answer {
                status: Status::OK,
                location: None,
                modified: Some(found.modified),
                content_type: found.media_type,
                length: found.length,
                content: Content::File(found.file),
            },
            Found::Directory(directory) => {
                Answer::page(listing(&self.root, path, directory.as_fd()).map_err(Refusal::Failed)?)
            }
            Found::DirectoryWithoutSlash => {
                let mut location = path.directory_url();
                if let Some(query) = request.target.query {
                    location.push('?');
                    location.extend(percent_encode(query, NOT_IN_A_QUERY));
                }
                Answer {
                    location: Some(location),
                    ..Answer::plain(Status::MOVED_PERMANENTLY)
                }
            }
        })
    }
}

impl Answer {
    /// A status in words.
    fn plain(status: Status) -> Answer {
        Answer {
            status,
            location: None,
            modified: None,
            content_type: ("text/plain", "; charset=utf-8"),
            length: status.text().len() as u64,
            content: Content::Phrase,
        }
    }

    fn page(page: String) -> Answer {
        Answer {
            status: Status::OK,
            location: None,
            modified: None,
            content_type: ("text/html", "; charset=utf-8"),
            length: page.len() as u64,
            content: Content::Page(page),
        }
    }
}
