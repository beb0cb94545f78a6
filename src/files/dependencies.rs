//! What an answer depends on: everything that was observed in the file system on the way to it.
//!
//! An answer from files is a function of what was observed: which names were there, which were not, and in which state.
//! As long as the file system shows the same again, the answer is the same, however it was found.

use super::mounts::Mounts;
use super::path::RelativePath;
use crate::sys::{Errno, FileType, Stat};
use std::ffi::{CStr, CString};

/// Everything that was observed for one answer.
#[derive(Debug)]
pub struct Dependencies {
    all: Vec<Dependency>,
    mounts: Mounts,
}

/// What was observed at one path.
#[derive(Debug)]
pub(super) struct Dependency {
    /// Below the root.
    pub path: CString,
    pub observed: Observation,
}

/// What can be observed at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observation {
    /// Nothing that can be served, for whatever reason.
    Nothing,
    /// A directory. What is in it is seen by looking at that.
    Directory,
    /// A file in this state.
    File(FileState),
    /// It could not be seen what is there; whatever it is, it is not known to be the same as before.
    Unknown,
}

/// Which file it is, and in which state: if all of this is the same, so is its content, unless it was changed within
/// the grain of the file system's clock ([`super::OpenFile::is_recently_changed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    length: i64,
    modified: (i64, u64),
    /// The time of the last change of anything (ctime), which no program can set.
    changed: (i64, u64),
}

impl Dependencies {
    /// Nothing has been observed yet, and these mounts are those that may be looked at.
    pub fn new(mounts: Mounts) -> Dependencies {
        Dependencies {
            all: Vec::new(),
            mounts,
        }
    }

    /// Which mounts may be looked at.
    pub fn mounts(&self) -> Mounts {
        self.mounts
    }

    /// Adds what was observed at a path. It replaces what was added just before, if the path is the same.
    pub(super) fn add(&mut self, path: &RelativePath, observed: Observation) {
        let path = path.as_c_str();
        match self.all.last_mut() {
            Some(last) if *last.path == *path => last.observed = observed,
            _ => self.all.push(Dependency {
                path: path.into(),
                observed,
            }),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Dependency> {
        self.all.iter()
    }

    /// True if `look` observes the same again everywhere.
    pub(super) fn holds(&self, look: impl Fn(&CStr) -> Observation) -> bool {
        self.iter().all(|dependency| {
            let observed = dependency.observed;
            observed != Observation::Unknown && look(&dependency.path) == observed
        })
    }

    /// How much memory it takes, in bytes, roughly.
    pub(super) fn size(&self) -> usize {
        let paths = self.iter().map(|one| one.path.count_bytes() + 1);
        paths.sum::<usize>() + self.all.capacity() * size_of::<Dependency>()
    }
}

impl Observation {
    pub fn of(stat: &Result<Stat, Errno>) -> Observation {
        let stat = match stat {
            Ok(stat) => stat,
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::NAMETOOLONG
                | Errno::ACCESS
                | Errno::PERM
                | Errno::XDEV
                | Errno::LOOP,
            ) => return Observation::Nothing,
            // No descriptor or memory was free, or the disk is at fault: that will pass.
            Err(_) => return Observation::Unknown,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Observation::Directory,
            FileType::RegularFile => Observation::File(FileState::of(stat)),
            _ => Observation::Nothing,
        }
    }
}

impl FileState {
    pub fn of(stat: &Stat) -> FileState {
        FileState {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
