//! Range requests (RFC 9110 section 14): which bytes of a file a client asks for.

use super::lexical::{NumberError, decimal};
use arrayvec::ArrayVec;

/// The most ranges in one response. A request for more, after near ones were joined, gets the whole
/// file: RFC 9110 section 14.2 warns of clients that ask for many small ranges.
pub const MAX_RANGES: usize = 64;

/// Ranges at most this far apart are joined, in bytes: the head of a part takes about as many.
const JOIN_GAP: u64 = 80;

/// A range of a file: `first..=last`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, not before the first.
    pub last: u64,
}

impl ByteRange {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The result of a Range field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "it lives for a moment on the stack, and allocates nothing"
)]
pub enum Ranges {
    /// The field does not apply: send the whole file.
    Whole,
    /// 416: none of the ranges overlaps the file.
    Unsatisfiable,
    /// These ranges, at least one, in the order of the request.
    Some(ArrayVec<ByteRange, MAX_RANGES>),
}

impl Ranges {
    /// Parses a Range field for a file of `length` bytes. A malformed value or another unit than
    /// bytes is ignored (RFC 9110 section 14.2).
    pub fn parse(value: &[u8], length: u64) -> Ranges {
        match parse(value, length) {
            None => Ranges::Whole,
            Some(ranges) if ranges.is_empty() => Ranges::Unsatisfiable,
            Some(ranges) => Ranges::Some(ranges),
        }
    }
}

fn parse(value: &[u8], length: u64) -> Option<ArrayVec<ByteRange, MAX_RANGES>> {
    let (unit, list) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut found: ArrayVec<ByteRange, MAX_RANGES> = ArrayVec::new();
    let mut any = false;
    for spec in list.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue;
        }
        any = true;
        let Some(range) = range(spec, length)? else {
            continue;
        };
        match found.iter_mut().find(|other| are_near(other, &range)) {
            Some(other) => {
                other.first = other.first.min(range.first);
                other.last = other.last.max(range.last);
            }
            None => found.try_push(range).ok()?,
        }
    }
    // Joined ranges may have come near other ones.
    while let Some((kept, joined)) = near_pair(&found) {
        let range = found.remove(joined);
        found[kept].first = found[kept].first.min(range.first);
        found[kept].last = found[kept].last.max(range.last);
    }
    any.then_some(found)
}

/// `None` if it is malformed or cannot be expressed as a part; `Some(None)` if it lies outside the
/// file.
#[allow(clippy::option_option, reason = "malformed and outside are two things")]
fn range(spec: &[u8], length: u64) -> Option<Option<ByteRange>> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let end = length.checked_sub(1);
    Some(match (first, last) {
        (b"", suffix) => {
            let suffix = number(suffix)?;
            if length == 0 && suffix > 0 {
                // It means the whole empty file (RFC 9110 section 14.1.2), which no Content-Range
                // can express.
                return None;
            }
            let within = end.filter(|_| suffix > 0);
            within.map(|last| ByteRange {
                first: length.saturating_sub(suffix),
                last,
            })
        }
        (first, b"") => {
            let first = number(first)?;
            end.filter(|&end| first <= end)
                .map(|last| ByteRange { first, last })
        }
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            end.filter(|&end| first <= end).map(|end| ByteRange {
                first,
                last: last.min(end),
            })
        }
    })
}

/// A number that is too large counts as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    match decimal(digits) {
        Ok(value) => Some(value),
        Err(NumberError::TooLarge) => Some(u64::MAX),
        Err(NumberError::Malformed) => None,
    }
}

fn are_near(one: &ByteRange, other: &ByteRange) -> bool {
    let (lower, upper) = match one.first <= other.first {
        true => (one, other),
        false => (other, one),
    };
    upper.first <= lower.last.saturating_add(JOIN_GAP)
}

fn near_pair(found: &[ByteRange]) -> Option<(usize, usize)> {
    let pairs = (0..found.len()).flat_map(|a| (a + 1..found.len()).map(move |b| (a, b)));
    pairs
        .into_iter()
        .find(|(a, b)| are_near(&found[*a], &found[*b]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str, length: u64) -> String {
        match Ranges::parse(value.as_bytes(), length) {
            Ranges::Whole => "whole".into(),
            Ranges::Unsatisfiable => "none".into(),
            Ranges::Some(found) => {
                let found = found.iter().map(|s| format!("{}-{}", s.first, s.last));
                found.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn fields() {
        let cases = [
            ("bytes=0-0", 1000, "0-0"),
            ("bytes=0-499", 1000, "0-499"),
            ("Bytes=0-499", 1000, "0-499"),
            ("bytes=500-", 1000, "500-999"),
            ("bytes=-1", 1000, "999-999"),
            ("bytes=-2000", 1000, "0-999"),
            ("bytes=999-99999999999999999999999", 1000, "999-999"),
            ("bytes=1000-", 1000, "none"),
            ("bytes=1000-1001", 1000, "none"),
            ("bytes=-0", 1000, "none"),
            ("bytes=0-", 0, "none"),
            ("bytes=0-0", 0, "none"),
            ("bytes=-0", 0, "none"),
            ("bytes=-5", 0, "whole"),
            ("bytes=0-,-5", 0, "whole"),
            ("bytes=-5,0-", 0, "whole"),
            ("bytes=-0,0-", 0, "none"),
            (
                "bytes=5000000000-5000000001",
                1 << 33,
                "5000000000-5000000001",
            ),
            ("bytes=0-1,500-501, -1", 1000, "0-1 500-501 999-999"),
            ("bytes=, 0-1 ,,", 1000, "0-1"),
            ("bytes=500-501,0-1", 1000, "500-501 0-1"),
            ("bytes=0-10,5-20", 1000, "0-20"),
            ("bytes=0-0,50-50", 1000, "0-50"),
            ("bytes=0-0,300-300,100-250", 1000, "0-0 100-300"),
            ("bytes=0-0,160-160,80-80", 1000, "0-160"),
            ("bytes=0-1,2000-", 1000, "0-1"),
            ("bytes=2000-,3000-", 1000, "none"),
            ("bytes=", 1000, "whole"),
            ("bytes=,", 1000, "whole"),
            ("bytes", 1000, "whole"),
            ("bytes=x", 1000, "whole"),
            ("bytes=5", 1000, "whole"),
            ("bytes=5-4", 1000, "whole"),
            ("bytes=-", 1000, "whole"),
            ("bytes=0-1,x", 1000, "whole"),
            ("bytes=+0-1", 1000, "whole"),
            ("bytes=0 - 1", 1000, "whole"),
            ("bytes 0-1", 1000, "whole"),
            ("lines=0-1", 1000, "whole"),
        ];
        for (value, length, expected) in cases {
            assert_eq!(shown(value, length), expected, "{value} of {length}");
        }
    }

    #[test]
    fn too_many() {
        let many = |count: u64| {
            let specs: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
            shown(&format!("bytes={}", specs.join(",")), 1_000_000)
        };
        assert_eq!(many(64).split(' ').count(), 64);
        assert_eq!(many(65), "whole");
        let touching = "bytes=0-1".to_owned() + &",0-1".repeat(1000);
        assert_eq!(shown(&touching, 1000), "0-1");
    }
}
