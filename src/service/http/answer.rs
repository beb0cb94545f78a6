//! An answer, from the decision to its bytes in the output.

use super::context::HttpContext;
use super::resource::Chosen;
use crate::files::{Format, PAGE_POLICY, refusal_page};
use crate::http1::{
    ByteRange, HEAD_ROOM, List, Method, Ranges, Request, ResponseHead, StatusCode, Verdict,
    Version, media_weight, write_content_range,
};
use crate::session::{Body, Context, Source};
use std::os::fd::OwnedFd;
use std::time::SystemTime;

/// The longest content that is copied behind its head, in bytes, so that other answers can follow it in the same call.
/// Longer ones are sent from where they are.
const COPIED: u64 = 8 * 1024;

/// How many directories below the root a refusal's page still links to it.
const FARTHEST_ROOT: usize = 64;

/// The most bytes that go right behind a head: `404 Not Found` and its kind, or the head of a part.
const BEHIND_ROOM: usize = 512;

/// What every answer fits in that has no location, the configured fields aside.
pub(super) const ANSWER_ROOM: usize = HEAD_ROOM + BEHIND_ROOM;

/// A page does not go behind its head, so there is room for its policy.
const _: () = assert!(PAGE_POLICY.len() <= BEHIND_ROOM);

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const ALLOW: &str = "GET, HEAD, OPTIONS";

/// An answer, decided but not written.
pub(super) struct Answer {
    pub status: StatusCode,
    /// Where the client is sent to.
    pub location: Option<String>,
    /// Whole lines to add.
    pub fields: Vec<u8>,
    /// It is a page that the server has made, and has its policy.
    pub has_policy: bool,
    /// The file that it is about.
    file: Option<Chosen>,
    content_type: Option<(&'static str, &'static str)>,
    content_range: Option<(Option<ByteRange>, u64)>,
    /// What the choice depended on, if the file's own lines do not say it.
    pub vary: Option<&'static str>,
    length: u64,
    content: Content,
}

enum Content {
    Nothing,
    /// The status in words.
    Phrase,
    Page(Vec<u8>),
    /// A page that is made in pieces.
    Pieces(Box<dyn Pieces>),
    /// A page that would be made for another method than HEAD; its length is not known.
    Unmade,
    /// What comes later, until it ends.
    Endless,
    /// The file that it is about.
    Whole,
    /// A stretch of that or another file.
    ByteRange(Source, u64),
    Parts(Box<Parts>),
}

/// A body that is made piece by piece, each when the one before is out.
pub(super) trait Pieces: Send {
    /// How many bytes have not been made yet.
    fn left(&self) -> u64;

    /// Makes the next piece; empty if there is none. What that costs is taken off `work`.
    fn next(&mut self, work: &mut usize) -> Vec<u8>;
}

/// What follows the first part of a body.
pub(super) enum Rest {
    /// Parts of a file.
    Parts(Box<Parts>),
    /// What is yet to be made.
    Pieces(Box<dyn Pieces>),
}

/// The parts of a multipart/byteranges body (RFC 9110 section 14.6) that have yet to be sent. They are put out one after
/// the other, so the body is nowhere in memory.
pub(super) struct Parts {
    content: Source,
    whole: u64,
    content_type: (&'static str, &'static str),
    boundary: String,
    left: std::vec::IntoIter<ByteRange>,
    ended: bool,
}

impl Answer {
    /// A status in words.
    pub fn plain(status: StatusCode) -> Answer {
        Answer {
            status,
            location: None,
            fields: Vec::new(),
            has_policy: false,
            file: None,
            content_type: Some(("text/plain", "; charset=utf-8")),
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
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// The same, made in pieces.
    pub fn pieces(pieces: Box<dyn Pieces>, content_type: (&'static str, &'static str)) -> Answer {
        Answer {
            content_type: Some(content_type),
            length: pieces.left(),
            content: Content::Pieces(pieces),
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// The head of an answer whose body is not worth making, for HEAD: without a length (RFC 9110 section 8.6).
    pub fn unmade(content_type: (&'static str, &'static str)) -> Answer {
        Answer {
            content_type: Some(content_type),
            length: 0,
            content: Content::Unmade,
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// The beginning of an answer of this media type whose content has no length yet: it ends with the connection.
    pub fn endless(content_type: (&'static str, &'static str)) -> Answer {
        Answer {
            content_type: Some(content_type),
            length: 0,
            content: Content::Endless,
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// The whole of an open file that has this length.
    pub fn open_file(
        file: OwnedFd,
        length: u64,
        content_type: (&'static str, &'static str),
    ) -> Answer {
        Answer {
            content_type: Some(content_type),
            length,
            content: Content::ByteRange(Source::file(file), 0),
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// How much room its head takes beside what every head takes, in bytes.
    pub fn extra_room(&self) -> usize {
        let policy = if self.has_policy {
            PAGE_POLICY.len()
        } else {
            0
        };
        self.location.as_ref().map_or(0, String::len) + self.fields.len() + policy
    }

    /// What can be done, and nothing else.
    pub fn options() -> Answer {
        Answer {
            content_type: None,
            length: 0,
            content: Content::Nothing,
            ..Answer::plain(StatusCode::OK)
        }
    }

    /// The client has it already.
    pub fn not_modified() -> Answer {
        Answer {
            status: StatusCode::NOT_MODIFIED,
            ..Answer::options()
        }
    }

    /// The same with another status; without its content if that is 304, which has none.
    pub fn with_status(self, status: StatusCode) -> Answer {
        match status {
            StatusCode::NOT_MODIFIED => Answer {
                fields: self.fields,
                ..Answer::not_modified()
            },
            _ => Answer { status, ..self },
        }
    }

    /// The same with a file for a body, where it was only the status in words.
    pub fn with_page(self, file: &Chosen) -> Answer {
        if !matches!(self.content, Content::Phrase) {
            return self;
        }
        Answer {
            content_type: Some(file.media_type),
            length: file.length,
            content: Content::ByteRange(file.content.clone(), 0),
            ..self
        }
    }

    /// The same for the client that sent this request: where it is only the status in words, a page for clients that like that
    /// better, as browsers do.
    pub fn for_reader(mut self, request: &Request<'_>) -> Answer {
        let is_refusal = matches!(self.content, Content::Phrase) && self.status.code() >= 400;
        if !is_refusal || self.vary.is_some() {
            return self;
        }
        self.vary = Some("Accept");
        let likes_pages = |accept: List<'_>| {
            let mut lines = accept.lines();
            lines.any(|line| memchr::memmem::find(line, b"text/html").is_some())
                && media_weight(accept, "text/html") > media_weight(accept, "text/plain")
        };
        if !request.accept.is_some_and(likes_pages) {
            return self;
        }
        let (_, phrase) = self
            .status
            .text()
            .trim_end()
            .split_once(' ')
            .unwrap_or_default();
        let to_root = way_to_root(request.target.path);
        let page = refusal_page(self.status.code(), phrase, to_root.as_deref());
        Answer {
            has_policy: true,
            content_type: Some(Format::Html.media_type()),
            length: page.len() as u64,
            content: Content::Page(page.into_bytes()),
            ..self
        }
    }

    /// A file, or what the request's conditions and ranges want of it (RFC 9110 section 13.2.2).
    pub fn file(request: &Request<'_>, file: Chosen, now: SystemTime) -> Answer {
        match request.conditions.verdict(&file.validators, now) {
            Verdict::PreconditionFailed => Answer {
                vary: file.vary(),
                ..Answer::plain(StatusCode::PRECONDITION_FAILED)
            },
            Verdict::NotModified => Answer {
                file: Some(file),
                ..Answer::not_modified()
            },
            Verdict::Proceed => match request.range {
                Some(field)
                    if request.method == Method::Get
                        && request.conditions.allow_range(&file.validators, now) =>
                {
                    Answer::ranges(field, file)
                }
                _ => Answer::whole(file),
            },
        }
    }

    fn whole(file: Chosen) -> Answer {
        Answer {
            content_type: None,
            length: file.length,
            content: Content::Whole,
            file: Some(file),
            ..Answer::plain(StatusCode::OK)
        }
    }

    fn ranges(field: &[u8], file: Chosen) -> Answer {
        let whole = file.length;
        let partial = Answer::plain(StatusCode::PARTIAL_CONTENT);
        match Ranges::parse(field, whole) {
            Ranges::Whole => Answer::whole(file),
            Ranges::Unsatisfiable => Answer {
                content_range: Some((None, whole)),
                vary: file.vary(),
                ..Answer::plain(StatusCode::RANGE_NOT_SATISFIABLE)
            },
            Ranges::Some(ranges) => match ranges[..] {
                [only] => Answer {
                    content_range: Some((Some(only), whole)),
                    length: only.length(),
                    content: Content::ByteRange(file.content.clone(), only.first),
                    content_type: Some(file.media_type),
                    file: Some(file),
                    ..partial
                },
                _ => {
                    let parts = Parts::new(&file, ranges.to_vec());
                    Answer {
                        length: parts.length(),
                        content: Content::Parts(Box::new(parts)),
                        file: Some(file),
                        ..partial
                    }
                }
            },
        }
    }

    /// True if it is with the client before the client can say anything more.
    pub fn is_short(&self) -> bool {
        matches!(self.content, Content::Nothing | Content::Phrase)
    }

    /// True if only the end of the connection ends it.
    pub fn is_endless(&self) -> bool {
        matches!(self.content, Content::Endless)
    }

    /// The length of the body, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the head, with what `context` adds to answers. There must be room.
    pub fn put_head(
        &self,
        version: Option<Version>,
        stays: bool,
        context: &HttpContext,
        cx: &mut Context<'_>,
    ) {
        let date = *cx.worker.time.date();
        let connection = match version {
            _ if !stays => Some("close"),
            Some(Version::Http10) => Some("keep-alive"),
            _ => None,
        };
        let ready = self.file.as_ref().map(|file| {
            let dated = file.validators.is_dated(cx.worker.time.wall());
            match self.content {
                Content::Whole => file.lines.all(dated),
                _ => file.lines.validators(dated),
            }
        });
        let head = ResponseHead {
            before_date: &context.before_date,
            more: ready.unwrap_or(context.headers.as_bytes()),
            policy: (self.has_policy && context.adds_policy).then_some(PAGE_POLICY),
            fields: &self.fields,
            connection,
            ..ResponseHead::new(self.status, &date)
        };
        let result = match self.content {
            Content::Whole => head.write(cx),
            _ => self.with_fields(head).write(cx),
        };
        result.expect("its room was asked for");
    }

    /// The head with everything that is not ready-made.
    fn with_fields<'a>(&'a self, head: ResponseHead<'a>) -> ResponseHead<'a> {
        let is_empty = matches!(self.content, Content::Nothing);
        let allow = self.status == StatusCode::METHOD_NOT_ALLOWED
            || (is_empty && self.status == StatusCode::OK);
        let coding = self.file.as_ref().and_then(|file| file.coding);
        let is_unknown = matches!(self.content, Content::Unmade | Content::Endless);
        let has_length = self.status != StatusCode::NOT_MODIFIED && !is_unknown;
        ResponseHead {
            content_length: has_length.then_some(self.length),
            content_type: self.content_type,
            boundary: match &self.content {
                Content::Parts(parts) => Some(&*parts.boundary),
                _ => None,
            },
            content_encoding: coding.filter(|_| !is_empty).map(|coding| coding.name),
            content_range: self.content_range,
            accept_ranges: self.file.is_some() && !is_empty,
            vary: self.vary,
            location: self.location.as_ref().map(String::as_bytes),
            allow: allow.then_some(ALLOW),
            ..head
        }
    }

    /// The body: what is to be put behind the head at once, and the parts that follow it.
    pub fn into_body(self, cx: &mut Context<'_>) -> (Option<Body>, Option<Rest>) {
        if let Content::Whole = self.content
            && let Some(file) = &self.file
            && put_copy(&file.content, 0, self.length, cx)
        {
            return (None, None);
        }
        let (source, offset) = match self.content {
            _ if self.length == 0 => return (None, None),
            Content::Nothing | Content::Endless | Content::Unmade => return (None, None),
            Content::Phrase => {
                cx.put(self.status.text().as_bytes());
                return (None, None);
            }
            Content::Page(page) => return (Some(Body::bytes(page)), None),
            Content::Pieces(mut pieces) => {
                let first = Body::bytes(pieces.next(&mut cx.worker.work));
                let rest = (pieces.left() > 0).then(|| Rest::Pieces(pieces));
                return (Some(first), rest);
            }
            Content::Parts(mut parts) => return (parts.put_next(cx), Some(Rest::Parts(parts))),
            Content::Whole => match self.file {
                Some(file) => (file.content.clone(), 0),
                None => return (None, None),
            },
            Content::ByteRange(source, offset) => (source, offset),
        };
        match put_copy(&source, offset, self.length, cx) {
            true => (None, None),
            false => (Some(Body::new(source, offset, self.length)), None),
        }
    }
}

/// The relative reference from a request's URL to the root. Behind a proxy that serves it below a path of its own, `/`
/// would lead elsewhere. None from very far down: a long target would only make the page longer.
fn way_to_root(path: &[u8]) -> Option<String> {
    let depth = memchr::memchr_iter(b'/', path).count().saturating_sub(1);
    (depth <= FARTHEST_ROOT).then(|| match depth {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    })
}

/// Copies a stretch into the output if it is in memory, short, and there is room.
fn put_copy(source: &Source, offset: u64, length: u64, cx: &mut Context<'_>) -> bool {
    let Source::Bytes(all) = source else {
        return false;
    };
    let fits = length <= COPIED && length <= cx.room() as u64;
    if fits {
        cx.put(&all[offset as usize..(offset + length) as usize]);
    }
    fits
}

impl Parts {
    fn new(file: &Chosen, ranges: Vec<ByteRange>) -> Parts {
        Parts {
            content: file.content.clone(),
            whole: file.length,
            content_type: file.media_type,
            // A file that holds the text of its own tag between two dashed lines would be odd indeed. No boundary is
            // longer than 70 characters (RFC 2046 section 5.1.1).
            boundary: format!("evserve-{:.60}", file.validators.opaque().replace('-', "")),
            left: ranges.into_iter(),
            ended: false,
        }
    }

    /// The length of the whole body, in bytes.
    fn length(&self) -> u64 {
        let head = |part: &ByteRange| self.part_head(*part).len() as u64 + part.length();
        self.left.as_slice().iter().map(head).sum::<u64>() + self.end().len() as u64
    }

    fn part_head(&self, part: ByteRange) -> Vec<u8> {
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
        Some(Body::new(self.content.clone(), part.first, part.length()))
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
