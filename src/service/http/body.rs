//! The content of an answer, and how it gets into the output: a copy behind the head, a body, or one body after the
//! other.

use super::handler::Deferred;
use super::representation::Representation;
use super::response::{MediaType, Response, StreamStart};
use crate::http1::{ByteRange, write_content_range};
use crate::session::{Body, Context, Source};

/// The longest content that is copied behind its head, in bytes, so that other answers can follow it in the same call.
/// Longer ones are sent from where they are.
const COPIED: u64 = 8 * 1024;

/// What an answer has behind its head.
pub(super) enum Content {
    Nothing,
    /// The status in words.
    Phrase,
    Page(Vec<u8>),
    /// A page that is made in pieces.
    Pieces(Box<dyn Pieces>),
    /// A page that would be made for another method than HEAD; its length is not known.
    Unmade,
    /// What comes later, until it ends.
    Stream(StreamStart),
    /// The file that the answer is about.
    Whole,
    /// A range of that file.
    Range(ByteRange),
    /// Several ranges of that file.
    Parts(Box<Parts>),
    /// All of a file that the answer is not about.
    All(Source),
    /// There is no answer yet.
    Deferred(Deferred),
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

impl Rest {
    /// How many bytes have not been put out yet.
    pub fn left(&self) -> u64 {
        match self {
            Rest::Parts(parts) => parts.left(),
            Rest::Pieces(pieces) => pieces.left(),
        }
    }
}

impl Response {
    /// Puts out the content, if there is room for a copy of it. Else says what is to be put behind the head at once, and
    /// what follows that.
    pub(super) fn put_content(self, cx: &mut Context<'_>) -> (Option<Body>, Option<Box<Rest>>) {
        if self.length == 0 {
            return (None, None);
        }
        match (self.content, &self.file) {
            (Content::Whole, Some(file)) => (put_range(&file.content, 0, self.length, cx), None),
            (Content::Range(range), Some(file)) => {
                (put_range(&file.content, range.first, self.length, cx), None)
            }
            (Content::All(source), _) => (put_range(&source, 0, self.length, cx), None),
            (Content::Phrase, _) => {
                cx.put(self.status.text().as_bytes());
                (None, None)
            }
            (Content::Page(page), _) => (Some(Body::bytes(page)), None),
            (Content::Pieces(mut pieces), _) => {
                let first = Body::bytes(pieces.next(&mut cx.worker.work));
                let is_all = pieces.left() == 0;
                let rest = (!is_all).then(|| Box::new(Rest::Pieces(pieces)));
                (Some(first), rest)
            }
            (Content::Parts(mut parts), _) => {
                (parts.put_next(cx), Some(Box::new(Rest::Parts(parts))))
            }
            _ => (None, None),
        }
    }
}

/// Copies a range into the output if it is in memory, short, and there is room. Else it is a body.
fn put_range(source: &Source, offset: u64, length: u64, cx: &mut Context<'_>) -> Option<Body> {
    match source {
        Source::Bytes(all) if length <= COPIED && length <= cx.room() as u64 => {
            cx.put(&all[offset as usize..(offset + length) as usize]);
            None
        }
        _ => Some(Body::new(source.clone(), offset, length)),
    }
}

/// The parts of a multipart/byteranges body (RFC 9110 section 14.6) that have yet to be sent. They are put out one after
/// the other, so the body is nowhere in memory.
pub(super) struct Parts {
    content: Source,
    whole: u64,
    content_type: MediaType,
    boundary: String,
    left: std::vec::IntoIter<ByteRange>,
    ended: bool,
}

impl Parts {
    pub fn new(file: &Representation, ranges: Vec<ByteRange>) -> Parts {
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

    /// What stands between the parts.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// How many bytes of the body have not been put out yet.
    pub fn left(&self) -> u64 {
        if self.ended {
            return 0;
        }
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
}
