//! Finds the end of a body (RFC 9112 sections 6 and 7), and its content between the framing. A
//! server drops the content of requests: it has no use for it.

use super::lexical::is_token_byte;
use super::{RequestBody, StatusCode};

/// The longest line of a chunked body, in bytes: a chunk size with extensions, or a trailer field.
const MAX_LINE: u32 = 4096;

/// The most bytes of all trailer fields together.
const MAX_TRAILERS: u32 = 16 * 1024;

/// How many bytes of a chunked body may be read per byte of content allowed. A one-byte chunk takes
/// six bytes; a client that needs more pads its chunks to keep the server reading.
const READ_PER_BYTE: u64 = 6;

/// How many more bytes may be read, however little content is allowed: for a chunk size, the last
/// chunk, and trailers.
const READ_AT_LEAST: u64 = 4096;

/// Reads a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyReader {
    state: State,
    /// How many more bytes of content are allowed.
    allowance: u64,
    /// How many more bytes may be read, of content and framing.
    readable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Content of a known length; then the body ends.
    Content {
        left: u64,
    },
    /// In the line with the size of the next chunk.
    Size {
        so_far: u64,
        digits: u32,
        length: u32,
        extension: Extension,
    },
    /// Before the line feed of that line.
    SizeEnd {
        size: u64,
    },
    /// In a chunk.
    Chunk {
        left: u64,
    },
    /// Before the line end that follows a chunk.
    ChunkEnd,
    ChunkEndFeed,
    /// In the trailer section. `line` is the length of the current line.
    Trailer {
        line: u32,
        total: u32,
        named: bool,
    },
    /// Before the line feed of a trailer line.
    TrailerFeed {
        line: u32,
        total: u32,
    },
    Done,
}

/// The position in a chunk's extensions (RFC 9112 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    None,
    /// After a blank: only a semicolon may follow.
    Awaited,
    Some,
}

impl BodyReader {
    /// Reads a body of at most `limit` bytes of content. That also limits the framing (chunk sizes,
    /// extensions, trailers): in all, 6 bytes per byte of `limit`, and 4 KiB, are read.
    ///
    /// # Errors
    /// 413 if Content-Length exceeds the limit.
    pub fn new(body: RequestBody, limit: u64) -> Result<BodyReader, StatusCode> {
        let state = match body {
            RequestBody::None => State::Done,
            RequestBody::Length(left) if left > limit => return Err(StatusCode::CONTENT_TOO_LARGE),
            RequestBody::Length(left) => State::Content { left },
            RequestBody::Chunked => NEXT_CHUNK,
        };
        Ok(BodyReader {
            state,
            allowance: limit,
            readable: limit
                .saturating_mul(READ_PER_BYTE)
                .saturating_add(READ_AT_LEAST),
        })
    }

    /// True once the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the body's bytes from the front of `input`, and drops them. Returns their number.
    ///
    /// # Errors
    /// 400 if the chunks are malformed, 413 if the body is too long, 431 if its trailers are.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, StatusCode> {
        self.take_content(input, |_| ())
    }

    /// The same, and calls `content` with each piece of the content.
    ///
    /// # Errors
    /// Those of [`take`](BodyReader::take). What came before the fault was passed on already.
    pub fn take_content(
        &mut self,
        input: &[u8],
        mut content: impl FnMut(&[u8]),
    ) -> Result<usize, StatusCode> {
        let mut taken = 0;
        while taken < input.len() && !self.is_done() {
            let is_content = matches!(self.state, State::Content { .. } | State::Chunk { .. });
            let count = self.step(&input[taken..])?;
            let left = self.readable.checked_sub(count as u64);
            self.readable = left.ok_or(StatusCode::CONTENT_TOO_LARGE)?;
            if is_content {
                content(&input[taken..taken + count]);
            }
            taken += count;
        }
        Ok(taken)
    }

    /// Takes at least one byte of `input`, which must not be empty.
    fn step(&mut self, input: &[u8]) -> Result<usize, StatusCode> {
        let byte = input[0];
        let skip = |left: u64| input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.state = match self.state {
            State::Content { left } | State::Chunk { left } => {
                let count = skip(left);
                let left = left - count as u64;
                self.state = match (self.state, left) {
                    (State::Content { .. }, 0) => State::Done,
                    (State::Content { .. }, _) => State::Content { left },
                    (_, 0) => State::ChunkEnd,
                    (_, _) => State::Chunk { left },
                };
                return Ok(count);
            }
            State::Size {
                so_far,
                digits,
                length,
                extension,
            } => {
                if length == MAX_LINE {
                    return Err(StatusCode::BAD_REQUEST);
                }
                after_size(byte, so_far, digits, length + 1, extension)?
            }
            State::SizeEnd { size } => match (byte, size) {
                (b'\n', 0) => State::Trailer {
                    line: 0,
                    total: 0,
                    named: false,
                },
                (b'\n', _) => {
                    let left = self.allowance.checked_sub(size);
                    self.allowance = left.ok_or(StatusCode::CONTENT_TOO_LARGE)?;
                    State::Chunk { left: size }
                }
                _ => return Err(StatusCode::BAD_REQUEST),
            },
            State::ChunkEnd if byte == b'\r' => State::ChunkEndFeed,
            State::ChunkEndFeed if byte == b'\n' => NEXT_CHUNK,
            State::Trailer { line, total, named } => after_trailer(byte, line, total, named)?,
            State::TrailerFeed { line, total } => match (byte, line) {
                (b'\n', 0) => State::Done,
                (b'\n', _) => State::Trailer {
                    line: 0,
                    total,
                    named: false,
                },
                _ => return Err(StatusCode::BAD_REQUEST),
            },
            State::ChunkEnd | State::ChunkEndFeed => return Err(StatusCode::BAD_REQUEST),
            State::Done => return Ok(0),
        };
        Ok(1)
    }
}

/// The state after a byte of the chunk size line. `length` is the line's length with this byte.
fn after_size(
    byte: u8,
    so_far: u64,
    digits: u32,
    length: u32,
    extension: Extension,
) -> Result<State, StatusCode> {
    let size = |so_far, digits, extension| State::Size {
        so_far,
        digits,
        length,
        extension,
    };
    Ok(match (extension, byte, (byte as char).to_digit(16)) {
        (Extension::None, _, Some(digit)) if digits < 16 => {
            size(so_far << 4 | u64::from(digit), digits + 1, extension)
        }
        _ if digits == 0 => return Err(StatusCode::BAD_REQUEST),
        (Extension::None | Extension::Some, b'\r', _) => State::SizeEnd { size: so_far },
        (Extension::None | Extension::Awaited, b' ' | b'\t', _) => {
            size(so_far, digits, Extension::Awaited)
        }
        (Extension::None | Extension::Awaited, b';', _)
        | (Extension::Some, b'\t' | b' '..=b'~' | 0x80.., _) => {
            size(so_far, digits, Extension::Some)
        }
        _ => return Err(StatusCode::BAD_REQUEST),
    })
}

/// The state after a byte of a trailer line.
fn after_trailer(byte: u8, line: u32, total: u32, named: bool) -> Result<State, StatusCode> {
    Ok(match byte {
        _ if line == MAX_LINE || total == MAX_TRAILERS => {
            return Err(StatusCode::HEADER_FIELDS_TOO_LARGE);
        }
        b'\r' if named || line == 0 => State::TrailerFeed { line, total },
        b'\t' | b' '..=b'~' | 0x80.. if named || in_name(byte, line) => State::Trailer {
            line: line + 1,
            total: total + 1,
            named: named || byte == b':',
        },
        _ => return Err(StatusCode::BAD_REQUEST),
    })
}

/// True if the byte may be part of a trailer field's name or end it.
fn in_name(byte: u8, before: u32) -> bool {
    is_token_byte(&byte) || (byte == b':' && before > 0)
}

const NEXT_CHUNK: State = State::Size {
    so_far: 0,
    digits: 0,
    length: 0,
    extension: Extension::None,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of bytes that the body takes, `None` if it is incomplete. Checks that it is the
    /// same at every split.
    fn read(body: RequestBody, input: &[u8]) -> Result<Option<usize>, u16> {
        let at_once = read_in_steps(body, input, input.len().max(1));
        assert_eq!(read_in_steps(body, input, 1), at_once, "byte by byte");
        assert_eq!(read_in_steps(body, input, 3), at_once, "in threes");
        at_once
    }

    fn read_in_steps(body: RequestBody, input: &[u8], step: usize) -> Result<Option<usize>, u16> {
        let mut reader = BodyReader::new(body, 100).map_err(StatusCode::code)?;
        let mut taken = 0;
        for part in input.chunks(step) {
            taken += reader.take(part).map_err(StatusCode::code)?;
        }
        Ok(reader.is_done().then_some(taken))
    }

    /// The content is what stands between the framing, at every split.
    #[test]
    fn content_is_passed_on() {
        let chunked = b"3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\nT: x\r\n\r\nmore";
        let cases: [(RequestBody, &[u8], &[u8]); 3] = [
            (RequestBody::None, b"more", b""),
            (RequestBody::Length(5), b"abcdemore", b"abcde"),
            (RequestBody::Chunked, chunked, b"abc0123456789"),
        ];
        for (body, input, expected) in cases {
            for step in 1..input.len() {
                let mut reader = BodyReader::new(body, 100).expect("short");
                let mut content: Vec<u8> = Vec::new();
                for part in input.chunks(step) {
                    let taken = reader.take_content(part, |piece| content.extend(piece));
                    assert!(taken.is_ok());
                }
                assert_eq!(content, expected, "in steps of {step}");
            }
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(read(RequestBody::None, b"GET"), Ok(Some(0)));
        assert_eq!(read(RequestBody::Length(3), b"abcGET"), Ok(Some(3)));
        assert_eq!(read(RequestBody::Length(3), b"ab"), Ok(None));
        assert_eq!(read(RequestBody::Length(100), &[b'x'; 101]), Ok(Some(100)));
        assert_eq!(read(RequestBody::Length(101), b""), Err(413));
    }

    #[test]
    fn chunks() {
        let cases: &[(&str, Result<Option<usize>, u16>)] = &[
            ("0\r\n\r\nGET", Ok(Some(5))),
            ("3\r\nabc\r\n0\r\n\r\n", Ok(Some(13))),
            ("03\r\nabc\r\n000\r\n\r\n", Ok(Some(16))),
            ("a\r\n0123456789\r\n0\r\n\r\n", Ok(Some(20))),
            ("A;x=\"y\"; z\r\n0123456789\r\n0;q\r\n\r\n", Ok(Some(31))),
            ("3 \t;x\r\nabc\r\n0\r\n\r\n", Ok(Some(17))),
            ("3 \r\nabc\r\n", Err(400)),
            ("3 x\r\nabc\r\n", Err(400)),
            ("3 3\r\nabc\r\n", Err(400)),
            ("0\r\nBad Trailer\r\n\r\n", Err(400)),
            ("0\r\nBad\r\n\r\n", Err(400)),
            ("0\r\n: x\r\n\r\n", Err(400)),
            ("0\r\n A: x\r\n\r\n", Err(400)),
            ("0\r\nA: b\r\nC: d\r\n\r\n", Ok(Some(17))),
            ("3\r\nabc\r\n", Ok(None)),
            ("0\r\n", Ok(None)),
            ("", Ok(None)),
            ("\r\n", Err(400)),
            (";x\r\n", Err(400)),
            (" 3\r\n", Err(400)),
            ("+3\r\n", Err(400)),
            ("0x3\r\n", Err(400)),
            ("g\r\n", Err(400)),
            ("3\nabc\r\n", Err(400)),
            ("3\rabc\r\n", Err(400)),
            ("3;\nabc\r\n", Err(400)),
            ("3\r\nabcd\r\n", Err(400)),
            ("3\r\nabc\n", Err(400)),
            ("3\r\nabc\r0", Err(400)),
            ("0\r\nA: b\n\r\n", Err(400)),
            ("0\r\n\rx", Err(400)),
            ("11111111111111111\r\n", Err(400)),
            ("ffffffffffffffff\r\n", Err(413)),
            ("65\r\n", Err(413)),
            ("60\r\n", Ok(None)),
        ];
        for (input, expected) in cases {
            assert_eq!(
                read(RequestBody::Chunked, input.as_bytes()),
                *expected,
                "{input:?}"
            );
        }
        let sums_up = format!("60\r\n{}\r\n5\r\n", "x".repeat(0x60));
        assert_eq!(read(RequestBody::Chunked, sums_up.as_bytes()), Err(413));
    }

    #[test]
    fn endless_lines() {
        let extension = format!("1;{}", "x".repeat(5000));
        assert_eq!(read(RequestBody::Chunked, extension.as_bytes()), Err(400));
        let trailer = format!("0\r\nA:{}", "x".repeat(5000));
        assert_eq!(read(RequestBody::Chunked, trailer.as_bytes()), Err(431));
        // Two limits apply to trailers: their total length, and the bytes that may be read.
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(5000));
        assert_eq!(read(RequestBody::Chunked, trailers.as_bytes()), Err(413));
        let mut reader = BodyReader::new(RequestBody::Chunked, 1 << 20).expect("no length");
        let status = reader.take(trailers.as_bytes()).map_err(StatusCode::code);
        assert_eq!(status, Err(431));
        let zeros = "0".repeat(20);
        assert_eq!(read(RequestBody::Chunked, zeros.as_bytes()), Err(400));
    }

    /// The limit covers content and framing.
    #[test]
    fn content_and_framing_are_bounded() {
        let limit = 1000;
        let read = |body: &[u8]| {
            let mut reader = BodyReader::new(RequestBody::Chunked, limit).expect("no length");
            let read: Result<usize, StatusCode> =
                body.chunks(700).map(|part| reader.take(part)).sum();
            match read {
                Ok(count) if reader.is_done() => Ok(count),
                Ok(_) => Err(0),
                Err(status) => Err(status.code()),
            }
        };
        let most = (limit * READ_PER_BYTE + READ_AT_LEAST) as usize;
        let end = "0\r\n\r\n";
        // One-byte chunks may carry as much content as one large chunk.
        for chunks in [
            "1\r\nx\r\n".repeat(1000),
            format!("3e8\r\n{}\r\n", "x".repeat(1000)),
        ] {
            let body = chunks + end;
            assert_eq!(read(body.as_bytes()), Ok(body.len()));
        }
        for more in [
            "1\r\nx\r\n".repeat(1001),
            "3e8\r\n".to_owned() + &"x".repeat(1000) + "\r\n1\r\nx\r\n",
        ] {
            assert_eq!(read(more.as_bytes()), Err(413));
        }
        for padded in [
            format!("1;e={}\r\nx\r\n", "e".repeat(100)),
            "1;\r\nx\r\n".repeat(9) + "1;eeeeeeeeeeeeeeeeeee\r\nx\r\n",
            "0000000000000001;e=\"........\"\r\nx\r\n".to_owned(),
        ] {
            let body = padded.repeat(2000);
            assert_eq!(read(body.as_bytes()), Err(413), "{padded:?}");
            let few = &padded.repeat(most / padded.len());
            assert!(matches!(read(few.as_bytes()), Err(0 | 413)));
        }
        let trailers = format!("0\r\n{}\r\n", "Name: value\r\n".repeat(1000));
        assert_eq!(read(trailers.as_bytes()), Err(413));
        let trailers = format!("0\r\n{}\r\n", "Name: value\r\n".repeat(100));
        assert_eq!(read(trailers.as_bytes()), Ok(trailers.len()));
    }
}
