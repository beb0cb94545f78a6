//! Request heads: what they say.
//!
//! httparse reads the header fields. The request line is read here, so that each fault gets its own status.

use super::head_end::MAX_TARGET;
use super::target::is_authority;
use super::{Conditions, Status, Target};
use httparse::Header;

/// The most header fields in one head; more are refused with 431.
pub const MAX_HEADERS: usize = 100;

/// How many fields are made room for at first: more than a browser sends, at a sixth of the cost of the most.
const FEW_HEADERS: usize = 16;

/// What a request asks for (RFC 9110 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The representation.
    Get,
    /// The head that GET would get.
    Head,
    /// Any other method that RFC 9110 or RFC 5789 defines; files have none of them.
    Known,
    /// What can be done.
    Options,
    /// Any other token.
    Unknown,
}

/// The minor version of HTTP/1. Later ones are answered as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Connections close unless asked to stay.
    Http10,
    /// Connections stay unless asked to close.
    Http11,
}

/// How a request's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// That many bytes, more than 0.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// A request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it asks for.
    pub method: Method,
    /// Of what.
    pub target: Target<'a>,
    /// In which version.
    pub version: Version,
    /// What follows the head.
    pub body: Body,
    /// The host that is meant: that of an absolute-form target, else the Host field's (RFC 9112 section 3.2.2).
    pub host: Option<&'a [u8]>,
    /// True if the client is ready to use the connection again (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// A final answer is awaited only after an interim one that says to go on (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// What makes the request conditional.
    pub conditions: Conditions<'a>,
    /// The Range field.
    pub range: Option<&'a [u8]>,
    /// The Accept field.
    pub accept: Option<&'a [u8]>,
    /// The Accept-Encoding field.
    pub accept_encoding: Option<&'a [u8]>,
    /// For the access log.
    pub referer: Option<&'a [u8]>,
    /// For the access log.
    pub user_agent: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads a head whose end [`super::HeadEnd`] has found.
    ///
    /// # Errors
    /// The status to refuse it with. The connection cannot be used again then, since what follows may not be what it
    /// seems.
    pub fn parse(head: &'a [u8]) -> Result<Request<'a>, Status> {
        let line = request_line(head);
        let (method, target, version) = split_request_line(line)?;
        let fields = head.get(line.len() + 2..).ok_or(Status::BAD_REQUEST)?;
        let mut few = [httparse::EMPTY_HEADER; FEW_HEADERS];
        if let Some(fields) = read_fields(fields, &mut few)? {
            return Request::from_parts(method, target, version, fields);
        }
        let mut most = [httparse::EMPTY_HEADER; MAX_HEADERS];
        match read_fields(fields, &mut most)? {
            Some(fields) => Request::from_parts(method, target, version, fields),
            None => Err(Status::HEADER_FIELDS_TOO_LARGE),
        }
    }

    fn from_parts(
        method: Method,
        target: Target<'a>,
        version: Version,
        fields: &[Header<'a>],
    ) -> Result<Request<'a>, Status> {
        let mut request = Request {
            method,
            target,
            version,
            body: Body::None,
            host: None,
            keep_alive: version == Version::Http11,
            expects_continue: false,
            conditions: Conditions::default(),
            range: None,
            accept: None,
            accept_encoding: None,
            referer: None,
            user_agent: None,
        };
        let mut close = false;
        let mut length = None;
        let mut chunked = None;
        for field in fields {
            let value = field.value;
            match Name::of(field.name) {
                // RFC 9112 section 3.2: never two.
                Name::Host if request.host.is_none() && is_authority(value) => {
                    request.host = Some(value);
                }
                Name::Host => return Err(Status::BAD_REQUEST),
                Name::Connection => {
                    for token in list(value) {
                        close |= token.eq_ignore_ascii_case(b"close");
                        request.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                Name::ContentLength => {
                    let value = decimal(value).ok_or(Status::BAD_REQUEST)?;
                    if length.replace(value).is_some_and(|before| before != value) {
                        return Err(Status::BAD_REQUEST);
                    }
                }
                Name::TransferEncoding => {
                    let only = chunked.is_none() && value.eq_ignore_ascii_case(b"chunked");
                    chunked = Some(only);
                }
                Name::Expect if version == Version::Http10 => {}
                Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                    request.expects_continue = true;
                }
                Name::Expect => return Err(Status::EXPECTATION_FAILED),
                Name::IfMatch => request.conditions.if_match = Some(value),
                Name::IfNoneMatch => request.conditions.if_none_match = Some(value),
                Name::IfModifiedSince => request.conditions.if_modified_since = Some(value),
                Name::IfUnmodifiedSince => request.conditions.if_unmodified_since = Some(value),
                Name::IfRange => request.conditions.if_range = Some(value),
                Name::Range => request.range = Some(value),
                Name::Accept => request.accept = Some(value),
                Name::AcceptEncoding => request.accept_encoding = Some(value),
                Name::Referer => request.referer = Some(value),
                Name::UserAgent => request.user_agent = Some(value),
                Name::Other => {}
            }
        }
        // RFC 9112 section 3.2: nor none in a request of version 1.1.
        if request.host.is_none() && version == Version::Http11 {
            return Err(Status::BAD_REQUEST);
        }
        request.host = target.authority.or(request.host);
        request.keep_alive &= !close;
        request.body = match (chunked, length) {
            // RFC 9112 section 6.1: both at once is how requests are smuggled, and 1.0 knows no codings.
            (Some(_), Some(_)) => return Err(Status::BAD_REQUEST),
            (Some(_), None) if version == Version::Http10 => return Err(Status::BAD_REQUEST),
            (Some(false), None) => return Err(Status::NOT_IMPLEMENTED),
            (Some(true), None) => Body::Chunked,
            (None, None | Some(0)) => Body::None,
            (None, Some(length)) => Body::Length(length),
        };
        Ok(request)
    }
}

/// The first line of `head` without its line end, whether it makes sense or not.
pub fn request_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}

fn split_request_line(line: &[u8]) -> Result<(Method, Target<'_>, Version), Status> {
    let bad = Status::BAD_REQUEST;
    let method_end = memchr::memchr(b' ', line).ok_or(bad)?;
    let version_start = memchr::memrchr(b' ', line).ok_or(bad)? + 1;
    let method = method(&line[..method_end]).ok_or(bad)?;
    let version = version(&line[version_start..])?;
    let text = line.get(method_end + 1..version_start - 1).ok_or(bad)?;
    if text.len() > MAX_TARGET {
        return Err(Status::URI_TOO_LONG);
    }
    let target = match (method, text) {
        (Method::Unknown, _) => return Err(Status::NOT_IMPLEMENTED),
        // The asterisk-form is for OPTIONS alone, the authority-form for CONNECT, which is refused whatever its target
        // (RFC 9112 section 3.2).
        (Method::Options, b"*") => Target::ROOT,
        (Method::Known, _) if line.starts_with(b"CONNECT ") && !text.is_empty() => Target::ROOT,
        _ => Target::parse(text).ok_or(bad)?,
    };
    Ok((method, target, version))
}

/// `None` if it is no token (RFC 9110 section 5.6.2).
fn method(name: &[u8]) -> Option<Method> {
    let is_token = !name.is_empty()
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b));
    is_token.then_some(match name {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH" => Method::Known,
        _ => Method::Unknown,
    })
}

fn version(text: &[u8]) -> Result<Version, Status> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Status::VERSION_NOT_SUPPORTED)
        }
        _ => Err(Status::BAD_REQUEST),
    }
}

/// The fields, or `None` if `room` is too small for them.
fn read_fields<'h, 'a>(
    fields: &'a [u8],
    room: &'h mut [Header<'a>],
) -> Result<Option<&'h [Header<'a>]>, Status> {
    match httparse::parse_headers(fields, room) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(Some(fields)),
        Err(httparse::Error::TooManyHeaders) => Ok(None),
        _ => Err(Status::BAD_REQUEST),
    }
}

/// Each field this server looks at, by its name in lower case: one row each.
macro_rules! names {
    ($($name:ident $text:literal)*) => {
        #[derive(Clone, Copy)]
        enum Name {
            $($name,)*
            Other,
        }

        impl Name {
            fn of(name: &str) -> Name {
                $(if name.eq_ignore_ascii_case($text) {
                    return Name::$name;
                })*
                Name::Other
            }
        }
    };
}

names! {
    Host "host"
    UserAgent "user-agent"
    Accept "accept"
    AcceptEncoding "accept-encoding"
    Connection "connection"
    Referer "referer"
    IfNoneMatch "if-none-match"
    IfModifiedSince "if-modified-since"
    Range "range"
    IfRange "if-range"
    IfMatch "if-match"
    IfUnmodifiedSince "if-unmodified-since"
    ContentLength "content-length"
    TransferEncoding "transfer-encoding"
    Expect "expect"
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// A number of digits only; neither sign nor space (RFC 9110 section 8.6).
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        Request::parse(head.as_bytes()).map_or_else(Status::code, |_| 200)
    }

    #[test]
    fn request_lines() {
        let longest = "a".repeat(MAX_TARGET - 1);
        let cases = [
            ("GET / HTTP/1.1", 200),
            ("HEAD / HTTP/1.0", 200),
            ("GET / HTTP/1.7", 200),
            ("GET http://h/x HTTP/1.1", 200),
            ("POST / HTTP/1.1", 200),
            ("OPTIONS * HTTP/1.1", 200),
            ("CONNECT h:443 HTTP/1.1", 200),
            ("CONNECT  HTTP/1.1", 400),
            ("POST * HTTP/1.1", 400),
            ("OPTIONS ** HTTP/1.1", 400),
            ("GET http://h:x/ HTTP/1.1", 400),
            ("GET http://a@h/ HTTP/1.1", 400),
            ("BREW / HTTP/1.1", 501),
            ("get / HTTP/1.1", 501),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1.10", 400),
            ("GET / HTTP/1", 400),
            ("GET /", 400),
            ("GET", 400),
            ("GET  HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / a HTTP/1.1", 400),
            ("GET /\ta HTTP/1.1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            (" GET / HTTP/1.1", 400),
            ("G@T / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
        ];
        for (line, expected) in cases {
            assert_eq!(
                status(&format!("{line}\r\nHost: h\r\n\r\n")),
                expected,
                "{line}"
            );
        }
        let line = format!("GET /{longest} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&line), 200);
        assert_eq!(status(&line.replace("/a", "/aa")), 414);
    }

    #[test]
    fn fields() {
        let many = "A: b\r\n".repeat(MAX_HEADERS - 1);
        let cases = [
            ("Host: h", 200),
            ("Host:", 200),
            ("HOST: h", 200),
            ("Host: [::1]:80", 200),
            ("Host: a-b_c.d~:8080", 200),
            ("Host: h:", 200),
            ("Host: h:80x", 400),
            ("Host: h:80:80", 400),
            ("Host: a b", 400),
            ("Host: a/b", 400),
            ("Host: a@b", 400),
            ("Host: [::1", 400),
            ("Host: ::1", 400),
            ("Host: h\u{e9}", 400),
            ("Host: h\r\nExpect: 100-Continue", 200),
            ("Host: h\r\nExpect: 200-ok", 417),
            ("A: b", 400),
            ("Host: h\r\nhost: h", 400),
            ("Host : h", 400),
            ("Host: h\r\n A: folded", 400),
            (" Host: h", 400),
            ("Host: h\r\nno colon", 400),
            ("Host: h\r\nA: \u{0}", 400),
            ("Host: h\r\nA: \u{1}", 400),
            ("Host: h\r\nContent-Length: 5\r\nContent-Length: 5", 200),
            ("Host: h\r\nContent-Length: 5\r\nContent-Length: 6", 400),
            ("Host: h\r\nContent-Length: 5, 5", 400),
            ("Host: h\r\nContent-Length: +5", 400),
            ("Host: h\r\nContent-Length:", 400),
            ("Host: h\r\nContent-Length: 99999999999999999999", 400),
            (
                "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
                400,
            ),
            ("Host: h\r\nTransfer-Encoding: Chunked", 200),
            ("Host: h\r\nTransfer-Encoding: gzip, chunked", 501),
            (
                "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                501,
            ),
            (&format!("{many}Host: h"), 200),
            (&format!("{many}Host: h\r\nOne: more"), 431),
        ];
        for (fields, expected) in cases {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(status(&head), expected, "{fields:?}");
        }
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
        assert_eq!(
            status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400
        );
    }

    #[test]
    fn who_keeps_the_connection() {
        let cases = [
            ("1.1", "", true),
            ("1.1", "close", false),
            ("1.1", "upgrade, CLOSE", false),
            ("1.1", "closed", true),
            ("1.1", "keep-alive, close", false),
            ("1.0", "", false),
            ("1.0", "Keep-Alive", true),
            ("1.0", "keep-alive,close", false),
        ];
        for (version, value, expected) in cases {
            let head = format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {value}\r\n\r\n");
            let request = Request::parse(head.as_bytes()).expect("a request");
            assert_eq!(request.keep_alive, expected, "{version} {value}");
        }
    }

    #[test]
    fn bodies() {
        let body = |fields: &str| {
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            Request::parse(head.as_bytes())
                .map(|request| request.body)
                .ok()
        };
        assert_eq!(body(""), Some(Body::None));
        assert_eq!(body("Content-Length: 0\r\n"), Some(Body::None));
        assert_eq!(body("Content-Length: 007\r\n"), Some(Body::Length(7)));
        assert_eq!(body("Transfer-Encoding: chunked\r\n"), Some(Body::Chunked));
    }
}
