//! Directory listings as pages: read, sorted and written in slices, so that no other connection
//! waits for a directory of a hundred thousand names.
//!
//! Clients that ask for a directory at the same time share its entries
//! (`listing/shared_directory.rs`). These are packed (`listing/entries.rs`), and one budget bounds
//! them all (`listing/budget.rs`). The page is never in memory: each client's rows are written
//! piece by piece as the client reads. The page's length is known first, because all rows are
//! written once to measure them. What a filter chooses (`listing/selection.rs`) is a client's own.

mod budget;
mod entries;
mod filter;
mod html;
mod merge_sort;
mod natural;
mod options;
mod readme;
mod rows;
mod selection;
mod shared_directory;

pub use budget::ListingBudget;
pub use filter::Filter;
pub use options::{Format, ListingOptions, SortKey};
pub use shared_directory::ListingError;

use super::{RelativePath, Root};
use budget::Reservation;
use entries::DirectoryEntry;
use html::{Breadcrumbs, ROWS_END};
use merge_sort::position;
use rows::{end, write_row};
use selection::Selection;
use shared_directory::{BYTES_PER_UNIT, DirectoryId, SharedDirectory, unreadable};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The size of a piece of a page in bytes, within a row.
const PIECE: usize = 32 * 1024;

/// The most directories being read at once. Each needs a descriptor until it is read, and files
/// need descriptors too. Most directories are read within one slice, so only large ones add up.
const MAX_UNFINISHED: usize = 256;

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
    options: ListingOptions,
    breadcrumbs: Breadcrumbs,
    /// What precedes the rows, once the listing is ready.
    head: Vec<u8>,
    /// The chosen entries, if there is a filter.
    selection: Option<Selection>,
    /// The memory of this client alone.
    reservation: Reservation,
    /// The index of the next entry that may be written.
    next: usize,
    /// How many rows are written.
    written: usize,
    /// How many bytes of what follows the rows are written.
    after_rows: usize,
    /// How many bytes are still to be written.
    left: u64,
}

/// What a listing has [reserved](Listing::reserve), until this is dropped.
pub struct ListingMemory {
    _reservation: Reservation,
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
        options: ListingOptions,
    ) -> Result<Listing, ListingError> {
        let stat = crate::sys::untraced::fstat(&directory).map_err(unreadable)?;
        let breadcrumbs = Breadcrumbs::new(&path, target);
        let directory = self.shared_directory((stat.st_dev, stat.st_ino), root, path, directory)?;
        if let Some(mount) = mount {
            directory.require_mount(mount);
        }
        Ok(Listing {
            directory,
            options,
            breadcrumbs,
            head: Vec::new(),
            selection: None,
            reservation: Reservation::new(self.budget.clone()),
            next: 0,
            written: 0,
            after_rows: 0,
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
        self.options.format
    }

    /// Does up to `work` units of work and subtracts them. A unit is about one stat(2), or one to
    /// two microseconds. Returns true once the listing is ready.
    ///
    /// # Errors
    /// The listing cannot be made.
    pub fn step(&mut self, work: &mut usize) -> Result<bool, ListingError> {
        let ListingOptions { key, format, .. } = self.options;
        let whole = self.options.filter.is_none().then_some(format);
        if !self.directory.step(key, whole, work)? || !self.select(work)? {
            return Ok(false);
        }
        self.rewind();
        Ok(true)
    }

    /// Begins again with the first piece of a ready listing.
    pub fn rewind(&mut self) {
        let format = self.options.format;
        self.head = match format {
            Format::Html => {
                let (entries, selection) = (self.directory.entries(), self.selection.as_ref());
                html::head(&self.breadcrumbs, entries, &self.options, selection).into_bytes()
            }
            Format::Json => b"[".to_vec(),
            Format::Text => Vec::new(),
        };
        let rows = match &self.selection {
            None => self.directory.length(format).unwrap_or(0),
            Some(selection) => selection.length,
        };
        let after_rows: usize = self.after_rows().map(<[u8]>::len).iter().sum();
        self.left = (self.head.len() + after_rows) as u64 + rows;
        (self.next, self.written, self.after_rows) = (0, 0, 0);
    }

    /// Reserves memory for another form of the listing, in bytes.
    ///
    /// # Errors
    /// The budget has no memory left.
    pub fn reserve(&self, bytes: usize) -> Result<(), ListingError> {
        Ok(self.reservation.grow(bytes)?)
    }

    /// Frees the listing, but for what was [reserved](Listing::reserve).
    pub fn into_memory(self) -> ListingMemory {
        ListingMemory {
            _reservation: self.reservation,
        }
    }

    /// Chooses among the sorted entries, if there is a filter. Returns true once that is done.
    fn select(&mut self, work: &mut usize) -> Result<bool, ListingError> {
        let Some(filter) = &self.options.filter else {
            return Ok(true);
        };
        let count = self.directory.entries().count;
        let selection = match &mut self.selection {
            Some(selection) => selection,
            None => self
                .selection
                .insert(Selection::begin(count, &self.reservation)?),
        };
        let entry = |index| entry_at(&self.directory, &self.options, index);
        Ok(selection.step(filter, self.options.format, (count, entry), work))
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
        while piece.len() < PIECE
            && let Some(index) = self.next_index()
        {
            let entry = entry_at(&self.directory, &self.options, index);
            let is_first = self.written == 0;
            write_row(self.options.format, entry, is_first, &mut piece);
            self.written += 1;
            self.next = index + 1;
        }
        let (mut skipped, before) = (self.after_rows, piece.len());
        for part in self.after_rows() {
            let room = PIECE.saturating_sub(piece.len());
            let begin = skipped.min(part.len());
            let end = part.len().min(begin + room);
            piece.extend_from_slice(&part[begin..end]);
            skipped -= begin;
        }
        self.after_rows += piece.len() - before;
        *work = work.saturating_sub(piece.len() / BYTES_PER_UNIT + 1);
        self.left -= piece.len() as u64;
        piece
    }

    /// The index of the next entry to write.
    fn next_index(&self) -> Option<usize> {
        match &self.selection {
            None => (self.next < self.directory.entries().count).then_some(self.next),
            Some(selection) => selection.next(self.next),
        }
    }

    /// What follows the rows. It is written in pieces too, since a README can be long.
    fn after_rows(&self) -> [&[u8]; 3] {
        let format = self.options.format;
        match format {
            Format::Html => {
                let readme = self.directory.readme().filter(|_| self.selection.is_none());
                [ROWS_END, readme.unwrap_or_default(), end(format)]
            }
            Format::Json | Format::Text => [end(format), b"", b""],
        }
    }
}

/// The entry at an index in the order that the client asks for.
fn entry_at<'a>(
    directory: &'a SharedDirectory,
    options: &ListingOptions,
    index: usize,
) -> DirectoryEntry<'a> {
    let entries = directory.entries();
    let offsets = directory.order(options.key).map_or(&[][..], Vec::as_slice);
    let index = position(
        index,
        offsets.len(),
        entries.directories,
        options.descending,
    );
    entries.at(offsets[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytesize::ByteSize;
    use std::ffi::OsStr;
    use std::fs::{File, create_dir, write};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const BY_NAME: ListingOptions = ListingOptions {
        format: Format::Html,
        key: SortKey::Name,
        descending: false,
        filter: None,
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
            filter: None,
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
            page.contains(r#"<button name="sort" value="size">Size"#),
            "{page}"
        );
        assert!(
            page.contains(r#"<button name="sort" value="name">Name"#),
            "{page}"
        );
        assert!(page.contains("2.0 KiB") && !page.contains("../"), "{page}");
        assert!(page.contains("1 folder, 3 files, 2.0 KiB"), "{page}");
        assert!(
            page.contains("aria-sort=\"descending\"><button name=\"sort\" value=\"size"),
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
        assert!(page.len() < 16 * 1024, "{} bytes", page.len());
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

    /// Clients share the entries and their order. A filter costs a client one bit for each entry.
    #[test]
    fn filters_choose_names_and_keep_the_order() {
        let all = directory_of(2000);
        create_dir(all.path().join("DIR-7")).expect("made");
        write(all.path().join("README"), "about <these>").expect("written");
        let fixture = Fixture::new(all.path(), false, 1 << 20);
        let filtered = |text: &str, format, descending| ListingOptions {
            format,
            descending,
            filter: Filter::new(text),
            ..BY_NAME
        };
        let mut whole = fixture.begin("/", BY_NAME).expect("begun");
        let begin = |text: &str, format, descending| {
            let options = filtered(text, format, descending);
            fixture.begin("/", options).expect("begun")
        };
        let mut text = begin("199", Format::Text, true);
        let mut json = begin("dir", Format::Json, false);
        let mut none = begin("<x>", Format::Html, true);
        let mut some = begin("file 7", Format::Html, false);
        let page = fixture.page(&mut whole);
        let readme =
            "<h2><a href=\"README\">README</a></h2><pre dir=auto>\nabout &lt;these&gt;</pre>";
        assert!(page.contains(readme), "{page}");
        let alone = fixture.listings.budget.used();
        let expected: String = (1990..2000)
            .rev()
            .chain([1199, 199])
            .map(|number| format!("file-{number:05}\n"))
            .collect();
        assert_eq!(fixture.page(&mut text), expected);
        assert_eq!(fixture.listings.budget.used(), alone + 256);
        let json: serde_json::Value = serde_json::from_str(&fixture.page(&mut json)).expect("JSON");
        assert_eq!(
            (json.as_array().map(Vec::len), &json[0]["name"]),
            (Some(1), &"DIR-7".into())
        );
        let none = fixture.page(&mut none);
        assert!(
            none.contains("0 of 2002 names. <a href=\"./?sort=-name\">"),
            "{none}"
        );
        assert!(none.contains("value=\"&lt;x&gt;\""), "{none}");
        assert!(
            none.contains("<button name=\"sort\" value=\"-name\">Filter<"),
            "{none}"
        );
        let some = fixture.page(&mut some);
        let count = (0..2000)
            .filter(|number| number.to_string().contains('7'))
            .count();
        assert!(
            some.contains(&format!("{count} of 2002 names. <a href=\"./\">")),
            "{some}"
        );
        assert!(some.contains("><button>Filter<"), "{some}");
        assert!(!some.contains("<pre"), "{some}");
        assert_eq!(some.matches("<tr><td>").count(), count);
    }

    /// One that is longer than a piece is sent in several.
    #[test]
    fn a_long_readme_is_written_in_pieces_or_left_out() {
        let all = directory_of(10);
        write(all.path().join("ReadMe.md"), "&".repeat(60_000)).expect("written");
        write(all.path().join("readme.txt"), "another").expect("written");
        let page = made(all.path(), "/", BY_NAME);
        assert_eq!(page.matches("&amp;").count(), 60_000);
        assert!(page.ends_with("</pre></article></main></body></html>\n"));
        let fixture = Fixture::new(all.path(), false, 100 * 1024);
        let page = fixture.page(&mut fixture.begin("/", BY_NAME).expect("begun"));
        assert!(page.ends_with("</form></main></body></html>\n"), "{page}");
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
        // One unit to read each entry, a half to sort it in a run, a sixteenth for each of five
        // merges, and about a quarter for its row.
        let least = (ENTRIES + ENTRIES / 2 + ENTRIES * 5 / 16 + ENTRIES / 5) / 10;
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
            filter: None,
        };
        let begin = |order| fixture.begin("/", order).expect("begun");
        let (mut first, mut same, mut other) =
            (begin(BY_NAME), begin(BY_NAME), begin(by_size.clone()));
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
