//! Directory listings as pages: read, sorted and written in slices, so that no other connection
//! waits for a directory of a hundred thousand names.
//!
//! Clients that ask for a directory at the same time share its entries
//! (`listing/shared_directory.rs`). These are packed (`listing/entries.rs`), and one budget bounds
//! them all (`listing/budget.rs`). The page is never in memory: each client's rows are written
//! piece by piece as the client reads. The page's length is known first, because all rows are
//! written once to measure them.

mod budget;
mod entries;
mod merge_sort;
mod options;
mod rows;
mod shared_directory;

pub use budget::ListingBudget;
pub use options::{Format, ListingOptions, SortKey};
pub use shared_directory::ListingError;

use super::page::{ICONS, icon, page_begin};
use super::{RelativePath, Root};
use bytesize::ByteSize;
use entries::Entries;
use maud::{Markup, PreEscaped, html};
use merge_sort::position;
use rows::{end, visible, write_row};
use shared_directory::{BYTES_PER_UNIT, DirectoryId, SharedDirectory, unreadable};
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The size of a piece of a page in bytes, within a row.
const PIECE: usize = 32 * 1024;

/// The most directories being read at once. Each needs a descriptor until it is read, and files
/// need descriptors too. Most directories are read within one slice, so only large ones add up.
const MAX_UNFINISHED: usize = 256;

/// The most superfluous slashes in a target for which the links upwards are exact.
const MAX_EXTRA_SLASHES: usize = 16;

/// All listings of a service: the directories being read, and the memory they share.
#[derive(Debug)]
pub struct Listings {
    budget: Arc<ListingBudget>,
    /// Include names that begin with a dot.
    hidden: bool,
    /// The directories not yet read completely. No system call is made under this lock.
    unfinished: Mutex<Vec<Weak<SharedDirectory>>>,
}

/// A listing for one client. Call [`step`](Listing::step) until it is ready, then take its pieces.
pub struct Listing {
    directory: Arc<SharedDirectory>,
    order: ListingOptions,
    breadcrumbs: Breadcrumbs,
    /// What precedes the rows, once the listing is ready.
    head: Vec<u8>,
    /// How many rows are written.
    written: usize,
    /// How many bytes are still to be written.
    left: u64,
}

/// A directory's path as the client sees it.
struct Breadcrumbs {
    /// The names from the root to the directory.
    names: Vec<Vec<u8>>,
    /// How many levels to go up to the root and to each name. There are more levels than names if
    /// the target has superfluous slashes.
    ups: Vec<usize>,
}

impl Listings {
    /// Creates an empty set of listings with this budget.
    pub fn new(budget: ListingBudget, hidden: bool) -> Listings {
        Listings {
            budget: Arc::new(budget),
            hidden,
            unfinished: Mutex::default(),
        }
    }

    /// Begins to list the directory at `path`, opened for reading. `target` is the client's request
    /// target, and `mount` identifies the directory's mount if that can hang.
    ///
    /// Clients that ask before the first entry is read share the directory. Those that ask later
    /// share a second reading, which begins after the first. So each client sees all changes made
    /// before it asked.
    ///
    /// # Errors
    /// The directory is unreadable, or too many are being read.
    pub fn begin(
        &self,
        root: Arc<Root>,
        path: RelativePath,
        target: &[u8],
        directory: OwnedFd,
        mount: Option<u64>,
        order: ListingOptions,
    ) -> Result<Listing, ListingError> {
        let stat = crate::sys::untraced::fstat(&directory).map_err(unreadable)?;
        let breadcrumbs = Breadcrumbs::new(&path, target);
        let directory = self.shared_directory((stat.st_dev, stat.st_ino), root, path, directory)?;
        if let Some(mount) = mount {
            directory.require_mount(mount);
        }
        Ok(Listing {
            directory,
            order,
            breadcrumbs,
            head: Vec::new(),
            written: 0,
            left: 0,
        })
    }

    /// Returns the shared directory for this client: one not yet started, or a new one.
    fn shared_directory(
        &self,
        identity: DirectoryId,
        root: Arc<Root>,
        path: RelativePath,
        directory: OwnedFd,
    ) -> Result<Arc<SharedDirectory>, ListingError> {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut predecessor = Weak::new();
        let mut shared = None;
        unfinished.retain(|weak| {
            let directory = weak.upgrade().filter(|one| one.is_unfinished());
            match &directory {
                Some(directory) if directory.identity != identity => {}
                Some(directory) if !Arc::ptr_eq(&directory.root, &root) => {}
                Some(directory) if directory.can_be_shared() => shared = Some(directory.clone()),
                Some(_) => predecessor = weak.clone(),
                None => {}
            }
            directory.is_some()
        });
        if let Some(directory) = shared {
            return Ok(directory);
        }
        if unfinished.len() >= MAX_UNFINISHED {
            return Err(ListingError::Busy);
        }
        let budget = self.budget.clone();
        let directory = SharedDirectory::new(
            identity,
            root,
            path,
            directory,
            self.hidden,
            predecessor,
            budget,
        )?;
        let directory = Arc::new(directory);
        unfinished.push(Arc::downgrade(&directory));
        Ok(directory)
    }
}

impl Listing {
    /// Identifies the mount that the next step may wait for, if it can hang.
    pub fn mount(&self) -> Option<u64> {
        self.directory.mount()
    }

    /// The format of the page.
    pub fn format(&self) -> Format {
        self.order.format
    }

    /// Does up to `work` units of work and subtracts them. A unit is about one stat(2), or one to
    /// two microseconds. Returns true once the listing is ready.
    ///
    /// # Errors
    /// The listing cannot be made.
    pub fn step(&mut self, work: &mut usize) -> Result<bool, ListingError> {
        let (key, format) = (self.order.key, self.order.format);
        if !self.directory.step(key, format, work)? {
            return Ok(false);
        }
        self.head = match format {
            Format::Html => self.html_head().into_bytes(),
            Format::Json => b"[".to_vec(),
            Format::Text => Vec::new(),
        };
        let rows = self.directory.length(format).unwrap_or(0);
        self.left = (self.head.len() + end(format).len()) as u64 + rows;
        Ok(true)
    }

    /// How many bytes are still to be written, once the listing is ready.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Writes the next piece; empty at the end. Subtracts its cost from `work`.
    pub fn write_piece(&mut self, work: &mut usize) -> Vec<u8> {
        if self.left == 0 {
            return Vec::new();
        }
        let mut piece = std::mem::take(&mut self.head);
        let ListingOptions {
            format,
            key,
            descending,
        } = self.order;
        let entries = self.directory.entries();
        let offsets = self.directory.order(key).map_or(&[][..], Vec::as_slice);
        while self.written < offsets.len() && piece.len() < PIECE {
            let (count, directories) = (offsets.len(), entries.directories);
            let index = position(self.written, count, directories, descending);
            write_row(
                format,
                entries.at(offsets[index]),
                self.written == 0,
                &mut piece,
            );
            self.written += 1;
        }
        if self.written == offsets.len() {
            piece.extend_from_slice(end(format));
        }
        *work = work.saturating_sub(piece.len() / BYTES_PER_UNIT + 1);
        self.left -= piece.len() as u64;
        piece
    }

    fn html_head(&self) -> String {
        let names: Vec<_> = self
            .breadcrumbs
            .names
            .iter()
            .map(|name| visible(name))
            .collect();
        let title = format!("/{}", names.join("/"));
        let page = html! {
            (page_begin(&format!("Index of {title}")))
            (PreEscaped(ICONS))
            (self.breadcrumbs.html(&names))
            p { (totals(self.directory.entries())) }
            (PreEscaped("<table><thead>"))
            tr {
                (self.heading(SortKey::Name, "Name"))
                (self.heading(SortKey::Size, "Size"))
                (self.heading(SortKey::Time, "Modified (UTC)"))
            }
            (PreEscaped("</thead><tbody>"))
        };
        page.into_string()
    }

    /// A column's heading: a link that sorts by it, with an arrow if the page is sorted by it.
    fn heading(&self, key: SortKey, text: &str) -> Markup {
        let is_current = key == self.order.key;
        let name = match key {
            SortKey::Name => "name",
            SortKey::Size => "size",
            SortKey::Time => "time",
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

fn totals(entries: &Entries) -> String {
    let Entries {
        count,
        directories,
        bytes,
        ..
    } = entries;
    let (directories, files, bytes) = (*directories, count - directories, ByteSize(*bytes));
    let s = |number| if number == 1 { "" } else { "s" };
    match (directories > 0, files > 0) {
        (false, false) => "This folder is empty".into(),
        (true, false) => format!("{directories} folder{}", s(directories)),
        (false, true) => format!("{files} file{}, {bytes}", s(files)),
        (true, true) => format!(
            "{directories} folder{}, {files} file{}, {bytes}",
            s(directories),
            s(files)
        ),
    }
}

impl Breadcrumbs {
    fn new(path: &RelativePath, target: &[u8]) -> Breadcrumbs {
        let names: Vec<_> = path.names().map(<[u8]>::to_vec).collect();
        let segments = target.split(|&b| b == b'/').skip(1);
        let segments: Vec<_> = segments.collect();
        let depth = segments.len().saturating_sub(1);
        let full = segments.iter().enumerate().filter(|(_, s)| !s.is_empty());
        let mut ups = vec![depth];
        ups.extend(full.map(|(index, _)| depth.saturating_sub(index + 1)));
        if ups.len() != names.len() + 1 || depth > names.len() + MAX_EXTRA_SLASHES {
            // The target has dots, which clients resolve before sending, or so many slashes that
            // the links upwards would fill the page.
            ups = (0..=names.len()).rev().collect();
        }
        Breadcrumbs { names, ups }
    }

    /// The links upwards. They are relative, so they work behind a proxy that serves the root below
    /// a prefix.
    fn html(&self, names: &[Cow<'_, str>]) -> Markup {
        let last = names.len().saturating_sub(1);
        let up = |index: usize| "../".repeat(self.ups[index]);
        html! {
            nav {
                @if names.is_empty() {
                    (icon("h")) " Index"
                } @else {
                    a href=(up(0)) aria-label="Root" { (icon("h")) }
                }
                @for (index, name) in names.iter().enumerate() {
                    i { "/" }
                    @if index == last { (name) } @else {
                        a href=(up(index + 1)) { (name) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs::{File, create_dir, write};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const BY_NAME: ListingOptions = ListingOptions {
        format: Format::Html,
        key: SortKey::Name,
        descending: false,
    };

    /// A root and its listings.
    struct Fixture {
        root: Arc<Root>,
        listings: Listings,
    }

    impl Fixture {
        fn new(all: &Path, hidden: bool, limit: usize) -> Fixture {
            Fixture {
                root: Arc::new(Root::open(all, Vec::new()).expect("a root")),
                listings: Listings::new(ListingBudget::new(limit), hidden),
            }
        }

        fn begin(&self, target: &str, order: ListingOptions) -> Result<Listing, ListingError> {
            let path = RelativePath::decode(target.as_bytes()).expect("a path");
            let directory = File::open(self.root.path().join(path.as_path())).expect("opened");
            let target = target.as_bytes();
            self.listings.begin(
                self.root.clone(),
                path,
                target,
                directory.into(),
                None,
                order,
            )
        }

        /// Steps until the listing is ready. Returns the number of slices.
        fn ready(&self, listing: &mut Listing, at_once: usize) -> Result<usize, ListingError> {
            let mut slices = 1;
            while !listing.step(&mut at_once.clone())? {
                slices += 1;
            }
            Ok(slices)
        }

        fn page(&self, listing: &mut Listing) -> String {
            self.ready(listing, 100).expect("ready");
            written(listing)
        }
    }

    /// All pieces of a ready listing.
    fn written(listing: &mut Listing) -> String {
        let (mut page, length) = (Vec::new(), listing.left());
        loop {
            let piece = listing.write_piece(&mut 100);
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() < PIECE + 4096, "{} bytes at once", piece.len());
            page.extend(piece);
        }
        assert_eq!(page.len() as u64, length, "the announced length");
        String::from_utf8(page).expect("UTF-8")
    }

    fn listed(all: &Path, target: &str, order: ListingOptions, hidden: bool) -> String {
        let fixture = Fixture::new(all, hidden, 1 << 20);
        let mut listing = fixture.begin(target, order).expect("begun");
        let page = fixture.page(&mut listing);
        assert!(fixture.listings.budget.used() > 0);
        drop(listing);
        assert_eq!(fixture.listings.budget.used(), 0);
        page
    }

    fn made(all: &Path, target: &str, order: ListingOptions) -> String {
        listed(all, target, order, true)
    }

    fn without_icon(cell: &str) -> String {
        let (before, rest) = cell.split_once("<svg>").expect("a glyph");
        let (_, after) = rest.split_once("</svg>").expect("its end");
        format!("{before}{after}")
    }

    #[test]
    fn names_are_escaped_in_every_format() {
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
        for (target, name) in [("../<i>/z", "to z"), ("/", "out"), ("gone", "to nothing")] {
            symlink(target, directory.join(name)).expect("linked");
        }
        let page = made(all.path(), "/<i>/", BY_NAME);
        let body = page.split("<tbody>").nth(1).expect("a body");
        let links: Vec<_> = body.split("<tr><td>").skip(1).collect();
        let links: Vec<_> = links
            .iter()
            .map(|row| without_icon(row.split("<td>").next().expect("a cell")))
            .collect();
        let expected = [
            r#"<a href="to%20z/">to z/</a>"#,
            r#"<a href="z/">z/</a>"#,
            r#"<a href=".dot">.dot</a>"#,
            r#"<a href="100%25">100%</a>"#,
            r#"<a href="%3Cscript%3E%22%27%26">&lt;script&gt;&quot;'&amp;</a>"#,
            r#"<a href="a%20b">a b</a>"#,
            r#"<a href="b.txt">b.txt</a>"#,
            r#"<a href="new%0Aline">new\x0aline</a>"#,
            r#"<a href="x%3Ay">x:y</a>"#,
            r#"<a href="%FF">\xff</a>"#,
        ];
        assert_eq!(links, expected);
        assert!(page.contains("<title>Index of /&lt;i&gt;</title>"));
        assert!(page.ends_with("</html>\n") && page.matches("</html>").count() == 1);
        let without = listed(all.path(), "/<i>/", BY_NAME, false);
        assert!(!without.contains(".dot"));
        let text = made(
            all.path(),
            "/<i>/",
            ListingOptions {
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
        let order = |key, descending| ListingOptions {
            format: Format::Json,
            key,
            descending,
        };
        let names = |order| {
            let json = made(all.path(), "/", order);
            let json: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
            let names = json
                .iter()
                .map(|entry| entry["name"].as_str().expect("a name").to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(order(SortKey::Name, false)), "dir large same small");
        assert_eq!(names(order(SortKey::Name, true)), "dir small same large");
        assert_eq!(names(order(SortKey::Size, false)), "dir same small large");
        assert_eq!(names(order(SortKey::Size, true)), "dir large small same");
        let empty = tempfile::tempdir().expect("a directory");
        assert_eq!(
            made(empty.path(), "/", order(SortKey::Name, false)),
            "[\n]\n"
        );
        let page = made(
            all.path(),
            "/",
            ListingOptions {
                format: Format::Html,
                ..order(SortKey::Size, true)
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
        assert!(page.contains("This folder is empty"));
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

    /// Behind a proxy that strips a prefix, `/` is not the root, so no link uses it. For clients, a
    /// superfluous slash is one level more.
    #[test]
    fn links_upwards_are_relative_to_the_target() {
        let all = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(all.path().join("a/b")).expect("made");
        let cases = [
            ("/a/b/", "../../ ../"),
            ("//a/b/", "../../../ ../"),
            ("/a//b/", "../../../ ../../"),
            ("/a/b//", "../../../ ../../"),
            ("/a/./b/", "../../ ../"),
            ("/%61/b/", "../../ ../"),
            ("/a/b//////////////////////", "../../ ../"),
            ("/", ""),
            ("//", ""),
        ];
        for (target, expected) in cases {
            let page = made(all.path(), target, BY_NAME);
            let nav = page.split("<nav>").nth(1).expect("a way");
            let nav = nav.split("</nav>").next().expect("an end");
            let links = nav.split("<a href=\"").skip(1);
            let links: Vec<_> = links.filter_map(|link| link.split('"').next()).collect();
            assert_eq!(links.join(" "), expected, "{target}");
            assert!(!page.contains("href=\"/"), "{page}");
        }
    }

    fn directory_of(entries: usize) -> tempfile::TempDir {
        let all = tempfile::tempdir().expect("a directory");
        for number in 0..entries {
            write(all.path().join(format!("file-{number:05}")), "").expect("written");
        }
        all
    }

    /// Slices stay small however large the directory is, and all steps towards a page are done in
    /// slices.
    #[test]
    fn all_work_is_done_in_slices() {
        const ENTRIES: usize = 3000;
        let all = directory_of(ENTRIES);
        let fixture = Fixture::new(all.path(), false, 1 << 20);
        let mut listing = fixture.begin("/", BY_NAME).expect("begun");
        let slices = fixture.ready(&mut listing, 10).expect("ready");
        // One unit to read each entry, an eighth to sort it in a run, a sixteenth for each of three
        // merges, and about a quarter for its row.
        let least = (ENTRIES + ENTRIES / 8 + ENTRIES * 3 / 16 + ENTRIES / 5) / 10;
        assert!((least / 2..2 * least).contains(&slices), "{slices} slices");
        assert_eq!(written(&mut listing).matches("<tr><td>").count(), ENTRIES);
    }

    /// Clients that ask before the directory is read share it. Those that ask meanwhile share a
    /// second reading.
    #[test]
    fn clients_share_a_reading() {
        let all = directory_of(1000);
        let fixture = Fixture::new(all.path(), false, 1 << 20);
        let by_size = ListingOptions {
            format: Format::Json,
            key: SortKey::Size,
            descending: true,
        };
        let begin = |order| fixture.begin("/", order).expect("begun");
        let (mut first, mut same, mut other) = (begin(BY_NAME), begin(BY_NAME), begin(by_size));
        let alone = fixture.listings.budget.used();
        assert!(Arc::ptr_eq(&first.directory, &same.directory));
        assert!(Arc::ptr_eq(&first.directory, &other.directory));
        assert!(!first.step(&mut 10).expect("a step"));
        write(all.path().join("file-00000"), "changed").expect("written");
        write(all.path().join("new"), "new").expect("written");
        let (mut late, mut later) = (begin(BY_NAME), begin(by_size));
        assert!(!Arc::ptr_eq(&first.directory, &late.directory));
        assert!(Arc::ptr_eq(&late.directory, &later.directory));
        // The late client works for the first reading until that is done, before its own.
        let mut slices = 0;
        while first.directory.is_unfinished() {
            assert!(late.directory.can_be_shared());
            assert!(!late.step(&mut 10).expect("a step"));
            slices += 1;
        }
        assert!(
            (80..120).contains(&slices),
            "{slices} slices for 990 entries"
        );
        let pages = [&mut first, &mut same, &mut other, &mut late, &mut later];
        let pages = pages.map(|listing| fixture.page(listing));
        assert_eq!(pages[0], pages[1]);
        assert!(pages[3].contains(">new</a><td>3 B<td>"));
        assert!(pages[3].contains(">file-00000</a><td>7 B<td>"));
        assert!(pages[4].starts_with("[\n{\"name\":\"file-00000\""));
        drop((first, same, other));
        assert!(fixture.listings.budget.used() > alone);
        // A client that asks now starts another reading.
        let next = begin(BY_NAME);
        assert!(!Arc::ptr_eq(&next.directory, &late.directory));
        drop((next, late, later));
        assert_eq!(fixture.listings.budget.used(), 0);
    }

    /// Any client may leave, also the one that has done the work so far. The others continue.
    #[test]
    fn a_listing_goes_on_when_other_clients_leave() {
        let all = directory_of(500);
        let fixture = Fixture::new(all.path(), false, 1 << 20);
        let begin = || fixture.begin("/", BY_NAME).expect("begun");
        let (mut first, mut same) = (begin(), begin());
        first.step(&mut 10).expect("a step");
        let mut late = begin();
        late.step(&mut 10).expect("a step");
        drop(first);
        let mut latest = begin();
        assert!(Arc::ptr_eq(&latest.directory, &late.directory));
        assert_eq!(fixture.page(&mut latest).matches("<tr><td>").count(), 500);
        assert_eq!(fixture.page(&mut same).matches("<tr><td>").count(), 500);
        drop((same, late, latest));
        let mut left = begin();
        left.step(&mut 10).expect("a step");
        let mut alone = begin();
        drop(left);
        assert_eq!(fixture.page(&mut alone).matches("<tr><td>").count(), 500);
    }

    #[test]
    fn a_listing_without_memory_is_refused_with_a_cause() {
        let all = directory_of(3000);
        create_dir(all.path().join("sub")).expect("made");
        let fixture = Fixture::new(all.path(), false, 64 * 1024);
        let mut large = fixture.begin("/", BY_NAME).expect("begun");
        assert_eq!(fixture.ready(&mut large, 100), Err(ListingError::TooLarge));
        assert_eq!(fixture.ready(&mut large, 100), Err(ListingError::TooLarge));
        drop(large);
        assert_eq!(fixture.listings.budget.used(), 0);
        // The budget holds one listing.
        let fixture = Fixture::new(all.path(), false, 200 * 1024);
        let mut first = fixture.begin("/", BY_NAME).expect("begun");
        fixture.ready(&mut first, 100).expect("ready");
        let mut second = fixture.begin("/", BY_NAME).expect("begun");
        assert_eq!(fixture.ready(&mut second, 100), Err(ListingError::Busy));
        drop(second);
        let mut small = fixture.begin("/sub/", BY_NAME).expect("begun");
        assert!(fixture.page(&mut small).contains("This folder is empty"));
        assert_eq!(written(&mut first).matches("<tr><td>").count(), 3001);
        drop((first, small));
        assert_eq!(fixture.listings.budget.used(), 0);
    }

    #[test]
    fn open_directories_are_bounded() {
        let all = tempfile::tempdir().expect("a directory");
        for number in 0..=MAX_UNFINISHED {
            create_dir(all.path().join(number.to_string())).expect("made");
        }
        let fixture = Fixture::new(all.path(), false, 64 << 20);
        let begin = |number| fixture.begin(&format!("/{number}/"), BY_NAME);
        let mut listings: Vec<_> = (0..MAX_UNFINISHED)
            .map(|n| begin(n).expect("begun"))
            .collect();
        assert_eq!(begin(MAX_UNFINISHED).err(), Some(ListingError::Busy));
        let mut same = begin(7).expect("shared");
        fixture.ready(&mut same, 100).expect("ready");
        assert!(
            begin(MAX_UNFINISHED).is_ok(),
            "one directory was read and closed"
        );
        listings.clear();
        assert!(begin(MAX_UNFINISHED).is_ok());
    }

    #[test]
    fn sparse_files_add_up() {
        let all = tempfile::tempdir().expect("a directory");
        let mut length = 0;
        for name in ["a", "b", "c"] {
            let file = File::create(all.path().join(name)).expect("made");
            let lengths = [i64::MAX as u64, 1 << 62, 1 << 50, 1 << 43];
            let longest = lengths
                .into_iter()
                .find(|length| file.set_len(*length).is_ok());
            length = longest.expect("a sparse file");
        }
        let page = made(all.path(), "/", BY_NAME);
        let sum = ByteSize(length.saturating_mul(3));
        assert!(page.contains(&format!("<p>3 files, {sum}</p>")), "{page}");
    }
}
