//! Finds the end of a request head.
//!
//! httparse accepts more than RFC 9112 allows (bare line feeds, any number of blank lines before
//! the request) and starts over with every call. So the end of the head is found here first. Each
//! byte is looked at once, however the head is split.

use super::StatusCode;
use super::lexical::is_token_byte;

/// The longest request head that can be configured, in bytes, from the method to the empty line:
/// the size of a buffer.
pub const MAX_HEAD: usize = 32 * 1024;

/// The longest request target, in bytes. Longer ones get 414. RFC 9112 section 3 recommends at
/// least 8,000.
pub const MAX_TARGET: usize = 8 * 1024;

/// The search for the end of a head. It continues where it stopped when more bytes arrive.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadEnd {
    scanned: u16,
    line_start: u16,
}

impl HeadEnd {
    /// Returns the length of the head at the front of `input`, including its empty line, or `None`
    /// if it is incomplete. The head may have at most `limit` bytes. A length of 2 is a blank line
    /// before the request.
    ///
    /// Until a head was found or refused, each call must pass the bytes of the previous one again,
    /// with more at the end.
    ///
    /// # Errors
    /// 400 for a lone carriage return or line feed. RFC 9112 section 2.2 allows servers to accept a
    /// lone line feed, but then two servers may disagree on where a request ends. 414, 431 or 501
    /// if the target, the fields or the method is too long.
    pub fn find(&mut self, input: &[u8], limit: usize) -> Result<Option<usize>, StatusCode> {
        let limit = limit.min(MAX_HEAD);
        let input = &input[..input.len().min(limit)];
        let mut at = self.scanned as usize;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &input[at..]) {
            let end = at + found;
            match (input[end], input.get(end + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.scanned = end as u16;
                    return self.check_incomplete(input, limit);
                }
                _ => return Err(StatusCode::BAD_REQUEST),
            }
            at = end + 2;
            if end == self.line_start as usize {
                *self = HeadEnd::default();
                return Ok(Some(at));
            }
            self.line_start = at as u16;
        }
        self.scanned = input.len() as u16;
        self.check_incomplete(input, limit)
    }

    fn check_incomplete(&self, input: &[u8], limit: usize) -> Result<Option<usize>, StatusCode> {
        // Room for a method, two spaces and a version beside the longest target.
        let is_long = self.line_start == 0 && input.len() > MAX_TARGET + 64;
        if (is_long || input.len() == limit) && has_long_method(input) {
            Err(StatusCode::NOT_IMPLEMENTED)
        } else if is_long {
            Err(StatusCode::URI_TOO_LONG)
        } else if input.len() == limit {
            Err(StatusCode::HEADER_FIELDS_TOO_LARGE)
        } else {
            Ok(None)
        }
    }
}

/// The longest known method, in bytes.
const LONGEST_METHOD: usize = b"OPTIONS".len();

/// True if the line begins with a method longer than any known one (RFC 9112 section 3), even if it
/// is incomplete.
pub(super) fn has_long_method(line: &[u8]) -> bool {
    line.get(..=LONGEST_METHOD)
        .is_some_and(|begin| begin.iter().all(is_token_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_HEAD: usize = 16 * 1024;

    fn find(input: &[u8]) -> Result<Option<usize>, StatusCode> {
        HeadEnd::default().find(input, MAX_HEAD)
    }

    #[test]
    fn ends_of_heads() {
        let cases: &[(&[u8], Result<Option<usize>, StatusCode>)] = &[
            (b"GET / HTTP/1.1\r\n\r\n", Ok(Some(18))),
            (b"GET / HTTP/1.1\r\n\r\nGET", Ok(Some(18))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", Ok(Some(24))),
            (b"GET / HTTP/1.1\r\n", Ok(None)),
            (b"GET / HTTP/1.1\r\n\r", Ok(None)),
            (b"\r\n", Ok(Some(2))),
            (b"\r", Ok(None)),
            (b"\n", Err(StatusCode::BAD_REQUEST)),
            (b"GET / HTTP/1.1\n\n", Err(StatusCode::BAD_REQUEST)),
            (b"GET / HTTP/1.1\r\r\n", Err(StatusCode::BAD_REQUEST)),
            (
                b"GET / HTTP/1.1\r\nA: b\n\r\n",
                Err(StatusCode::BAD_REQUEST),
            ),
            (
                b"GET / HTTP/1.1\r\nA: \rb\r\n",
                Err(StatusCode::BAD_REQUEST),
            ),
        ];
        for (input, expected) in cases {
            let shown = String::from_utf8_lossy(input);
            assert_eq!(find(input), *expected, "{shown:?}");
            // The same result byte by byte.
            let mut search = HeadEnd::default();
            let stepwise = (1..=input.len())
                .map(|end| search.find(&input[..end], MAX_HEAD))
                .find(|found| *found != Ok(None))
                .unwrap_or(Ok(None));
            assert_eq!(stepwise, *expected, "{shown:?} byte by byte");
        }
    }

    #[test]
    fn heads_that_are_too_long() {
        let mut long_target = b"GET /".to_vec();
        long_target.resize(MAX_TARGET + 65, b'a');
        assert_eq!(find(&long_target), Err(StatusCode::URI_TOO_LONG));
        let mut long_method = b"GET".repeat(3000);
        assert_eq!(find(&long_method), Err(StatusCode::NOT_IMPLEMENTED));
        long_method.truncate(400);
        let status = HeadEnd::default().find(&long_method, 256);
        assert_eq!(status, Err(StatusCode::NOT_IMPLEMENTED));
        let mut long_fields = b"GET / HTTP/1.1\r\nA: ".to_vec();
        long_fields.resize(MAX_HEAD - 4, b'a');
        assert_eq!(find(&long_fields), Ok(None));
        long_fields.extend_from_slice(b"\r\n\r\n");
        assert_eq!(find(&long_fields), Ok(Some(MAX_HEAD)));
        long_fields.insert(20, b'a');
        assert_eq!(find(&long_fields), Err(StatusCode::HEADER_FIELDS_TOO_LARGE));
    }
}
