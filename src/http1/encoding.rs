//! Content negotiation: content codings (RFC 9110 section 12.5.3) and media types (section 12.5.1).

use super::List;
use super::lexical::decimal;

/// A content coding of a compressed sibling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// The name in Content-Encoding and Accept-Encoding.
    pub name: &'static str,
    /// The suffix of the sibling's file name.
    pub suffix: &'static str,
}

/// All codings, best compression first.
pub const CODINGS: [Coding; 3] = [
    Coding {
        name: "br",
        suffix: ".br",
    },
    Coding {
        name: "zstd",
        suffix: ".zst",
    },
    Coding {
        name: "gzip",
        suffix: ".gz",
    },
];

/// gzip, which some files have in themselves.
pub const GZIP: Coding = CODINGS[2];

/// The codings that an Accept-Encoding value accepts with at least the weight of `identity`, by
/// descending weight, then by compression (RFC 9110 section 12.5.3). A client that lists codings
/// without `identity` prefers the codings.
pub fn accepted_codings(value: List<'_>) -> impl Iterator<Item = Coding> + use<> {
    let identity = weight(value, "identity").unwrap_or(0);
    let mut rated = CODINGS.map(|coding| {
        let weight = weight(value, coding.name).or_else(|| weight(value, "*"));
        (weight.unwrap_or(0), coding)
    });
    rated.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let welcome = move |(weight, _): &(u16, Coding)| *weight > 0 && *weight >= identity;
    rated.into_iter().filter(welcome).map(|(_, coding)| coding)
}

/// The weight of a media type in an Accept value, in thousandths; 0 if it is not accepted. The most
/// specific matching range counts.
pub fn media_weight(value: List<'_>, media_type: &str) -> u16 {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let group = format!("{kind}/*");
    let mut ranges = [media_type, &group, "*/*"].into_iter();
    ranges.find_map(|range| weight(value, range)).unwrap_or(0)
}

/// The weight of a listed name, in thousandths. A malformed weight counts as not listed.
fn weight(value: List<'_>, name: &str) -> Option<u16> {
    value.members().find_map(|member| {
        let mut parts = member.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next()?;
        // x-gzip is gzip (RFC 9110 section 8.4.1.3).
        let coding = coding.strip_prefix(b"x-").unwrap_or(coding);
        if !coding.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        // Other parameters, such as a media type's version, are ignored.
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
        weight.map_or(Some(1000), thousandths)
    })
}

/// Parses a weight such as `0`, `0.5` or `1.000`, with at most three decimals (RFC 9110 section
/// 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, rest) = text.split_first()?;
    let fraction = match rest {
        [] => rest,
        [b'.', fraction @ ..] if fraction.len() <= 3 => fraction,
        _ => return None,
    };
    let below = match fraction {
        [] => 0,
        _ => decimal(fraction).ok()? * 10_u64.pow(3 - fraction.len() as u32),
    };
    match (whole, below) {
        (b'0', below) => Some(below as u16),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let cases = [
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("GZIP;q=1", "gzip"),
            ("x-gzip", "gzip"),
            ("br;q=0.5, gzip;q=0.8", "gzip br"),
            ("br;q=0.5, gzip;q=0.8, identity;q=0.1", "gzip br"),
            ("br;q=0.5, gzip;q=0.8, identity;q=0", "gzip br"),
            ("br;q=0.5, gzip;q=0.8, identity;q=0.6", "gzip"),
            ("*", "br zstd gzip"),
            ("*;q=0", ""),
            ("br;q=0, *", "zstd gzip"),
            ("br;q=0.000, gzip;q=1.000", "gzip"),
            ("identity", ""),
            ("", ""),
            ("gzip;q=2", ""),
            ("gzip;q=1.001", ""),
            ("gzip;q=0.1234", ""),
            ("gzip;level=1", "gzip"),
            ("br;q=x, gzip", "gzip"),
        ];
        for (value, expected) in cases {
            let names: Vec<_> = accepted_codings(value.as_bytes().into())
                .map(|c| c.name)
                .collect();
            assert_eq!(names.join(" "), expected, "{value}");
        }
    }

    #[test]
    fn media_types() {
        let media_weight = |value: &[u8], media_type| media_weight(value.into(), media_type);
        let browser = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(media_weight(browser, "text/html"), 1000);
        assert_eq!(media_weight(browser, "application/json"), 800);
        assert_eq!(media_weight(b"application/json", "text/html"), 0);
        assert_eq!(
            media_weight(b"text/*;q=0.3, text/plain;format=flowed", "text/plain"),
            1000
        );
        assert_eq!(media_weight(b"text/*;q=0.3", "text/plain"), 300);
        assert_eq!(media_weight(b"text/plain;q=0, */*", "text/plain"), 0);
    }

    #[test]
    fn fields_of_several_lines() {
        for (lines, expected) in [
            (&["gzip;q=0", "*"][..], "br zstd"),
            (&["br", "gzip"], "br gzip"),
            (&["", "gzip", ""], "gzip"),
            (&["br;q=0.5", "identity;q=0.6", "gzip"], "gzip"),
            (&["*;q=0", "gzip;q=0.5"], "gzip"),
        ] {
            let lines = lines
                .iter()
                .map(|line| format!("Accept-encoding: {line}\r\n"));
            let section = lines.collect::<String>() + "X: br\r\n\r\n";
            let list = List::several("accept-encoding", section.as_bytes());
            let names: Vec<_> = accepted_codings(list).map(|coding| coding.name).collect();
            assert_eq!(names.join(" "), expected, "{section}");
        }
        let section = b"accept: text/plain\r\nAccept: text/html;q=0.5, */*;q=0.1\r\n\r\n";
        let list = List::several("accept", section);
        assert_eq!(media_weight(list, "text/plain"), 1000);
        assert_eq!(media_weight(list, "text/html"), 500);
        assert_eq!(media_weight(list, "image/png"), 100);
    }
}
