//! Response heads (RFC 9112 section 4): a status line and the fields that go with it, written in one pass.

use super::{Status, Stretch, Validators};
use httpdate::HttpDate;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes a head can take, its location and the configured fields aside.
pub const HEAD_ROOM: usize = 1024;

/// What the Server field says.
const SERVER: &str = concat!("Server: evserve/", env!("CARGO_PKG_VERSION"), "\r\n");

/// Everything that varies in the head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// What became of the request.
    pub status: Status,
    /// The date it was answered, as [`crate::session::Time::date`] has it.
    pub date: &'a [u8; 29],
    /// The length in bytes of the body that follows, or that would follow if the request were not HEAD. A response that
    /// never has one, such as 304, says nothing.
    pub content_length: Option<u64>,
    /// The media type of the body and its parameters, if it has one.
    pub content_type: Option<(&'a str, &'a str)>,
    /// The parts of a body of several have this between them.
    pub boundary: Option<&'a str>,
    /// The coding of the body (RFC 9110 section 8.4).
    pub content_encoding: Option<&'a str>,
    /// Which part of the whole, and how long that is; no part if none could be sent (RFC 9110 section 14.4).
    pub content_range: Option<(Option<Stretch>, u64)>,
    /// Requests for parts are understood (RFC 9110 section 14.3).
    pub accept_ranges: bool,
    /// Which state of the file this is.
    pub validators: Option<&'a Validators>,
    /// The answer would be another one with another Accept-Encoding or Accept (RFC 9110 section 12.5.5).
    pub vary: Option<&'a str>,
    /// Where the client is sent to, percent-encoded.
    pub location: Option<&'a [u8]>,
    /// Which methods there are (RFC 9110 section 10.2.1).
    pub allow: Option<&'a str>,
    /// What to say about the connection: nothing where the request's version has the same default.
    pub connection: Option<&'a str>,
    /// Whole lines to add.
    pub more: [&'a str; 2],
}

impl<'a> ResponseHead<'a> {
    /// A head that says only what became of the request, and when.
    pub fn new(status: Status, date: &'a [u8; 29]) -> ResponseHead<'a> {
        ResponseHead {
            status,
            date,
            content_length: None,
            content_type: None,
            boundary: None,
            content_encoding: None,
            content_range: None,
            accept_ranges: false,
            validators: None,
            vary: None,
            location: None,
            allow: None,
            connection: None,
            more: [""; 2],
        }
    }

    /// Writes the head with its empty line.
    ///
    /// # Errors
    /// Those of `to`; none if it has room for [`HEAD_ROOM`] bytes, the location and the lines to add.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(self.status.line().as_bytes())?;
        to.write_all(SERVER.as_bytes())?;
        field(to, "Date: ", self.date)?;
        if let Some(location) = self.location {
            field(to, "Location: ", location)?;
        }
        if let Some(allow) = self.allow {
            field(to, "Allow: ", allow.as_bytes())?;
        }
        if let Some(validators) = self.validators {
            if has_http_date(&validators.modified()) {
                let date = HttpDate::from(validators.modified());
                write!(to, "Last-Modified: {date}\r\n")?;
            }
            write!(to, "ETag: {validators}\r\n")?;
        }
        if self.accept_ranges {
            to.write_all(b"Accept-Ranges: bytes\r\n")?;
        }
        if let Some(vary) = self.vary {
            field(to, "Vary: ", vary.as_bytes())?;
        }
        for lines in self.more {
            to.write_all(lines.as_bytes())?;
        }
        self.write_content_fields(to)?;
        if let Some(connection) = self.connection {
            field(to, "Connection: ", connection.as_bytes())?;
        }
        to.write_all(b"\r\n")
    }

    fn write_content_fields(&self, to: &mut impl Write) -> io::Result<()> {
        if let Some(boundary) = self.boundary {
            to.write_all(b"Content-Type: multipart/byteranges; boundary=")?;
            field(to, "", boundary.as_bytes())?;
        } else if let Some((media_type, parameters)) = self.content_type {
            to.write_all(b"Content-Type: ")?;
            field(to, media_type, parameters.as_bytes())?;
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

/// Writes the Content-Range field of a part of a whole of that many bytes.
///
/// # Errors
/// Those of `to`.
pub fn write_content_range(to: &mut impl Write, part: Stretch, whole: u64) -> io::Result<()> {
    let Stretch { first, last } = part;
    write!(to, "Content-Range: bytes {first}-{last}/{whole}\r\n")
}

fn field(to: &mut impl Write, name: &str, value: &[u8]) -> io::Result<()> {
    to.write_all(name.as_bytes())?;
    to.write_all(value)?;
    to.write_all(b"\r\n")
}

/// HTTP's date format has no years before the epoch or after 9999, and `HttpDate` panics for them.
fn has_http_date(time: &SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since < Duration::from_secs(253_402_300_800))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn written(head: &ResponseHead<'_>) -> String {
        let mut bytes = Vec::new();
        head.write(&mut bytes).expect("a Vec takes all");
        String::from_utf8(bytes).expect("text")
    }

    fn validators(second: i64) -> Validators {
        let distance = Duration::from_secs(second.unsigned_abs());
        let modified = match second {
            0.. => UNIX_EPOCH + distance,
            _ => UNIX_EPOCH - distance,
        };
        Validators::new(12, modified, modified + Duration::from_secs(9), "br")
    }

    #[test]
    fn a_head_with_everything() {
        let head = ResponseHead {
            content_length: Some(12),
            content_type: Some(("text/plain", "; charset=utf-8")),
            content_encoding: Some("br"),
            content_range: Some((Some(Stretch { first: 3, last: 14 }), 100)),
            accept_ranges: true,
            validators: Some(&validators(784_111_777)),
            vary: Some("Accept-Encoding"),
            location: Some(b"/a/"),
            allow: Some("GET, HEAD"),
            connection: Some("close"),
            more: ["X: y\r\n", "Cache-Control: no-cache\r\n"],
            ..ResponseHead::new(Status::PARTIAL_CONTENT, DATE)
        };
        let server = format!("Server: evserve/{}", env!("CARGO_PKG_VERSION"));
        let expected = [
            "HTTP/1.1 206 Partial Content",
            &server,
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "Location: /a/",
            "Allow: GET, HEAD",
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "ETag: \"ae1b97fd3915a00-cbr\"",
            "Accept-Ranges: bytes",
            "Vary: Accept-Encoding",
            "X: y",
            "Cache-Control: no-cache",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Encoding: br",
            "Content-Range: bytes 3-14/100",
            "Content-Length: 12",
            "Connection: close",
            "",
            "",
        ];
        let written = written(&head);
        let tag = written
            .lines()
            .find(|line| line.starts_with("ETag"))
            .expect("a tag");
        assert_eq!(written.replace(tag, expected[6]), expected.join("\r\n"));
    }

    #[test]
    fn dates_that_http_cannot_say_are_left_out() {
        for second in [-1, 253_402_300_800] {
            let validators = validators(second);
            let head = ResponseHead {
                validators: Some(&validators),
                ..ResponseHead::new(Status::OK, DATE)
            };
            assert!(!written(&head).contains("Last-Modified"));
        }
    }

    #[test]
    fn the_longest_head_has_room() {
        let most = u64::MAX;
        let head = ResponseHead {
            content_length: Some(most),
            content_type: Some((&"x".repeat(128), "; charset=utf-8")),
            content_encoding: Some("zstd"),
            content_range: Some((
                Some(Stretch {
                    first: most,
                    last: most,
                }),
                most,
            )),
            accept_ranges: true,
            validators: Some(&validators(253_402_300_799)),
            vary: Some("Accept-Encoding, Accept"),
            location: Some(b""),
            allow: Some("GET, HEAD, OPTIONS"),
            connection: Some("keep-alive"),
            ..ResponseHead::new(Status::HEADER_FIELDS_TOO_LARGE, DATE)
        };
        assert!(written(&head).len() <= HEAD_ROOM);
    }
}
