//! Output that is not sent yet: bytes, then at most one body.
//!
//! It holds a buffer only while there are bytes.

use super::buffer::{BUFFER_SIZE, Buffer, Pool};
use super::file::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A range of a file or of shared bytes, sent without copying it into a buffer.
#[derive(Debug)]
pub struct Body {
    part: Part,
    offset: u64,
    left: u64,
}

/// Where the bytes of a body are.
#[derive(Clone, Debug)]
pub enum BodySource {
    /// An open regular file. The model sends it without changing its file offset.
    File(Arc<File>),
    /// Bytes in memory.
    Bytes(Arc<Vec<u8>>),
}

/// How a body is sent.
#[derive(Debug)]
enum Part {
    /// Directly from its source.
    InPlace(BodySource),
    /// Through memory, because the file cannot be sent directly. The next bytes must be loaded.
    Unloaded(Arc<File>),
    /// Through memory. The next bytes are in the output's buffer.
    Loaded(Arc<File>),
}

impl BodySource {
    /// An open regular file on a local file system.
    pub fn file(file: impl Into<OwnedFd>) -> BodySource {
        BodySource::File(Arc::new(File::local(file)))
    }
}

impl Body {
    /// `length` bytes of `source`, beginning at `offset`. Bytes in memory must be that long.
    pub fn new(source: BodySource, offset: u64, length: u64) -> Body {
        Body {
            part: Part::InPlace(source),
            offset,
            left: length,
        }
    }

    /// All of `bytes`.
    pub fn bytes(bytes: Vec<u8>) -> Body {
        let length = bytes.len() as u64;
        Body::new(BodySource::Bytes(Arc::new(bytes)), 0, length)
    }

    /// How many bytes are left to send.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn piece_of<'a>(&self, file: &'a Arc<File>, count: u64) -> Piece<'a> {
        Piece::File {
            file,
            offset: self.offset,
            count,
        }
    }

    fn consume(&mut self, count: usize) {
        assert!(count as u64 <= self.left, "sent more bytes than there were");
        self.offset += count as u64;
        self.left -= count as u64;
    }
}

/// What one system call can send next.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Bytes in memory.
    Bytes {
        /// Sent first.
        bytes: &'a [u8],
        /// Sent directly after `bytes`; often empty.
        then: &'a [u8],
        /// A file follows, so the kernel may hold back an incomplete last packet (MSG_MORE).
        more: bool,
    },
    /// A range of a file.
    File {
        /// The open file.
        file: &'a Arc<File>,
        /// Where the range begins, in bytes.
        offset: u64,
        /// Its length in bytes, never 0.
        count: u64,
    },
}

/// Bytes, then at most one body, sent in this order.
#[derive(Debug, Default)]
pub struct Output {
    /// The bytes before the body. Once those are sent: the loaded beginning of the body, if it is
    /// sent through memory.
    buffer: Option<Buffer>,
    body: Option<Body>,
}

impl Output {
    /// True if everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_none() && self.body.is_none()
    }

    /// The bytes before the body that are not sent yet.
    pub fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) if !self.is_loaded() => buffer.filled(),
            _ => &[],
        }
    }

    /// The body, until all of it is sent.
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// The next piece to send, or to load if it [must be](Output::must_load). Empty bytes if there
    /// is nothing to send.
    #[inline]
    pub fn front(&self) -> Piece<'_> {
        let bytes = self.buffer.as_ref().map_or(&[][..], Buffer::filled);
        let piece = |then, more| Piece::Bytes { bytes, then, more };
        match &self.body {
            None => piece(&[], false),
            Some(body) => match &body.part {
                Part::Loaded(_) => piece(&[], false),
                Part::InPlace(BodySource::Bytes(all)) => {
                    let end = body.offset + body.left;
                    piece(&all[body.offset as usize..end as usize], false)
                }
                _ if !bytes.is_empty() => piece(&[], true),
                Part::InPlace(BodySource::File(file)) => body.piece_of(file, body.left),
                Part::Unloaded(file) => body.piece_of(file, body.left.min(BUFFER_SIZE as u64)),
            },
        }
    }

    /// How many bytes in memory the next piece has.
    pub(super) fn front_length(&self) -> usize {
        match self.front() {
            Piece::Bytes { bytes, then, .. } => bytes.len() + then.len(),
            Piece::File { .. } => 0,
        }
    }

    /// True if nothing comes after the next piece.
    pub(super) fn is_one_piece(&self) -> bool {
        let is_bytes = |body: &Body| matches!(body.part, Part::InPlace(BodySource::Bytes(_)));
        self.body.as_ref().is_none_or(is_bytes)
    }

    /// True if the next piece is a range of a file.
    #[inline]
    pub fn is_file_next(&self) -> bool {
        let is_file = |body: &Body| {
            matches!(
                body.part,
                Part::InPlace(BodySource::File(_)) | Part::Unloaded(_)
            )
        };
        self.buffer.is_none() && self.body.as_ref().is_some_and(is_file)
    }

    /// True if the next piece must be loaded into memory before it can be sent.
    pub fn must_load(&self) -> bool {
        let is_unloaded = |body: &Body| matches!(body.part, Part::Unloaded(_));
        self.buffer.is_none() && self.body.as_ref().is_some_and(is_unloaded)
    }

    /// Sends the rest of the file through memory, piece by piece.
    pub(super) fn load_file(&mut self) {
        if let Some(body) = &mut self.body
            && let Part::InPlace(BodySource::File(file)) = &body.part
        {
            body.part = Part::Unloaded(file.clone());
        }
    }

    /// Takes a buffer with the loaded bytes.
    pub(super) fn put_loaded(&mut self, loaded: Buffer) {
        let count = loaded.filled().len() as u64;
        match &mut self.body {
            Some(body) if self.buffer.is_none() && count <= body.left => {
                let Part::Unloaded(file) = &body.part else {
                    panic!("nothing was to be loaded");
                };
                body.part = Part::Loaded(file.clone());
            }
            _ => panic!("loaded more bytes than asked for"),
        }
        self.buffer = Some(loaded);
    }

    fn is_loaded(&self) -> bool {
        let is_loaded = |body: &Body| matches!(body.part, Part::Loaded(_));
        self.body.as_ref().is_some_and(is_loaded)
    }

    pub(super) fn room(&self) -> usize {
        match (&self.body, &self.buffer) {
            (Some(_), _) => 0,
            (None, Some(buffer)) => buffer.room(),
            (None, None) => BUFFER_SIZE,
        }
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8], pool: &mut Pool) -> usize {
        if bytes.is_empty() || self.body.is_some() {
            return 0;
        }
        self.buffer.get_or_insert_with(|| pool.lend()).append(bytes)
    }

    pub(super) fn put_with<T>(
        &mut self,
        pool: &mut Pool,
        write: impl FnOnce(&mut &mut [u8]) -> T,
    ) -> T {
        if self.body.is_some() {
            return write(&mut &mut [][..]);
        }
        let buffer = self.buffer.get_or_insert_with(|| pool.lend());
        let result = buffer.append_with(write);
        if buffer.is_empty() {
            self.clear(pool);
        }
        result
    }

    pub(super) fn put_body(&mut self, body: Body) {
        assert!(self.body.is_none(), "the output has a body already");
        if body.left() > 0 {
            self.body = Some(body);
        }
    }

    pub(super) fn consume(&mut self, count: usize, pool: &mut Pool) {
        let mut rest = count;
        if let Some(mut buffer) = self.buffer.take() {
            let from_buffer = rest.min(buffer.filled().len());
            buffer.consume(from_buffer);
            match self.is_loaded() {
                true => assert_eq!(from_buffer, count, "sent more bytes than there were"),
                false => rest -= from_buffer,
            }
            if buffer.is_empty() {
                pool.take_back(buffer);
            } else {
                self.buffer = Some(buffer);
            }
        }
        if rest > 0 {
            let body = self.body.as_mut().expect("sent more bytes than there were");
            body.consume(rest);
            match &body.part {
                _ if body.left == 0 => self.body = None,
                Part::Loaded(file) if self.buffer.is_none() => {
                    body.part = Part::Unloaded(file.clone());
                }
                _ => {}
            }
        }
    }

    pub(super) fn clear(&mut self, pool: &mut Pool) {
        if let Some(buffer) = self.buffer.take() {
            pool.take_back(buffer);
        }
        self.body = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_memory_is_sent_directly_after_the_bytes() {
        let mut pool = Pool::new();
        let mut output = Output::default();
        assert_eq!(output.put(b"head", &mut pool), 4);
        output.put_body(Body::bytes(b"body".to_vec()));
        assert_eq!(
            output.put(b"late", &mut pool),
            0,
            "nothing fits behind a body"
        );
        output.consume(6, &mut pool);
        assert_eq!(pool.lent(), 0, "no bytes, no buffer");
        let Piece::Bytes { bytes, then, more } = output.front() else {
            panic!("{output:?}")
        };
        assert_eq!((bytes, then, more), (&b""[..], &b"dy"[..], false));
        output.consume(2, &mut pool);
        assert!(output.is_empty());
    }

    /// What is left of the body does not depend on how much of it is loaded.
    #[test]
    fn a_file_that_cannot_be_sent_directly_is_loaded_piece_by_piece() {
        let mut pool = Pool::new();
        let mut output = Output::default();
        output.put(b"head", &mut pool);
        let length = BUFFER_SIZE as u64 + 3;
        let file = BodySource::file(tempfile::tempfile().expect("a file"));
        output.put_body(Body::new(file, 7, length));
        output.load_file();
        assert!(!output.must_load(), "the head is sent first");
        output.consume(4, &mut pool);
        assert!(output.must_load());
        let Piece::File { offset, count, .. } = output.front() else {
            panic!("{output:?}")
        };
        assert_eq!(
            (offset, count),
            (7, BUFFER_SIZE as u64),
            "as much as fits into a buffer"
        );
        let mut loaded = pool.lend();
        loaded.append(b"abc");
        output.put_loaded(loaded);
        let Piece::Bytes { bytes, then, more } = output.front() else {
            panic!("{output:?}")
        };
        assert_eq!((bytes, then, more), (&b"abc"[..], &b""[..], false));
        assert_eq!(output.bytes(), b"", "loaded bytes belong to the body");
        output.consume(2, &mut pool);
        assert!(!output.must_load(), "one loaded byte is left");
        assert_eq!(output.body().map(Body::left), Some(length - 2));
        output.consume(1, &mut pool);
        assert!(output.must_load());
        assert!(matches!(output.front(), Piece::File { offset: 10, .. }));
        let mut loaded = pool.lend();
        loaded.append(&[b'x'; BUFFER_SIZE]);
        output.put_loaded(loaded);
        output.consume(BUFFER_SIZE, &mut pool);
        assert!(output.is_empty());
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_writer_gets_the_free_part_of_the_buffer() {
        use std::io::Write;
        let mut pool = Pool::new();
        let mut output = Output::default();
        output.put_with(&mut pool, |_| ());
        assert!(output.is_empty() && pool.lent() == 0, "no bytes, no buffer");
        output.put(b"some, ", &mut pool);
        let written = output.put_with(&mut pool, |to| write!(to, "{} more", 17));
        assert!(written.is_ok());
        assert_eq!(output.bytes(), b"some, 17 more");
        let too_many = [b'x'; BUFFER_SIZE];
        assert!(
            output
                .put_with(&mut pool, |to| to.write_all(&too_many))
                .is_err()
        );
        output.put_body(Body::bytes(b"body".to_vec()));
        let behind = output.put_with(&mut pool, |to| to.write_all(b"late"));
        assert!(behind.is_err(), "nothing fits behind a body");
    }

    #[test]
    fn a_file_is_sent_after_the_bytes_before_it() {
        let mut pool = Pool::new();
        let mut output = Output::default();
        output.put(b"head", &mut pool);
        let file = BodySource::file(tempfile::tempfile().expect("a file"));
        output.put_body(Body::new(file, 7, 3));
        assert!(matches!(
            output.front(),
            Piece::Bytes {
                bytes: b"head",
                then: b"",
                more: true
            }
        ));
        output.consume(4, &mut pool);
        output.consume(1, &mut pool);
        assert!(matches!(
            output.front(),
            Piece::File {
                offset: 8,
                count: 2,
                ..
            }
        ));
        output.consume(2, &mut pool);
        assert!(output.is_empty());
    }
}
