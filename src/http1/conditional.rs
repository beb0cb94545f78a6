//! Conditional requests (RFC 9110 section 13): whether the client already has what it asks for.

use arrayvec::ArrayString;
use httpdate::{HttpDate, parse_http_date};
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long after a change a file may change again without its time of change telling. File systems keep times in steps
/// of up to a second.
const GRAIN: Duration = Duration::from_secs(1);

/// What identifies a state of a file: an entity tag (RFC 9110 section 8.8.3) and the time of its last change. Both are
/// written out once, so that a request that names one is answered by comparing bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators {
    modified: SystemTime,
    is_weak: bool,
    /// What stands between the quotes of the tag.
    opaque: ArrayString<MAX_TAG>,
    /// What Last-Modified says.
    date: Option<ArrayString<29>>,
}

/// The most bytes the opaque part of a tag of ours takes: two numbers, a sign and a variant.
const MAX_TAG: usize = 64;

impl Validators {
    /// Those of a file of this length that was last changed at `modified`, asked for at `now`. `variant` tells apart
    /// representations that are not the file itself, such as its compressed ones; at most four ASCII letters.
    pub fn new(
        length: u64,
        modified: SystemTime,
        now: SystemTime,
        variant: &'static str,
    ) -> Validators {
        let settled = modified.checked_add(GRAIN);
        // Not in the future (RFC 9110 section 8.8.2.1).
        let modified = modified.min(now);
        let mut opaque = ArrayString::new();
        // Before the epoch, the distance with a sign that no other has.
        let (sign, since) = match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => ("", since),
            Err(error) => ("-", error.duration()),
        };
        let since = since.as_nanos();
        write!(opaque, "{sign}{since:x}-{length:x}{variant}").expect("it is shorter than that");
        let date = has_http_date(modified).then(|| {
            let mut date = ArrayString::new();
            let written = write!(date, "{}", HttpDate::from(modified));
            written.expect("an HTTP date is 29 bytes long");
            date
        });
        Validators {
            modified,
            is_weak: settled.is_none_or(|settled| now < settled),
            opaque,
            date,
        }
    }

    /// What stands between the quotes of the tag: letters, digits and dashes.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// The time of the last change as a date, if HTTP's format can say it.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// True if `tag`, a quoted string perhaps with `W/` before it, names this state by the strong comparison
    /// (RFC 9110 section 8.8.3.2).
    fn matches_strongly(&self, tag: &[u8]) -> bool {
        !self.is_weak && !tag.starts_with(b"W/") && self.matches_weakly(tag)
    }

    /// The same by the weak comparison.
    fn matches_weakly(&self, tag: &[u8]) -> bool {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        let inside = tag
            .strip_prefix(b"\"")
            .and_then(|tag| tag.strip_suffix(b"\""));
        inside == Some(self.opaque.as_bytes())
    }

    /// True if `value` of If-Range, a tag or a date, names exactly this state (RFC 9110 section 13.1.5).
    fn matches_if_range(&self, value: &[u8]) -> bool {
        if value.starts_with(b"\"") || value.starts_with(b"W/") {
            return self.matches_strongly(value);
        }
        // A date is strong only if the file could not have changed twice within its second.
        !self.is_weak && date(value) == Some(whole_second(self.modified))
    }

    /// True if it has not been changed after `value`, a date. `None` if that is no date.
    fn is_unmodified_since(&self, value: &[u8]) -> Option<bool> {
        // Nearly always it is the very date that we gave.
        if self.date.is_some_and(|date| date.as_bytes() == value) {
            return Some(true);
        }
        Some(whole_second(self.modified) <= date(value)?)
    }
}

/// The entity tag, as the ETag field has it.
impl fmt::Display for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.opaque)
    }
}

/// HTTP's date format has no years before the epoch or after 9999, and `HttpDate` panics for them.
fn has_http_date(time: SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since < Duration::from_secs(253_402_300_800))
}

/// The fields of a request that make it conditional.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// If-Match.
    pub if_match: Option<&'a [u8]>,
    /// If-None-Match.
    pub if_none_match: Option<&'a [u8]>,
    /// If-Modified-Since.
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// If-Range.
    pub if_range: Option<&'a [u8]>,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do what the request asks for.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: the client wants it only if it were in another state.
    PreconditionFailed,
}

impl Conditions<'_> {
    /// Weighs the conditions of a GET or HEAD request in the order of RFC 9110 section 13.2.2.
    pub fn verdict(&self, file: &Validators) -> Verdict {
        let holds = match (self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => any_tag(tags, |tag| file.matches_strongly(tag)),
            (None, Some(since)) => file.is_unmodified_since(since).unwrap_or(true),
            (None, None) => true,
        };
        let has_it = match (self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => any_tag(tags, |tag| file.matches_weakly(tag)),
            (None, Some(since)) => file.is_unmodified_since(since).unwrap_or(false),
            (None, None) => false,
        };
        match (holds, has_it) {
            (false, _) => Verdict::PreconditionFailed,
            (true, true) => Verdict::NotModified,
            (true, false) => Verdict::Proceed,
        }
    }

    /// The same for something that has neither a tag nor a date, such as a listing: all that is known is that it exists.
    pub fn verdict_without_validators(&self) -> Verdict {
        let is_any = |tags: &[u8]| tags == b"*";
        match (self.if_match, self.if_none_match) {
            (Some(tags), _) if !is_any(tags) => Verdict::PreconditionFailed,
            (_, Some(tags)) if is_any(tags) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// True if the Range field is to be looked at: there is no If-Range, or it names this state.
    pub fn allow_range(&self, file: &Validators) -> bool {
        self.if_range
            .is_none_or(|value| file.matches_if_range(value))
    }
}

/// True if the value is `*` or a list in which `test` holds for a tag. A tag may contain commas.
fn any_tag(value: &[u8], test: impl Fn(&[u8]) -> bool) -> bool {
    if value == b"*" {
        return true;
    }
    let mut rest = value;
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let quote = match rest {
            [b'"', ..] => 0,
            [b'W', b'/', b'"', ..] => 2,
            // The end, or no tag: what stands behind it can't be trusted either.
            _ => return false,
        };
        let Some(end) = memchr::memchr(b'"', &rest[quote + 1..]) else {
            return false;
        };
        let (tag, after) = rest.split_at(quote + end + 2);
        if test(tag) {
            return true;
        }
        rest = after;
    }
}

/// A date in any of the three forms of RFC 9110 section 5.6.7; anything else is no condition.
fn date(value: &[u8]) -> Option<SystemTime> {
    parse_http_date(str::from_utf8(value).ok()?).ok()
}

/// What a date can say of a time.
fn whole_second(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A file of 16 bytes, changed on Sun, 06 Nov 1994 08:49:37.5 GMT.
    fn file() -> Validators {
        let modified = at(784_111_777) + Duration::from_millis(500);
        Validators::new(16, modified, at(2_000_000_000), "")
    }

    const TAG: &str = "\"ae1b981da166f00-10\"";

    #[test]
    fn tags() {
        assert_eq!(file().to_string(), TAG);
        let young = Validators::new(16, at(100), at(100), "br");
        assert_eq!(young.to_string(), "W/\"174876e800-10br\"");
        let from_the_future = Validators::new(16, at(200), at(100), "");
        assert_eq!(
            from_the_future.date(),
            Some("Thu, 01 Jan 1970 00:01:40 GMT")
        );
        let before = Validators::new(u64::MAX, at(0) - Duration::from_nanos(1), at(100), "");
        assert_eq!(before.to_string(), "\"-1-ffffffffffffffff\"");
        assert_eq!(before.date(), None, "which HTTP cannot say");
        let end = at(0) + Duration::from_secs(i64::MAX as u64);
        let last = Validators::new(u64::MAX, end, end, "zstd");
        assert_eq!(last.date(), None);
    }

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn verdict(fields: &[(&str, &str)], file: &Validators) -> Verdict {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            let value = Some(value.as_bytes());
            match *name {
                "match" => conditions.if_match = value,
                "none" => conditions.if_none_match = value,
                "since" => conditions.if_modified_since = value,
                "until" => conditions.if_unmodified_since = value,
                _ => panic!("{name}"),
            }
        }
        conditions.verdict(file)
    }

    #[test]
    fn verdicts() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        let weak = format!("W/{TAG}");
        let list = format!("\"a,b\", W/\"c\" ,,{TAG}");
        let broken = format!("nonsense, {TAG}");
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Proceed),
            (&[("match", "*")], Proceed),
            (&[("match", TAG)], Proceed),
            (&[("match", &list)], Proceed),
            (&[("match", &weak)], PreconditionFailed),
            (&[("match", "\"x\"")], PreconditionFailed),
            (&[("match", "")], PreconditionFailed),
            (&[("none", "*")], NotModified),
            (&[("none", TAG)], NotModified),
            (&[("none", &weak)], NotModified),
            (&[("none", &list)], NotModified),
            (&[("none", &broken)], Proceed),
            (&[("none", "\"x\"")], Proceed),
            (&[("since", BEFORE)], Proceed),
            (&[("since", SAME)], NotModified),
            (&[("since", AFTER)], NotModified),
            (&[("since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("since", "yesterday")], Proceed),
            (&[("until", BEFORE)], PreconditionFailed),
            (&[("until", SAME)], Proceed),
            (&[("until", "yesterday")], Proceed),
            // A tag rules over a date.
            (&[("none", "\"x\""), ("since", AFTER)], Proceed),
            (&[("match", TAG), ("until", BEFORE)], Proceed),
            (&[("match", "\"x\""), ("none", TAG)], PreconditionFailed),
            (&[("match", TAG), ("none", TAG)], NotModified),
        ];
        for (fields, expected) in cases {
            assert_eq!(verdict(fields, &file()), *expected, "{fields:?}");
        }
        let young = Validators::new(16, at(100), at(100), "");
        let tag = young.to_string();
        assert_eq!(verdict(&[("none", &tag)], &young), NotModified);
        assert_eq!(verdict(&[("match", &tag)], &young), PreconditionFailed);
        let as_if_strong = tag.trim_start_matches("W/");
        assert_eq!(
            verdict(&[("match", as_if_strong)], &young),
            PreconditionFailed
        );
    }

    #[test]
    fn if_range_wants_exactly_this_state() {
        let allows = |value: &str, file: &Validators| {
            let conditions = Conditions {
                if_range: Some(value.as_bytes()),
                ..Conditions::default()
            };
            conditions.allow_range(file)
        };
        assert!(Conditions::default().allow_range(&file()));
        assert!(allows(TAG, &file()));
        assert!(allows(SAME, &file()));
        for value in [BEFORE, AFTER, "\"x\"", &format!("W/{TAG}"), "", "yesterday"] {
            assert!(!allows(value, &file()), "{value}");
        }
        let young = Validators::new(16, at(784_111_777), at(784_111_777), "");
        assert!(!allows(SAME, &young));
    }
}
