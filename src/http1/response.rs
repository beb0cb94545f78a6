//! Response heads (RFC 9112 section 4): a status line and the fields that go with it, written in one pass.

use super::Status;
use httpdate::HttpDate;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes a head can take, its location aside.
pub const HEAD_ROOM: usize = 768;

/// What the Server field says.
const SERVER: &str = concat!("Server: evserve/", env!("CARGO_PKG_VERSION"), "\r\n");

/// Everything that varies in the head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// What became of the request.
    pub status: Status,
    /// The date it was answered, as [`crate::session::Time::date`] has it.
    pub date: &'a [u8; 29],
    /// The length in bytes of the body that follows, or that would follow if the request were not HEAD.
    pub content_length: u64,
    /// The media type of the body, and its parameters.
    pub content_type: (&'a str, &'a str),
    /// When the file was last changed, not in the future (RFC 9110 section 8.8.2.1).
    pub last_modified: Option<SystemTime>,
    /// Where the client is sent to, percent-encoded.
    pub location: Option<&'a [u8]>,
    /// Which methods there are (RFC 9110 section 10.2.1).
    pub allow: Option<&'a str>,
    /// What to say about the connection: nothing where the request's version has the same default.
    pub connection: Option<&'a str>,
}

impl ResponseHead<'_> {
    /// Writes the head with its empty line.
    ///
    /// # Errors
    /// Those of `to`; none if it has room for [`HEAD_ROOM`] bytes and the location.
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
        if let Some(modified) = self.last_modified.filter(has_http_date) {
            write!(to, "Last-Modified: {}\r\n", HttpDate::from(modified))?;
        }
        to.write_all(b"Content-Type: ")?;
        field(to, self.content_type.0, self.content_type.1.as_bytes())?;
        let mut digits = itoa::Buffer::new();
        let length = digits.format(self.content_length);
        field(to, "Content-Length: ", length.as_bytes())?;
        if let Some(connection) = self.connection {
            field(to, "Connection: ", connection.as_bytes())?;
        }
        to.write_all(b"\r\n")
    }
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

    const PLAIN: ResponseHead<'_> = ResponseHead {
        status: Status::OK,
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        content_length: 12,
        content_type: ("text/plain", "; charset=utf-8"),
        last_modified: None,
        location: None,
        allow: None,
        connection: None,
    };

    fn written(head: &ResponseHead<'_>) -> String {
        let mut bytes = Vec::new();
        head.write(&mut bytes).expect("a Vec takes all");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_head_with_everything() {
        let head = ResponseHead {
            last_modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
            location: Some(b"/a/"),
            allow: Some("GET, HEAD"),
            connection: Some("close"),
            ..PLAIN
        };
        let server = format!("Server: evserve/{}", env!("CARGO_PKG_VERSION"));
        let expected = [
            "HTTP/1.1 200 OK",
            &server,
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "Location: /a/",
            "Allow: GET, HEAD",
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Length: 12",
            "Connection: close",
            "",
            "",
        ];
        assert_eq!(written(&head), expected.join("\r\n"));
    }

    #[test]
    fn dates_that_http_cannot_say_are_left_out() {
        for modified in [
            UNIX_EPOCH - Duration::from_secs(1),
            UNIX_EPOCH + Duration::from_secs(253_402_300_800),
        ] {
            let head = ResponseHead {
                last_modified: Some(modified),
                ..PLAIN
            };
            assert!(!written(&head).contains("Last-Modified"));
        }
    }

    #[test]
    fn the_longest_head_has_room() {
        let head = ResponseHead {
            status: Status::HEADER_FIELDS_TOO_LARGE,
            content_length: u64::MAX,
            content_type: (&"x".repeat(128), "; charset=utf-8"),
            last_modified: Some(UNIX_EPOCH),
            location: Some(b""),
            allow: Some("GET, HEAD, OPTIONS"),
            connection: Some("keep-alive"),
            ..PLAIN
        };
        assert!(written(&head).len() <= HEAD_ROOM);
    }
}
