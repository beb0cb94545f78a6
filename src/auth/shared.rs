//! What forked processes share: a file in memory, with a lock of the kernel for each part.
//!
//! The kernel unlocks what a process has locked, however the process ends (fcntl(2)). A process has
//! one connection and one thread that checks, so it may wait for a lock.

use super::hashing::Tag;
use crate::sys::untraced::{getpid, memfd_create, pread, pwrite};
use crate::sys::{Errno, MemfdFlags, lock_byte, wait_for_byte};
use std::os::fd::OwnedFd;

/// How many passwords are checked at the same time, over all threads or processes.
pub const CHECKS: usize = 2;

/// The size of the table of attempts: an address may stand in any place of its set.
pub(super) const SETS: usize = 1024;
pub(super) const WAYS: usize = 4;

/// What the bytes of the file are locked for: the first ones for checks.
const TABLE_LOCK: usize = CHECKS;

/// The places of what is in the file.
const GENERATION: u64 = 0;
const TABLE: u64 = 64;
const TAGS: u64 = TABLE + (SETS * WAYS * ENTRY) as u64;

/// The size of an entry, in bytes.
const ENTRY: usize = 16;

/// An address as a keyed hash, and its time in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub client: u64,
    pub until: u64,
}

pub(super) type Set = [Entry; WAYS];

#[derive(Debug)]
pub(super) struct Shared(OwnedFd);

/// A check under way, until it is dropped.
pub(super) struct CheckTurn<'a> {
    shared: &'a Shared,
    byte: usize,
}

impl Shared {
    pub fn new() -> Result<Shared, Errno> {
        memfd_create(c"passwords", MemfdFlags::CLOEXEC).map(Shared)
    }

    /// The number of times that the users were replaced. An impossible number if it is unknown, so
    /// that nobody goes by old users.
    pub fn generation(&self) -> u64 {
        let mut bytes = [0; 8];
        match pread(&self.0, &mut bytes, GENERATION) {
            Ok(8) => u64::from_ne_bytes(bytes),
            _ => u64::MAX,
        }
    }

    pub fn set_generation(&self, number: u64) {
        if let Err(errno) = pwrite(&self.0, &number.to_ne_bytes(), GENERATION) {
            log::error!("processes that serve now keep the old passwords: {errno}");
        }
    }

    /// The tag of credentials of this user that were right.
    pub fn tag(&self, place: usize) -> Option<Tag> {
        let mut tag = Tag::default();
        let read = pread(&self.0, &mut tag, tag_at(place));
        (read == Ok(tag.len())).then_some(tag)
    }

    /// If this fails, the next process checks the password once more.
    pub fn set_tag(&self, place: usize, tag: &Tag) {
        let _ = pwrite(&self.0, tag, tag_at(place));
    }

    /// Waits for one of the checks that processes may make at the same time.
    pub fn begin_check(&self) -> CheckTurn<'_> {
        let is_free = |byte: &usize| lock_byte(&self.0, *byte, true);
        let byte = (0..CHECKS).find(is_free).unwrap_or_else(|| {
            let byte = getpid().as_raw_nonzero().get() as usize % CHECKS;
            wait_for_byte(&self.0, byte);
            byte
        });
        CheckTurn { shared: self, byte }
    }

    /// Reads, changes and writes a set of the table of attempts.
    pub fn with_set<T>(&self, place: usize, act: impl FnOnce(&mut Set) -> T) -> T {
        wait_for_byte(&self.0, TABLE_LOCK);
        let at = TABLE + (place * WAYS * ENTRY) as u64;
        let mut bytes = [0; WAYS * ENTRY];
        // What was never written is empty.
        let _ = pread(&self.0, &mut bytes, at);
        let mut set = Set::default();
        for (entry, bytes) in set.iter_mut().zip(bytes.as_chunks::<ENTRY>().0) {
            let (numbers, _) = bytes.as_chunks::<8>();
            *entry = Entry {
                client: u64::from_ne_bytes(numbers[0]),
                until: u64::from_ne_bytes(numbers[1]),
            };
        }
        let result = act(&mut set);
        let numbers = set.map(|entry| [entry.client, entry.until].map(u64::to_ne_bytes));
        let _ = pwrite(&self.0, numbers.as_flattened().as_flattened(), at);
        lock_byte(&self.0, TABLE_LOCK, false);
        result
    }
}

impl Drop for CheckTurn<'_> {
    fn drop(&mut self) {
        lock_byte(&self.shared.0, self.byte, false);
    }
}

fn tag_at(place: usize) -> u64 {
    TAGS + (place * size_of::<Tag>()) as u64
}
