//! A directory that is read once for all clients that ask for it at the same time.
//!
//! Each listing that still needs it does the next slice of the work. So work goes on as long as a client needs it, and no
//! longer.
//! Under threads they wait for each other at its lock, which nobody takes who does not ask for this very directory.

use super::budget::{BudgetError, ListingBudget, Reservation};
use super::entries::{DirectoryEntry, Entries, EntryOffset};
use super::merge_sort::MergeSort;
use super::rows::write_row;
use super::{Format, SortKey};
use crate::files::{Mounts, RelativePath, Root};
use crate::sys::untraced::{fstat, openat2, statat};
use crate::sys::{AtFlags, Dir, Errno, FileType, Mode, OFlags, ResolveFlags, Stat};
use crate::trace;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What a folder takes beside its entries and their order, in bytes: itself, its path, and what the kernel's answers are
/// read into.
const OVERHEAD: usize = 8 * 1024;

/// How many bytes of rows are written for one unit of work.
pub(super) const BYTES_PER_UNIT: usize = 512;

/// How many units of work a link costs, which is followed.
const LINK_UNITS: usize = 4;

/// Why a directory cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingError {
    /// It has too many entries for the memory that listings may take.
    TooLarge,
    /// Other listings need the memory, or the descriptors, at the moment.
    Busy,
    /// It cannot be read.
    Unreadable(io::ErrorKind),
}

/// The numbers that tell a directory from all others: of the device and of the inode.
pub(super) type DirectoryId = (u64, u64);

/// A directory's entries, and what was made of them so far.
#[derive(Debug)]
pub(super) struct SharedDirectory {
    pub identity: DirectoryId,
    /// Links are followed below it.
    pub root: Arc<Root>,
    /// The first entry may have been read: it is too late for others to share it, who may have changed something before
    /// they asked.
    has_begun: AtomicBool,
    /// There is nothing more to read, or it cannot be read.
    is_over: AtomicBool,
    /// The same directory as it was read before, if it still is: this one begins when that is over, and can be shared
    /// until then.
    before: Weak<SharedDirectory>,
    reservation: Reservation,
    /// A number for the mount that it is on, or that is in it, if that can hang.
    mount: OnceLock<u64>,
    work: Mutex<Progress>,
    entries: OnceLock<Entries>,
    /// The places of the entries in ascending order, by [`SortKey`].
    orders: [OnceLock<Vec<EntryOffset>>; 3],
    /// The length of all rows in bytes, by [`Format`].
    lengths: [OnceLock<u64>; 3],
}

/// What is being done.
#[derive(Debug, Default)]
struct Progress {
    reading: Option<DirectoryScan>,
    failure: Option<ListingError>,
    sorting: [Option<MergeSort>; 3],
    measuring: [LengthCount; 3],
}

#[derive(Debug)]
struct DirectoryScan {
    directory: Dir,
    path: RelativePath,
    hidden: bool,
    /// What is seen of the last entry was not known without looking at other mounts. It has yet to be looked at.
    elsewhere: Option<CString>,
    entries: Entries,
}

#[derive(Debug, Default)]
struct LengthCount {
    cursor: EntryOffset,
    length: u64,
    scratch: Vec<u8>,
}

impl SharedDirectory {
    /// A directory that has yet to be read.
    ///
    /// # Errors
    /// If there is no memory left for it.
    pub fn new(
        identity: DirectoryId,
        root: Arc<Root>,
        path: RelativePath,
        directory: OwnedFd,
        hidden: bool,
        before: Weak<SharedDirectory>,
        memory: Arc<ListingBudget>,
    ) -> Result<SharedDirectory, ListingError> {
        let reservation = Reservation::new(memory);
        reservation.grow(OVERHEAD)?;
        let reading = DirectoryScan {
            directory: Dir::new(directory).map_err(unreadable)?,
            path,
            hidden,
            elsewhere: None,
            entries: Entries::default(),
        };
        Ok(SharedDirectory {
            identity,
            root,
            has_begun: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            before,
            reservation,
            mount: OnceLock::new(),
            work: Mutex::new(Progress {
                reading: Some(reading),
                ..Progress::default()
            }),
            entries: OnceLock::new(),
            orders: Default::default(),
            lengths: Default::default(),
        })
    }

    /// From now on it is read only where one may wait for this mount.
    pub fn may_hang(&self, mount: u64) {
        self.mount.get_or_init(|| mount);
    }

    /// A number for the mount that the next step may wait for, if it can hang.
    pub fn mount(&self) -> Option<u64> {
        let before = || self.before.upgrade()?.mount();
        let own = self.mount.get().copied();
        own.filter(|_| self.is_at_work()).or_else(before)
    }

    /// True if a client that asks now may have what will be read.
    pub fn can_be_shared(&self) -> bool {
        !self.has_begun.load(SeqCst)
    }

    /// True until all has been read.
    pub fn is_at_work(&self) -> bool {
        !self.is_over.load(SeqCst)
    }

    /// All entries. Call this once a [`step`](SharedDirectory::step) has brought them.
    pub fn entries(&self) -> &Entries {
        self.entries.get().expect("all have been read")
    }

    /// The places of all entries in ascending order, if they are known.
    pub fn order(&self, key: SortKey) -> Option<&Vec<EntryOffset>> {
        self.orders[key as usize].get()
    }

    /// The length of all rows in bytes, if it is known.
    pub fn length(&self, format: Format) -> Option<u64> {
        self.lengths[format as usize].get().copied()
    }

    /// Does at most so much of the work for a page in this order and format. True once nothing is left to do.
    ///
    /// # Errors
    /// If there will be no page.
    pub fn step(
        &self,
        key: SortKey,
        format: Format,
        work: &mut usize,
    ) -> Result<bool, ListingError> {
        let before = self.mount();
        while *work > 0 {
            match self.entries.get() {
                None => {
                    self.read(work)?;
                    // From here on it may have to be done by somebody else.
                    if self.mount() != before {
                        return Ok(false);
                    }
                }
                Some(entries) if self.order(key).is_none() => self.sort(entries, key, work)?,
                Some(entries) if self.length(format).is_none() => {
                    self.measure(entries, format, work);
                }
                Some(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    fn read(&self, work: &mut usize) -> Result<(), ListingError> {
        if let Some(before) = self.before.upgrade()
            && before.is_at_work()
        {
            // Why that one fails is for those to hear who wait for it.
            let _ = before.read(work);
            return Ok(());
        }
        let mut state = self.lock();
        if let Some(failure) = state.failure {
            return Err(failure);
        }
        let Some(reading) = &mut state.reading else {
            return Ok(());
        };
        self.has_begun.store(true, SeqCst);
        let mounts = match self.mount.get() {
            None => Mounts::Own,
            Some(_) => Mounts::All,
        };
        let result = reading.step(&self.root, mounts, &self.reservation, work);
        if reading.elsewhere.is_some() {
            self.may_hang(0);
        }
        if result == Ok(false) {
            return Ok(());
        }
        let reading = state.reading.take();
        match (&result, reading) {
            (Ok(_), Some(reading)) => self.entries.set(reading.entries).expect("it was not set"),
            (Err(failure), _) => state.failure = Some(*failure),
            (Ok(_), None) => {}
        }
        self.is_over.store(true, SeqCst);
        result.map(drop)
    }

    fn sort(&self, entries: &Entries, key: SortKey, work: &mut usize) -> Result<(), ListingError> {
        let mut state = self.lock();
        let (order, sorting) = (&self.orders[key as usize], &mut state.sorting[key as usize]);
        if order.get().is_some() {
            return Ok(());
        }
        let under_way = match sorting {
            Some(sorting) => sorting,
            None => sorting.insert(MergeSort::begin(key, entries, &self.reservation)?),
        };
        if let Some(places) = under_way.step(entries, &self.reservation, work) {
            *sorting = None;
            order.set(places).expect("it was not set");
        }
        Ok(())
    }

    fn measure(&self, entries: &Entries, format: Format, work: &mut usize) {
        let mut state = self.lock();
        let length = &self.lengths[format as usize];
        if length.get().is_none()
            && let Some(sum) = state.measuring[format as usize].step(entries, format, work)
        {
            state.measuring[format as usize] = LengthCount::default();
            length.set(sum).expect("it was not set");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DirectoryScan {
    /// True once there is no more to read.
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
            let (name, kind) = match self.elsewhere.take() {
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
            let stat = match self.look_up_in(root, &name, kind, mounts) {
                Err(Errno::XDEV) if mounts == Mounts::Own => {
                    self.elsewhere = Some(name);
                    return Ok(false);
                }
                // What it leads to counts, and only what lies inside.
                Ok(EntryStat::Link(stat)) => {
                    *work = work.saturating_sub(LINK_UNITS);
                    match stat {
                        None => continue,
                        stat => stat,
                    }
                }
                Ok(EntryStat::Plain(stat)) => Some(stat),
                // It was there a moment ago.
                Err(Errno::NOENT) => continue,
                Err(_) => None,
            };
            let entry = DirectoryEntry::new(name.to_bytes(), stat.as_ref());
            self.entries.push(entry, reservation)?;
        }
        Ok(false)
    }

    /// What is at a name of the directory. `kind` is what the directory says of it.
    ///
    /// # Errors
    /// [`Errno::XDEV`] if another mount is there, or behind a link, that may not be looked at.
    fn look_up_in(
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

/// What is at a name.
enum EntryStat {
    Plain(Stat),
    /// A link, and what it leads to if that lies inside.
    Link(Option<Stat>),
}

/// What is at a name, unless another mount is: that one could hang.
fn stat_on_mount(directory: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    fstat(openat2(directory, name, flags, Mode::empty(), resolve)?)
}

impl LengthCount {
    fn step(&mut self, entries: &Entries, format: Format, work: &mut usize) -> Option<u64> {
        while *work > 0 {
            // The order does not matter, so long as exactly one is the first.
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
