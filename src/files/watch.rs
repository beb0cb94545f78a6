//! Change notifications instead of repeated checks: inotify(7).
//!
//! A watch is set on each file that was observed and on each directory that leads to one; then the
//! file system is checked once more. The observations stay valid until any event arrives. Each
//! watch ends with its first event (IN_ONESHOT), so a busy folder wakes the server only while
//! clients ask for it.

use super::dependencies::{Dependencies, Observation};
use super::root::Root;
use crate::sys::untraced::{inotify_init, inotify_rm_watch};
use crate::sys::{self, CreateFlags, Errno, FsWord, ReadFlags, WatchFlags, WatchReader};
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// File systems that only this kernel changes, so that inotify reports every change: ext2 to ext4,
/// XFS, btrfs, f2fs, ZFS, bcachefs, tmpfs, ramfs (statfs(2)). Others, such as NFS and overlayfs,
/// are checked at each lookup.
const LOCAL: &[FsWord] = &[
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x0102_1994,
    0x8584_58f6,
];

/// An inotify instance for one root.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: OwnedFd,
    /// The most watches at once. Each keeps an inode in kernel memory, about a kilobyte.
    max_watches: usize,
}

/// The current watches, and counts of events.
#[derive(Debug, Default)]
pub(super) struct WatchSet {
    watches: HashSet<i32>,
    /// How many watches are being set at the moment.
    reserved: usize,
    /// Counts all events.
    pub events: u64,
    /// Counts events that a file was written to, or closed after being open for writing.
    pub writes: u64,
}

impl WatchSet {
    /// How many watches are set or reserved.
    pub fn len(&self) -> usize {
        self.watches.len() + self.reserved
    }
}

impl Watcher {
    /// Creates a watcher with at most `max_watches` watches. Returns `None` if that is impossible,
    /// or if inotify would miss changes in this root.
    pub fn new(root: &Root, max_watches: usize) -> Option<Watcher> {
        if max_watches == 0 || !Watcher::sees_all_changes(root) {
            return None;
        }
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        Some(Watcher {
            inotify: inotify_init(flags).ok()?,
            max_watches,
        })
    }

    /// True if inotify reports all changes in this root.
    pub fn sees_all_changes(root: &Root) -> bool {
        LOCAL.contains(&root.file_system())
    }

    /// Watches everything that `dependencies` observed, top down: what a name leads to is watched
    /// after the directory with that name. Returns the number of events before the first watch was
    /// set, or `None` if a watch could not be set.
    ///
    /// `change` runs its argument under the lock of the watch set. The lock is not held during file
    /// system calls.
    pub fn watch(
        &self,
        root: &Root,
        dependencies: &Dependencies,
        change: impl Fn(&mut dyn FnMut(&mut WatchSet)),
    ) -> Option<u64> {
        let mut directories = BTreeSet::from([&b"."[..]]);
        let mut files = Vec::new();
        for dependency in dependencies.iter() {
            let path = dependency.path.to_bytes();
            let slashes = memchr::memchr_iter(b'/', path);
            directories.extend(slashes.map(|slash| &path[..slash]));
            match dependency.observed {
                Observation::Nothing | Observation::Unknown => {}
                Observation::Directory => {
                    directories.insert(path);
                }
                Observation::File(_) => files.push(path),
            }
        }
        let count = directories.len() + files.len();
        if count > self.max_watches {
            return None;
        }
        let mut events = 0;
        change(&mut |watched| {
            if watched.len() + count > self.max_watches {
                self.remove_all(watched);
            }
            watched.reserved += count;
            // Any later event changes this number, whichever thread reads the event.
            events = watched.events;
        });
        // The order puts each directory before those below it, except `.`, the root, which must be
        // first.
        let below = directories.iter().filter(|path| ***path != *b".");
        let directories = [&b"."[..]].into_iter().chain(below.copied());
        let directories = directories.map(|path| (path, directory_flags()));
        let files = files.into_iter().map(|path| (path, file_flags()));
        let mut set = Vec::with_capacity(count);
        let mut all = directories.chain(files);
        let is_complete = all.all(|(path, flags)| {
            let watch = self.add(root, path, flags);
            set.extend(watch);
            watch.is_some()
        });
        change(&mut |watched| {
            watched.reserved -= count;
            watched.watches.extend(&set);
        });
        is_complete.then_some(events)
    }

    /// Reads the pending events. Does not wait.
    pub fn take_events(&self, watched: &mut WatchSet) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = WatchReader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    watched.events += 1;
                    let written = ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE;
                    watched.writes += u64::from(event.events().intersects(written));
                    if event.events().contains(ReadFlags::IGNORED) {
                        watched.watches.remove(&event.wd());
                    }
                }
                Err(Errno::INTR) => {}
                // EAGAIN: no more events. No other error is possible here.
                Err(_) => return,
            }
        }
    }

    /// Sets one watch; `None` if that fails. A path with a link or another mount on it is not even
    /// opened: inotify would miss changes there, and opening it could hang.
    fn add(&self, root: &Root, path: &[u8], flags: WatchFlags) -> Option<i32> {
        let place = root.open_without_links(path).ok()?;
        let name = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = flags | WatchFlags::ONESHOT;
        let result = sys::add_watch(&self.inotify, &name, flags);
        sys::close(place);
        result
            .inspect_err(|errno| {
                let path = OsStr::from_bytes(path);
                log::debug!("cannot watch {path:?}, so each lookup checks it: {errno}");
            })
            .ok()
    }

    /// Removes all watches. That counts as an event.
    pub fn remove_all(&self, watched: &mut WatchSet) {
        watched.events += 1;
        for watch in watched.watches.drain() {
            // Fails if the watch has ended with its event.
            let _ = inotify_rm_watch(&self.inotify, watch);
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn directory_flags() -> WatchFlags {
    WatchFlags::ONLYDIR
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
}

fn file_flags() -> WatchFlags {
    // Writes to a shared mapping cause no event and leave the timestamps alone. CLOSE_WRITE comes
    // when the last mapping goes.
    WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::CLOSE_WRITE
}
