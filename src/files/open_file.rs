//! A file that a path led to, or why it led to none.

use super::path::PathError;
use crate::sys::{self, Errno, FileType, Stat, untraced};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long after a change a file may change again without its times telling: far longer than the steps in which the
/// kernel's clock for files goes on.
const TIME_STEP: Duration = Duration::from_secs(1);

/// The same where a time has no fraction of a second: such file systems keep whole seconds, FAT even ones only.
const COARSE_TIME_STEP: Duration = Duration::from_secs(2);

/// The same where another machine's clock sets the times. It may differ from ours by less than this.
const REMOTE_TIME_STEP: Duration = Duration::from_secs(10);

/// A regular file, open for reading, as it was when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    /// The descriptor.
    pub file: OwnedFd,
    /// The length in bytes.
    pub length: u64,
    /// Which file it is on its file system.
    pub inode: u64,
    /// When its content was last changed. Programs can set that.
    pub modified: SystemTime,
    /// When anything about it was last changed (ctime). No program can set that.
    pub changed: SystemTime,
    /// The media type by its name, and the charset to add.
    pub media_type: (&'static str, &'static str),
    /// For how long after a change it may change again without its times telling.
    pub(super) time_step: Duration,
    /// What it said when it was opened, if that is made as it is read. Its times then say nothing.
    pub generated: Option<Vec<u8>>,
    /// A number for the mount that it is on, if that can hang.
    pub mount: Option<u64>,
}

/// Why a path led to nothing that can be served.
#[derive(Debug)]
pub enum LookupError {
    /// There is no such file.
    NotFound,
    /// It may not be read, leads out of the root, or is neither a file nor a directory.
    Forbidden,
    /// It leads out of the mounts that may be looked at. Whether it also leads out of the root is then not known.
    OtherMount,
    /// The process or the system has no descriptor or memory to spare at the moment.
    Busy(io::Error),
    /// Anything else: the disk's fault, or ours.
    Failed(io::Error),
}

impl OpenFile {
    /// True if it was changed so short a time before `now` that it may change again without its times telling. Also as
    /// long as it was changed after `now`, as it seems when a clock was set back.
    pub fn is_recently_changed(&self, now: SystemTime) -> bool {
        self.changed
            .checked_add(self.time_step)
            .is_none_or(|settled| now < settled)
    }

    /// All of its content, if that can be had without waiting for a disk. `None` too if the file is not as long as it
    /// was when it was opened.
    pub fn content_now(&self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.length).ok()?;
        // One byte more than there should be, to see that there are no more.
        let mut content = vec![0; length.checked_add(1)?];
        let mut filled = 0;
        loop {
            match sys::read_now(&self.file, &mut content[filled..], filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        content.truncate(filled);
        (filled == length).then_some(content)
    }

    /// Closes it, for all that was wanted of it is known.
    pub fn close(self) {
        sys::close(self.file);
    }
}

/// The length in bytes of an open regular file.
///
/// # Errors
/// Those of fstat(2), and [`io::ErrorKind::InvalidInput`] if it is no regular file.
pub fn regular_file_length(file: impl AsFd) -> io::Result<u64> {
    let stat = untraced::fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

pub(super) fn kind(stat: &Stat) -> Result<FileType, LookupError> {
    match FileType::from_raw_mode(stat.st_mode) {
        kind @ (FileType::RegularFile | FileType::Directory) => Ok(kind),
        _ => Err(LookupError::Forbidden),
    }
}

/// For how long after a change a file may change again without its times telling. A file system that can hang is one whose
/// times another machine, or a program, sets.
pub(super) fn time_step(is_remote: bool, changed_nanos: u64) -> Duration {
    match changed_nanos {
        _ if is_remote => REMOTE_TIME_STEP,
        0 => COARSE_TIME_STEP,
        _ => TIME_STEP,
    }
}

/// A time of a file, from seconds since the epoch and nanoseconds.
pub(super) fn time(second: i64, nanos: u64) -> SystemTime {
    let whole = Duration::from_secs(second.unsigned_abs());
    let second = if second < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    second
        .and_then(|time| time.checked_add(Duration::from_nanos(nanos)))
        .unwrap_or(UNIX_EPOCH)
}

impl From<Errno> for LookupError {
    fn from(errno: Errno) -> LookupError {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => LookupError::NotFound,
            // XDEV is openat2's word for a path that leads out of the root.
            Errno::XDEV => LookupError::OtherMount,
            Errno::ACCESS | Errno::PERM | Errno::LOOP => LookupError::Forbidden,
            // AGAIN: it was renamed all the time that it was looked for, or somebody has a lease on it (fcntl(2)).
            Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
                LookupError::Busy(errno.into())
            }
            _ => LookupError::Failed(errno.into()),
        }
    }
}

impl From<PathError> for LookupError {
    fn from(_: PathError) -> LookupError {
        LookupError::NotFound
    }
}
