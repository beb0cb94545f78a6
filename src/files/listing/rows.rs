//! An entry as a row of each format.
//!
//! A name can be any bytes but slash and NUL. It can contain terminal commands, text direction
//! controls and invisible characters. All of these are escaped.

use super::Format;
use super::entries::DirectoryEntry;
use crate::files::media_type;
use crate::files::page::{PAGE_END, write_icon};
use crate::files::path::ENCODED;
use bytesize::ByteSize;
use percent_encoding::percent_encode;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

const INFALLIBLE: &str = "writing to memory cannot fail";

/// Appends an entry. `is_first` is true for the first row of the page.
pub(super) fn write_row(
    format: Format,
    entry: DirectoryEntry<'_>,
    is_first: bool,
    page: &mut Vec<u8>,
) {
    match format {
        Format::Html => write_html(entry, page),
        Format::Json => {
            page.extend_from_slice(if is_first { b"\n" } else { b",\n" });
            write_json(entry, page);
        }
        Format::Text => {
            page.extend_from_slice(plain(entry.name).as_bytes());
            page.extend_from_slice(slash(entry).as_bytes());
            page.push(b'\n');
        }
    }
}

/// The end of a page.
pub(super) fn end(format: Format) -> &'static [u8] {
    match format {
        Format::Html => PAGE_END.as_bytes(),
        Format::Json => b"\n]\n",
        Format::Text => b"",
    }
}

/// A name for a line of text. Backslashes are doubled, and each byte that must be escaped becomes
/// `\xHH`, so printf(1) with `%b` restores the name.
fn plain(name: &[u8]) -> Cow<'_, str> {
    escaped(name, |c| is_odd(c) || c == '\\')
}

/// A name for people to read within other text. Like [`plain`], but backslashes stay single.
pub(super) fn visible(name: &[u8]) -> Cow<'_, str> {
    escaped(name, is_odd)
}

fn escaped(name: &[u8], is_special: impl Fn(char) -> bool) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && !text.contains(&is_special)
    {
        return text.into();
    }
    let mut all = String::new();
    let escape = |bytes: &[u8], all: &mut String| {
        let each = bytes.iter().try_for_each(|b| write!(all, "\\x{b:02x}"));
        each.expect(INFALLIBLE);
    };
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' if is_special(c) => all.push_str("\\\\"),
                _ if is_special(c) => escape(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut all),
                _ => all.push(c),
            }
        }
        escape(chunk.invalid(), &mut all);
    }
    all.into()
}

/// True for characters that must be escaped: control characters (C0, DEL, C1), line separators, and
/// those that are invisible or change the text direction.
fn is_odd(c: char) -> bool {
    match c {
        ' '..='~' => false,
        _ if c.is_control() => true,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => {
            true
        }
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Appends an object. `name` is the name with U+FFFD for what is not UTF-8. `href` is the exact
/// name as a relative link.
fn write_json(entry: DirectoryEntry<'_>, page: &mut Vec<u8>) {
    page.extend_from_slice(br#"{"name":""#);
    for c in String::from_utf8_lossy(entry.name).chars() {
        match c {
            '"' | '\\' => page.extend_from_slice(&[b'\\', c as u8]),
            _ if is_odd(c) => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                let mut units = units.into_iter();
                let each = units.try_for_each(|unit| write!(page, "\\u{unit:04x}"));
                each.expect(INFALLIBLE);
            }
            _ => page.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    page.extend_from_slice(br#"","href":""#);
    write_href(entry, page);
    let kind = if entry.is_directory {
        "directory"
    } else {
        "file"
    };
    let DirectoryEntry { size, modified, .. } = entry;
    let rest = write!(
        page,
        r#"","type":"{kind}","size":{size},"modified":{modified}}}"#
    );
    rest.expect(INFALLIBLE);
}

/// Appends a row, without the end tags that HTML does not need.
fn write_html(entry: DirectoryEntry<'_>, page: &mut Vec<u8>) {
    page.extend_from_slice(b"<tr><td><a href=\"");
    write_href(entry, page);
    page.extend_from_slice(b"\">");
    write_icon(icon(entry), page);
    write_escaped(&visible(entry.name), page);
    page.extend_from_slice(slash(entry).as_bytes());
    page.extend_from_slice(b"</a><td>");
    if !entry.is_directory {
        write!(page, "{}", ByteSize(entry.size)).expect(INFALLIBLE);
    }
    page.extend_from_slice(b"<td>");
    write_minute(entry.modified, page);
    page.push(b'\n');
}

/// Appends text so that HTML shows it.
pub(super) fn write_escaped(text: &str, page: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'&' => page.extend_from_slice(b"&amp;"),
            b'<' => page.extend_from_slice(b"&lt;"),
            b'>' => page.extend_from_slice(b"&gt;"),
            b'"' => page.extend_from_slice(b"&quot;"),
            _ => page.push(byte),
        }
    }
}

/// Appends the name as a relative link. Nearly everything is percent-encoded, so it needs no other
/// escaping.
fn write_href(entry: DirectoryEntry<'_>, page: &mut Vec<u8>) {
    for part in percent_encode(entry.name, ENCODED) {
        page.extend_from_slice(part.as_bytes());
    }
    page.extend_from_slice(slash(entry).as_bytes());
}

fn slash(entry: DirectoryEntry<'_>) -> &'static str {
    if entry.is_directory { "/" } else { "" }
}

/// Appends the modification time, such as `2026-11-22 14:32`; nothing if it is unknown.
fn write_minute(modified: u64, page: &mut Vec<u8>) {
    if modified == 0 {
        return;
    }
    let begin = page.len();
    let time = UNIX_EPOCH + Duration::from_secs(modified);
    write!(page, "{}", humantime::format_rfc3339_seconds(time)).expect(INFALLIBLE);
    page.truncate(begin + "2026-11-22T14:32".len());
    page[begin + "2026-11-22".len()] = b' ';
}

/// The icon for an entry, by the media type of its name.
fn icon(entry: DirectoryEntry<'_>) -> &'static str {
    if entry.is_directory {
        return "d";
    }
    let (media_type, _) = media_type(Path::new(OsStr::from_bytes(entry.name)));
    let (kind, exact) = media_type.split_once('/').unwrap_or_default();
    match (kind, exact) {
        ("image", _) => "i",
        ("audio" | "video", _) => "m",
        ("text", "plain" | "markdown" | "csv") | ("application", "pdf") => "t",
        ("text", _) | ("application", "javascript" | "json" | "xml" | "wasm" | "x-sh") => "c",
        ("application", "zip" | "gzip" | "zstd" | "x-tar" | "x-gzip") => "z",
        ("application", "x-bzip2" | "x-xz" | "x-7z-compressed" | "x-rar-compressed") => "z",
        _ => "f",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(format: Format, name: &[u8]) -> String {
        let mut page = Vec::new();
        write_row(format, DirectoryEntry::new(name, None), true, &mut page);
        String::from_utf8(page).expect("UTF-8")
    }

    /// What printf(1) makes of `%b`.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut all = Vec::new();
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            rest = after;
            match (byte, after) {
                (b'\\', [b'\\', after @ ..]) => {
                    all.push(b'\\');
                    rest = after;
                }
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).expect("ASCII");
                    all.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
                    rest = after;
                }
                (byte, _) => all.push(*byte),
            }
        }
        all
    }

    const ODD: &[char] = &[
        '\0',
        '\t',
        '\n',
        '\r',
        '\x1b',
        '\x7f',
        '\u{80}',
        '\u{85}',
        '\u{9b}',
        '\u{9f}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{fff9}',
        '\u{e0041}',
        '\u{3164}',
    ];

    /// Every format escapes odd characters in any name, and lets the reader restore the name.
    #[test]
    fn any_name_can_be_restored_from_its_escaped_form() {
        let mut names: Vec<Vec<u8>> = ODD[1..]
            .iter()
            .map(|odd| format!("a{odd}b\\{odd}").into_bytes())
            .collect();
        for name in [
            &b"a:b"[..],
            b"?x",
            b"#y",
            b" ",
            b"%41",
            b"\"",
            b"\\",
            b"\\\\",
            b"\\x41",
            b"\xff",
            b"\\xff",
            b"\xc2",
            b"\x9b31m",
            b"a\xe2\x80",
            b"<b>&amp;'",
            b"\xed\xa0\x80",
            "\u{e9}\u{1f600}\u{5d0}".as_bytes(),
        ] {
            names.push(name.to_vec());
        }
        for name in names {
            let (text, json, html) = (
                row(Format::Text, &name),
                row(Format::Json, &name),
                row(Format::Html, &name),
            );
            for all in [&text, &json, &html] {
                let inside = all.trim_matches('\n');
                assert!(
                    !inside.contains(|c| is_odd(c) || ODD.contains(&c)),
                    "{all:?}"
                );
            }
            assert_eq!(unescaped(text.trim_matches('\n')), name, "{text:?}");
            let json: serde_json::Value = serde_json::from_str(&json).expect("an object");
            let href = json["href"].as_str().expect("a link");
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(href).collect();
            assert_eq!(decoded, name, "{href}");
            assert_eq!(
                json["name"].as_str(),
                Some(&*String::from_utf8_lossy(&name))
            );
            assert!(html.contains(&format!("<a href=\"{href}\">")), "{html}");
        }
    }

    #[test]
    fn names_in_text_and_html() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"plain name.txt", "plain name.txt", "plain name.txt"),
            (b"a\nb", "a\\x0ab", "a\\x0ab"),
            (b"\x1b[31m", "\\x1b[31m", "\\x1b[31m"),
            ("\u{9b}".as_bytes(), "\\xc2\\x9b", "\\xc2\\x9b"),
            (b"\xff", "\\xff", "\\xff"),
            (b"a\\b", "a\\\\b", "a\\b"),
        ];
        for (name, in_text, to_be_seen) in cases {
            assert_eq!(plain(name), *in_text);
            assert_eq!(visible(name), *to_be_seen);
        }
    }

    #[test]
    fn an_entry_in_json() {
        let entry = DirectoryEntry {
            name: "d\u{202e}\u{e0041}".as_bytes(),
            is_directory: true,
            size: 0,
            modified: 1234,
        };
        let mut page = Vec::new();
        write_row(Format::Json, entry, false, &mut page);
        let expected = ",\n{\"name\":\"d\\u202e\\udb40\\udc41\",\"href\":\"d%E2%80%AE%F3%A0%81%81/\",\
            \"type\":\"directory\",\"size\":0,\"modified\":1234}";
        assert_eq!(String::from_utf8_lossy(&page), expected);
    }

    #[test]
    fn times_and_sizes_of_all_lengths() {
        let entry = DirectoryEntry {
            size: u64::MAX,
            modified: 253_402_300_799,
            ..DirectoryEntry::new(b"x", None)
        };
        let mut page = Vec::new();
        write_row(Format::Html, entry, true, &mut page);
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(
            page.ends_with("<td>16.0 EiB<td>9999-12-31 23:59\n"),
            "{page}"
        );
        assert!(row(Format::Html, b"x").ends_with("<td>0 B<td>\n"));
    }

    #[test]
    fn icons_by_media_type() {
        let cases = [
            ("a.png", "i"),
            ("a.webm", "m"),
            ("a.mp3", "m"),
            ("a.txt", "t"),
            ("a.md", "t"),
            ("a.pdf", "t"),
            ("a.html", "c"),
            ("a.css", "c"),
            ("a.js", "c"),
            ("a.json", "c"),
            ("a.rs", "c"),
            ("a.zip", "z"),
            ("a.tar", "z"),
            ("a.gz", "z"),
            ("a.xz", "z"),
            ("README", "f"),
            ("a.bin", "f"),
        ];
        for (name, expected) in cases {
            let entry = DirectoryEntry::new(name.as_bytes(), None);
            assert_eq!(icon(entry), expected, "{name}");
        }
    }
}
