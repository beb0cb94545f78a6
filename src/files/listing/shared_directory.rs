//! A directory that is read once for all clients that ask for it at the same time.
//!
//! Each listing that needs the directory does the next slice of the work, so work continues as long
//! as any client needs it. Under threads, the listings wait for each other at the directory's lock.
//! Only clients of this directory take it.

use super::budget::{BudgetError, ListingBudget, Reservation};
use super::entries::{DirectoryEntry, Entries, EntryOffset};
use super::merge_sort::MergeSort;
use super::readme::{self, MustWait, ReadmeSource};
use super::rows::write_row;
use super::{Format, SortKey};
use crate::files::open_file::kind as kind_of;
use crate::files::{Mounts, RelativePath, Root};
use crate::sys::untraced::{fstat, openat2, statat};
use crate::sys::{AtFlags, Dir, Errno, FileType, Mode, OFlags, ResolveFlags, Stat};
use crate::trace;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// The memory of a directory beside its entries and their order, in bytes: itself, its path, and
/// the buffer for getdents64(2).
const OVERHEAD: usize = 8 * 1024;

/// How many bytes of rows one unit of work writes.
pub(super) const BYTES_PER_UNIT: usize = 512;

/// The units of work for following a link.
const LINK_UNITS: usize = 4;

/// The units of work for opening and closing a README.
const OPEN_UNITS: usize = 16;

/// Why a directory cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingError {
    /// The entries do not fit the memory budget of listings.
    TooLarge,
    /// Other listings use the memory or descriptors at the moment.
    Busy,
    /// The directory cannot be read.
    Unreadable(io::ErrorKind),
}

/// A directory's device and inode.
pub(super) type DirectoryId = (u64, u64);

/// A directory's entries, and the results of work on them.
#[derive(Debug)]
pub(super) struct SharedDirectory {
    pub identity: DirectoryId,
    /// Links are followed below this root.
    pub root: Arc<Root>,
    /// The first entry may have been read. New clients may have changed the directory before they
    /// asked, so they must not share it.
    has_started: AtomicBool,
    /// All entries have been read, or reading failed.
    is_finished: AtomicBool,
    /// An earlier reading of the same directory, if it is unfinished. This one starts after it, and
    /// can be shared until then.
    predecessor: Weak<SharedDirectory>,
    reservation: Reservation,
    /// Identifies the mount of the directory, or a mount below it, if that can hang.
    mount: OnceLock<u64>,
    progress: Mutex<Progress>,
    entries: OnceLock<Entries>,
    /// The entries in ascending order, by [`SortKey`].
    orders: [OnceLock<Vec<EntryOffset>>; 3],
    /// The length of all rows in bytes, by [`Format`].
    lengths: [OnceLock<u64>; 3],
    /// The README as HTML, once it is known whether there is one.
    readme: OnceLock<Option<Vec<u8>>>,
}

/// The unfinished work.
#[derive(Debug, Default)]
struct Progress {
    scan: Option<DirectoryScan>,
    failure: Option<ListingError>,
    /// The README, until it is read.
    readme: Option<Box<ReadmeSource>>,
    sorts: [Option<MergeSort>; 3],
    length_counts: [LengthCount; 3],
}

#[derive(Debug)]
struct DirectoryScan {
    directory: Dir,
    path: RelativePath,
    hidden: bool,
    /// An entry whose stat(2) would enter another mount. It is still to be added.
    deferred: Option<CString>,
    /// The best README so far, with its rank.
    readme: Option<(usize, Vec<u8>)>,
    entries: Entries,
}

#[derive(Debug, Default)]
struct LengthCount {
    cursor: EntryOffset,
    length: u64,
    scratch: Vec<u8>,
}

impl SharedDirectory {
    /// Prepares to read a directory.
    ///
    /// # Errors
    /// The budget has no memory left.
    pub fn new(
        identity: DirectoryId,
        root: Arc<Root>,
        path: RelativePath,
        directory: OwnedFd,
        hidden: bool,
        predecessor: Weak<SharedDirectory>,
        budget: Arc<ListingBudget>,
    ) -> Result<SharedDirectory, ListingError> {
        let reservation = Reservation::new(budget);
        reservation.grow(OVERHEAD)?;
        let scan = DirectoryScan {
            directory: Dir::new(directory).map_err(unreadable)?,
            path,
            hidden,
            deferred: None,
            readme: None,
            entries: Entries::default(),
        };
        Ok(SharedDirectory {
            identity,
            root,
            has_started: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
            predecessor,
            reservation,
            mount: OnceLock::new(),
            progress: Mutex::new(Progress {
                scan: Some(scan),
                ..Progress::default()
            }),
            entries: OnceLock::new(),
            orders: Default::default(),
            lengths: Default::default(),
            readme: OnceLock::new(),
        })
    }

    /// From now on, steps may enter all mounts. Run them only where waiting for this mount is
    /// allowed.
    pub fn require_mount(&self, mount: u64) {
        self.mount.get_or_init(|| mount);
    }

    /// Identifies the mount that the next step may wait for, if it can hang.
    pub fn mount(&self) -> Option<u64> {
        let predecessor = || self.predecessor.upgrade()?.mount();
        let own = self.mount.get().copied();
        let may_need_it = || self.is_unfinished() || self.readme.get().is_none();
        own.filter(|_| may_need_it()).or_else(predecessor)
    }

    /// True if new clients may share the directory.
    pub fn can_be_shared(&self) -> bool {
        !self.has_started.load(SeqCst)
    }

    /// True until all entries have been read.
    pub fn is_unfinished(&self) -> bool {
        !self.is_finished.load(SeqCst)
    }

    /// All entries. Panics before [`step`](SharedDirectory::step) has read them.
    pub fn entries(&self) -> &Entries {
        self.entries.get().expect("all have been read")
    }

    /// The entries in ascending order, if they are sorted.
    pub fn order(&self, key: SortKey) -> Option<&Vec<EntryOffset>> {
        self.orders[key as usize].get()
    }

    /// The length of all rows in bytes, if it is known.
    pub fn length(&self, format: Format) -> Option<u64> {
        self.lengths[format as usize].get().copied()
    }

    /// The README as HTML, if it is known that there is one.
    pub fn readme(&self) -> Option<&[u8]> {
        self.readme.get()?.as_deref()
    }

    /// Does up to `work` units of work for a page with this order; with a format, for a page that
    /// has all entries. Returns true when nothing is left to do.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn step(
        &self,
        key: SortKey,
        whole: Option<Format>,
        work: &mut usize,
    ) -> Result<bool, ListingError> {
        let before = self.mount();
        while *work > 0 {
            match (self.entries.get(), whole) {
                (None, _) => self.read(work)?,
                (_, Some(Format::Html)) if self.readme.get().is_none() => self.read_readme(work),
                (Some(entries), _) if self.order(key).is_none() => self.sort(entries, key, work)?,
                (Some(entries), Some(format)) if self.length(format).is_none() => {
                    self.measure(entries, format, work);
                }
                (Some(_), _) => return Ok(true),
            }
            // The next step may wait for a mount, so another thread may have to do it.
            if self.mount() != before {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn read(&self, work: &mut usize) -> Result<(), ListingError> {
        if let Some(predecessor) = self.predecessor.upgrade()
            && predecessor.is_unfinished()
        {
            // The clients of that reading get its error.
            let _ = predecessor.read(work);
            return Ok(());
        }
        let mut state = self.lock();
        if let Some(failure) = state.failure {
            return Err(failure);
        }
        let Some(scan) = &mut state.scan else {
            return Ok(());
        };
        self.has_started.store(true, SeqCst);
        let result = scan.step(&self.root, self.mounts(), &self.reservation, work);
        if scan.deferred.is_some() {
            self.require_mount(0);
        }
        if result == Ok(false) {
            return Ok(());
        }
        let scan = state.scan.take();
        match (&result, scan) {
            (Ok(_), Some(scan)) => {
                let readme = scan
                    .readme
                    .and_then(|(_, name)| String::from_utf8(name).ok());
                match readme {
                    None => self.readme.set(None).expect("it was not set"),
                    Some(name) => {
                        let path = scan.path;
                        state.readme = Some(Box::new(ReadmeSource { path, name }));
                    }
                }
                self.entries.set(scan.entries).expect("it was not set");
            }
            (Err(failure), _) => state.failure = Some(*failure),
            (Ok(_), None) => {}
        }
        self.is_finished.store(true, SeqCst);
        result.map(drop)
    }

    /// The mounts that the next step may enter.
    fn mounts(&self) -> Mounts {
        match self.mount.get() {
            None => Mounts::Own,
            Some(_) => Mounts::All,
        }
    }

    /// Reads the README. If that may take a disk or another mount, the next step waits for it.
    fn read_readme(&self, work: &mut usize) {
        let mut state = self.lock();
        let Some(source) = &mut state.readme else {
            return;
        };
        trace::note(|| format!("{}: openat2(2), preadv2(2)", source.name));
        *work = work.saturating_sub(OPEN_UNITS);
        match source.read(&self.root, self.mounts()) {
            Err(MustWait) => self.require_mount(0),
            Ok(html) => {
                let length = html.as_ref().map_or(0, Vec::len);
                // It is left out if there is no memory for it.
                let html = html.filter(|_| self.reservation.grow(length).is_ok());
                *work = work.saturating_sub(length / BYTES_PER_UNIT);
                state.readme = None;
                self.readme.set(html).expect("it was not set");
            }
        }
    }

    fn sort(&self, entries: &Entries, key: SortKey, work: &mut usize) -> Result<(), ListingError> {
        let mut state = self.lock();
        let (order, sort) = (&self.orders[key as usize], &mut state.sorts[key as usize]);
        if order.get().is_some() {
            return Ok(());
        }
        let under_way = match sort {
            Some(sort) => sort,
            None => sort.insert(MergeSort::begin(key, entries, &self.reservation)?),
        };
        if let Some(offsets) = under_way.step(entries, &self.reservation, work) {
            *sort = None;
            order.set(offsets).expect("it was not set");
        }
        Ok(())
    }

    fn measure(&self, entries: &Entries, format: Format, work: &mut usize) {
        let mut state = self.lock();
        let length = &self.lengths[format as usize];
        if length.get().is_none()
            && let Some(sum) = state.length_counts[format as usize].step(entries, format, work)
        {
            state.length_counts[format as usize] = LengthCount::default();
            length.set(sum).expect("it was not set");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DirectoryScan {
    /// Returns true after the last entry.
    fn step(
        &mut self,
        root: &Root,
        mounts: Mounts,
        reservation: &Reservation,
        work: &mut usize,
    ) -> Result<bool, ListingError> {
        trace::note(|| format!("up to {work} names: getdents64(2), and fstatat(2) for each"));
        while *work > 0 {
            *work -= 1;
            let (name, kind) = match self.deferred.take() {
                Some(name) => (name, FileType::Unknown),
                None => match self.directory.read() {
                    None => return Ok(true),
                    Some(entry) => {
                        let entry = entry.map_err(unreadable)?;
                        (entry.file_name().to_owned(), entry.file_type())
                    }
                },
            };
            let bytes = name.to_bytes();
            if matches!(bytes, b"." | b"..") || (bytes[0] == b'.' && !self.hidden) {
                continue;
            }
            let stat = match self.stat_entry(root, &name, kind, mounts) {
                Err(Errno::XDEV) if mounts == Mounts::Own => {
                    self.deferred = Some(name);
                    return Ok(false);
                }
                // List what the link leads to, if that is inside the root.
                Ok(EntryStat::Link(stat)) => {
                    *work = work.saturating_sub(LINK_UNITS);
                    match stat {
                        None => continue,
                        stat => stat,
                    }
                }
                Ok(EntryStat::Plain(stat)) => Some(stat),
                // Removed a moment ago.
                Err(Errno::NOENT) => continue,
                Err(_) => None,
            };
            // Devices, FIFOs and sockets are never opened.
            if stat.as_ref().is_some_and(|stat| kind_of(stat).is_err()) {
                continue;
            }
            let entry = DirectoryEntry::new(name.to_bytes(), stat.as_ref());
            self.note_readme(entry);
            self.entries.push(entry, reservation)?;
        }
        Ok(false)
    }

    /// Remembers the entry if it is a better README than the one so far.
    fn note_readme(&mut self, entry: DirectoryEntry<'_>) {
        if let Some(rank) = readme::rank(entry) {
            let best = self.readme.as_ref();
            if best.is_none_or(|(its, name)| (rank, entry.name) < (*its, name)) {
                self.readme = Some((rank, entry.name.to_vec()));
            }
        }
    }

    /// Returns the stat(2) of an entry. `kind` is its kind in the directory.
    ///
    /// # Errors
    /// [`Errno::XDEV`] if the entry, or what it links to, is on another mount that must not be
    /// entered.
    fn stat_entry(
        &mut self,
        root: &Root,
        name: &CStr,
        kind: FileType,
        mounts: Mounts,
    ) -> Result<EntryStat, Errno> {
        let directory = self.directory.fd()?;
        let stat = match (mounts, kind) {
            (Mounts::Own, FileType::Directory | FileType::Unknown) => {
                stat_on_mount(directory, name)?
            }
            _ => statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(EntryStat::Plain(stat));
        }
        match root.stat_below(&mut self.path, name.to_bytes(), mounts) {
            Err(Errno::XDEV) if mounts == Mounts::Own => Err(Errno::XDEV),
            stat => Ok(EntryStat::Link(stat.ok())),
        }
    }
}

/// The stat(2) of an entry.
enum EntryStat {
    Plain(Stat),
    /// A link, and what it leads to if that is inside the root.
    Link(Option<Stat>),
}

/// fstatat(2) that fails with XDEV on another mount, because that could hang.
fn stat_on_mount(directory: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    fstat(openat2(directory, name, flags, Mode::empty(), resolve)?)
}

impl LengthCount {
    fn step(&mut self, entries: &Entries, format: Format, work: &mut usize) -> Option<u64> {
        while *work > 0 {
            // The order is irrelevant here, as long as exactly one row is the first.
            self.scratch.clear();
            while self.scratch.len() < BYTES_PER_UNIT {
                let is_first = self.cursor == 0;
                let Some((_, entry)) = entries.next(&mut self.cursor) else {
                    return Some(self.length + self.scratch.len() as u64);
                };
                write_row(format, entry, is_first, &mut self.scratch);
            }
            self.length += self.scratch.len() as u64;
            *work = work.saturating_sub(self.scratch.len() / BYTES_PER_UNIT);
        }
        None
    }
}

impl From<BudgetError> for ListingError {
    fn from(shortage: BudgetError) -> ListingError {
        match shortage {
            BudgetError::TooLarge => ListingError::TooLarge,
            BudgetError::Busy => ListingError::Busy,
        }
    }
}

pub(super) fn unreadable(error: impl Into<io::Error>) -> ListingError {
    let error = error.into();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => ListingError::Busy,
        _ => ListingError::Unreadable(error.kind()),
    }
}
