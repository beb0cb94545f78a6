//! The request, and the right response, byte by byte. It reads no socket; the caller passes it
//! bytes.
//!
//! Most responses are equal to the one before. They are compared with it at once, which takes a
//! fraction of the time that parsing takes, and no less exactly.

use super::Asks;
use crate::Outcome;
use crate::root::content;
use memchr::memmem;
use std::net::SocketAddr;

/// The longest head. A longer one is an error.
const HEAD_LIMIT_BYTES: usize = 8 * 1024;

/// One request, sent again and again.
pub struct Script {
    pub request: Vec<u8>,
    /// The expected body, behind a head if there are heads.
    body: Vec<u8>,
    has_head: bool,
    /// How many responses to expect, one behind the other.
    pipelined: usize,
    /// A right response, or several pipelined ones, after which the connection stays open. It changes
    /// with the field Date, once a second.
    known: Vec<u8>,
}

/// How much of a response has arrived.
#[derive(Default)]
pub struct Response {
    head: Vec<u8>,
    in_body: bool,
    /// How many bytes of the body have arrived and were right.
    body_bytes: usize,
    /// How many responses came before it, if they are pipelined.
    earlier: usize,
    /// The server has announced that it closes.
    pub closes: bool,
}

impl Script {
    /// # Errors
    /// This kind of request has no response.
    pub fn new(asks: &Asks, address: SocketAddr) -> Outcome<Script> {
        Ok(match asks {
            Asks::Chat => return Err("a chat has no responses".into()),
            Asks::Echo { bytes } => Script {
                request: content(*bytes),
                body: content(*bytes),
                has_head: false,
                pipelined: 1,
                known: content(*bytes),
            },
            Asks::Http {
                path,
                bytes,
                close,
                pipelined,
            } => {
                let close = if *close { "Connection: close\r\n" } else { "" };
                Script {
                    request: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n")
                        .repeat(*pipelined)
                        .into_bytes(),
                    body: content(*bytes),
                    has_head: true,
                    pipelined: *pipelined,
                    known: Vec::new(),
                }
            }
        })
    }

    /// Takes received bytes. Returns whether the response is complete, or all that are pipelined.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, response: &mut Response, bytes: &[u8]) -> Result<bool, String> {
        let is_new = response.is_new();
        if is_new && bytes == self.known {
            return Ok(true);
        }
        let has_all = self.take_by_parts(response, bytes)?;
        if has_all && is_new && !response.closes {
            self.known.clear();
            self.known.extend_from_slice(bytes);
        }
        Ok(has_all)
    }

    fn take_by_parts(&self, response: &mut Response, bytes: &[u8]) -> Result<bool, String> {
        let mut rest = bytes;
        loop {
            rest = &rest[self.take_of_one(response, rest)?..];
            let has_all = response.in_body && response.body_bytes == self.body.len();
            if !has_all {
                return Ok(false);
            }
            if response.earlier + 1 == self.pipelined {
                return match rest.len() {
                    0 => Ok(true),
                    more => Err(format!("{more} bytes too many")),
                };
            }
            let earlier = response.earlier + 1;
            response.clear();
            response.earlier = earlier;
        }
    }

    /// Takes the bytes of one response. Returns how many these are.
    fn take_of_one(&self, response: &mut Response, bytes: &[u8]) -> Result<usize, String> {
        let mut taken = 0;
        if !self.has_head {
            response.in_body = true;
        }
        if !response.in_body {
            let before = response.head.len();
            let some = &bytes[..bytes.len().min(HEAD_LIMIT_BYTES)];
            response.head.extend_from_slice(some);
            let Some(end) = memmem::find(&response.head, b"\r\n\r\n") else {
                return match response.head.len() {
                    0..=HEAD_LIMIT_BYTES => Ok(bytes.len()),
                    _ => Err("the head of a response has no end".to_owned()),
                };
            };
            response.closes = self.judge(&response.head)?;
            response.in_body = true;
            taken = end + 4 - before;
        }
        let left = &self.body[response.body_bytes..];
        let body = &bytes[taken..];
        let count = body.len().min(left.len());
        if body[..count] != left[..count] {
            return Err("the bytes of a response are wrong".to_owned());
        }
        response.body_bytes += count;
        Ok(taken + count)
    }

    /// Returns whether the server closes after this response.
    fn judge(&self, head: &[u8]) -> Result<bool, String> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        response
            .parse(head)
            .map_err(|fault| format!("not a response: {fault}"))?;
        let field = |name: &str| {
            let found = response
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name));
            found.map_or("", |field| {
                std::str::from_utf8(field.value).unwrap_or_default()
            })
        };
        let (code, length) = (response.code.unwrap_or_default(), field("Content-Length"));
        if code != 200 || length.parse() != Ok(self.body.len()) {
            return Err(format!("a response with status {code} and {length} bytes"));
        }
        Ok(field("Connection").eq_ignore_ascii_case("close"))
    }
}

impl Response {
    /// Whether nothing of it has arrived.
    fn is_new(&self) -> bool {
        self.head.is_empty() && self.body_bytes == 0 && self.earlier == 0
    }

    /// Makes room for the next one.
    pub fn clear(&mut self) {
        self.head.clear();
        (self.in_body, self.closes) = (false, false);
        (self.body_bytes, self.earlier) = (0, 0);
    }
}
