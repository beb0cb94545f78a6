//! Request targets (RFC 9112 section 3.2): which path and query they name.

/// The part of a request target that a server of files looks at. The path begins with a slash and is still
/// percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// From the first slash to the question mark or the end.
    pub path: &'a [u8],
    /// What stands behind the first question mark, if there is one.
    pub query: Option<&'a [u8]>,
    /// Host and port, of the absolute-form.
    pub authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// What a request means that names no path.
    pub const ROOT: Target<'static> = Target {
        path: b"/",
        query: None,
        authority: None,
    };

    /// Reads an origin-form (`/path?query`) or an absolute-form (`http://host/path?query`), which a server must take
    /// as well (RFC 9112 section 3.2.2). `None` for anything else.
    pub fn parse(target: &'a [u8]) -> Option<Target<'a>> {
        // RFC 3986 has neither controls nor spaces in a URI; a fragment is never sent (RFC 9110 section 7.1). Bytes
        // from 0x80 are no URI either, but clients such as curl send names in UTF-8 as they were typed.
        if target.iter().any(|&b| b <= b' ' || b == 0x7f || b == b'#') {
            return None;
        }
        let (authority, from_path) = match target {
            [b'/', ..] => (None, target),
            _ => {
                let rest = strip_scheme(target)?;
                let authority_end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                if authority_end == 0 || !is_authority(&rest[..authority_end]) {
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
        // An absolute URI may have an empty path, which means the root (RFC 9110 section 4.2.3).
        let path = if path.is_empty() { b"/" } else { path };
        Some(Target {
            path,
            query,
            authority,
        })
    }
}

/// Which bytes a host's name has (RFC 3986 section 3.2.2): looked up, for every request has such a name.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let (mut byte, others) = (0, b"-._~!$&'()*+,;=%");
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

/// True for `host`, `host:port`, `[v6]:port` and nothing at all (RFC 9110 section 7.2, RFC 3986 section 3.2), without user
/// information, which no client may send (RFC 9110 section 4.2.4).
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => return false,
        },
        _ => text.split_at(memchr::memchr(b':', text).unwrap_or(text.len())),
    };
    let is_v6 = text.starts_with(b"[");
    let in_host = |b: &u8| IN_NAME[*b as usize] || (is_v6 && *b == b':');
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host.iter().all(in_host) && is_port
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
}
