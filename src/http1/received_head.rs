//! Parses response heads, for clients.
//!
//! Where a response ends is the one thing on which both sides must agree (RFC 9112 section 6.3).
//! So whatever is ambiguous about it is refused, in words for the user of the client.

use super::lexical::decimal;
use super::list::split;
use super::request::each_field;
use super::{BodyReader, HeadEnd, MAX_HEAD, RequestBody, StatusCode, Version};
use std::fmt;

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedHead<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase, often empty.
    pub reason: &'a [u8],
    /// How the body is delimited.
    pub body: ResponseBody,
    /// True if the server keeps the connection for another request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The Location field (RFC 9110 section 10.2.2), if there is one.
    pub location: Option<&'a [u8]>,
}

/// How the body of a response is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// No body, as the status says: 1xx, 204 and 304.
    None,
    /// A body of this many bytes.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// Everything until the server closes. That the end is missing then goes unnoticed.
    UntilClose,
}

/// What is wrong with a response. Its text is for the user of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// It does not begin with a status line of HTTP/1.0 or 1.1.
    NotHttp,
    /// The head is longer than [`MAX_HEAD`], or has more fields than
    /// [`MAX_FIELDS`](super::MAX_FIELDS).
    HeadTooLong,
    /// A line of the head does not end in CR LF, or is no field.
    MalformedHead,
    /// The fields that say where the body ends are malformed or contradict each other.
    AmbiguousLength,
    /// The body is coded in a way that was not asked for.
    UnknownCoding,
    /// The chunks are malformed.
    MalformedChunks,
    /// The body is longer than the client allows.
    TooLong,
    /// More bytes came than belong to the response.
    Excess,
    /// There are too many interim responses, or one that changes the protocol.
    UnexpectedInterim,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseError::NotHttp => "what came is not a response of HTTP/1.1 or 1.0",
            ResponseError::HeadTooLong => "the head is too long",
            ResponseError::MalformedHead => "a line of the head is malformed",
            ResponseError::AmbiguousLength => {
                "Content-Length or Transfer-Encoding is malformed, or they contradict each other"
            }
            ResponseError::UnknownCoding => "the body has a transfer coding other than chunked",
            ResponseError::MalformedChunks => "the chunks are malformed",
            ResponseError::TooLong => "the content is longer than allowed",
            ResponseError::Excess => "more bytes came than the response has by its own account",
            ResponseError::UnexpectedInterim => {
                "an interim response that was not asked for, or too many of them"
            }
        })
    }
}

/// The parser of fields knows what a server would answer.
impl From<StatusCode> for ResponseError {
    fn from(status: StatusCode) -> ResponseError {
        match status {
            StatusCode::HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                ResponseError::HeadTooLong
            }
            _ => ResponseError::MalformedHead,
        }
    }
}

impl<'a> ReceivedHead<'a> {
    /// Returns the length of the head at the front of `input`, including its empty line, or `None`
    /// if it is incomplete. `end` keeps the place: see [`HeadEnd::find`].
    ///
    /// # Errors
    /// If it is too long, or if a line does not end in CR LF. If the first bytes cannot begin a
    /// status line, that is told before the end is found.
    pub fn find_end(end: &mut HeadEnd, input: &[u8]) -> Result<Option<usize>, ResponseError> {
        let begin = b"HTTP/1.";
        let both = begin.len().min(input.len());
        if input[..both] != begin[..both] {
            return Err(ResponseError::NotHttp);
        }
        Ok(end.find(input, MAX_HEAD)?)
    }

    /// Parses a head whose end [`find_end`](ReceivedHead::find_end) has found. It must answer a
    /// request whose method is neither HEAD nor CONNECT: their responses end differently.
    ///
    /// # Errors
    /// Close the connection then: where the response ends is uncertain.
    pub fn parse(head: &'a [u8]) -> Result<ReceivedHead<'a>, ResponseError> {
        let line_end = memchr::memchr(b'\r', head).ok_or(ResponseError::NotHttp)?;
        let (line, section) = head.split_at(line_end);
        let section = section.get(2..).ok_or(ResponseError::NotHttp)?;
        let (version, status, reason) = status_line(line).ok_or(ResponseError::NotHttp)?;
        let mut parsed = ReceivedHead {
            status,
            reason,
            body: ResponseBody::UntilClose,
            keep_alive: version == Version::Http11,
            location: None,
        };
        let (mut framing, mut close) = (Framing::default(), false);
        each_field(section, |name, value| {
            if name.eq_ignore_ascii_case("content-length") {
                framing.add_length(value)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing.codings += split(value).count().max(1);
                framing.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                for token in split(value) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    parsed.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("location") {
                parsed.location = Some(value);
            }
            Ok::<(), ResponseError>(())
        })?;
        parsed.body = framing.body(version, status)?;
        parsed.keep_alive &= !close && parsed.body != ResponseBody::UntilClose;
        Ok(parsed)
    }

    /// True for a response before the final one (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}

impl ResponseBody {
    /// The length, if the head tells it.
    pub fn length(self) -> Option<u64> {
        match self {
            ResponseBody::None => Some(0),
            ResponseBody::Length(length) => Some(length),
            ResponseBody::Chunked | ResponseBody::UntilClose => None,
        }
    }

    /// Returns a reader for a body of at most `limit` bytes of content. `None` if the body ends
    /// with the connection.
    ///
    /// # Errors
    /// If Content-Length exceeds the limit.
    pub fn reader(self, limit: u64) -> Result<Option<BodyReader>, ResponseError> {
        let body = match self {
            ResponseBody::UntilClose => return Ok(None),
            ResponseBody::None | ResponseBody::Length(0) => RequestBody::None,
            ResponseBody::Length(length) => RequestBody::Length(length),
            ResponseBody::Chunked => RequestBody::Chunked,
        };
        let reader = BodyReader::new(body, limit).map_err(|_| ResponseError::TooLong)?;
        Ok(Some(reader))
    }
}

/// `HTTP/1.1 200 OK`. The space behind the code may be missing with the reason: many servers send
/// no reason.
fn status_line(line: &[u8]) -> Option<(Version, u16, &[u8])> {
    let version = match line.strip_prefix(b"HTTP/1.")? {
        [b'0', b' ', ..] => Version::Http10,
        [b'1'..=b'9', b' ', ..] => Version::Http11,
        _ => return None,
    };
    let rest = &line[b"HTTP/1.1 ".len()..];
    let digits = rest.get(..3)?;
    let status = decimal(digits)
        .ok()
        .and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|code| *code >= 100)?;
    match &rest[3..] {
        [] => Some((version, status, b"")),
        [b' ', reason @ ..] => Some((version, status, reason)),
        _ => None,
    }
}

/// What the fields say about the end of the body.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// How many transfer codings there are.
    codings: usize,
    /// The last field line is `chunked` alone.
    is_chunked: bool,
}

impl Framing {
    /// Content-Length may be repeated, in lines or as a list, with the same value only.
    fn add_length(&mut self, value: &[u8]) -> Result<(), ResponseError> {
        let ambiguous = ResponseError::AmbiguousLength;
        let mut members = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        members.try_for_each(|member| {
            let length = decimal(member).map_err(|_| ambiguous)?;
            match self.length.replace(length) {
                Some(before) if before != length => Err(ambiguous),
                _ => Ok(()),
            }
        })
    }

    fn body(&self, version: Version, status: u16) -> Result<ResponseBody, ResponseError> {
        let has_body = !matches!(status, 100..=199 | 204 | 304);
        match (self.length, self.codings) {
            // Both at once is response splitting, and HTTP/1.0 has no codings (section 6.1).
            (Some(_), 1..) => Err(ResponseError::AmbiguousLength),
            (None, 1..) if version == Version::Http10 => Err(ResponseError::AmbiguousLength),
            _ if !has_body => Ok(ResponseBody::None),
            (None, 1) if self.is_chunked => Ok(ResponseBody::Chunked),
            (None, 1..) => Err(ResponseError::UnknownCoding),
            (Some(length), 0) => Ok(ResponseBody::Length(length)),
            (None, 0) => Ok(ResponseBody::UntilClose),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<ReceivedHead<'_>, ResponseError> {
        let end = ReceivedHead::find_end(&mut HeadEnd::default(), head.as_bytes())?;
        assert_eq!(end, Some(head.len()), "{head:?} is a head");
        ReceivedHead::parse(head.as_bytes())
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", Some((200, "OK", true))),
            ("HTTP/1.1 404 Not Found", Some((404, "Not Found", true))),
            ("HTTP/1.1 200 ", Some((200, "", true))),
            ("HTTP/1.1 200", Some((200, "", true))),
            ("HTTP/1.0 200 OK", Some((200, "OK", false))),
            ("HTTP/1.2 999 x y", Some((999, "x y", true))),
            ("HTTP/1.1  200 OK", None),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/1.1 099 OK", None),
            ("HTTP/1.1 +20 OK", None),
            ("HTTP/2.0 200 OK", None),
            ("HTTP/1.x 200 OK", None),
            ("HTTP/1.11 200 OK", None),
            ("http/1.1 200 OK", None),
            ("ICY 200 OK", None),
            ("", None),
        ] {
            let head = format!("{line}\r\nContent-Length: 1\r\n\r\n");
            let found = parse(&head);
            let expected = expected.ok_or(ResponseError::NotHttp);
            let found = found.map(|head| {
                let reason = std::str::from_utf8(head.reason).expect("text");
                (head.status, reason, head.keep_alive)
            });
            assert_eq!(found, expected, "{line:?}");
        }
    }

    /// Each rule of RFC 9112 section 6.3 that concerns a client, and what is refused.
    #[test]
    fn ends_of_bodies() {
        use ResponseBody::{Chunked, Length, UntilClose};
        use ResponseError::{AmbiguousLength, UnknownCoding};
        let cases: &[(&str, &str, Result<ResponseBody, ResponseError>)] = &[
            ("1.1 200", "", Ok(UntilClose)),
            ("1.1 200", "Content-Length: 5\r\n", Ok(Length(5))),
            ("1.1 200", "content-length:0\r\n", Ok(Length(0))),
            ("1.1 200", "Content-Length: 5, 5\r\n", Ok(Length(5))),
            (
                "1.1 200",
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Ok(Length(5)),
            ),
            (
                "1.1 200",
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                Err(AmbiguousLength),
            ),
            ("1.1 200", "Content-Length: 5, 6\r\n", Err(AmbiguousLength)),
            ("1.1 200", "Content-Length: 5,\r\n", Err(AmbiguousLength)),
            ("1.1 200", "Content-Length: -5\r\n", Err(AmbiguousLength)),
            ("1.1 200", "Content-Length: 0x5\r\n", Err(AmbiguousLength)),
            ("1.1 200", "Content-Length:\r\n", Err(AmbiguousLength)),
            (
                "1.1 200",
                "Content-Length: 18446744073709551616\r\n",
                Err(AmbiguousLength),
            ),
            ("1.1 200", "Transfer-Encoding: Chunked\r\n", Ok(Chunked)),
            ("1.1 200", "Transfer-Encoding: gzip\r\n", Err(UnknownCoding)),
            ("1.1 200", "Transfer-Encoding:\r\n", Err(UnknownCoding)),
            (
                "1.1 200",
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(UnknownCoding),
            ),
            (
                "1.1 200",
                "Transfer-Encoding: chunked, chunked\r\n",
                Err(UnknownCoding),
            ),
            (
                "1.1 200",
                "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                Err(UnknownCoding),
            ),
            (
                "1.1 200",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Err(AmbiguousLength),
            ),
            (
                "1.0 200",
                "Transfer-Encoding: chunked\r\n",
                Err(AmbiguousLength),
            ),
            ("1.1 204", "", Ok(ResponseBody::None)),
            ("1.1 304", "Content-Length: 5\r\n", Ok(ResponseBody::None)),
            ("1.1 103", "Link: x\r\n", Ok(ResponseBody::None)),
        ];
        for (begin, fields, expected) in cases {
            let head = format!("HTTP/{begin}\r\n{fields}\r\n");
            assert_eq!(parse(&head).map(|head| head.body), *expected, "{head:?}");
        }
    }

    #[test]
    fn which_connections_are_kept() {
        for (head, expected) in [
            ("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", true),
            (
                "HTTP/1.1 200\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 204\r\n\r\n", true),
            ("HTTP/1.1 200\r\n\r\n", false),
            ("HTTP/1.0 200\r\nContent-Length: 1\r\n\r\n", false),
            (
                "HTTP/1.0 200\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
                true,
            ),
        ] {
            assert_eq!(
                parse(head).map(|head| head.keep_alive),
                Ok(expected),
                "{head:?}"
            );
        }
    }

    #[test]
    fn malformed_heads() {
        let fields = "A: b\r\n".repeat(super::super::MAX_FIELDS + 1);
        for (head, expected) in [
            (
                "HTTP/1.1 200 OK\nA: b\r\n\r\n",
                ResponseError::MalformedHead,
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\n\r\n",
                ResponseError::MalformedHead,
            ),
            (
                "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
                ResponseError::MalformedHead,
            ),
            (
                "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                ResponseError::MalformedHead,
            ),
            (
                &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
                ResponseError::HeadTooLong,
            ),
        ] {
            assert_eq!(parse(head), Err(expected), "{head:?}");
        }
        let find = |input: &[u8]| ReceivedHead::find_end(&mut HeadEnd::default(), input);
        assert_eq!(find(b"HTT"), Ok(None));
        assert_eq!(
            find(b"HTX"),
            Err(ResponseError::NotHttp),
            "before the line ends"
        );
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(MAX_HEAD));
        assert_eq!(find(endless.as_bytes()), Err(ResponseError::HeadTooLong));
        let endless = format!("HTTP/1.1 200 {}", "x".repeat(MAX_HEAD));
        assert_eq!(find(endless.as_bytes()), Err(ResponseError::HeadTooLong));
    }
}
