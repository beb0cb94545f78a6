//! Bodies that are sent in several pieces, one after the other, and are never in memory as a whole.

use super::representation::{MediaType, Representation};
use crate::http1::{ByteRange, write_content_range};
use crate::session::{Body, BodySource, Context};

/// A body that is generated piece by piece, each after the one before was sent.
pub(super) trait GeneratedBody: Send {
    /// How many bytes were not generated yet.
    fn left(&self) -> u64;

    /// Generates the next piece; empty at the end. Subtracts its cost from `work`.
    fn next(&mut self, work: &mut usize) -> Vec<u8>;
}

/// What follows the first piece of a body.
pub(super) enum RemainingBody {
    /// Ranges of a file.
    Multipart(Box<Multipart>),
    /// Pieces that are not generated yet.
    Generated(Box<dyn GeneratedBody>),
}

impl RemainingBody {
    /// How many bytes were not put out yet.
    pub fn left(&self) -> u64 {
        match self {
            RemainingBody::Multipart(parts) => parts.left(),
            RemainingBody::Generated(pieces) => pieces.left(),
        }
    }
}

/// A multipart/byteranges body (RFC 9110 section 14.6), as far as it was not put out yet.
pub(super) struct Multipart {
    content: BodySource,
    whole: u64,
    content_type: MediaType,
    boundary: String,
    left: std::vec::IntoIter<ByteRange>,
    ended: bool,
}

impl Multipart {
    pub fn new(file: &Representation, ranges: Vec<ByteRange>) -> Multipart {
        Multipart {
            content: file.content.clone(),
            whole: file.length,
            content_type: file.media_type,
            // The file's entity tag is in the boundary, so no file contains it by chance. A
            // boundary has at most 70 characters (RFC 2046 section 5.1.1).
            boundary: format!("evserve-{:.60}", file.validators.opaque().replace('-', "")),
            left: ranges.into_iter(),
            ended: false,
        }
    }

    /// The boundary between parts.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// How many bytes of the body were not put out yet.
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
        written.expect("writing to a Vec cannot fail");
        head.extend_from_slice(b"\r\n");
        head
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Puts out the head of the next part and returns its content, or puts out the end of the body.
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

    /// True if the whole body was put out.
    pub fn is_finished(&self) -> bool {
        self.ended
    }
}
