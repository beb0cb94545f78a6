//! What the file system said on the way to an answer.
//!
//! An answer from files is a function of what was seen: which names were there, which were not, and in which state. As
//! long as the file system says the same again, the answer is the same, however it was found.

use super::mounts::Mounts;
use super::path::RelativePath;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// All that was seen for one answer.
#[derive(Debug)]
pub struct Trace {
    facts: Vec<Fact>,
    mounts: Mounts,
}

/// What was seen at one path.
#[derive(Debug)]
pub(super) struct Fact {
    /// Below the root.
    pub path: CString,
    pub saw: Saw,
}

/// What can be seen at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    /// Nothing that can be served, for whatever reason.
    Nothing,
    /// A directory. What is in it is seen by looking at that.
    Directory,
    /// A file in this state.
    File(Identity),
    /// It could not be seen what is there; whatever it is, it is not known to be the same as before.
    Unknown,
}

/// Which file it is, and in which state: if all of this is the same, so is its content, unless it was changed within
/// the grain of the file system's clock ([`super::OpenFile::is_young`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    length: i64,
    modified: (i64, u64),
    /// The time of the last change of anything (ctime), which no program can set.
    changed: (i64, u64),
}

impl Trace {
    /// Nothing has been seen yet, and these mounts are those that may be looked at.
    pub fn new(mounts: Mounts) -> Trace {
        Trace {
            facts: Vec::new(),
            mounts,
        }
    }

    /// Which mounts may be looked at.
    pub fn mounts(&self) -> Mounts {
        self.mounts
    }

    /// Adds what was seen at a path; instead of what was seen there just before, if the path is the same.
    pub(super) fn note(&mut self, path: &RelativePath, saw: Saw) {
        let path = path.as_c_str();
        match self.facts.last_mut() {
            Some(last) if *last.path == *path => last.saw = saw,
            _ => self.facts.push(Fact {
                path: path.into(),
                saw,
            }),
        }
    }

    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// True if `look` sees the same again everywhere.
    pub(super) fn holds(&self, look: impl Fn(&CStr) -> Saw) -> bool {
        let mut facts = self.facts.iter();
        facts.all(|fact| fact.saw != Saw::Unknown && look(&fact.path) == fact.saw)
    }

    /// How much memory it takes, in bytes, roughly.
    pub(super) fn size(&self) -> usize {
        let paths = self.facts.iter().map(|fact| fact.path.count_bytes() + 1);
        paths.sum::<usize>() + self.facts.capacity() * size_of::<Fact>()
    }
}

impl Saw {
    pub fn of(stat: &Result<Stat, Errno>) -> Saw {
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
            ) => return Saw::Nothing,
            // No descriptor or memory was free, or the disk is at fault: that will pass.
            Err(_) => return Saw::Unknown,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Saw::Directory,
            FileType::RegularFile => Saw::File(Identity::of(stat)),
            _ => Saw::Nothing,
        }
    }
}

impl Identity {
    pub fn of(stat: &Stat) -> Identity {
        Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
