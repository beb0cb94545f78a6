//! An open file, and the errors of looking one up.

use super::path::PathError;
use crate::sys::{self, Errno, FileType, Stat, untraced};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long after a change another change may leave the timestamps equal. Far longer than the step
/// of the kernel's clock for timestamps.
const TIMESTAMP_STEP: Duration = Duration::from_secs(1);

/// The same where a timestamp has no fraction of a second. Such file systems keep whole seconds,
/// and FAT only even ones.
const COARSE_TIMESTAMP_STEP: Duration = Duration::from_secs(2);

/// The same where another machine's clock sets the timestamps. Assumes that it differs from ours by
/// less than this.
const REMOTE_TIMESTAMP_STEP: Duration = Duration::from_secs(10);

/// A regular file, open for reading, as it was when opened.
#[derive(Debug)]
pub struct OpenFile {
    /// The descriptor.
    pub file: OwnedFd,
    /// The length in bytes.
    pub length: u64,
    /// The inode number.
    pub inode: u64,
    /// When the content last changed (mtime). Programs can set it.
    pub modified: SystemTime,
    /// When anything about the file last changed (ctime). No program can set it.
    pub changed: SystemTime,
    /// The media type for its name, and the charset to add.
    pub media_type: (&'static str, &'static str),
    /// How long after a change another change may leave the timestamps equal.
    pub(super) timestamp_step: Duration,
    /// The content when the file was opened, if the kernel generates it. The timestamps then mean
    /// nothing.
    pub generated: Option<Vec<u8>>,
    /// Identifies the file's mount if that mount can hang.
    pub mount: Option<u64>,
}

/// Why a lookup found nothing that can be served.
#[derive(Debug)]
pub enum LookupError {
    /// No such file.
    NotFound,
    /// The file is unreadable, outside the root, or neither a regular file nor a directory.
    Forbidden,
    /// The path leads to a mount that this lookup may not enter, inside or outside the root.
    OtherMount,
    /// The process or the system is out of descriptors or memory at the moment.
    Busy(io::Error),
    /// Any other error: the disk's fault, or ours.
    Failed(io::Error),
}

impl OpenFile {
    /// True if the file changed so shortly before `now` that another change may leave its
    /// timestamps equal. Also true if it changed after `now`, as it seems when a clock was set
    /// back.
    pub fn is_recently_changed(&self, now: SystemTime) -> bool {
        self.changed
            .checked_add(self.timestamp_step)
            .is_none_or(|settled| now < settled)
    }

    /// Reads the whole content if no disk access is needed. Returns `None` otherwise, and if the
    /// length is not the one at opening.
    pub fn content_now(&self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.length).ok()?;
        // One byte more than expected, to notice a longer file.
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

    /// Reads the first bytes into `into` if no disk access is needed, as many as there are.
    pub fn beginning_now<'a>(&self, into: &'a mut [u8]) -> Option<&'a [u8]> {
        let count = sys::read_now(&self.file, into, 0).ok()?;
        Some(&into[..count])
    }

    /// Closes the file once everything needed is known.
    pub fn close(self) {
        sys::close(self.file);
    }
}

/// Reads a whole file without changing its offset. May wait for the disk. `None` if it cannot be
/// read, or has become shorter.
pub fn read_whole(file: impl AsFd, length: u64) -> Option<Vec<u8>> {
    let mut content = vec![0; usize::try_from(length).ok()?];
    let mut filled = 0;
    while filled < content.len() {
        match untraced::pread(&file, &mut content[filled..], filled as u64) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(content)
}

/// Returns the length in bytes of an open regular file.
///
/// # Errors
/// Those of fstat(2), and [`io::ErrorKind::InvalidInput`] if it is not a regular file.
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

/// How long after a change another change may leave the timestamps equal. On a remote file system,
/// another machine or a program sets them.
pub(super) fn timestamp_step(is_remote: bool, changed_nanos: u64) -> Duration {
    match changed_nanos {
        _ if is_remote => REMOTE_TIMESTAMP_STEP,
        0 => COARSE_TIMESTAMP_STEP,
        _ => TIMESTAMP_STEP,
    }
}

/// Converts a file's timestamp from seconds since the epoch and nanoseconds.
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
            // openat2(2) returns XDEV for a path that leaves the root or the mount.
            Errno::XDEV => LookupError::OtherMount,
            Errno::ACCESS | Errno::PERM | Errno::LOOP => LookupError::Forbidden,
            // AGAIN: renamed during each of our attempts, or another process has a lease
            // (fcntl(2)).
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
