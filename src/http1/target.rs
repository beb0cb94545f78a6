//! Parses request targets (RFC 9112 section 3.2).

use std::net::Ipv6Addr;

/// A parsed request target. The path begins with a slash and is still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// From the first slash to the question mark or the end.
    pub path: &'a [u8],
    /// The part after the first question mark, if there is one.
    pub query: Option<&'a [u8]>,
    /// The host and port of an absolute-form target.
    pub authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// The target of requests that have no path.
    pub const ROOT: Target<'static> = Target {
        path: b"/",
        query: None,
        authority: None,
    };

    /// Parses an origin-form (`/path?query`) or an absolute-form (`http://host/path?query`), which
    /// servers must accept too (RFC 9112 section 3.2.2). `None` for anything else.
    pub fn parse(target: &'a [u8]) -> Option<Target<'a>> {
        // A URI contains no control characters and no spaces (RFC 3986), and a fragment is never
        // sent (RFC 9110 section 7.1). Bytes from 0x80 are invalid as well, but clients such as
        // curl send UTF-8 as it was typed.
        if target.iter().any(|&b| b <= b' ' || b == 0x7f || b == b'#') {
            return None;
        }
        let (authority, from_path) = match target {
            [b'/', ..] => (None, target),
            _ => {
                let rest = strip_scheme(target)?;
                let authority_end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                if !is_authority(&rest[..authority_end]) {
                    return None;
                }
                let (authority, from_path) = rest.split_at(authority_end);
                (Some(authority), from_path)
            }
        };
        let (path, query) = match memchr::memchr(b'?', from_path) {
            Some(mark) => (&from_path[..mark], Some(&from_path[mark + 1..])),
            None => (from_path, None),
        };
        // An absolute URI without a path means the root (RFC 9110 section 4.2.3).
        let path = if path.is_empty() { b"/" } else { path };
        Some(Target {
            path,
            query,
            authority,
        })
    }
}

/// The bytes that may stand in a host name unencoded (RFC 3986 section 3.2.2: unreserved and
/// sub-delims). A table, since every request has such a name.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let (mut byte, others) = (0, b"-._~!$&'()*+,;=");
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

/// True for `host`, `host:port` and `[ip]:port` (RFC 9110 section 7.2, RFC 3986 section 3.2). The
/// host must not be empty (RFC 9110 section 4.2.1), and user information is refused (section
/// 4.2.4).
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (is_host, port) = match text {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => (is_ip(&rest[..end]), &rest[end + 1..]),
            None => return false,
        },
        _ => {
            let (host, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
            (!host.is_empty() && is_name(host), port)
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
}

/// True for a registered name or an IPv4 address (RFC 3986 section 3.2.2).
fn is_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let Some(at) = rest.iter().position(|&b| !IN_NAME[b as usize]) {
        let [b'%', high, low, after @ ..] = &rest[at..] else {
            return false;
        };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return false;
        }
        rest = after;
    }
    true
}

/// True for the inside of an IP literal's brackets: an IPv6 address, or one of a future IP version.
fn is_ip(address: &[u8]) -> bool {
    let [b'v' | b'V', future @ ..] = address else {
        return str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    };
    let dot = memchr::memchr(b'.', future).unwrap_or(0);
    let (version, rest) = future.split_at(dot);
    let in_address = |b: &u8| IN_NAME[*b as usize] || *b == b':';
    !version.is_empty()
        && version.iter().all(u8::is_ascii_hexdigit)
        && rest.len() > 1
        && rest[1..].iter().all(in_address)
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let cases: &[(&str, Option<(&str, Option<&str>)>)] = &[
            ("/", Some(("/", None))),
            ("/a%20b?x=1?y", Some(("/a%20b", Some("x=1?y")))),
            ("/a?", Some(("/a", Some("")))),
            ("//evil/x", Some(("//evil/x", None))),
            ("/\u{e9}", Some(("/\u{e9}", None))),
            ("http://h/p?q", Some(("/p", Some("q")))),
            ("HTTP://h:80/p", Some(("/p", None))),
            ("https://h", Some(("/", None))),
            ("http://h?q", Some(("/", Some("q")))),
            ("http:///p", None),
            ("http://:80/p", None),
            ("http://:/p", None),
            ("http://?q", None),
            ("http://[]/p", None),
            ("http://%zz/p", None),
            ("http://user@h/p", None),
            ("http://user:80@h/p", None),
            ("http://[::1]:80/p", Some(("/p", None))),
            ("http://", None),
            ("ftp://h/p", None),
            ("h:80", None),
            ("*", None),
            ("", None),
            ("a", None),
            ("/a#b", None),
            ("/a\tb", None),
            ("/a\u{7f}", None),
        ];
        for (target, expected) in cases {
            let (_, authority) = target.split_once("://").unwrap_or_default();
            let authority = authority.split(['/', '?']).next();
            let authority = authority.filter(|authority| !authority.is_empty());
            let expected = expected.map(|(path, query)| Target {
                path: path.as_bytes(),
                query: query.map(str::as_bytes),
                authority: authority.map(str::as_bytes),
            });
            assert_eq!(Target::parse(target.as_bytes()), expected, "{target:?}");
        }
    }

    #[test]
    fn authorities() {
        let cases = [
            ("h", true),
            ("h:80", true),
            ("h:", true),
            ("a-b_c.d~:8080", true),
            ("192.0.2.1:80", true),
            ("!$&'()*+,;=", true),
            ("a%2Db%2d", true),
            ("%41", true),
            ("", false),
            (":80", false),
            (":", false),
            ("%", false),
            ("%4", false),
            ("%zz", false),
            ("a%2", false),
            ("a%2:80", false),
            ("a%%41", false),
            ("h:80x", false),
            ("h:+80", false),
            ("h:80:80", false),
            ("::1", false),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a\"b", false),
            ("a[b]", false),
            ("h\u{e9}", false),
            ("[::1]", true),
            ("[::1]:80", true),
            ("[::]:", true),
            ("[2001:db8::192.0.2.1]", true),
            ("[1:2:3:4:5:6:7:8]", true),
            ("[::1", false),
            ("[::1]80", false),
            ("[::1]:x", false),
            ("[]", false),
            ("[zz]", false),
            ("[::1::]", false),
            ("[1:2:3:4:5:6:7:8:9]", false),
            ("[:::]", false),
            ("[192.0.2.1]", false),
            ("[fe80::1%25eth0]", false),
            ("[%3a%3a1]", false),
            ("[[::1]]", false),
            ("[v1.a:b]", true),
            ("[vF.x]:1", true),
            ("[V12.~]", true),
            ("[v1.]", false),
            ("[v.a]", false),
            ("[v1]", false),
            ("[vg.a]", false),
            ("[v1.a%41]", false),
            ("[v1.a/b]", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_authority(text.as_bytes()), expected, "{text:?}");
        }
    }
}
