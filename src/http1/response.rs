//! Writes response heads (RFC 9112 section 4) in one pass.

use super::{ByteRange, StatusCode, Validators};
use std::io::{self, Write};

/// The most bytes that a head takes without its location, a custom Server field and configured
/// fields.
pub const HEAD_ROOM: usize = 1024;

/// The value of the Server field.
pub const SERVER: &str = concat!("evserve/", env!("CARGO_PKG_VERSION"));

/// The lines between the status line and the date, for [`SERVER`].
const BEFORE_DATE: &str = concat!("Server: evserve/", env!("CARGO_PKG_VERSION"), "\r\nDate: ");

/// The lines between the status line and the date, if the Server field is `server`.
pub fn before_date(server: &str) -> String {
    format!("Server: {server}\r\nDate: ")
}

/// The variable parts of a response head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The Server field (RFC 9110 section 10.2.4), made by [`before_date`].
    pub before_date: &'a str,
    /// The Date field, from [`crate::session::Time::date`].
    pub date: &'a [u8; 29],
    /// The length of the body in bytes, even if the request is HEAD and the body is left out.
    /// `None` for responses that never have a body, such as 304.
    pub content_length: Option<u64>,
    /// The media type of the body and its parameters, if it has one.
    pub content_type: Option<(&'a str, &'a str)>,
    /// The boundary of a multipart body.
    pub boundary: Option<&'a str>,
    /// The coding of the body (RFC 9110 section 8.4).
    pub content_encoding: Option<&'a str>,
    /// The range that is sent and the length of the whole file. No range for 416 (RFC 9110 section
    /// 14.4).
    pub content_range: Option<(Option<ByteRange>, u64)>,
    /// True to announce that range requests are supported (RFC 9110 section 14.3).
    pub accept_ranges: bool,
    /// The request fields that select this response, such as Accept-Encoding (RFC 9110 section
    /// 12.5.5).
    pub vary: Option<&'a str>,
    /// The target of a redirect, percent-encoded.
    pub location: Option<&'a [u8]>,
    /// The allowed methods (RFC 9110 section 10.2.1).
    pub allow: Option<&'a str>,
    /// The Connection field. `None` where the request's version implies it.
    pub connection: Option<&'a str>,
    /// The complete line with the policy of a page that the server made.
    pub policy: Option<&'a str>,
    /// Complete lines, such as those of [`FileFields`].
    pub more: &'a [u8],
    /// More complete lines.
    pub fields: &'a [u8],
}

impl<'a> ResponseHead<'a> {
    /// A head with status and date only.
    pub fn new(status: StatusCode, date: &'a [u8; 29]) -> ResponseHead<'a> {
        ResponseHead {
            status,
            before_date: BEFORE_DATE,
            date,
            content_length: None,
            content_type: None,
            boundary: None,
            content_encoding: None,
            content_range: None,
            accept_ranges: false,
            vary: None,
            location: None,
            allow: None,
            connection: None,
            policy: None,
            more: b"",
            fields: b"",
        }
    }

    /// Writes the head, including the empty line.
    ///
    /// # Errors
    /// Those of `to`. [`HEAD_ROOM`] bytes, the location and the added lines are enough room.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(self.status.line().as_bytes())?;
        to.write_all(self.before_date.as_bytes())?;
        field(to, "", self.date)?;
        if let Some(location) = self.location {
            field(to, "Location: ", location)?;
        }
        if let Some(allow) = self.allow {
            field(to, "Allow: ", allow.as_bytes())?;
        }
        if let Some(vary) = self.vary {
            field(to, "Vary: ", vary.as_bytes())?;
        }
        self.write_content_fields(to)?;
        to.write_all(self.more)?;
        to.write_all(self.fields)?;
        if let Some(connection) = self.connection {
            field(to, "Connection: ", connection.as_bytes())?;
        }
        to.write_all(b"\r\n")
    }

    fn write_content_fields(&self, to: &mut impl Write) -> io::Result<()> {
        if self.accept_ranges {
            to.write_all(b"Accept-Ranges: bytes\r\n")?;
        }
        if let Some(boundary) = self.boundary {
            to.write_all(b"Content-Type: multipart/byteranges; boundary=")?;
            field(to, "", boundary.as_bytes())?;
        } else if let Some((media_type, parameters)) = self.content_type {
            to.write_all(b"Content-Type: ")?;
            field(to, media_type, parameters.as_bytes())?;
        }
        if let Some(policy) = self.policy {
            to.write_all(policy.as_bytes())?;
        }
        if let Some(coding) = self.content_encoding {
            field(to, "Content-Encoding: ", coding.as_bytes())?;
        }
        match self.content_range {
            Some((Some(part), whole)) => write_content_range(to, part, whole)?,
            Some((None, whole)) => write!(to, "Content-Range: bytes */{whole}\r\n")?,
            None => {}
        }
        if let Some(length) = self.content_length {
            let mut digits = itoa::Buffer::new();
            field(to, "Content-Length: ", digits.format(length).as_bytes())?;
        }
        Ok(())
    }
}

/// Writes the Content-Range field of a part of a file of `whole` bytes.
///
/// # Errors
/// Those of `to`.
pub fn write_content_range(to: &mut impl Write, part: ByteRange, whole: u64) -> io::Result<()> {
    let ByteRange { first, last } = part;
    write!(to, "Content-Range: bytes {first}-{last}/{whole}\r\n")
}

fn field(to: &mut impl Write, name: &str, value: &[u8]) -> io::Result<()> {
    to.write_all(name.as_bytes())?;
    to.write_all(value)?;
    to.write_all(b"\r\n")
}

/// The fields that all responses with one version of a file have in common, written out once.
#[derive(Debug)]
pub struct FileFields {
    lines: Vec<u8>,
    /// The offset behind Last-Modified, which is left out while its date is in the future.
    undated: usize,
    /// The offset of the fields that describe the content.
    content: usize,
}

impl FileFields {
    /// The fields of a representation of a file. `more` are complete lines to add.
    pub fn new(
        validators: &Validators,
        vary: Option<&str>,
        more: &str,
        content_type: (&str, &str),
        content_encoding: Option<&str>,
        content_length: u64,
    ) -> FileFields {
        let mut lines = Vec::new();
        if let Some(date) = validators.date() {
            lines.extend_from_slice(format!("Last-Modified: {date}\r\n").as_bytes());
        }
        let undated = lines.len();
        lines.extend_from_slice(format!("ETag: {validators}\r\n").as_bytes());
        if let Some(vary) = vary {
            lines.extend_from_slice(format!("Vary: {vary}\r\n").as_bytes());
        }
        lines.extend_from_slice(more.as_bytes());
        let content = lines.len();
        let head = ResponseHead {
            accept_ranges: true,
            content_type: Some(content_type),
            content_encoding,
            content_length: Some(content_length),
            ..ResponseHead::new(StatusCode::OK, &[0; 29])
        };
        let written = head.write_content_fields(&mut lines);
        written.expect("writing to a Vec cannot fail");
        lines.shrink_to_fit();
        FileFields {
            lines,
            undated,
            content,
        }
    }

    /// The fields that identify the version, for any response about it. `dated` includes
    /// Last-Modified: see [`is_dated`](Validators::is_dated).
    pub fn validators(&self, dated: bool) -> &[u8] {
        &self.lines[self.begin(dated)..self.content]
    }

    /// All fields, for a response with the whole content.
    pub fn all(&self, dated: bool) -> &[u8] {
        &self.lines[self.begin(dated)..]
    }

    /// Their memory in bytes.
    pub fn size(&self) -> usize {
        self.lines.len()
    }

    fn begin(&self, dated: bool) -> usize {
        if dated { 0 } else { self.undated }
    }
}

/// The fields that the server itself may add to a response. A second or wrong one would mislead
/// clients and caches.
const OWN: &[&str] = &[
    "accept-ranges",
    "allow",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "server",
    "vary",
];

/// The fields that describe a connection, not a response (RFC 9110 section 7.6.1). Wrong ones would
/// break it.
const OF_CONNECTIONS: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// True for fields that only the server itself may send, about the response or the connection.
pub fn is_reserved_field(name: &str) -> bool {
    is_connection_field(name) || is_one_of(name, OWN)
}

/// True for fields that describe a connection, not a response.
pub fn is_connection_field(name: &str) -> bool {
    is_one_of(name, OF_CONNECTIONS)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{FileVersion, TagParts};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn written(head: &ResponseHead<'_>) -> String {
        let mut bytes = Vec::new();
        head.write(&mut bytes)
            .expect("writing to a Vec cannot fail");
        String::from_utf8(bytes).expect("text")
    }

    fn validators(modified: SystemTime) -> Validators {
        let version = FileVersion {
            inode: u64::MAX,
            length: 12,
            modified,
            changed: UNIX_EPOCH,
            is_recently_changed: false,
        };
        Validators::new(&version, TagParts::All, "br")
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_head_with_everything() {
        let head = ResponseHead {
            content_length: Some(12),
            content_type: Some(("text/plain", "; charset=utf-8")),
            content_encoding: Some("br"),
            content_range: Some((Some(ByteRange { first: 3, last: 14 }), 100)),
            accept_ranges: true,
            vary: Some("Accept-Encoding"),
            location: Some(b"/a/"),
            allow: Some("GET, HEAD"),
            connection: Some("close"),
            more: b"X: y\r\nCache-Control: no-cache\r\n",
            ..ResponseHead::new(StatusCode::PARTIAL_CONTENT, DATE)
        };
        let server = format!("Server: evserve/{}", env!("CARGO_PKG_VERSION"));
        let expected = [
            "HTTP/1.1 206 Partial Content",
            &server,
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "Location: /a/",
            "Allow: GET, HEAD",
            "Vary: Accept-Encoding",
            "Accept-Ranges: bytes",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Encoding: br",
            "Content-Range: bytes 3-14/100",
            "Content-Length: 12",
            "X: y",
            "Cache-Control: no-cache",
            "Connection: close",
            "",
            "",
        ];
        assert_eq!(written(&head), expected.join("\r\n"));
    }

    #[test]
    fn lines_of_a_file() {
        let lines = FileFields::new(
            &validators(at(784_111_777)),
            Some("Accept-Encoding"),
            "X: y\r\n",
            ("text/plain", "; charset=utf-8"),
            Some("br"),
            12,
        );
        let of_state = [
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "ETag: \"ffffffffffffffff-c-ae1b981bc490a00--ae1b981bc490a00br\"",
            "Vary: Accept-Encoding",
            "X: y",
            "",
        ];
        let of_content = [
            "Accept-Ranges: bytes",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Encoding: br",
            "Content-Length: 12",
            "",
        ];
        let text = |lines: &[u8]| String::from_utf8(lines.to_vec()).expect("text");
        assert_eq!(text(lines.validators(true)), of_state.join("\r\n"));
        assert_eq!(text(lines.validators(false)), of_state[1..].join("\r\n"));
        for dated in [true, false] {
            assert_eq!(
                text(lines.all(dated)),
                text(lines.validators(dated)) + &of_content.join("\r\n")
            );
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let lines = FileFields::new(&validators(before), None, "", ("a/b", ""), None, 0);
        let lines = text(lines.all(true));
        assert!(!lines.contains("Last-Modified"), "HTTP cannot say it");
    }

    #[test]
    fn the_longest_head_has_room() {
        let most = u64::MAX;
        let head = ResponseHead {
            content_length: Some(most),
            content_type: Some((&"x".repeat(128), "; charset=utf-8")),
            content_encoding: Some("zstd"),
            content_range: Some((
                Some(ByteRange {
                    first: most,
                    last: most,
                }),
                most,
            )),
            accept_ranges: true,
            vary: Some("Accept-Encoding, Accept"),
            location: Some(b""),
            allow: Some("GET, HEAD, OPTIONS"),
            connection: Some("keep-alive"),
            ..ResponseHead::new(StatusCode::HEADER_FIELDS_TOO_LARGE, DATE)
        };
        let last = validators(at(253_402_300_799));
        let lines = FileFields::new(&last, None, "", ("", ""), None, most);
        let head = ResponseHead {
            more: lines.validators(true),
            ..head
        };
        assert!(written(&head).len() <= HEAD_ROOM);
    }
}
