//! A cache of lookups, so that the next request for a file need not ask the file system.
//!
//! Each lookup has a time, `now`, and never returns anything older. An event loop reads the clock
//! about once a turn, so many lookups have the same `now`. A cached entry is valid:
//!
//! - if it was checked at the same `now`;
//! - if it is watched, no event has come, and it was checked within the last second;
//! - or if the file system, asked again, shows the same.
//!
//! Otherwise it is dropped. This file does not know what the cached values are.

use super::dependencies::Dependencies;
use super::mounts::Mounts;
use super::open_file::LookupError;
use super::root::Root;
use super::watch::{WatchSet, Watcher};
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a watched entry is valid without a check. inotify does not report every change, such as
/// a mount over a directory.
const TRUST_TIME: Duration = Duration::from_secs(1);

/// An estimate of the memory of an entry that is not counted otherwise, in bytes: its place in the
/// table, and the rounding of allocations.
const OVERHEAD: usize = 256;

/// The limits of a cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// Memory, in bytes.
    pub bytes: usize,
    /// Open descriptors.
    pub files: usize,
}

/// A cache of lookups by name.
#[derive(Debug)]
pub struct Cache<T> {
    limits: CacheLimits,
    /// The most inotify watches.
    watches: usize,
    /// Created when first needed: a forked process needs its own.
    watcher: OnceLock<Option<Watcher>>,
    contents: Mutex<Contents<T>>,
}

/// A cached value, its cost, and what it depends on.
#[derive(Debug)]
pub struct CacheEntry<T> {
    /// The cached value.
    pub value: T,
    /// What was observed while making it.
    pub dependencies: Dependencies,
    /// How much of the limits its value uses. [`Cache::put`] adds the entry's own memory.
    pub cost: CacheLimits,
    /// The value may change and the file system not show it, so it is valid at one `now` only.
    pub is_volatile: bool,
}

#[derive(Debug)]
struct Contents<T> {
    /// The root of all entries ([`Root::id`]).
    root: Option<u64>,
    /// When the root's last check expires.
    root_valid_until: Option<Instant>,
    /// Only names of existing files are inserted, so clients cannot choose colliding names, and a
    /// fast hash will do.
    slots: IndexMap<Box<[u8]>, Slot<T>, RandomState>,
    /// The sum of the slots' costs.
    used: CacheLimits,
    /// The next slot to consider for eviction (the clock algorithm).
    hand: usize,
    watched: WatchSet,
    /// The model waits for events and calls [`notified`](Cache::notified). Otherwise lookups read
    /// them.
    notified: bool,
    /// The last `now` at which a lookup read events.
    events_read_at: Option<Instant>,
    /// The `now` at which `missing_name` was not found.
    missing_at: Option<Instant>,
    missing_name: Vec<u8>,
}

#[derive(Debug)]
struct Slot<T> {
    entry: Arc<CacheEntry<T>>,
    /// When the entry was last known to be valid.
    checked: Instant,
    /// If the entry is watched, the number of events before its last check. While the number is the
    /// same, no watched file has changed.
    watched: Option<u64>,
    /// inotify would report every change of its dependencies.
    can_be_watched: bool,
    /// The number of writes to files when the entry was made.
    writes: u64,
    /// The entry was used since the clock's hand last passed.
    is_referenced: bool,
}

/// What the cache knows of a name without asking the file system.
enum Freshness<T> {
    /// The entry is valid.
    Fresh(Arc<CacheEntry<T>>),
    /// The entry is valid if the file system still shows the same. The flag tells whether it can be
    /// watched.
    Revalidate(Arc<CacheEntry<T>>, bool),
    Absent,
}

impl<T> Cache<T> {
    /// Creates an empty cache with at most `watches` inotify watches. Entries that it cannot watch
    /// are checked at each lookup.
    pub fn new(limits: CacheLimits, watches: usize) -> Cache<T> {
        Cache {
            limits,
            watches,
            watcher: OnceLock::new(),
            contents: Mutex::new(Contents {
                root: None,
                root_valid_until: None,
                slots: IndexMap::default(),
                used: CacheLimits { bytes: 0, files: 0 },
                hand: 0,
                watched: WatchSet::default(),
                notified: false,
                events_read_at: None,
                missing_at: None,
                missing_name: Vec::new(),
            }),
        }
    }

    /// The limits.
    pub fn limits(&self) -> CacheLimits {
        self.limits
    }

    /// Drops all entries. From now on the cache takes only entries of `root`; without a root, none.
    pub fn reset(&self, root: Option<&Root>) {
        let mut contents = self.contents();
        contents.root = root.map(Root::id);
        contents.root_valid_until = None;
        contents.missing_at = None;
        contents.hand = 0;
        contents.used = CacheLimits { bytes: 0, files: 0 };
        let slots = std::mem::take(&mut contents.slots);
        if let Some(Some(watcher)) = self.watcher.get() {
            watcher.remove_all(&mut contents.watched);
        }
        // Close files after unlocking: closing can be slow.
        drop(contents);
        drop(slots);
    }

    /// Lets [`look_up_without_io`](Cache::look_up_without_io) assume before the time `until` that
    /// the root's name leads to this root.
    pub fn trust_root(&self, root: &Root, until: Option<Instant>) {
        let mut contents = self.contents();
        // Another thread may have reset the cache to another root.
        if contents.root == Some(root.id()) {
            contents.root_valid_until = until;
        }
    }

    /// Returns the entry for `name` if the cache alone shows that it is valid at `now`. Needs no
    /// root and never waits.
    pub fn look_up_without_io(&self, name: &[u8], now: Instant) -> Option<Arc<CacheEntry<T>>> {
        match self.freshness(None, name, now) {
            Freshness::Fresh(entry) => Some(entry),
            Freshness::Revalidate(..) | Freshness::Absent => None,
        }
    }

    /// Returns the entry for `name` if it belongs to this root and is valid at `now`. Asks the file
    /// system if needed, but enters only these mounts.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if the entry depends on other mounts.
    pub fn get(
        &self,
        root: &Root,
        name: &[u8],
        now: Instant,
        mounts: Mounts,
    ) -> Result<Option<Arc<CacheEntry<T>>>, LookupError> {
        let (entry, can_be_watched) = match self.freshness(Some(root), name, now) {
            Freshness::Fresh(entry) => return Ok(Some(entry)),
            Freshness::Absent => return Ok(None),
            Freshness::Revalidate(entry, _)
                if mounts == Mounts::Own && entry.may_be_on_other_mount() =>
            {
                return Err(LookupError::OtherMount);
            }
            Freshness::Revalidate(entry, can_be_watched) => (entry, can_be_watched),
        };
        let watched = match can_be_watched {
            true => self.watch_and_confirm(root, &entry),
            false => None,
        };
        let holds = watched.is_some()
            || (!entry.is_volatile && root.still_matches(&entry.dependencies, false));
        let mut contents = self.contents();
        // Another thread may have replaced the entry.
        let slot = contents.slots.get_mut(name);
        let slot = slot.filter(|slot| Arc::ptr_eq(&slot.entry, &entry));
        let forgotten = match slot {
            Some(slot) if watched.is_some() || (holds && entry.cost.files == 0) => {
                slot.checked = now;
                slot.watched = watched;
                slot.can_be_watched = watched.is_some();
                None
            }
            Some(_) => contents.forget(name),
            None => None,
        };
        drop(contents);
        drop(forgotten);
        Ok(holds.then_some(entry))
    }

    /// Looks up `name` in this root, or in the trusted one if `root` is `None`. Does not ask the
    /// file system and never waits.
    fn freshness(&self, root: Option<&Root>, name: &[u8], now: Instant) -> Freshness<T> {
        // Dropped after the lock: closing a file can be slow.
        let (_events, _forgotten);
        let mut contents = self.contents();
        if !contents.notified && contents.events_read_at != Some(now) {
            contents.events_read_at = Some(now);
            if let Some(Some(watcher)) = self.watcher.get() {
                _events = contents.take_events(watcher);
            }
        }
        let is_of_root = match root {
            Some(root) => contents.root == Some(root.id()),
            None => contents.root_valid_until.is_some_and(|until| now < until),
        };
        if !is_of_root {
            return Freshness::Absent;
        }
        let (events, writes) = (contents.watched.events, contents.watched.writes);
        let Some(slot) = contents.slots.get_mut(name) else {
            return Freshness::Absent;
        };
        slot.is_referenced = true;
        let believed = slot.watched == Some(events) && now < slot.checked + TRUST_TIME;
        if slot.checked == now || believed {
            return Freshness::Fresh(slot.entry.clone());
        }
        if slot.writes != writes {
            // The write may have been to this file, and a shared mapping leaves no other trace.
            _forgotten = contents.forget(name);
            return Freshness::Absent;
        }
        Freshness::Revalidate(slot.entry.clone(), slot.can_be_watched)
    }

    /// Adds an entry found under `name` at `now`, if it fits. An entry with open files is cached
    /// only if it is watched: a deleted file takes disk space while it is open.
    pub fn put(
        &self,
        root: &Root,
        name: &[u8],
        now: Instant,
        mut entry: CacheEntry<T>,
    ) -> Arc<CacheEntry<T>> {
        let own = size_of::<CacheEntry<T>>() + size_of::<Slot<T>>();
        entry.cost.bytes += OVERHEAD + own + name.len() + entry.dependencies.size();
        let cost = entry.cost;
        let entry = Arc::new(entry);
        let is_too_much = cost.bytes > self.limits.bytes || cost.files > self.limits.files;
        if is_too_much || (cost.files > 0 && entry.may_be_on_other_mount()) {
            let forgotten = self.contents().forget(name);
            drop(forgotten);
            return entry;
        }
        let mut watched = None;
        if cost.files > 0 {
            let notified = self.contents().notified;
            watched = self.watch_and_confirm(root, &entry);
            if watched.is_none() || !notified {
                let forgotten = self.contents().forget(name);
                drop(forgotten);
                return entry;
            }
        }
        let mut contents = self.contents();
        if contents.root != Some(root.id()) {
            return entry;
        }
        let replaced = contents.forget(name);
        let evicted = contents.make_room(cost, self.limits);
        contents.used.bytes += cost.bytes;
        contents.used.files += cost.files;
        let slot = Slot {
            entry: entry.clone(),
            checked: now,
            watched,
            can_be_watched: !entry.may_be_on_other_mount(),
            writes: contents.watched.writes,
            is_referenced: false,
        };
        contents.slots.insert(name.into(), slot);
        drop(contents);
        drop((replaced, evicted));
        entry
    }

    /// True if `name` was not found at this same `now`.
    pub fn is_missing(&self, name: &[u8], now: Instant) -> bool {
        let contents = self.contents();
        contents.missing_at == Some(now) && contents.missing_name == name
    }

    /// Records that `name` was not found. Valid at this `now` only.
    pub fn put_missing(&self, name: &[u8], now: Instant) {
        let mut contents = self.contents();
        contents.missing_at = Some(now);
        contents.missing_name.clear();
        contents.missing_name.extend_from_slice(name);
    }

    /// Returns a descriptor that is readable when something may have changed, or `None` if there
    /// will never be events.
    ///
    /// After this call the cache no longer reads events by itself. Call
    /// [`notified`](Cache::notified) whenever the descriptor is readable, before any lookup.
    pub fn notifier(&self, root: &Root) -> Option<BorrowedFd<'_>> {
        let watcher = self.watcher(root)?;
        self.contents().notified = true;
        Some(watcher.as_fd())
    }

    /// Reads the pending events. Does not wait.
    pub fn notified(&self) {
        if let Some(Some(watcher)) = self.watcher.get() {
            let forgotten = self.contents().take_events(watcher);
            drop(forgotten);
        }
    }

    /// Watches the entry's dependencies, then checks them. Returns the number of events before
    /// that, or `None` if they cannot be watched or have changed. Call this without the lock: both
    /// steps can wait for the file system.
    fn watch_and_confirm(&self, root: &Root, entry: &CacheEntry<T>) -> Option<u64> {
        if entry.is_volatile {
            return None;
        }
        let watcher = self
            .watcher(root)
            .filter(|_| Watcher::sees_all_changes(root))?;
        let events = watcher.watch(root, &entry.dependencies, |change| {
            change(&mut self.contents().watched);
        })?;
        root.still_matches(&entry.dependencies, true)
            .then_some(events)
    }

    fn watcher(&self, root: &Root) -> Option<&Watcher> {
        self.watcher
            .get_or_init(|| Watcher::new(root, self.watches))
            .as_ref()
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> CacheEntry<T> {
    /// True if it may depend on a mount other than the root's own. Nothing can be watched there.
    fn may_be_on_other_mount(&self) -> bool {
        self.dependencies.mounts() == Mounts::All
    }
}

/// These methods return the removed entries. Drop them after unlocking: closing a file can be slow.
impl<T> Contents<T> {
    /// Reads the pending events. If there are any, removes all entries with open files.
    #[must_use]
    fn take_events(&mut self, watcher: &Watcher) -> Vec<Slot<T>> {
        let before = self.watched.events;
        watcher.take_events(&mut self.watched);
        if self.watched.events == before || self.used.files == 0 {
            return Vec::new();
        }
        let is_open = |slot: &Slot<T>| slot.entry.cost.files > 0;
        let open = self.slots.extract_if(.., |_, slot| is_open(slot));
        let open: Vec<_> = open.map(|(_, slot)| slot).collect();
        for slot in &open {
            self.release(slot.entry.cost);
        }
        open
    }

    #[must_use]
    fn forget(&mut self, name: &[u8]) -> Option<Slot<T>> {
        let slot = self.slots.swap_remove(name)?;
        self.release(slot.entry.cost);
        Some(slot)
    }

    /// Evicts entries that were not used recently until `cost` fits.
    #[must_use]
    fn make_room(&mut self, cost: CacheLimits, limits: CacheLimits) -> Vec<Slot<T>> {
        let mut forgotten = Vec::new();
        while self.used.bytes + cost.bytes > limits.bytes
            || self.used.files + cost.files > limits.files
        {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let Some((_, slot)) = self.slots.get_index_mut(self.hand) else {
                break;
            };
            if std::mem::take(&mut slot.is_referenced) {
                self.hand += 1;
            } else if let Some((_, slot)) = self.slots.swap_remove_index(self.hand) {
                self.release(slot.entry.cost);
                forgotten.push(slot);
            }
        }
        forgotten
    }

    fn release(&mut self, cost: CacheLimits) {
        self.used.bytes -= cost.bytes;
        self.used.files -= cost.files;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Lookup, RelativePath};
    use std::fs::{create_dir, hard_link, remove_file, rename, write};
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    struct Fixture {
        directory: tempfile::TempDir,
        root: Root,
        cache: Cache<u64>,
        /// How many descriptors each entry claims to hold.
        files_each: usize,
        start: Instant,
        moments: std::cell::Cell<u32>,
    }

    impl Fixture {
        fn new(bytes: usize, files: usize) -> Fixture {
            let directory = tempfile::tempdir().expect("a directory");
            create_dir(directory.path().join("root")).expect("made");
            let path = directory.path().join("root");
            let root = Root::open(&path, vec!["index".into()]).expect("a root");
            let cache = Cache::new(CacheLimits { bytes, files }, 64);
            cache.reset(Some(&root));
            Fixture {
                directory,
                root,
                cache,
                files_each: 0,
                start: Instant::now(),
                moments: 0.into(),
            }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("root")
        }

        /// A new `now`, a microsecond later.
        fn later(&self) -> Instant {
            self.moments.set(self.moments.get() + 1);
            self.start + Duration::from_micros(self.moments.get().into())
        }

        /// Returns the cached value, or looks it up and caches it. True if it was cached.
        fn look_up(&self, name: &str, now: Instant) -> (Option<u64>, bool) {
            let entry = self
                .cache
                .get(&self.root, name.as_bytes(), now, Mounts::Own);
            if let Some(entry) = entry.expect("all is on one mount") {
                return (Some(entry.value), true);
            }
            let mut dependencies = Dependencies::new(Mounts::Own);
            let mut path = RelativePath::decode(name.as_bytes()).expect("a path");
            let Ok(Lookup::File(file)) = self.root.look_up(&mut path, &mut dependencies) else {
                return (None, false);
            };
            let sibling = self.root.find_sibling(&mut path, ".gz", &mut dependencies);
            sibling.expect("all is on one mount");
            let entry = CacheEntry {
                value: file.length,
                dependencies,
                cost: CacheLimits {
                    bytes: file.length as usize,
                    files: self.files_each,
                },
                is_volatile: false,
            };
            let entry = self.cache.put(&self.root, name.as_bytes(), now, entry);
            (Some(entry.value), false)
        }

        fn is_watched(&self, name: &str) -> bool {
            let contents = self.cache.contents();
            let slot = contents.slots.get(name.as_bytes());
            slot.is_some_and(|slot| slot.watched == Some(contents.watched.events))
        }
    }

    type Change = fn(&Path);

    const CHANGES: &[(&str, Change)] = &[
        ("rewritten", |at| {
            write(at.join("d/f"), "other").expect("done");
        }),
        ("appended to", |at| {
            use std::io::Write;
            let mut file = std::fs::File::options().append(true).open(at.join("d/f"));
            file.as_mut().expect("open").write_all(b"x").expect("done");
        }),
        ("replaced", |at| {
            write(at.join("new"), "other").expect("done");
            rename(at.join("new"), at.join("d/f")).expect("done");
        }),
        ("removed", |at| remove_file(at.join("d/f")).expect("done")),
        ("moved away with its directory", |at| {
            rename(at.join("d"), at.join("e")).expect("done");
        }),
        ("moved out of the root behind a link", |at| {
            rename(at.join("d"), at.join("../d")).expect("done");
            symlink("../d", at.join("d")).expect("done");
        }),
        ("given a sibling", |at| {
            write(at.join("d/f.gz"), "z").expect("done");
        }),
        ("changed through another name", |at| {
            write(at.join("hard"), "other").expect("done");
        }),
        ("touched", |at| {
            let file = std::fs::File::options().append(true).open(at.join("d/f"));
            let time = std::time::UNIX_EPOCH;
            file.expect("open").set_modified(time).expect("done");
        }),
    ];

    /// No lookup returns an old value, with and without notifications.
    #[test]
    fn no_lookup_returns_an_old_value() {
        for (what, change) in CHANGES {
            for notified in [false, true] {
                let fixture = Fixture::new(1 << 20, 9);
                if notified {
                    assert!(
                        fixture.cache.notifier(&fixture.root).is_some(),
                        "a local disk"
                    );
                }
                create_dir(fixture.path().join("d")).expect("made");
                write(fixture.path().join("d/f"), "123").expect("written");
                hard_link(fixture.path().join("d/f"), fixture.path().join("hard")).expect("linked");
                assert_eq!(fixture.look_up("/d/f", fixture.later()), (Some(3), false));
                for _ in 0..3 {
                    assert_eq!(
                        fixture.look_up("/d/f", fixture.later()),
                        (Some(3), true),
                        "{what}"
                    );
                }
                assert!(fixture.is_watched("/d/f"));
                change(&fixture.path());
                if notified {
                    fixture.cache.notified();
                }
                let (_, had) = fixture.look_up("/d/f", fixture.later());
                assert!(!had, "{what}, notified {notified}");
            }
        }
    }

    /// Entries that depend on links are checked at each lookup, as inotify would miss changes.
    #[test]
    fn entries_with_links_are_checked_each_time() {
        let fixture = Fixture::new(1 << 20, 9);
        write(fixture.path().join("f"), "123").expect("written");
        symlink("f", fixture.path().join("l")).expect("linked");
        for round in 0..4 {
            assert_eq!(fixture.look_up("/l", fixture.later()), (Some(3), round > 0));
        }
        assert!(!fixture.is_watched("/l"));
        write(fixture.path().join("g"), "1234").expect("written");
        remove_file(fixture.path().join("l")).expect("removed");
        symlink("g", fixture.path().join("l")).expect("linked");
        assert_eq!(fixture.look_up("/l", fixture.later()), (Some(4), false));
    }

    /// A missing file that appears as a link, and a dangling link whose target appears.
    #[test]
    fn new_links_and_new_targets_are_noticed() {
        for dangling in [false, true] {
            let fixture = Fixture::new(1 << 20, 9);
            assert!(fixture.cache.notifier(&fixture.root).is_some());
            write(fixture.path().join("f"), "123").expect("written");
            if dangling {
                symlink("z", fixture.path().join("f.gz")).expect("linked");
            }
            for round in 0..4 {
                assert_eq!(fixture.look_up("/f", fixture.later()), (Some(3), round > 0));
            }
            assert_eq!(fixture.is_watched("/f"), !dangling);
            write(fixture.path().join("z"), "compressed").expect("written");
            if !dangling {
                symlink("z", fixture.path().join("f.gz")).expect("linked");
            }
            fixture.cache.notified();
            assert!(
                !fixture.look_up("/f", fixture.later()).1,
                "dangling {dangling}"
            );
        }
    }

    /// A shared mapping changes a file without events or new timestamps. Its end causes an event.
    #[test]
    fn a_file_open_for_writing_is_looked_up_again() {
        let fixture = Fixture::new(1 << 20, 9);
        assert!(fixture.cache.notifier(&fixture.root).is_some());
        write(fixture.path().join("f"), "123").expect("written");
        let file = std::fs::File::options()
            .write(true)
            .open(fixture.path().join("f"));
        for round in 0..3 {
            assert_eq!(fixture.look_up("/f", fixture.later()), (Some(3), round > 0));
        }
        drop(file);
        fixture.cache.notified();
        assert!(!fixture.look_up("/f", fixture.later()).1);
    }

    #[test]
    fn one_now_asks_the_file_system_once() {
        let fixture = Fixture::new(1 << 20, 9);
        write(fixture.path().join("f"), "123").expect("written");
        let now = fixture.later();
        assert_eq!(fixture.look_up("/f", now), (Some(3), false));
        remove_file(fixture.path().join("f")).expect("removed");
        assert_eq!(fixture.look_up("/f", now), (Some(3), true));
        assert_eq!(fixture.look_up("/f", fixture.later()), (None, false));
        assert!(
            fixture.cache.contents().slots.is_empty(),
            "the removed file is dropped"
        );
        assert!(!fixture.cache.is_missing(b"/f", now));
        fixture.cache.put_missing(b"/f", now);
        assert!(fixture.cache.is_missing(b"/f", now));
        assert!(!fixture.cache.is_missing(b"/g", now));
        assert!(!fixture.cache.is_missing(b"/f", fixture.later()));
    }

    #[test]
    fn watched_entries_are_checked_once_a_second() {
        let fixture = Fixture::new(1 << 20, 9);
        write(fixture.path().join("f"), "123").expect("written");
        for _ in 0..3 {
            fixture.look_up("/f", fixture.later());
        }
        let before = fixture.cache.contents().slots[&b"/f"[..]].checked;
        fixture.look_up("/f", before + TRUST_TIME);
        let after = fixture.cache.contents().slots[&b"/f"[..]].checked;
        assert_eq!(after, before + TRUST_TIME);
    }

    #[test]
    fn unused_entries_are_evicted() {
        let each = OVERHEAD + size_of::<CacheEntry<u64>>() + size_of::<Slot<u64>>() + 400;
        for (bytes, files) in [(4 * each, 100), (1 << 20, 4)] {
            let mut fixture = Fixture::new(bytes, files);
            fixture.files_each = 1;
            assert!(fixture.cache.notifier(&fixture.root).is_some());
            for number in 0..20 {
                write(fixture.path().join(number.to_string()), "0123456789").expect("written");
            }
            for number in 0..20 {
                let now = fixture.later();
                fixture.look_up("/0", now);
                fixture.look_up(&format!("/{number}"), now);
                let contents = fixture.cache.contents();
                assert!(contents.used.bytes <= bytes && contents.used.files <= files);
                assert_eq!(contents.used.files, contents.slots.len());
            }
            assert_eq!(fixture.cache.contents().slots.len(), 4);
            assert!(
                fixture.look_up("/0", fixture.later()).1,
                "the entry in use stays"
            );
            write(fixture.path().join("large"), vec![0; bytes + 1]).expect("written");
            if files > 4 {
                fixture.look_up("/large", fixture.later());
                assert_eq!(
                    fixture.cache.contents().slots.len(),
                    4,
                    "too large to cache"
                );
            }
        }
    }

    /// A deleted file takes disk space while it is open.
    #[test]
    fn open_files_are_closed_at_the_first_event() {
        let mut fixture = Fixture::new(1 << 20, 9);
        fixture.files_each = 1;
        write(fixture.path().join("f"), "123").expect("written");
        fixture.look_up("/f", fixture.later());
        assert_eq!(
            fixture.cache.contents().used.files,
            0,
            "without notifications"
        );
        assert!(fixture.cache.notifier(&fixture.root).is_some());
        fixture.look_up("/f", fixture.later());
        assert_eq!(fixture.cache.contents().used.files, 1);
        remove_file(fixture.path().join("f")).expect("removed");
        fixture.cache.notified();
        assert_eq!(fixture.cache.contents().used.files, 0);
        symlink("g", fixture.path().join("f")).expect("linked");
        write(fixture.path().join("g"), "123").expect("written");
        assert_eq!(fixture.look_up("/f", fixture.later()), (Some(3), false));
        assert_eq!(
            fixture.cache.contents().used.files,
            0,
            "links cannot be watched"
        );
    }

    /// Before there are too many watches, all are removed, and the entries that they kept valid are
    /// checked.
    #[test]
    fn watches_are_bounded() {
        let fixture = Fixture::new(1 << 20, 100);
        for number in 0..50 {
            let directory = fixture.path().join(number.to_string());
            create_dir(&directory).expect("made");
            write(directory.join("f"), "1").expect("written");
        }
        let mut most = 0;
        for round in 0..3 {
            for number in 0..50 {
                let name = format!("/{number}/f");
                assert_eq!(
                    fixture.look_up(&name, fixture.later()),
                    (Some(1), round > 0)
                );
                assert!(round == 0 || fixture.is_watched(&name));
                most = most.max(fixture.cache.contents().watched.len());
            }
        }
        assert_eq!(most, 63, "the root, 31 directories, and as many files");
        assert!(!fixture.is_watched("/0/f"), "its watch was removed");
        write(fixture.path().join("0/f"), "12").expect("written");
        assert_eq!(fixture.look_up("/0/f", fixture.later()), (Some(2), false));
    }
}
