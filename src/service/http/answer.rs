//! An answer, from the decision to its bytes in the output.

use crate::files::OpenFile;
use crate::http1::{
    HEAD_ROOM, Method, Ranges, Request, ResponseHead, Status, Stretch, Validators, Verdict,
    Version, write_content_range,
};
use crate::session::{Body, Context};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

/// The most bytes that go right behind a head: `404 Not Found` and its kind, or the head of a part.
const BEHIND_ROOM: usize = 512;

/// What every answer fits in that has no location, the configured fields aside.
pub(super) const ANSWER_ROOM: usize = HEAD_ROOM + BEHIND_ROOM;

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const ALLOW: &str = "GET, HEAD, OPTIONS";

/// An answer, decided but not written.
pub(super) struct Answer {
    pub status: Status,
    /// Where the client is sent to.
    pub location: Option<String>,
    /// Of the file, if it is one.
    pub validators: Option<Validators>,
    content_type: Option<(&'static str, &'static str)>,
    content_encoding: Option<&'static str>,
    content_range: Option<(Option<Stretch>, u64)>,
    /// What the choice depended on.
    pub vary: Option<&'static str>,
    length: u64,
    content: Content,
}

enum Content {
    Nothing,
    /// The status in words.
    Phrase,
    Page(Vec<u8>),
    /// A stretch of a file.
    File {
        file: OwnedFd,
        offset: u64,
    },
    Parts(Box<Parts>),
}

/// The parts of a multipart/byteranges body (RFC 9110 section 14.6) that have yet to be sent. They are put out one after
/// the other, so the body is nowhere in memory.
pub(super) struct Parts {
    file: Arc<OwnedFd>,
    whole: u64,
    content_type: (&'static str, &'static str),
    boundary: String,
    left: std::vec::IntoIter<Stretch>,
    ended: bool,
}

impl Answer {
    /// A status in words.
    pub fn plain(status: Status) -> Answer {
        Answer {
            status,
            location: None,
            validators: None,
            content_type: Some(("text/plain", "; charset=utf-8")),
            content_encoding: None,
            content_range: None,
            vary: None,
            length: status.text().len() as u64,
            content: Content::Phrase,
        }
    }

    /// A page that was made for this request, of this media type, as Accept and Accept-Encoding had it.
    pub fn page(page: Vec<u8>, content_type: (&'static str, &'static str)) -> Answer {
        Answer {
            content_type: Some(content_type),
            length: page.len() as u64,
            content: Content::Page(page),
            ..Answer::plain(Status::OK)
        }
    }

    /// What can be done, and nothing else.
    pub fn options() -> Answer {
        Answer {
            content_type: None,
            length: 0,
            content: Content::Nothing,
            ..Answer::plain(Status::OK)
        }
    }

    /// The client has it already.
    pub fn not_modified() -> Answer {
        Answer {
            status: Status::NOT_MODIFIED,
            ..Answer::options()
        }
    }

    /// The same with a file for a body, where it was only the status in words.
    pub fn with_page(self, found: OpenFile) -> Answer {
        if !matches!(self.content, Content::Phrase) {
            return self;
        }
        Answer {
            content_type: Some(found.media_type),
            length: found.length,
            content: Content::File {
                file: found.file,
                offset: 0,
            },
            ..self
        }
    }

    /// A file, or what the request's conditions and ranges want of it (RFC 9110 section 13.2.2). A file with a coding
    /// is the sibling that has it.
    pub fn file(
        request: &Request<'_>,
        found: OpenFile,
        coding: Option<&'static str>,
        now: SystemTime,
    ) -> Answer {
        let (length, modified) = (found.length, found.modified);
        let validators = Validators::new(length, modified, now, coding.unwrap_or(""));
        let verdict = request.conditions.verdict(&validators);
        let mut answer = match verdict {
            Verdict::PreconditionFailed => Answer::plain(Status::PRECONDITION_FAILED),
            Verdict::NotModified => Answer::not_modified(),
            Verdict::Proceed => Answer::ranges(request, found, &validators),
        };
        if !matches!(answer.content, Content::Phrase) {
            answer.validators = Some(validators);
            answer.content_encoding = coding.filter(|_| verdict == Verdict::Proceed);
        }
        answer
    }

    fn ranges(request: &Request<'_>, found: OpenFile, validators: &Validators) -> Answer {
        let is_get = request.method == Method::Get;
        let field = request
            .range
            .filter(|_| is_get && request.conditions.allow_range(validators));
        let whole = found.length;
        match field.map_or(Ranges::Whole, |field| Ranges::parse(field, whole)) {
            Ranges::Whole => Answer::plain(Status::OK).with_page(found),
            Ranges::Unsatisfiable => Answer {
                content_range: Some((None, whole)),
                ..Answer::plain(Status::RANGE_NOT_SATISFIABLE)
            },
            Ranges::Some(stretches) => match stretches[..] {
                [only] => Answer {
                    content_range: Some((Some(only), whole)),
                    length: only.length(),
                    content: Content::File {
                        file: found.file,
                        offset: only.first,
                    },
                    content_type: Some(found.media_type),
                    ..Answer::plain(Status::PARTIAL_CONTENT)
                },
                _ => {
                    let parts = Parts::new(found, stretches.to_vec(), validators);
                    Answer {
                        length: parts.length(),
                        content: Content::Parts(Box::new(parts)),
                        ..Answer::plain(Status::PARTIAL_CONTENT)
                    }
                }
            },
        }
    }

    /// True if it is with the client before the client can say anything more.
    pub fn is_short(&self) -> bool {
        matches!(self.content, Content::Nothing | Content::Phrase)
    }

    /// The length of the body, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the head; `more` are lines to add to it. There must be room.
    pub fn put_head(
        &self,
        version: Option<Version>,
        stays: bool,
        more: [&str; 2],
        cx: &mut Context<'_>,
    ) {
        let date = *cx.worker.time.date();
        let is_file = self.validators.is_some();
        let allow = matches!(self.content, Content::Nothing) && self.status == Status::OK;
        let boundary = match &self.content {
            Content::Parts(parts) => Some(&*parts.boundary),
            _ => None,
        };
        let head = ResponseHead {
            content_length: (self.status != Status::NOT_MODIFIED).then_some(self.length),
            content_type: self.content_type,
            boundary,
            content_encoding: self.content_encoding,
            content_range: self.content_range,
            accept_ranges: is_file && self.status != Status::NOT_MODIFIED,
            validators: self.validators.as_ref(),
            vary: self.vary,
            location: self.location.as_ref().map(String::as_bytes),
            allow: (allow || self.status == Status::METHOD_NOT_ALLOWED).then_some(ALLOW),
            connection: match version {
                _ if !stays => Some("close"),
                Some(Version::Http10) => Some("keep-alive"),
                _ => None,
            },
            more,
            ..ResponseHead::new(self.status, &date)
        };
        head.write(cx).expect("its room was asked for");
    }

    /// The body: what is to be put behind the head at once, and the parts that follow it.
    pub fn into_body(self, cx: &mut Context<'_>) -> (Option<Body>, Option<Box<Parts>>) {
        match self.content {
            _ if self.length == 0 => (None, None),
            Content::Nothing => (None, None),
            Content::Phrase => {
                cx.put(self.status.text().as_bytes());
                (None, None)
            }
            Content::Page(page) => (Some(Body::bytes(page)), None),
            Content::File { file, offset } => {
                let body = Body::File {
                    file: Arc::new(file),
                    offset,
                    left: self.length,
                };
                (Some(body), None)
            }
            Content::Parts(mut parts) => (parts.put_next(cx), Some(parts)),
        }
    }
}

impl Parts {
    fn new(found: OpenFile, stretches: Vec<Stretch>, validators: &Validators) -> Parts {
        // A file that holds the text of its own tag between two dashed lines would be odd indeed.
        let tag = validators.to_string();
        let tag: String = tag.chars().filter(char::is_ascii_alphanumeric).collect();
        Parts {
            file: Arc::new(found.file),
            whole: found.length,
            content_type: found.media_type,
            boundary: format!("evserve-{tag}"),
            left: stretches.into_iter(),
            ended: false,
        }
    }

    /// The length of the whole body, in bytes.
    fn length(&self) -> u64 {
        let head = |part: &Stretch| self.part_head(*part).len() as u64 + part.length();
        self.left.as_slice().iter().map(head).sum::<u64>() + self.end().len() as u64
    }

    fn part_head(&self, part: Stretch) -> Vec<u8> {
        let (media_type, parameters) = self.content_type;
        let mut head = format!(
            "\r\n--{}\r\nContent-Type: {media_type}{parameters}\r\n",
            self.boundary
        )
        .into_bytes();
        let written = write_content_range(&mut head, part, self.whole);
        written.expect("a Vec takes all");
        head.extend_from_slice(b"\r\n");
        head
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Puts out the next part's head and says what stands in it, or puts out the end of the body.
    pub fn put_next(&mut self, cx: &mut Context<'_>) -> Option<Body> {
        let Some(part) = self.left.next() else {
            if !std::mem::replace(&mut self.ended, true) {
                cx.put(self.end().as_bytes());
            }
            return None;
        };
        cx.put(&self.part_head(part));
        Some(Body::File {
            file: self.file.clone(),
            offset: part.first,
            left: part.length(),
        })
    }

    /// True once all of it has been put out.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// How many bytes have not been put out yet.
    pub fn unsent(&self) -> u64 {
        match self.ended {
            true => 0,
            false => self.length(),
        }
    }
}
