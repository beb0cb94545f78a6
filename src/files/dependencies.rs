//! What a response depends on: everything observed in the file system while looking it up.
//!
//! A response from files is a function of these observations: which names existed, which did not,
//! and the state of each file. While the file system still shows the same, the response is valid.

use super::mounts::Mounts;
use super::path::RelativePath;
use crate::sys::{Errno, FileType, Stat};
use std::ffi::{CStr, CString};

/// All observations for one response.
#[derive(Clone, Debug)]
pub struct Dependencies {
    all: Vec<Dependency>,
    mounts: Mounts,
}

/// What was observed at one path.
#[derive(Clone, Debug)]
pub(super) struct Dependency {
    /// Relative to the root.
    pub path: CString,
    pub observed: Observation,
}

/// What can be observed at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observation {
    /// Nothing that can be served, for whatever reason.
    Nothing,
    /// A directory. Its entries are observed separately.
    Directory,
    /// A regular file in this state.
    File(FileState),
    /// The lookup failed, so this never counts as unchanged.
    Unknown,
}

/// A file's identity and state. If all fields are equal, so is the content, unless the file changed
/// twice within a step of its timestamps ([`super::OpenFile::is_recently_changed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    length: i64,
    modified: (i64, u64),
    /// When anything about the file last changed (ctime). No program can set it.
    changed: (i64, u64),
}

impl Dependencies {
    /// No observations yet. `mounts` are those that a lookup may enter.
    pub fn new(mounts: Mounts) -> Dependencies {
        Dependencies {
            all: Vec::new(),
            mounts,
        }
    }

    /// The mounts that a lookup may enter.
    pub fn mounts(&self) -> Mounts {
        self.mounts
    }

    /// Adds an observation. It replaces the previous one if the path is the same.
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

    /// True if `look` observes the same again at every path.
    pub(super) fn holds(&self, look: impl Fn(&CStr) -> Observation) -> bool {
        self.iter().all(|dependency| {
            let observed = dependency.observed;
            observed != Observation::Unknown && look(&dependency.path) == observed
        })
    }

    /// The approximate memory used, in bytes.
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
            // Out of descriptors or memory, or a disk error: this may pass.
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
