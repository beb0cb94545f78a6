//! Status codes and their reason phrases (RFC 9110 section 15).

/// A status code that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode(u16);

/// One row per status: its name, code and reason phrase.
macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        impl StatusCode {
            $(#[doc = concat!($code, " ", $reason)]
            pub const $name: StatusCode = StatusCode($code);)*

            /// The status as text with a newline, such as `404 Not Found`: a plain body.
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($code => concat!($code, " ", $reason, "\n"),)*
                    _ => unreachable!("there are no other statuses"),
                }
            }

            /// The status line with its line end, such as `HTTP/1.1 200 OK`.
            pub fn line(self) -> &'static str {
                match self.0 {
                    $($code => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)*
                    _ => unreachable!("there are no other statuses"),
                }
            }
        }
    };
}

statuses! {
    OK 200 "OK"
    PARTIAL_CONTENT 206 "Partial Content"
    MOVED_PERMANENTLY 301 "Moved Permanently"
    NOT_MODIFIED 304 "Not Modified"
    PERMANENT_REDIRECT 308 "Permanent Redirect"
    BAD_REQUEST 400 "Bad Request"
    UNAUTHORIZED 401 "Unauthorized"
    FORBIDDEN 403 "Forbidden"
    NOT_FOUND 404 "Not Found"
    METHOD_NOT_ALLOWED 405 "Method Not Allowed"
    REQUEST_TIMEOUT 408 "Request Timeout"
    CONFLICT 409 "Conflict"
    PRECONDITION_FAILED 412 "Precondition Failed"
    CONTENT_TOO_LARGE 413 "Content Too Large"
    URI_TOO_LONG 414 "URI Too Long"
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable"
    EXPECTATION_FAILED 417 "Expectation Failed"
    TOO_MANY_REQUESTS 429 "Too Many Requests"
    HEADER_FIELDS_TOO_LARGE 431 "Request Header Fields Too Large"
    INTERNAL_SERVER_ERROR 500 "Internal Server Error"
    NOT_IMPLEMENTED 501 "Not Implemented"
    SERVICE_UNAVAILABLE 503 "Service Unavailable"
    VERSION_NOT_SUPPORTED 505 "HTTP Version Not Supported"
    INSUFFICIENT_STORAGE 507 "Insufficient Storage"
}

impl StatusCode {
    /// The three-digit code.
    pub fn code(self) -> u16 {
        self.0
    }
}
