//! Reads the PROXY header (HAProxy's proxy-protocol.txt, versions 1 and 2), with which a proxy
//! names its client. It precedes all other bytes of a connection.
//!
//! This file does not know which protocol follows.

use crate::observe::throttled;
use crate::session::{Context, Counters, NewSession, Session, Timeout, Wait};
use ppp::{v1, v2};
use std::net::IpAddr;

/// The longest header of version 1, in bytes (section 2.1).
const MAX_V1_HEADER: usize = 107;

/// The longest header of version 2 that is accepted, in bytes. The format allows 64 KiB; proxies
/// send a few hundred bytes.
const MAX_V2_HEADER: usize = 4096;

/// The length in bytes of version 2's fixed part, which ends with the length of the rest (section
/// 2.2).
const FIXED_PART: usize = 16;

/// Admits the client that the header names: returns the session to go on with, or `None` to refuse
/// the client.
pub(super) type AdmitClient =
    Box<dyn FnOnce(Option<IpAddr>, &mut Counters) -> Option<NewSession> + Send>;

/// Reads the header, then hands over to the client's session.
pub(super) struct ProxyHeaderSession {
    proxy: Option<IpAddr>,
    /// Taken once the header is complete.
    admit: Option<AdmitClient>,
    state: State,
}

enum State {
    /// The header is missing or incomplete.
    Reading,
    /// The header is complete. Holds the client's session until it is taken.
    Read(Option<NewSession>),
    /// The header was malformed, or the client was refused.
    Refused,
}

impl ProxyHeaderSession {
    /// Reads the header of a trusted proxy.
    pub fn new(proxy: Option<IpAddr>, admit: AdmitClient) -> ProxyHeaderSession {
        ProxyHeaderSession {
            proxy,
            admit: Some(admit),
            state: State::Reading,
        }
    }
}

impl Session for ProxyHeaderSession {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let counters = &mut cx.worker.counters;
        match Header::parse(input) {
            Ok(None) => 0,
            Ok(Some(header)) => {
                let client = header.client.map(|client| client.to_canonical());
                let client = client.or(self.proxy);
                let admit = self.admit.take();
                let start = admit.and_then(|admit| admit(client, counters));
                self.state = match start {
                    Some(_) => State::Read(start),
                    None => State::Refused,
                };
                header.length
            }
            Err(Malformed) => {
                counters.refused_connections += 1;
                let proxy = display_peer(self.proxy);
                throttled!(
                    Warn,
                    "closed a connection from {proxy}: it has no PROXY header"
                );
                self.state = State::Refused;
                input.len()
            }
        }
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            State::Reading => Wait::Bytes(Timeout::Head),
            State::Read(_) => Wait::Successor,
            State::Refused => Wait::Abort,
        }
    }

    fn successor(&mut self) -> Option<NewSession> {
        match &mut self.state {
            State::Read(start) => start.take(),
            State::Reading | State::Refused => None,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Reading | State::Read(_) => "reading PROXY header",
            State::Refused => "refused",
        }
    }
}

/// The peer's address, for the log.
pub(super) fn display_peer(peer: Option<IpAddr>) -> String {
    peer.map_or("a Unix socket".into(), |peer| peer.to_string())
}

/// A parsed header.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// Its length in bytes.
    length: usize,
    /// The client's address, if the connection is on behalf of a client and the address is known.
    client: Option<IpAddr>,
}

/// The bytes are not a header, and no further bytes could make them one.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl Header {
    /// Parses the header at the front of `input`; `None` if it is incomplete.
    fn parse(input: &[u8]) -> Result<Option<Header>, Malformed> {
        if may_begin_with(input, v2::PROTOCOL_PREFIX) {
            Header::parse_v2(input)
        } else if may_begin_with(input, v1::PROTOCOL_PREFIX.as_bytes()) {
            Header::parse_v1(input)
        } else {
            Err(Malformed)
        }
    }

    fn parse_v1(input: &[u8]) -> Result<Option<Header>, Malformed> {
        let most = input.len().min(MAX_V1_HEADER);
        let Some(end) = memchr::memchr(b'\n', &input[..most]) else {
            return match most {
                MAX_V1_HEADER => Err(Malformed),
                _ => Ok(None),
            };
        };
        let line = &input[..=end];
        let header = v1::Header::try_from(line).map_err(|_| Malformed)?;
        if header.header.len() != line.len() {
            return Err(Malformed);
        }
        Ok(Some(Header {
            length: line.len(),
            client: match header.addresses {
                v1::Addresses::Tcp4(ip) => Some(ip.source_address.into()),
                v1::Addresses::Tcp6(ip) => Some(ip.source_address.into()),
                v1::Addresses::Unknown => None,
            },
        }))
    }

    fn parse_v2(input: &[u8]) -> Result<Option<Header>, Malformed> {
        let Some(fixed) = input.first_chunk::<FIXED_PART>() else {
            return Ok(None);
        };
        let length = FIXED_PART + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if length > MAX_V2_HEADER {
            return Err(Malformed);
        }
        let Some(whole) = input.get(..length) else {
            return Ok(None);
        };
        let header = v2::Header::try_from(whole).map_err(|_| Malformed)?;
        // LOCAL (section 2.2) marks the proxy's own connections, such as health checks.
        let is_client = header.command == v2::Command::Proxy;
        Ok(Some(Header {
            length,
            client: match header.addresses {
                v2::Addresses::IPv4(ip) if is_client => Some(ip.source_address.into()),
                v2::Addresses::IPv6(ip) if is_client => Some(ip.source_address.into()),
                _ => None,
            },
        }))
    }
}

/// True if `input` begins with `prefix`, or is itself a beginning of `prefix`.
fn may_begin_with(input: &[u8], prefix: &[u8]) -> bool {
    let length = input.len().min(prefix.len());
    input[..length] == prefix[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 with this command, family and rest.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        let fixed = [command, family];
        [v2::PROTOCOL_PREFIX, &fixed, &length.to_be_bytes(), rest].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 0, 80];

    #[test]
    fn each_header_at_each_split() {
        let four = Some(IpAddr::from([192, 0, 2, 7]));
        let six: Option<IpAddr> = "2001:db8::7".parse().ok();
        let mut ipv6 = [0; 36];
        ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        ipv6[15] = 7;
        let with_extensions = [&IPV4[..], &[4, 0, 3, b'a', b'b', b'c']].concat();
        let text = |line: &str| format!("{line}\r\n").into_bytes();
        let longest = format!("PROXY UNKNOWN {}", "f".repeat(91));
        let cases = [
            (text("PROXY TCP4 192.0.2.7 10.0.0.1 258 80"), four),
            (text("PROXY TCP6 2001:db8::7 ::1 1 65535"), six),
            (text("PROXY UNKNOWN"), None),
            (text("PROXY UNKNOWN what ever"), None),
            (text(&longest), None),
            (binary(0x21, 0x11, &IPV4), four),
            (binary(0x21, 0x11, &with_extensions), four),
            (binary(0x21, 0x21, &ipv6), six),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, &IPV4), None),
            (binary(0x21, 0x00, b"anything"), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ];
        for (bytes, client) in cases {
            let length = bytes.len();
            for end in 0..length {
                assert_eq!(Header::parse(&bytes[..end]), Ok(None), "{bytes:?} to {end}");
            }
            let header = Ok(Some(Header { length, client }));
            assert_eq!(Header::parse(&bytes), header, "{bytes:?}");
            let more = [&bytes[..], b"\r\nGET /"].concat();
            assert_eq!(Header::parse(&more), header, "{bytes:?}");
        }
    }

    #[test]
    fn malformed_headers_are_refused_at_the_first_wrong_byte() {
        let longer = format!("PROXY UNKNOWN {}", "f".repeat(93));
        let cases: &[&[u8]] = &[
            b"G",
            b"PROXI",
            b"\r\n\r\nG",
            b"PROXY\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 1 80\r\n",
            b"PROXY TCP4 ::1 ::1 1 80\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 80\r\n",
            b"PROXY UNKNOWN\r\r\n",
            longer.as_bytes(),
            &binary(0x11, 0x11, &IPV4),
            &binary(0x22, 0x11, &IPV4),
            &binary(0x21, 0x41, &IPV4),
            &binary(0x21, 0x11, &IPV4[..11]),
            &binary(0x21, 0x00, &[0; MAX_V2_HEADER])[..FIXED_PART],
        ];
        for bytes in cases {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(Header::parse(bytes), Err(Malformed), "{text:?}");
        }
    }
}
