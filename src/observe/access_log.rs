//! The lines of the access log: one per request, in the Common Log Format or with two more fields.
//!
//! This file only makes bytes. When they are written, and where to, is not its business.

use crate::config::AccessLog;
use std::io::Write;
use std::net::IpAddr;

/// What is known of a request when it is answered; how many bytes were sent is known only later.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who asked, if it has an address.
    pub peer: Option<IpAddr>,
    /// When, as [`crate::session::Time::log_date`] has it.
    pub date: [u8; 26],
    /// The request line, as it came.
    pub line: &'a [u8],
    /// The status code of the answer.
    pub status: u16,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Appends the line up to the number of bytes. `format` must not be [`AccessLog::Off`].
    pub fn begin(&self, log: &mut Vec<u8>) {
        match self.peer {
            Some(peer) => write!(log, "{peer}").expect("a Vec takes all"),
            None => log.push(b'-'),
        }
        log.extend_from_slice(b" - - [");
        log.extend_from_slice(&self.date);
        log.extend_from_slice(b"] \"");
        escape(self.line, log);
        log.extend_from_slice(b"\" ");
        number(self.status.into(), log);
        log.push(b' ');
    }

    /// Appends the rest of the line behind the number of bytes.
    pub fn end(&self, format: AccessLog, log: &mut Vec<u8>) {
        if format == AccessLog::Combined {
            for value in [self.referer, self.user_agent] {
                log.extend_from_slice(b" \"");
                escape(value.unwrap_or(b"-"), log);
                log.push(b'"');
            }
        }
        log.push(b'\n');
    }
}

/// Appends a number in decimal digits.
pub fn number(number: u64, log: &mut Vec<u8>) {
    log.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes that a peer chose so that they can neither end the field nor the line, nor reach a terminal's controls.
fn escape(bytes: &[u8], log: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => log.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => log.push(byte),
            _ => {
                let (high, low) = (HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]);
                log.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record<'_>, format: AccessLog) -> String {
        let mut log = Vec::new();
        record.begin(&mut log);
        number(42, &mut log);
        record.end(format, &mut log);
        String::from_utf8(log).expect("ASCII")
    }

    #[test]
    fn both_formats() {
        let record = Record {
            peer: Some([127, 0, 0, 1].into()),
            date: *b"22/Nov/2026:14:32:00 +0000",
            line: b"GET /a HTTP/1.1",
            status: 200,
            referer: None,
            user_agent: Some(b"curl/8"),
        };
        let common = r#"127.0.0.1 - - [22/Nov/2026:14:32:00 +0000] "GET /a HTTP/1.1" 200 42"#;
        assert_eq!(line(&record, AccessLog::Common), format!("{common}\n"));
        assert_eq!(
            line(&record, AccessLog::Combined),
            format!("{common} \"-\" \"curl/8\"\n")
        );
    }

    #[test]
    fn a_peer_cannot_forge_lines() {
        let record = Record {
            peer: None,
            date: *b"22/Nov/2026:14:32:00 +0000",
            line: b"GET /\" 200 1\n\x1b[31m\\\xff HTTP/1.1",
            status: 400,
            referer: None,
            user_agent: None,
        };
        assert_eq!(
            line(&record, AccessLog::Common),
            concat!(
                "- - - [22/Nov/2026:14:32:00 +0000] ",
                r#""GET /\" 200 1\x0a\x1b[31m\\\xff HTTP/1.1" 400 42"#,
                "\n"
            )
        );
    }
}
