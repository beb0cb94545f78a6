//! What is asked, and what an answer must be, to the last byte. It reads no socket: bytes are handed to it.

use super::super::lab::Outcome;
use super::super::lab::root::content;
use super::Asks;
use memchr::memmem;
use std::net::SocketAddr;

/// A longer head is a fault.
const HEAD_LIMIT_BYTES: usize = 8 * 1024;

/// One question, asked again and again.
pub struct Script {
    pub question: Vec<u8>,
    /// What comes back, behind a head if there are heads.
    body: Vec<u8>,
    has_head: bool,
}

/// How much of an answer has come.
#[derive(Default)]
pub struct Answer {
    head: Vec<u8>,
    in_body: bool,
    /// How much of the body has come and was right.
    body_bytes: usize,
    /// The server says that it closes.
    pub closes: bool,
}

impl Script {
    /// # Errors
    /// It is no question that has an answer.
    pub fn new(asks: &Asks, address: SocketAddr) -> Outcome<Script> {
        Ok(match asks {
            Asks::Chat => return Err("in a chat nobody answers".into()),
            Asks::Echo { bytes } => Script {
                question: content(*bytes),
                body: content(*bytes),
                has_head: false,
            },
            Asks::Http { path, bytes, close } => {
                let close = if *close { "Connection: close\r\n" } else { "" };
                Script {
                    question: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n")
                        .into_bytes(),
                    body: content(*bytes),
                    has_head: true,
                }
            }
        })
    }

    /// Takes what has come; whether the answer is complete.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&self, answer: &mut Answer, bytes: &[u8]) -> Result<bool, String> {
        let mut rest = bytes;
        if self.has_head && !answer.in_body {
            let before = answer.head.len();
            let some = &bytes[..bytes.len().min(HEAD_LIMIT_BYTES)];
            answer.head.extend_from_slice(some);
            let Some(end) = memmem::find(&answer.head, b"\r\n\r\n") else {
                return match answer.head.len() {
                    0..=HEAD_LIMIT_BYTES => Ok(false),
                    _ => Err("the head of an answer has no end".to_owned()),
                };
            };
            answer.closes = self.judge(&answer.head)?;
            answer.in_body = true;
            rest = &bytes[end + 4 - before..];
        }
        let end = answer.body_bytes + rest.len();
        match self.body.get(answer.body_bytes..end) {
            None => Err(format!("{} bytes too many", end - self.body.len())),
            Some(right) if right != rest => {
                Err("an answer's bytes are not what they should be".to_owned())
            }
            Some(_) => {
                answer.body_bytes = end;
                Ok(end == self.body.len())
            }
        }
    }

    /// Whether the server closes after this answer.
    fn judge(&self, head: &[u8]) -> Result<bool, String> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        response
            .parse(head)
            .map_err(|fault| format!("not an answer: {fault}"))?;
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
        if code != 200 || length != self.body.len().to_string() {
            return Err(format!("an answer with status {code} and {length} bytes"));
        }
        Ok(field("Connection").eq_ignore_ascii_case("close"))
    }
}

impl Answer {
    /// Makes room for the next one.
    pub fn clear(&mut self) {
        self.head.clear();
        (self.in_body, self.closes, self.body_bytes) = (false, false, 0);
    }
}
