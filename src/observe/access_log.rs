//! Formats the lines of the access log: one per request, in the Common Log Format, with two or
//! three more fields, or as JSON.
//!
//! This file only makes bytes. The http session decides when a line is written;
//! [`LogFile`](super::LogFile) writes it out.

use crate::config::AccessLog;
use crate::session::Encryption;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The data of a line, except for the duration.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// The client, if it has an address.
    pub peer: Option<IpAddr>,
    /// The time of the response, from [`crate::session::Time::log_date`].
    pub date: [u8; 26],
    /// The same time, for JSON.
    pub wall: SystemTime,
    /// The user whose password was right, if one was asked for.
    pub user: Option<&'a [u8]>,
    /// The request line, as it arrived.
    pub line: &'a [u8],
    /// The status code of the response.
    pub status: u16,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// How many bytes of content were sent.
    pub bytes: u64,
    /// True if part of the content could not be sent.
    pub aborted: bool,
}

impl AccessRecord<'_> {
    /// Appends the line. `format` must not be [`AccessLog::Off`].
    ///
    /// `taken` is the time from the first byte of the request until the whole response was handed
    /// to the kernel. A response that is copied into the output as a whole counts as handed over
    /// once it is there. `encryption` is that of the connection.
    pub fn write(
        &self,
        format: AccessLog,
        taken: Duration,
        encryption: Option<&Encryption>,
        log: &mut Vec<u8>,
    ) {
        let taken = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        if format == AccessLog::Json {
            return self.write_json(taken, encryption, log);
        }
        match self.peer {
            Some(peer) => write!(log, "{peer}").expect("writing to a Vec cannot fail"),
            None => log.push(b'-'),
        }
        log.extend_from_slice(b" - ");
        match self.user {
            Some(user) => escape_word(user, log),
            None => log.push(b'-'),
        }
        log.extend_from_slice(b" [");
        log.extend_from_slice(&self.date);
        log.extend_from_slice(b"] \"");
        escape(self.line, log);
        log.extend_from_slice(b"\" ");
        number(self.status.into(), log);
        log.push(b' ');
        number(self.bytes, log);
        if matches!(format, AccessLog::Combined | AccessLog::Timed) {
            for value in [self.referer, self.user_agent] {
                log.extend_from_slice(b" \"");
                escape(value.unwrap_or(b"-"), log);
                log.push(b'"');
            }
        }
        if format == AccessLog::Timed {
            log.push(b' ');
            number(taken, log);
        }
        log.push(b'\n');
    }

    fn write_json(&self, taken: u64, encryption: Option<&Encryption>, log: &mut Vec<u8>) {
        let time = humantime::format_rfc3339_millis(self.wall);
        write!(log, "{{\"time\":\"{time}\",\"client\":").expect("writing to a Vec cannot fail");
        match self.peer {
            Some(peer) => write!(log, "\"{peer}\"").expect("writing to a Vec cannot fail"),
            None => log.extend_from_slice(b"null"),
        }
        if self.user.is_some() {
            json_field("user", self.user, log);
        }
        // A malformed request line has fewer than three parts, or more spaces in the last one.
        let mut parts = self.line.splitn(3, |&b| b == b' ');
        json_field("method", parts.next(), log);
        json_field("target", parts.next(), log);
        json_field("version", parts.next(), log);
        json_field("referer", self.referer, log);
        json_field("user_agent", self.user_agent, log);
        log.extend_from_slice(b",\"status\":");
        number(self.status.into(), log);
        log.extend_from_slice(b",\"bytes\":");
        number(self.bytes, log);
        log.extend_from_slice(b",\"duration_us\":");
        number(taken, log);
        let aborted: &[u8] = if self.aborted { b"true" } else { b"false" };
        log.extend_from_slice(b",\"aborted\":");
        log.extend_from_slice(aborted);
        if let Some(encryption) = encryption {
            json_field("tls", Some(encryption.version.as_bytes()), log);
            json_field("cipher", Some(encryption.cipher.as_bytes()), log);
            let resumed: &[u8] = match encryption.resumed {
                true => b",\"resumed\":true",
                false => b",\"resumed\":false",
            };
            log.extend_from_slice(resumed);
            let name = encryption.server_name.as_deref();
            json_field("sni", name.map(str::as_bytes), log);
        }
        log.extend_from_slice(b"}\n");
    }
}

/// Appends a decimal number.
fn number(number: u64, log: &mut Vec<u8>) {
    log.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes chosen by the client, escaped so that they can neither end the field or the line
/// nor control a terminal.
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

/// The same for a field without quotation marks, which a space would end.
fn escape_word(bytes: &[u8], log: &mut Vec<u8>) {
    for part in bytes.split_inclusive(|&byte| byte == b' ') {
        let (word, space) = match part.split_last() {
            Some((b' ', word)) => (word, true),
            _ => (part, false),
        };
        escape(word, log);
        if space {
            log.extend_from_slice(b"\\x20");
        }
    }
}

/// Appends a field to a JSON object that has at least one already.
fn json_field(name: &str, value: Option<&[u8]>, log: &mut Vec<u8>) {
    log.extend_from_slice(b",\"");
    log.extend_from_slice(name.as_bytes());
    log.extend_from_slice(b"\":");
    match value {
        Some(value) => json_string(value, log),
        None => log.extend_from_slice(b"null"),
    }
}

/// Appends bytes chosen by the client as a JSON string (RFC 8259 section 7). Invalid UTF-8 becomes
/// U+FFFD. All control characters are escaped, including those that serde_json leaves as they are:
/// they could control a terminal.
fn json_string(bytes: &[u8], log: &mut Vec<u8>) {
    log.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => log.extend_from_slice(&[b'\\', char as u8]),
                ' '..='~' => log.push(char as u8),
                _ if char.is_control() => {
                    write!(log, "\\u{:04x}", u32::from(char))
                        .expect("writing to a Vec cannot fail");
                }
                _ => log.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            log.extend_from_slice(b"\\ufffd");
        }
    }
    log.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn line(record: &AccessRecord<'_>, format: AccessLog) -> String {
        let mut log = Vec::new();
        record.write(format, Duration::from_nanos(1_234_567), None, &mut log);
        String::from_utf8(log).expect("UTF-8")
    }

    #[test]
    fn json_says_how_a_connection_is_encrypted() {
        let record = AccessRecord {
            peer: None,
            date: *b"06/Nov/1994:08:49:37 +0000",
            wall: UNIX_EPOCH,
            user: None,
            line: b"GET / HTTP/1.1",
            status: 200,
            referer: None,
            user_agent: None,
            bytes: 0,
            aborted: false,
        };
        for (server_name, resumed, expected) in [
            (Some("h".into()), true, r#""resumed":true,"sni":"h"}"#),
            (None, false, r#""resumed":false,"sni":null}"#),
        ] {
            let encryption = Encryption {
                version: "TLSv1.3",
                cipher: "AES",
                resumed,
                server_name,
            };
            let mut log = Vec::new();
            record.write(AccessLog::Json, Duration::ZERO, Some(&encryption), &mut log);
            let line = String::from_utf8(log).expect("UTF-8");
            let expected = format!(r#","aborted":false,"tls":"TLSv1.3","cipher":"AES",{expected}"#);
            assert!(line.ends_with(&(expected + "\n")), "{line}");
        }
    }

    #[test]
    fn json() {
        let record = AccessRecord {
            peer: Some([127, 0, 0, 1].into()),
            date: *b"06/Nov/1994:08:49:37 +0000",
            wall: UNIX_EPOCH + Duration::from_millis(784_111_777_042),
            user: None,
            line: b"GET /\xc3\xa4\xff\" HTTP/1.1",
            status: 206,
            referer: None,
            user_agent: Some(b"\x1b[31m\\\xc2\x9b\x7f\t"),
            bytes: 42,
            aborted: true,
        };
        let expected = concat!(
            r#"{"time":"1994-11-06T08:49:37.042Z","client":"127.0.0.1","method":"GET","#,
            r#""target":"/ä\ufffd\"","version":"HTTP/1.1","referer":null,"#,
            r#""user_agent":"\u001b[31m\\\u009b\u007f\u0009","status":206,"bytes":42,"#,
            r#""duration_us":1234,"aborted":true}"#,
            "\n"
        );
        assert_eq!(line(&record, AccessLog::Json), expected);
        let odd = AccessRecord {
            peer: None,
            user: None,
            line: b"",
            ..record
        };
        let odd = line(&odd, AccessLog::Json);
        let expected = r#""client":null,"method":"","target":null,"version":null,"#;
        assert!(odd.contains(expected), "{odd}");
    }

    proptest! {
        /// Any bytes of a client make one valid line of JSON.
        #[test]
        fn any_bytes_make_a_string(bytes: Vec<u8>) {
            let mut log = Vec::new();
            json_string(&bytes, &mut log);
            let read: String = serde_json::from_slice(&log).expect("JSON");
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
            prop_assert!(!log.iter().any(u8::is_ascii_control));
        }
    }

    #[test]
    fn formats_of_lines() {
        let record = AccessRecord {
            peer: Some([127, 0, 0, 1].into()),
            date: *b"22/Nov/2026:14:32:00 +0000",
            wall: UNIX_EPOCH,
            user: None,
            line: b"GET /a HTTP/1.1",
            status: 200,
            referer: None,
            user_agent: Some(b"curl/8"),
            bytes: 42,
            aborted: false,
        };
        let common = r#"127.0.0.1 - - [22/Nov/2026:14:32:00 +0000] "GET /a HTTP/1.1" 200 42"#;
        assert_eq!(line(&record, AccessLog::Common), format!("{common}\n"));
        assert_eq!(
            line(&record, AccessLog::Combined),
            format!("{common} \"-\" \"curl/8\"\n")
        );
        assert_eq!(
            line(&record, AccessLog::Timed),
            format!("{common} \"-\" \"curl/8\" 1234\n")
        );
    }

    #[test]
    fn a_client_cannot_forge_lines() {
        let record = AccessRecord {
            peer: None,
            date: *b"22/Nov/2026:14:32:00 +0000",
            wall: UNIX_EPOCH,
            user: None,
            line: b"GET /\" 200 1\n\x1b[31m\\\xff HTTP/1.1",
            status: 400,
            referer: None,
            user_agent: None,
            bytes: 42,
            aborted: false,
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
