//! Being told of changes instead of looking for them: inotify(7).
//!
//! A watch is set on every directory that leads to what was seen, and on every file that was seen; then the file system
//! is asked once more. From then on it would say the same until an event comes, whatever that event is. Each watch ends
//! with its first event, so that a folder in which something changes all the time wakes nobody who is not asked for it.

use super::dependencies::{Dependencies, Observation};
use super::root::Root;
use crate::sys::untraced::{inotify_init, inotify_rm_watch};
use crate::sys::{self, CreateFlags, Errno, FsWord, ReadFlags, WatchFlags, WatchReader};
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// File systems on which nothing changes without this kernel's doing, so that inotify tells of everything: ext2 to ext4,
/// XFS, btrfs, f2fs, ZFS, bcachefs, tmpfs, ramfs (statfs(2)). Others, such as NFS and overlays, are looked at.
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

/// Where changes are told of.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: OwnedFd,
    /// How many watches there may be at once: each keeps an inode, about a kilobyte, in the kernel's memory.
    max_watches: usize,
}

/// What is being watched, and how many events there were.
#[derive(Debug, Default)]
pub(super) struct WatchSet {
    watches: HashSet<i32>,
    /// How many are being set at the moment.
    reserved: usize,
    /// Rises with whatever happens.
    pub events: u64,
    /// Rises when a file was written to, or closed by somebody who could have.
    pub writes: u64,
}

impl WatchSet {
    /// How many watches there are.
    pub fn len(&self) -> usize {
        self.watches.len() + self.reserved
    }
}

impl Watcher {
    /// At most so many watches on what lies below `root`; `None` if there can be none, or if it would not be told of
    /// everything.
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

    /// True if it would be told of everything that happens in this root.
    pub fn sees_all_changes(root: &Root) -> bool {
        LOCAL.contains(&root.file_system())
    }

    /// Watches everything that `dependencies` is about, from the top down: what a name leads to is watched only after the
    /// directory that holds the name is. Says how many events there had been before the first watch was set; `None` if
    /// not all could be set. `change` lends what is being watched, under a lock that is not held while the file system is
    /// asked.
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
            // What happens from now on makes this another number, whichever thread takes the event.
            events = watched.events;
        });
        // In this order a directory comes before all below it. `.`, the root, must come before all others.
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

    /// Takes the events that have come. Without waiting.
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
                // EAGAIN: that was all. The call has no other error that could come up.
                Err(_) => return,
            }
        }
    }

    /// The watch of what is at `path`; `None` if there can be none. What lies on another mount, or behind a link, is not
    /// even looked at: inotify would not tell of all that happens there, and the look could wait.
    fn add(&self, root: &Root, path: &[u8], flags: WatchFlags) -> Option<i32> {
        let place = root.open_without_links(path).ok()?;
        let name = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = flags | WatchFlags::ONESHOT;
        let result = sys::add_watch(&self.inotify, &name, flags);
        sys::close(place);
        result
            .inspect_err(|errno| {
                let path = OsStr::from_bytes(path);
                log::debug!("{path:?} cannot be watched, so it is looked at each time: {errno}");
            })
            .ok()
    }

    /// Ends all watches. That counts as an event.
    pub fn remove_all(&self, watched: &mut WatchSet) {
        watched.events += 1;
        for watch in watched.watches.drain() {
            // One that has had its event is gone already.
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
    // A shared mapping changes a file without a word, and without its times telling; it ends with the last one.
    WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::CLOSE_WRITE
}
