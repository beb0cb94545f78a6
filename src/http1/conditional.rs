//! Conditional requests (RFC 9110 section 13): does the client already have what it asks for?

use super::List;
use arrayvec::ArrayString;
use httpdate::{HttpDate, parse_http_date};
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A version of a file, identified by its metadata.
#[derive(Clone, Copy, Debug)]
pub struct FileVersion {
    /// The inode number. The device number is left out: it may change when the machine restarts.
    pub inode: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The last change of the content (mtime). Programs can set it to any time, even a future one.
    pub modified: SystemTime,
    /// The last change of content or metadata (ctime). Programs cannot set it.
    pub changed: SystemTime,
    /// True if it changed so recently that another change might leave the same times.
    pub is_recently_changed: bool,
}

/// What entity tags consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagParts {
    /// All metadata above. The tag is strong, unless the file was changed recently.
    All,
    /// Length and mtime, which copies of a file on several machines have in common. Two versions
    /// may have the same, so the tag is always weak.
    LengthAndTime,
}

/// The validators of a version of a file: an entity tag (RFC 9110 section 8.8.3) and the time of
/// its last change. Both are written out once, so that a request is compared byte by byte.
///
/// They do not depend on when they were made. Only whether the tag is weak and whether the date may
/// be sent do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators {
    /// In whole seconds, like an HTTP date.
    modified: SystemTime,
    is_weak: bool,
    /// True if mtime and ctime are in the same second.
    has_strong_date: bool,
    /// The tag between its quotes.
    opaque: ArrayString<MAX_TAG>,
    /// The value of Last-Modified.
    date: Option<ArrayString<29>>,
}

/// The longest opaque tag that is made, in bytes: two 64-bit numbers, two signed times, three
/// dashes and a variant.
const MAX_TAG: usize = 96;

impl Validators {
    /// Makes the validators of a version of a file. `variant` identifies a compressed sibling; at
    /// most four ASCII letters.
    pub fn new(file: &FileVersion, parts: TagParts, variant: &'static str) -> Validators {
        let length = file.length;
        let modified = Nanos {
            time: file.modified,
            since: UNIX_EPOCH,
        };
        let mut opaque = ArrayString::new();
        let written = match parts {
            TagParts::All => {
                // The two are usually equal, and a shorter tag makes every response shorter.
                let changed = Nanos {
                    time: file.changed,
                    since: file.modified,
                };
                let inode = file.inode;
                write!(opaque, "{inode:x}-{length:x}-{modified}-{changed}{variant}")
            }
            TagParts::LengthAndTime => write!(opaque, "{modified}-{length:x}{variant}"),
        };
        written.expect("MAX_TAG is long enough");
        let date = has_http_date(file.modified).then(|| {
            let mut date = ArrayString::new();
            let written = write!(date, "{}", HttpDate::from(file.modified));
            written.expect("an HTTP date is 29 bytes long");
            date
        });
        let modified = whole_second(file.modified);
        Validators {
            modified,
            is_weak: file.is_recently_changed || parts == TagParts::LengthAndTime,
            has_strong_date: !file.is_recently_changed && modified == whole_second(file.changed),
            opaque,
            date,
        }
    }

    /// The tag between its quotes: letters, digits and dashes.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// The last change as an HTTP date, if it has one. Do not send it while
    /// [`is_dated`](Validators::is_dated) is false.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// True if there is a date, and it is not in the future: a server must not send a future
    /// Last-Modified (RFC 9110 section 8.8.2.1).
    pub fn is_dated(&self, now: SystemTime) -> bool {
        self.date.is_some() && self.modified <= now
    }

    /// True if `tag`, with quotes and perhaps `W/`, matches by strong comparison (RFC 9110 section
    /// 8.8.3.2).
    fn matches_strongly(&self, tag: &[u8]) -> bool {
        !self.is_weak && !tag.starts_with(b"W/") && self.matches_weakly(tag)
    }

    /// True if it matches by weak comparison.
    fn matches_weakly(&self, tag: &[u8]) -> bool {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        let inside = tag
            .strip_prefix(b"\"")
            .and_then(|tag| tag.strip_suffix(b"\""));
        inside == Some(self.opaque.as_bytes())
    }

    /// True if the value of If-Range, a tag or a date, identifies exactly this version (RFC 9110
    /// section 13.1.5).
    fn matches_if_range(&self, value: &[u8], now: SystemTime) -> bool {
        if value.starts_with(b"\"") || value.starts_with(b"W/") {
            return self.matches_strongly(value);
        }
        // A date is strong only if no other version can have it (RFC 9110 section 8.8.2.2). A date
        // that a program has set may have been set on the version before, too.
        self.has_strong_date && self.is_dated(now) && date(value) == Some(self.modified)
    }

    /// True if the file was not changed after the date `value`. `None` if that is not a date or the
    /// file has none.
    fn is_unmodified_since(&self, value: &[u8], now: SystemTime) -> Option<bool> {
        if !self.is_dated(now) {
            return None;
        }
        // Usually the client returns the date that we sent.
        if self.date.is_some_and(|date| date.as_bytes() == value) {
            return Some(true);
        }
        Some(self.modified <= date(value)?)
    }
}

/// A time as nanoseconds since another one in hexadecimal, with a sign if it is earlier.
struct Nanos {
    time: SystemTime,
    since: SystemTime,
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time.duration_since(self.since) {
            Ok(since) => write!(f, "{:x}", since.as_nanos()),
            Err(error) => write!(f, "-{:x}", error.duration().as_nanos()),
        }
    }
}

/// The value of the ETag field.
impl fmt::Display for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.opaque)
    }
}

/// True if HTTP's date format can express the time: it covers the epoch to the year 9999.
/// `HttpDate` panics for others.
fn has_http_date(time: SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since < Duration::from_secs(253_402_300_800))
}

/// The request fields that make a request conditional.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// If-Match.
    pub if_match: Option<List<'a>>,
    /// If-None-Match.
    pub if_none_match: Option<List<'a>>,
    /// If-Modified-Since.
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// If-Range.
    pub if_range: Option<&'a [u8]>,
}

/// The result of the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Perform the request.
    Proceed,
    /// 304: the client already has this version.
    NotModified,
    /// 412: the client asked for another version.
    PreconditionFailed,
}

impl Conditions<'_> {
    /// Evaluates the conditions of a GET or HEAD request in the order of RFC 9110 section 13.2.2.
    pub fn verdict(&self, file: &Validators, now: SystemTime) -> Verdict {
        let holds = match (self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => any_tag(tags, |tag| file.matches_strongly(tag)),
            (None, Some(since)) => file.is_unmodified_since(since, now).unwrap_or(true),
            (None, None) => true,
        };
        let has_it = match (self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => any_tag(tags, |tag| file.matches_weakly(tag)),
            (None, Some(since)) => file.is_unmodified_since(since, now).unwrap_or(false),
            (None, None) => false,
        };
        match (holds, has_it) {
            (false, _) => Verdict::PreconditionFailed,
            (true, true) => Verdict::NotModified,
            (true, false) => Verdict::Proceed,
        }
    }

    /// The same for content that has neither tag nor date, such as a listing. Only `*` can match
    /// it.
    pub fn verdict_without_validators(&self) -> Verdict {
        let is_any = |tags: List<'_>| tags.only_line() == Some(b"*");
        match (self.if_match, self.if_none_match) {
            (Some(tags), _) if !is_any(tags) => Verdict::PreconditionFailed,
            (_, Some(tags)) if is_any(tags) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// True if the Range field applies: If-Range is missing or matches this version.
    pub fn allow_range(&self, file: &Validators, now: SystemTime) -> bool {
        self.if_range
            .is_none_or(|value| file.matches_if_range(value, now))
    }
}

/// True if the value is `*`, or a list with a tag for which `test` holds. A tag may contain commas.
fn any_tag(value: List<'_>, test: impl Fn(&[u8]) -> bool) -> bool {
    if value.only_line() == Some(b"*") {
        return true;
    }
    for line in value.lines() {
        let mut rest = line;
        loop {
            while let [b' ' | b'\t' | b',', after @ ..] = rest {
                rest = after;
            }
            let quote = match rest {
                [] => break,
                [b'"', ..] => 0,
                [b'W', b'/', b'"', ..] => 2,
                // Not a tag: ignore the rest of the field, on other lines too.
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
    false
}

/// Parses a date in any of the three formats of RFC 9110 section 5.6.7.
fn date(value: &[u8]) -> Option<SystemTime> {
    parse_http_date(str::from_utf8(value).ok()?).ok()
}

/// Rounds a time down to what an HTTP date can express.
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

    /// A file of 16 bytes, last changed on Sun, 06 Nov 1994 08:49:37.5 GMT.
    fn version() -> FileVersion {
        let time = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        FileVersion {
            inode: 0xabc,
            length: 16,
            modified: time,
            changed: time,
            is_recently_changed: false,
        }
    }

    fn file() -> Validators {
        Validators::new(&version(), TagParts::All, "")
    }

    fn young() -> Validators {
        let version = FileVersion {
            is_recently_changed: true,
            ..version()
        };
        Validators::new(&version, TagParts::All, "")
    }

    /// Long after that change.
    fn now() -> SystemTime {
        at(2_000_000_000)
    }

    const TAG: &str = "\"abc-10-ae1b981da166f00-0\"";

    #[test]
    fn tags() {
        assert_eq!(file().to_string(), TAG);
        let young = FileVersion {
            is_recently_changed: true,
            ..version()
        };
        let tag = |version: &FileVersion, variant| {
            Validators::new(version, TagParts::All, variant).to_string()
        };
        assert_eq!(tag(&young, ""), format!("W/{TAG}"), "the same, but weak");
        // Any difference makes another tag.
        let second = Duration::from_secs(1);
        let nano = Duration::from_nanos(1);
        let mut tags = vec![
            tag(&version(), ""),
            tag(&version(), "br"),
            tag(&version(), "gzip"),
        ];
        let mut add = |change: &dyn Fn(&mut FileVersion)| {
            let mut version = version();
            change(&mut version);
            tags.push(tag(&version, ""));
        };
        add(&|version| version.inode += 1);
        add(&|version| version.length += 1);
        add(&|version| version.modified += nano);
        add(&|version| version.changed += nano);
        add(&|version| version.modified += second);
        add(&|version| version.modified = at(0) - nano);
        add(&|version| version.modified = at(0) + nano);
        add(&|version| version.changed = at(0) - nano);
        let all = tags.len();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), all, "{tags:?}");
        let end = at(0) + Duration::from_secs(i64::MAX as u64);
        let longest = FileVersion {
            inode: u64::MAX,
            length: u64::MAX,
            modified: end,
            changed: at(0) - Duration::from_secs(i64::MAX as u64),
            is_recently_changed: true,
        };
        assert!(tag(&longest, "zstd").len() <= MAX_TAG + 4);
    }

    #[test]
    fn tags_of_length_and_time() {
        let others = FileVersion {
            inode: 7,
            changed: at(784_200_000),
            ..version()
        };
        let tags = [version(), others]
            .map(|version| Validators::new(&version, TagParts::LengthAndTime, "br"));
        assert_eq!(tags[0].to_string(), "W/\"ae1b981da166f00-10br\"");
        assert_eq!(tags[0].to_string(), tags[1].to_string());
        let tag = tags[0].to_string();
        let strong = tag.trim_start_matches("W/");
        assert_eq!(verdict(&[("none", &tag)], &tags[1]), Verdict::NotModified);
        for tag in [&*tag, strong] {
            assert_eq!(
                verdict(&[("match", tag)], &tags[1]),
                Verdict::PreconditionFailed
            );
        }
    }

    #[test]
    fn dates() {
        let dated = |modified: SystemTime, now: SystemTime| {
            let version = FileVersion {
                modified,
                ..version()
            };
            let file = Validators::new(&version, TagParts::All, "");
            file.is_dated(now).then(|| file.date().map(str::to_owned))
        };
        let same = Some(Some(SAME.to_owned()));
        assert_eq!(dated(version().modified, now()), same);
        // The same second, as a date is in whole seconds.
        assert_eq!(dated(version().modified, at(784_111_777)), same);
        assert_eq!(dated(version().modified, at(784_111_776)), None, "not yet");
        let before = at(0) - Duration::from_nanos(1);
        assert_eq!(dated(before, now()), None, "which HTTP cannot say");
        let end = at(0) + Duration::from_secs(i64::MAX as u64);
        assert_eq!(dated(end, end), None, "nor that");
    }

    /// A file from the future has a tag but no date: conditions with dates neither hold nor fail.
    #[test]
    fn files_from_the_future() {
        let version = FileVersion {
            modified: now() + Duration::from_secs(86_400),
            ..version()
        };
        let file = Validators::new(&version, TagParts::All, "");
        let date = file.date().expect("a date");
        assert_eq!(verdict(&[("since", date)], &file), Verdict::Proceed);
        assert_eq!(verdict(&[("until", SAME)], &file), Verdict::Proceed);
        let tag = file.to_string();
        assert_eq!(verdict(&[("none", &tag)], &file), Verdict::NotModified);
        assert_eq!(verdict(&[("match", &tag)], &file), Verdict::Proceed);
        let if_range = |value: &str, now| {
            let conditions = Conditions {
                if_range: Some(value.as_bytes()),
                ..Conditions::default()
            };
            conditions.allow_range(&file, now)
        };
        assert!(if_range(&tag, now()));
        assert!(!if_range(date, now()));
    }

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn verdict(fields: &[(&str, &str)], file: &Validators) -> Verdict {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            let value = Some(value.as_bytes());
            match *name {
                "match" => conditions.if_match = value.map(List::from),
                "none" => conditions.if_none_match = value.map(List::from),
                "since" => conditions.if_modified_since = value,
                "until" => conditions.if_unmodified_since = value,
                _ => panic!("{name}"),
            }
        }
        conditions.verdict(file, now())
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
            // A tag takes precedence over a date.
            (&[("none", "\"x\""), ("since", AFTER)], Proceed),
            (&[("match", TAG), ("until", BEFORE)], Proceed),
            (&[("match", "\"x\""), ("none", TAG)], PreconditionFailed),
            (&[("match", TAG), ("none", TAG)], NotModified),
        ];
        for (fields, expected) in cases {
            assert_eq!(verdict(fields, &file()), *expected, "{fields:?}");
        }
        let young = young();
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
    fn if_range_matches_exactly_this_version() {
        let allows = |value: &str, file: &Validators| {
            let conditions = Conditions {
                if_range: Some(value.as_bytes()),
                ..Conditions::default()
            };
            conditions.allow_range(file, now())
        };
        assert!(Conditions::default().allow_range(&file(), now()));
        assert!(allows(TAG, &file()));
        assert!(allows(SAME, &file()));
        for value in [BEFORE, AFTER, "\"x\"", &format!("W/{TAG}"), "", "yesterday"] {
            assert!(!allows(value, &file()), "{value}");
        }
        let young = young();
        for value in [SAME, &young.to_string(), TAG] {
            assert!(!allows(value, &young), "{value}");
        }
        // A time that was set back may have been set on an earlier version too.
        let set_back = FileVersion {
            changed: at(784_111_778),
            ..version()
        };
        let set_back = Validators::new(&set_back, TagParts::All, "");
        assert!(!allows(SAME, &set_back));
        assert!(allows(&set_back.to_string(), &set_back));
    }

    #[test]
    fn tags_on_several_lines() {
        for (lines, matches) in [
            (&[TAG, "\"o\""][..], true),
            (&["\"o\"", TAG], true),
            (&["\"a\", \"b\"", "", TAG], true),
            (&["\"a\"", "\"b\""], false),
            (&["", ""], false),
            // A malformed tag ends the list, for the whole field.
            (&["nonsense", TAG], false),
            (&["\"open", TAG], false),
            (&["*", TAG], false),
            (&[TAG, "*"], true),
        ] {
            let lines = lines.iter().map(|line| format!("if-match: {line}\r\n"));
            let section = lines.collect::<String>() + "\r\n";
            let list = List::several("If-Match", section.as_bytes());
            let conditions = |if_match, if_none_match| Conditions {
                if_match,
                if_none_match,
                ..Conditions::default()
            };
            let of_match = conditions(Some(list), None).verdict(&file(), now());
            let of_none = conditions(None, Some(list)).verdict(&file(), now());
            let expected = match matches {
                true => (Verdict::Proceed, Verdict::NotModified),
                false => (Verdict::PreconditionFailed, Verdict::Proceed),
            };
            assert_eq!((of_match, of_none), expected, "{section}");
        }
    }
}
