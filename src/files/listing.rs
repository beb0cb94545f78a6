//! A directory as a page, made in slices: nobody else shall wait for a directory of a hundred thousand names.

use super::page::{GLYPHS, glyph, page_begin};
use super::path::{ENCODED, RelativePath};
use super::{Root, media_type};
use crate::transcript;
use bytesize::ByteSize;
use maud::{Markup, PreEscaped, html};
use percent_encoding::percent_encode;
use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use serde::Serialize;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many entries one slice reads or writes: about a millisecond's work.
const SLICE: usize = 500;

/// What a listing looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Html,
    /// For programs: an array of objects.
    Json,
    /// A name per line.
    Text,
}

impl Format {
    /// The media type, and its parameters.
    pub fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Format::Html => ("text/html", "; charset=utf-8"),
            Format::Json => ("application/json", ""),
            Format::Text => ("text/plain", "; charset=utf-8"),
        }
    }
}

/// What a listing is sorted by. Directories come first in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The bytes of the name.
    Name,
    /// The length.
    Size,
    /// The time of the last change.
    Time,
}

/// How a listing is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What it looks like.
    pub format: Format,
    /// What it is sorted by.
    pub key: Key,
    /// The largest first.
    pub descending: bool,
    /// Names that begin with a dot are in it.
    pub hidden: bool,
}

/// A listing on its way: [`step`](Listing::step) until there is a page.
pub struct Listing {
    path: RelativePath,
    directory: OwnedFd,
    order: Order,
    /// `None` once all has been read.
    reader: Option<Dir>,
    entries: Vec<Entry>,
    /// How many entries are in the page.
    written: usize,
    page: Vec<u8>,
}

struct Entry {
    name: Vec<u8>,
    is_directory: bool,
    size: u64,
    modified: SystemTime,
}

/// An entry, as JSON has it.
#[derive(Serialize)]
struct Shown<'a> {
    name: Cow<'a, str>,
    /// The name as a relative link, which also says names that are no UTF-8.
    href: String,
    r#type: &'static str,
    size: u64,
    /// In seconds since the epoch.
    modified: u64,
}

impl Listing {
    /// Begins to list the directory at `path`, open for reading.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn begin(path: RelativePath, directory: OwnedFd, order: Order) -> io::Result<Listing> {
        Ok(Listing {
            path,
            order,
            reader: Some(Dir::read_from(&directory)?),
            directory,
            entries: Vec::new(),
            written: 0,
            page: Vec::new(),
        })
    }

    /// What it will look like.
    pub fn format(&self) -> Format {
        self.order.format
    }

    /// Does a slice of the work. The page, once it is complete.
    ///
    /// # Errors
    /// Those of reading a directory.
    pub fn step(&mut self, root: &Root) -> io::Result<Option<Vec<u8>>> {
        if self.reader.is_some() {
            if self.read(root)? {
                self.reader = None;
                let order = self.order;
                self.entries.sort_unstable_by(|a, b| a.compare(b, order));
                self.write_head();
            }
            return Ok(None);
        }
        let slice = self.written..self.entries.len().min(self.written + SLICE);
        self.written = slice.end;
        for index in slice {
            self.write_entry(index);
        }
        Ok((self.written == self.entries.len()).then(|| self.finish()))
    }

    /// True once there is no more to read.
    fn read(&mut self, root: &Root) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else {
            return Ok(true);
        };
        transcript::note(|| format!("up to {SLICE} names: getdents64(2), and fstatat(2) for each"));
        for _ in 0..SLICE {
            let name = match reader.read() {
                None => return Ok(true),
                Some(entry) => entry?.file_name().to_bytes().to_vec(),
            };
            if matches!(&name[..], b"." | b"..") || (name[0] == b'.' && !self.order.hidden) {
                continue;
            }
            let stat = match statat(&self.directory, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                // What it leads to counts, and only what lies inside.
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    root.stat_below(&mut self.path, &name)
                }
                stat => stat.ok(),
            };
            self.entries.push(Entry::new(name, stat.as_ref()));
        }
        Ok(false)
    }

    fn write_head(&mut self) {
        match self.order.format {
            Format::Html => self.page = self.html_head().into_bytes(),
            Format::Json => self.page.push(b'['),
            Format::Text => {}
        }
    }

    fn write_entry(&mut self, index: usize) {
        let entry = &self.entries[index];
        match self.order.format {
            Format::Html => self.page.extend_from_slice(entry.html().as_bytes()),
            Format::Json => {
                let separator: &[u8] = if index == 0 { b"\n" } else { b",\n" };
                self.page.extend_from_slice(separator);
                let written = serde_json::to_writer(&mut self.page, &entry.shown());
                written.expect("a Vec takes all, and the entry has no odd keys");
            }
            Format::Text => {
                self.page.extend_from_slice(entry.text().as_bytes());
                self.page.push(b'\n');
            }
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        self.page.extend_from_slice(match self.order.format {
            Format::Html => b"</tbody></table></main></body></html>\n",
            Format::Json => b"\n]\n",
            Format::Text => b"",
        });
        std::mem::take(&mut self.page)
    }

    fn html_head(&self) -> String {
        let names: Vec<_> = self.path.names().map(String::from_utf8_lossy).collect();
        let title = format!("/{}", names.join("/"));
        let page = html! {
            (page_begin(&format!("Index of {title}")))
            (PreEscaped(GLYPHS))
            (Self::breadcrumbs(&names))
            p { (self.totals()) }
            (PreEscaped("<table><thead>"))
            tr {
                (self.heading(Key::Name, "Name"))
                (self.heading(Key::Size, "Size"))
                (self.heading(Key::Time, "Modified (UTC)"))
            }
            (PreEscaped("</thead><tbody>"))
        };
        page.into_string()
    }

    /// The way from the root to here. Its links are relative, so that they hold where a proxy has put the root.
    fn breadcrumbs(names: &[Cow<'_, str>]) -> Markup {
        let last = names.len().saturating_sub(1);
        html! {
            nav {
                @if names.is_empty() {
                    (glyph("h")) " Index"
                } @else {
                    a href=("../".repeat(names.len())) aria-label="Root" { (glyph("h")) }
                }
                @for (index, name) in names.iter().enumerate() {
                    i { "/" }
                    @if index == last { (name) } @else {
                        a href=("../".repeat(last - index)) { (name) }
                    }
                }
            }
        }
    }

    fn totals(&self) -> String {
        let directories = self.entries.iter().filter(|e| e.is_directory).count();
        let files = self.entries.len() - directories;
        let bytes = self.entries.iter().map(|e| e.size).sum();
        let (s, are) = (|n| if n == 1 { "" } else { "s" }, |n| n > 0);
        match (are(directories), are(files)) {
            (false, false) => "Nothing is in this folder".into(),
            (true, false) => format!("{directories} folder{}", s(directories)),
            (false, true) => format!("{files} file{}, {}", s(files), ByteSize(bytes)),
            (true, true) => format!(
                "{directories} folder{}, {files} file{}, {}",
                s(directories),
                s(files),
                ByteSize(bytes)
            ),
        }
    }

    /// A column's heading: the order it leads to, and a mark where it is the order there is.
    fn heading(&self, key: Key, text: &str) -> Markup {
        let is_current = key == self.order.key;
        let name = match key {
            Key::Name => "name",
            Key::Size => "size",
            Key::Time => "time",
        };
        let direction = match is_current && !self.order.descending {
            true => "desc",
            false => "asc",
        };
        let (mark, sort) = match (is_current, self.order.descending) {
            (false, _) => ("", None),
            (true, false) => (" \u{2191}", Some("ascending")),
            (true, true) => (" \u{2193}", Some("descending")),
        };
        html! {
            th aria-sort=[sort] {
                a href={ "?sort=" (name) "&order=" (direction) } { (text) (mark) }
            }
        }
    }
}

impl Entry {
    /// What a request for it would find. Of what it would not find, nothing is said but the name.
    fn new(name: Vec<u8>, stat: Option<&Stat>) -> Entry {
        let is_directory =
            stat.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let size = stat
            .filter(|_| !is_directory)
            .map_or(0, |stat| stat.st_size);
        let seconds = stat.map_or(0, |stat| stat.st_mtime);
        let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
        Entry {
            name,
            is_directory,
            size: u64::try_from(size).unwrap_or(0),
            modified: UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    fn compare(&self, other: &Entry, order: Order) -> Ordering {
        let by_key = match order.key {
            Key::Name => Ordering::Equal,
            Key::Size => self.size.cmp(&other.size),
            Key::Time => self.modified.cmp(&other.modified),
        };
        let ordering = by_key.then_with(|| self.name.cmp(&other.name));
        let ordering = if order.descending {
            ordering.reverse()
        } else {
            ordering
        };
        other.is_directory.cmp(&self.is_directory).then(ordering)
    }

    fn slash(&self) -> &'static str {
        if self.is_directory { "/" } else { "" }
    }

    fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.name), self.slash())
    }

    fn href(&self) -> String {
        format!("{}{}", percent_encode(&self.name, ENCODED), self.slash())
    }

    /// A row, without the end tags that HTML can do without.
    fn html(&self) -> String {
        let row = html! {
            (PreEscaped("<tr><td>"))
            a href=(self.href()) { (glyph(self.glyph())) (self.text()) }
            (PreEscaped("<td>"))
            @if !self.is_directory { (ByteSize(self.size)) }
            (PreEscaped("<td>"))
            (self.minute())
        };
        row.into_string() + "\n"
    }

    /// When it was changed, such as `2026-11-22 14:32`; nothing if that is not known.
    fn minute(&self) -> String {
        if self.modified == UNIX_EPOCH {
            return String::new();
        }
        let text = humantime::format_rfc3339_seconds(self.modified).to_string();
        text[..16].replace('T', " ")
    }

    /// The drawing that says what kind of thing it is, by its name as its media type is.
    fn glyph(&self) -> &'static str {
        if self.is_directory {
            return "d";
        }
        let (media_type, _) = media_type(Path::new(OsStr::from_bytes(&self.name)));
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

    fn shown(&self) -> Shown<'_> {
        let since = self.modified.duration_since(UNIX_EPOCH);
        Shown {
            name: String::from_utf8_lossy(&self.name),
            href: self.href(),
            r#type: if self.is_directory {
                "directory"
            } else {
                "file"
            },
            size: self.size,
            modified: since.map_or(0, |since| since.as_secs()),
        }
    }
}

/// The last second that HTTP's date format can say.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, create_dir, write};
    use std::os::unix::fs::symlink;

    const BY_NAME: Order = Order {
        format: Format::Html,
        key: Key::Name,
        descending: false,
        hidden: true,
    };

    fn made(all: &Path, target: &str, order: Order) -> String {
        let root = Root::open(all, Vec::new()).expect("a root");
        let path = RelativePath::decode(target.as_bytes()).expect("a path");
        let directory = File::open(all.join(path.as_path())).expect("opened");
        let mut listing = Listing::begin(path, directory.into(), order).expect("begun");
        loop {
            if let Some(page) = listing.step(&root).expect("a step") {
                return String::from_utf8(page).expect("UTF-8");
            }
        }
    }

    fn without_glyph(cell: &str) -> String {
        let (before, rest) = cell.split_once("<svg>").expect("a glyph");
        let (_, after) = rest.split_once("</svg>").expect("its end");
        format!("{before}{after}")
    }

    #[test]
    fn names_of_all_kinds() {
        let all = tempfile::tempdir().expect("a directory");
        let directory = all.path().join("<i>");
        create_dir(&directory).expect("made");
        let names: [&[u8]; 8] = [
            b"b.txt",
            b"a b",
            b"<script>\"'&",
            b"new\nline",
            b"100%",
            b"x:y",
            b"\xff",
            b".dot",
        ];
        for name in names {
            write(directory.join(OsStr::from_bytes(name)), "").expect("written");
        }
        create_dir(directory.join("z")).expect("made");
        for (target, name) in [("../<i>/z", "to z"), ("/", "out")] {
            symlink(target, directory.join(name)).expect("linked");
        }
        let page = made(all.path(), "/<i>/", BY_NAME);
        let body = page.split("<tbody>").nth(1).expect("a body");
        let links: Vec<_> = body.split("<tr><td>").skip(1).collect();
        let links: Vec<_> = links
            .iter()
            .map(|row| without_glyph(row.split("<td>").next().expect("a cell")))
            .collect();
        let expected = [
            r#"<a href="to%20z/">to z/</a>"#,
            r#"<a href="z/">z/</a>"#,
            r#"<a href=".dot">.dot</a>"#,
            r#"<a href="100%25">100%</a>"#,
            r#"<a href="%3Cscript%3E%22%27%26">&lt;script&gt;&quot;'&amp;</a>"#,
            r#"<a href="a%20b">a b</a>"#,
            r#"<a href="b.txt">b.txt</a>"#,
            "<a href=\"new%0Aline\">new\nline</a>",
            r#"<a href="out">out</a>"#,
            r#"<a href="x%3Ay">x:y</a>"#,
            "<a href=\"%FF\">\u{fffd}</a>",
        ];
        assert_eq!(links, expected);
        assert!(page.contains("<title>Index of /&lt;i&gt;</title>"));
        assert!(page.ends_with("</html>\n") && page.matches("</html>").count() == 1);
        let without = made(
            all.path(),
            "/<i>/",
            Order {
                hidden: false,
                ..BY_NAME
            },
        );
        assert!(!without.contains(".dot"));
        let text = made(
            all.path(),
            "/<i>/",
            Order {
                format: Format::Text,
                ..BY_NAME
            },
        );
        assert!(text.starts_with("to z/\nz/\n.dot\n100%\n"), "{text}");
    }

    #[test]
    fn orders_and_json() {
        let all = tempfile::tempdir().expect("a directory");
        for (name, size) in [("small", 1), ("large", 2000), ("same", 1)] {
            write(all.path().join(name), "x".repeat(size)).expect("written");
        }
        create_dir(all.path().join("dir")).expect("made");
        let order = |key, descending| Order {
            format: Format::Json,
            key,
            descending,
            hidden: false,
        };
        let names = |order| {
            let json = made(all.path(), "/", order);
            let json: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
            let names = json
                .iter()
                .map(|entry| entry["name"].as_str().expect("a name").to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(order(Key::Name, false)), "dir large same small");
        assert_eq!(names(order(Key::Name, true)), "dir small same large");
        assert_eq!(names(order(Key::Size, false)), "dir same small large");
        assert_eq!(names(order(Key::Size, true)), "dir large small same");
        let empty = tempfile::tempdir().expect("a directory");
        assert_eq!(made(empty.path(), "/", order(Key::Name, false)), "[\n]\n");
        let page = made(
            all.path(),
            "/",
            Order {
                format: Format::Html,
                ..order(Key::Size, true)
            },
        );
        assert!(
            page.contains(r#"<a href="?sort=size&amp;order=asc">Size"#),
            "{page}"
        );
        assert!(
            page.contains(r#"<a href="?sort=name&amp;order=asc">Name"#),
            "{page}"
        );
        assert!(page.contains("2.0 KiB") && !page.contains("../"), "{page}");
        assert!(page.contains("1 folder, 3 files, 2.0 KiB"), "{page}");
        assert!(
            page.contains("aria-sort=\"descending\"><a href=\"?sort=size"),
            "{page}"
        );
    }

    #[test]
    fn breadcrumbs_lead_upwards() {
        let all = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(all.path().join("a/<b>/c")).expect("made");
        let page = made(all.path(), "/a/<b>/c/", BY_NAME);
        let nav = page.split("<nav>").nth(1).expect("a way");
        let links: Vec<_> = nav
            .split("</nav>")
            .next()
            .expect("an end")
            .split("href=")
            .skip(1)
            .collect();
        assert!(
            links[0].starts_with("\"../../../\" aria-label=\"Root\""),
            "{nav}"
        );
        assert!(links[2].starts_with("\"../../\">a</a>"), "{nav}");
        assert!(
            links[3].starts_with("\"../\">&lt;b&gt;</a><i>/</i>c"),
            "{nav}"
        );
        assert_eq!(links.len(), 4);
        assert!(page.contains("Nothing is in this folder"));
    }

    #[test]
    fn a_hundred_entries_are_a_small_page() {
        let all = tempfile::tempdir().expect("a directory");
        for number in 0..100 {
            write(
                all.path().join(format!("photo-{number:04}.jpeg")),
                "x".repeat(2000),
            )
            .expect("written");
        }
        let page = made(all.path(), "/", BY_NAME);
        assert_eq!(page.matches("<tr><td>").count(), 100);
        assert!(page.len() < 15 * 1024, "{} bytes", page.len());
    }

    #[test]
    fn what_kind_of_thing_it_is() {
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
            assert_eq!(Entry::new(name.into(), None).glyph(), expected, "{name}");
        }
        assert_eq!(Entry::new("x".into(), None).minute(), "");
    }
}
