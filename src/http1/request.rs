//! Parses request heads.
//!
//! httparse reads the header fields, also those of responses. The request line is parsed here, so
//! that each fault gets its own status.

use super::head_end::{MAX_TARGET, has_long_method};
use super::lexical::{decimal, is_token};
use super::list::{List, lines_of, split};
use super::target::is_authority;
use super::{Conditions, StatusCode, Target};
use httparse::Header;

/// The most header fields in one head. More get 431.
pub const MAX_FIELDS: usize = 100;

/// The number of fields that there is room for at first: more than browsers send, at a sixth of the
/// cost of the maximum.
const USUAL_FIELDS: usize = 16;

/// The method (RFC 9110 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// Another method that RFC 9110 or RFC 5789 defines. Files support none of these.
    Unsupported,
    /// OPTIONS.
    Options,
    /// Any other token.
    Unknown,
}

/// The HTTP version. Later minor versions are treated as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Connections close unless the client asks for keep-alive.
    Http10,
    /// Connections are kept unless the client asks for close.
    Http11,
}

/// How the body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// No body.
    None,
    /// A body of this many bytes, at least 1.
    Length(u64),
    /// A chunked body.
    Chunked,
}

/// A request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: Target<'a>,
    /// The version.
    pub version: Version,
    /// How the body is delimited.
    pub body: RequestBody,
    /// The host: of an absolute-form target, else of the Host field (RFC 9112 section 3.2.2).
    pub host: Option<&'a [u8]>,
    /// True if the client will use the connection again (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// True if the client waits for `100 Continue` before it sends the body (RFC 9110 section
    /// 10.1.1).
    pub expects_continue: bool,
    /// The fields that make the request conditional.
    pub conditions: Conditions<'a>,
    /// The Range field. Empty, which is not a range, if it occurs several times.
    pub range: Option<&'a [u8]>,
    /// The Accept field.
    pub accept: Option<List<'a>>,
    /// The Accept-Encoding field.
    pub accept_encoding: Option<List<'a>>,
    /// The Referer field, for the access log.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field, for the access log.
    pub user_agent: Option<&'a [u8]>,
    /// The field lines, for [`field`](Request::field).
    section: &'a [u8],
}

impl<'a> Request<'a> {
    /// Parses a head whose end [`super::HeadEnd`] has found.
    ///
    /// # Errors
    /// The status to refuse it with. Close the connection then: where the request ends is
    /// uncertain.
    pub fn parse(head: &'a [u8]) -> Result<Request<'a>, StatusCode> {
        let line = request_line(head);
        let (method, target, version) = split_request_line(line)?;
        let section = head.get(line.len() + 2..).ok_or(StatusCode::BAD_REQUEST)?;
        // Built in place: a move would cost every request more than a field does.
        let mut result = Ok(Request::without_fields(method, target, version, section));
        if let Ok(request) = &mut result {
            let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
            match read_fields(section, &mut few)? {
                Some(fields) => request.take_fields(fields, section)?,
                None => request.take_many_fields(section)?,
            }
        }
        result
    }

    /// The value of any field, by its name in whatever case; of its first line if it has several.
    pub fn field(&self, name: &'static str) -> Option<&'a [u8]> {
        lines_of(self.section, name).next()
    }

    fn without_fields(
        method: Method,
        target: Target<'a>,
        version: Version,
        section: &'a [u8],
    ) -> Request<'a> {
        Request {
            method,
            target,
            version,
            body: RequestBody::None,
            host: None,
            keep_alive: version == Version::Http11,
            expects_continue: false,
            conditions: Conditions::default(),
            range: None,
            accept: None,
            accept_encoding: None,
            referer: None,
            user_agent: None,
            section,
        }
    }

    #[cold]
    fn take_many_fields(&mut self, section: &'a [u8]) -> Result<(), StatusCode> {
        let mut most = [httparse::EMPTY_HEADER; MAX_FIELDS];
        match read_fields(section, &mut most)? {
            Some(fields) => self.take_fields(fields, section),
            None => Err(StatusCode::HEADER_FIELDS_TOO_LARGE),
        }
    }

    /// Reads a Connection field. Returns true if it asks to close.
    fn take_connection(&mut self, value: &[u8]) -> bool {
        let mut close = false;
        for token in split(value) {
            close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
        close
    }

    /// Reads the fields. `section` is the text that they were parsed from.
    fn take_fields(&mut self, fields: &[Header<'a>], section: &'a [u8]) -> Result<(), StatusCode> {
        let mut framing = Framing::default();
        let mut close = false;
        let mut expects_more = false;
        let add = |list: &mut Option<List<'a>>, value: &'a [u8], name| {
            *list = Some(match list {
                None => List::from(value),
                Some(_) => List::several(name, section),
            });
        };
        for field in fields {
            let value = field.value;
            match Name::of(field.name) {
                // A second Host field is refused (RFC 9112 section 3.2).
                Name::Host if self.host.is_none() && is_host(value) => self.host = Some(value),
                Name::Host => return Err(StatusCode::BAD_REQUEST),
                Name::Connection => close |= self.take_connection(value),
                Name::ContentLength => framing.add_length(value)?,
                Name::TransferEncoding => framing.add_codings(value),
                // HTTP/1.0 has no Expect field (RFC 9110 section 10.1.1).
                Name::Expect if self.version == Version::Http10 => {}
                Name::Expect => {
                    for expectation in split(value) {
                        let is_known = expectation.eq_ignore_ascii_case(b"100-continue");
                        self.expects_continue |= is_known;
                        expects_more |= !is_known;
                    }
                }
                Name::IfMatch => add(&mut self.conditions.if_match, value, "if-match"),
                Name::IfNoneMatch => {
                    add(&mut self.conditions.if_none_match, value, "if-none-match");
                }
                Name::IfModifiedSince => set_unique(&mut self.conditions.if_modified_since, value),
                Name::IfUnmodifiedSince => {
                    set_unique(&mut self.conditions.if_unmodified_since, value);
                }
                Name::IfRange => set_unique(&mut self.conditions.if_range, value),
                Name::Range => set_unique(&mut self.range, value),
                Name::Accept => add(&mut self.accept, value, "accept"),
                Name::AcceptEncoding => {
                    add(&mut self.accept_encoding, value, "accept-encoding");
                }
                Name::Referer => self.referer = Some(value),
                Name::UserAgent => self.user_agent = Some(value),
                Name::Other => {}
            }
        }
        // HTTP/1.1 requires a Host field (RFC 9112 section 3.2).
        if self.host.is_none() && self.version == Version::Http11 {
            return Err(StatusCode::BAD_REQUEST);
        }
        self.host = self.target.authority.or(self.host);
        self.keep_alive &= !close;
        self.body = framing.body(self.version)?;
        match expects_more {
            true => Err(StatusCode::EXPECTATION_FAILED),
            false => Ok(()),
        }
    }
}

/// Reads a field that is not a list. If it occurs several times, all are ignored: joined into a
/// list they are no date, tag or range.
fn set_unique<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) {
    *field = Some(if field.is_none() { value } else { b"" });
}

/// True if the value is valid for Host. It is empty where the target has no authority (RFC 9110
/// section 7.2).
fn is_host(value: &[u8]) -> bool {
    value.is_empty() || is_authority(value)
}

/// What the fields say about the end of the body (RFC 9112 section 6).
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// True if there is a Transfer-Encoding field.
    is_coded: bool,
    /// How many codings it lists, how many of these are `chunked`, and whether the last one is.
    codings: usize,
    chunked: usize,
    ends_chunked: bool,
}

impl Framing {
    /// Content-Length may be repeated with the same value only (RFC 9112 section 6.3).
    fn add_length(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        let value = decimal(value).map_err(|_| StatusCode::BAD_REQUEST)?;
        match self.length.replace(value) {
            Some(before) if before != value => Err(StatusCode::BAD_REQUEST),
            _ => Ok(()),
        }
    }

    /// A coding with parameters is unknown anyway, so a comma inside one does no harm.
    fn add_codings(&mut self, value: &[u8]) {
        self.is_coded = true;
        for coding in split(value) {
            self.ends_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += usize::from(self.ends_chunked);
            self.codings += 1;
        }
    }

    fn body(&self, version: Version) -> Result<RequestBody, StatusCode> {
        match self.length {
            None | Some(0) if !self.is_coded => Ok(RequestBody::None),
            Some(length) if !self.is_coded => Ok(RequestBody::Length(length)),
            // Both at once is request smuggling, and HTTP/1.0 has no codings (RFC 9112 section
            // 6.1).
            Some(_) => Err(StatusCode::BAD_REQUEST),
            None if version == Version::Http10 => Err(StatusCode::BAD_REQUEST),
            // `chunked` must come last, and once: else the end of the body is unknown (RFC 9112
            // sections 6.3, 7.1).
            None if !self.ends_chunked || self.chunked > 1 => Err(StatusCode::BAD_REQUEST),
            None if self.codings > 1 => Err(StatusCode::NOT_IMPLEMENTED),
            None => Ok(RequestBody::Chunked),
        }
    }
}

/// The first line of `head` without its line end, even if it is malformed.
pub fn request_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}

fn split_request_line(line: &[u8]) -> Result<(Method, Target<'_>, Version), StatusCode> {
    let bad = StatusCode::BAD_REQUEST;
    let method_end = memchr::memchr(b' ', line).ok_or(bad)?;
    let method = method(&line[..method_end]).ok_or(bad)?;
    if method == Method::Unknown && has_long_method(line) {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let version_start = memchr::memrchr(b' ', line).ok_or(bad)? + 1;
    let version = version(&line[version_start..])?;
    let text = line.get(method_end + 1..version_start - 1).ok_or(bad)?;
    if text.len() > MAX_TARGET {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let target = match (method, text) {
        (Method::Unknown, _) => return Err(StatusCode::NOT_IMPLEMENTED),
        // OPTIONS alone may have the asterisk-form. CONNECT has the authority-form, and is refused
        // whatever its target (RFC 9112 section 3.2).
        (Method::Options, b"*") => Target::ROOT,
        (Method::Unsupported, _) if line.starts_with(b"CONNECT ") && !text.is_empty() => {
            Target::ROOT
        }
        _ => Target::parse(text).ok_or(bad)?,
    };
    Ok((method, target, version))
}

/// `None` if it is not a token (RFC 9110 section 5.6.2).
fn method(name: &[u8]) -> Option<Method> {
    Some(match name {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"POST" => Method::Post,
        b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH" => Method::Unsupported,
        _ if is_token(name) => Method::Unknown,
        _ => return None,
    })
}

fn version(text: &[u8]) -> Result<Version, StatusCode> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(StatusCode::VERSION_NOT_SUPPORTED)
        }
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Parses the fields. `None` if there are more than `room` holds.
fn read_fields<'h, 'a>(
    fields: &'a [u8],
    room: &'h mut [Header<'a>],
) -> Result<Option<&'h [Header<'a>]>, StatusCode> {
    match httparse::parse_headers(fields, room) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(Some(fields)),
        Err(httparse::Error::TooManyHeaders) => Ok(None),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Calls `take` with the name and the value of each field of a section, which ends with an empty
/// line. For code that need not be fast.
///
/// # Errors
/// 431 if there are more than [`MAX_FIELDS`], 400 if one is malformed, and those of `take`.
pub(super) fn each_field<'a, E: From<StatusCode>>(
    section: &'a [u8],
    mut take: impl FnMut(&'a str, &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut most = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = read_fields(section, &mut most)?.ok_or(StatusCode::HEADER_FIELDS_TOO_LARGE)?;
    fields
        .iter()
        .try_for_each(|field| take(field.name, field.value))
}

/// One row per field that the server reads: its name here and in lower case.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        Request::parse(head.as_bytes()).map_or_else(StatusCode::code, |_| 200)
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
            ("GET http://:80/ HTTP/1.1", 400),
            ("GET http:/// HTTP/1.1", 400),
            ("BREW / HTTP/1.1", 501),
            ("PROPFIND / HTTP/1.1", 501),
            ("A-METHOD-LONGER-THAN-ANY / HTTP/1.1", 501),
            ("A-METHOD-LONGER-THAN-ANY a HTTP/3.0", 501),
            ("A-METHOD-WITHOUT-END", 400),
            ("A/METHOD-LONGER-THAN-ANY / HTTP/1.1", 400),
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
        let many = "A: b\r\n".repeat(MAX_FIELDS - 1);
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
            ("Host: :80", 400),
            ("Host: %zz", 400),
            ("Host: a%2Db", 200),
            ("Host: [zz]", 400),
            ("Host: [v1.a:b]", 200),
            ("Host: h\r\nHost: h", 400),
            ("Host: h\r\nHost:", 400),
            ("Host:\r\nHost: h", 400),
            ("Host: h, h", 400),
            ("Host: h\r\nExpect: 200-ok", 417),
            ("Host: h\r\nExpect: 100-continue, 200-ok", 417),
            ("Host: h\r\nExpect: 200-ok\r\nExpect: 100-continue", 417),
            ("Host: h\r\nExpect: 100-continue\r\nExpect: 200-ok", 417),
            (
                "Host: h\r\nExpect: 100-continue\r\nExpect: 100-continue",
                200,
            ),
            ("Host: h\r\nExpect:", 200),
            ("Expect: 200-ok", 400),
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
    fn connection_fields_decide_keep_alive() {
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
    fn transfer_codings() {
        for (lines, expected) in [
            (&["chunked"][..], 200),
            (&["CHUNKED"], 200),
            (&[",chunked ,"], 200),
            (&["", "chunked"], 200),
            (&["gzip, chunked"], 501),
            (&["gzip", "chunked"], 501),
            (&["gzip, deflate", "br, chunked"], 501),
            (&["identity, chunked"], 501),
            (&["gzip"], 400),
            (&["identity"], 400),
            (&["chunked, gzip"], 400),
            (&["chunked", "gzip"], 400),
            (&["chunked, chunked"], 400),
            (&["chunked", "chunked"], 400),
            (&["chunked, gzip, chunked"], 400),
            (&["chunked;q=1"], 400),
            (&["gzip;a=\"b, chunked\""], 400),
            (&["chunked x"], 400),
            (&["xchunked"], 400),
            (&[""], 400),
            (&[","], 400),
        ] {
            let codings = lines
                .iter()
                .map(|line| format!("Transfer-Encoding: {line}\r\n"));
            let codings: String = codings.collect();
            let head = |version| format!("GET / HTTP/{version}\r\nHost: h\r\n{codings}");
            assert_eq!(
                status(&format!("{}\r\n", head("1.1"))),
                expected,
                "{lines:?}"
            );
            assert_eq!(status(&format!("{}\r\n", head("1.0"))), 400, "{lines:?}");
            for length in [0, 5] {
                let both = format!("{}Content-Length: {length}\r\n\r\n", head("1.1"));
                assert_eq!(status(&both), 400, "{lines:?}");
            }
        }
    }

    /// Several lines of a list field form one list; several lines of another field are ignored.
    #[test]
    fn fields_on_several_lines() {
        let read = |fields: &'static str| {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
            Request::parse(head.leak().as_bytes()).expect("a request")
        };
        let members = |list: Option<List<'_>>| {
            let list = list.expect("the field");
            list.members().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let request = read(
            "If-Match: \"a\"\r\nAccept: x/y\r\nIF-MATCH: \"b\"\r\nIf-None-Match: \"c\"\r\n\
             accept-encoding: br\r\nAccept:z/*\r\nif-none-match: \"d\"\r\nAccept-Encoding: gzip",
        );
        let conditions = request.conditions;
        assert_eq!(members(conditions.if_match), [b"\"a\"", b"\"b\""]);
        assert_eq!(members(conditions.if_none_match), [b"\"c\"", b"\"d\""]);
        assert_eq!(members(request.accept), [&b"x/y"[..], b"z/*"]);
        assert_eq!(members(request.accept_encoding), [&b"br"[..], b"gzip"]);
        let request = read("Connection: keep-alive\r\nConnection: a, close\r\nConnection: b");
        assert!(!request.keep_alive);
        let request = read(
            "Range: bytes=0-0\r\nRange: bytes=0-0\r\nIf-Range: \"a\"\r\nIf-Range: \"a\"\r\n\
             If-Modified-Since: x\r\nIf-Modified-Since: x\r\nIf-Modified-Since: x\r\n\
             If-Unmodified-Since: x\r\nif-unmodified-since: x",
        );
        let conditions = request.conditions;
        for value in [
            request.range,
            conditions.if_range,
            conditions.if_modified_since,
            conditions.if_unmodified_since,
        ] {
            assert_eq!(value, Some(&b""[..]));
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
        assert_eq!(body(""), Some(RequestBody::None));
        assert_eq!(body("Content-Length: 0\r\n"), Some(RequestBody::None));
        assert_eq!(
            body("Content-Length: 007\r\n"),
            Some(RequestBody::Length(7))
        );
        assert_eq!(
            body("Transfer-Encoding: chunked\r\n"),
            Some(RequestBody::Chunked)
        );
    }
}
