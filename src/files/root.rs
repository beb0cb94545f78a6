//! The document root, and the only way to open files in it.

use super::dependencies::{Dependencies, FileState, Observation};
use super::generated;
use super::links::{self, LinkReader, MAX_LINKS, MAX_NAMES};
use super::mounts::{Mounts, can_hang, remote_mount};
use super::open_file::{LookupError, OpenFile, kind, time, timestamp_step};
use super::path::RelativePath;
use super::single_file::SingleFile;
use crate::sys::untraced::{accessat, fstatfs, makedev, open, openat, readlink, stat, statx};
use crate::sys::{
    self, Access, AtFlags, CWD, Errno, FileType, FsWord, Mode, OFlags, ResolveFlags, Stat,
    StatxFlags, fstat, open_beneath, untraced,
};
use crate::trace;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often a lookup that collided with a rename is retried (openat2(2), EAGAIN).
const RENAME_RETRIES: usize = 64;

/// The kernel itself keeps `..` and symbolic links from leading out, even while directories are
/// renamed.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Flags to open a file. If it is no longer a regular file, these keep open(2) from waiting, and a
/// terminal from becoming the controlling terminal.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Refuses symbolic links, and mounts other than the root's own.
const PLAIN: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_XDEV);

/// How many roots this process has opened.
static ROOTS_OPENED: AtomicU64 = AtomicU64::new(0);

/// How many names of a path are checked to find the mount it leads to.
const MOUNT_DEPTH: usize = 64;

fn within(mounts: Mounts) -> ResolveFlags {
    WITHIN | mounts.flags()
}

/// An open document root: a directory, or the directory of the one file that is served.
#[derive(Debug)]
pub struct Root {
    /// Unique within the process.
    id: u64,
    /// The device and inode.
    inode: (u64, u64),
    directory: OwnedFd,
    path: PathBuf,
    /// The kind of file system (statfs(2)). Asked once, because some file systems ask the network.
    file_system: FsWord,
    /// The absolute path that the user gave. Any name in it may be a link.
    name: PathBuf,
    /// File names to try, in this order, when a directory is requested.
    indexes: Vec<String>,
    /// The only file that lookups find, if a single file is served.
    single: Option<SingleFile>,
}

/// The result of a successful lookup.
#[derive(Debug)]
pub enum Lookup {
    /// A regular file.
    File(OpenFile),
    /// A directory without an index, open for reading.
    Directory(OwnedFd),
    /// A directory requested without its closing slash. Redirect the client, or relative links
    /// break.
    DirectoryWithoutSlash,
}

impl Root {
    /// Opens a document root. `indexes` are the file names to serve for a directory, in order of
    /// preference.
    ///
    /// # Errors
    /// Those of open(2), such as ENOTDIR. [`io::ErrorKind::Unsupported`] with a sentence if
    /// openat2(2) is missing.
    pub fn open(path: &Path, indexes: Vec<String>) -> io::Result<Root> {
        let root = Root::open_directory(path, indexes)?;
        root.open_beneath(c".", OFlags::DIRECTORY, WITHIN)
            .map_err(|errno| without_openat2(errno, path))?;
        Ok(root)
    }

    /// Opens a single regular file to serve, at `/` and at its name below `/`. Lookups find nothing
    /// else.
    ///
    /// # Errors
    /// Those of [`Root::open`], and [`io::ErrorKind::InvalidInput`] if it is not a regular file.
    pub fn open_single(path: &Path) -> io::Result<Root> {
        let file = SingleFile::new(path)?;
        let root = Root::open_directory(file.directory(), Vec::new())?;
        let name = file.relative_path().as_c_str();
        let stat = root.stat(name, WITHIN);
        let stat = stat.map_err(|errno| without_openat2(errno, file.directory()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let sentence = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
        }
        root.open_beneath(name, FILE, WITHIN)?;
        Ok(Root {
            single: Some(file),
            ..root
        })
    }

    fn open_directory(path: &Path, indexes: Vec<String>) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        let stat = untraced::fstat(&directory)?;
        Ok(Root {
            id: ROOTS_OPENED.fetch_add(1, Relaxed),
            inode: (stat.st_dev, stat.st_ino),
            file_system: fstatfs(&directory)?.f_type,
            directory,
            path: path.canonicalize()?,
            name: std::path::absolute(path)?,
            indexes,
            single: None,
        })
    }

    /// An identifier unique within the process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The path, device and inode.
    pub(super) fn location(&self) -> (PathBuf, u64, u64) {
        (self.path().to_owned(), self.inode.0, self.inode.1)
    }

    /// True if the root's name still leads to this directory, and it is readable.
    pub(super) fn is_current(&self) -> bool {
        trace::note(|| {
            let name = self.name.display();
            format!("is {name} still this root? (once a second) newfstatat, faccessat2, readlinkat")
        });
        let access = match self.single {
            Some(_) => Access::EXEC_OK,
            None => Access::READ_OK | Access::EXEC_OK,
        };
        let is_there = stat(&self.name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.inode)
            && accessat(CWD, &self.name, access, AtFlags::EACCESS).is_ok();
        let place = self.single.as_ref().map(|file| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            (file, open(file.name(), flags, Mode::empty()))
        });
        is_there
            && self.has_same_path()
            && place.is_none_or(|(file, place)| file.has_same_path(place))
    }

    /// The same, answered without waiting for any file system. Returns false if that is impossible,
    /// which is rare: the kernel must have the whole path in its cache (RESOLVE_CACHED, Linux
    /// 5.12), and the root's own file system must be one that cannot hang.
    pub(super) fn is_current_without_io(&self) -> bool {
        let Ok(place) = sys::open_if_in_memory(&self.name) else {
            return false;
        };
        trace::note(|| "is that still the root? (once a second) statx, openat, readlinkat".into());
        let is_there = !self.can_hang() && self.is_same_directory(&place) && self.has_same_path();
        sys::close(place);
        let single = self.single.as_ref();
        is_there
            && single.is_none_or(|file| file.has_same_path(sys::open_if_in_memory(file.name())))
    }

    /// True if `place` is this directory and readable; for a single file, searchable. Another
    /// directory is not opened: that could hang.
    fn is_same_directory(&self, place: &OwnedFd) -> bool {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let is_same = statx(place, c"", flags, StatxFlags::INO).is_ok_and(|stat| {
            let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
            (device, stat.stx_ino) == self.inode
        });
        let access = match self.single {
            Some(_) => OFlags::PATH,
            None => OFlags::RDONLY,
        };
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let can_be_read = || {
            let directory = openat(place, c".", flags, Mode::empty());
            directory.map(sys::close).is_ok()
        };
        is_same && can_be_read()
    }

    /// True unless the directory was moved and is reached by another link. True too without procfs,
    /// where this is unknown.
    fn has_same_path(&self) -> bool {
        let here = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        readlink(here, Vec::new()).map_or(true, |path| {
            path.to_bytes() == self.path.as_os_str().as_bytes()
        })
    }

    /// The absolute path when the root was opened.
    pub fn path(&self) -> &Path {
        self.single.as_ref().map_or(&self.path, SingleFile::path)
    }

    /// True if a single file is served, and not its directory.
    pub fn is_single_file(&self) -> bool {
        self.single.is_some()
    }

    /// Opens what `path` leads to. If that is an index, sets `path` to the index's path. Adds its
    /// observations to `dependencies`, and enters only the mounts named there.
    ///
    /// # Errors
    /// A [`LookupError`]. Paths outside the root get the same error whether they exist or not.
    pub fn look_up(
        &self,
        path: &mut RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<Lookup, LookupError> {
        let found = match &self.single {
            Some(file) => self.look_up_single(file, path, dependencies),
            None => self.look_up_any(path, dependencies),
        };
        match found {
            Err(LookupError::OtherMount) if dependencies.mounts() == Mounts::All => {
                Err(LookupError::Forbidden)
            }
            result => result,
        }
    }

    fn look_up_single(
        &self,
        single: &SingleFile,
        path: &mut RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<Lookup, LookupError> {
        if !single.is_named_by(path) {
            return Err(LookupError::NotFound);
        }
        path.clone_from(single.relative_path());
        match self.look_up_any(path, dependencies)? {
            Lookup::File(file) => Ok(Lookup::File(OpenFile {
                media_type: super::media_type(single.name()),
                ..file
            })),
            // A directory has replaced the file.
            Lookup::Directory(_) | Lookup::DirectoryWithoutSlash => Err(LookupError::NotFound),
        }
    }

    fn look_up_any(
        &self,
        path: &mut RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<Lookup, LookupError> {
        // A missing file is not recorded, so it costs no more than this call.
        let stat = self.stat(path.as_c_str(), within(dependencies.mounts()))?;
        dependencies.add(path, Observation::of(&Ok(stat)));
        match (kind(&stat)?, path.names_directory()) {
            (FileType::Directory, false) => Ok(Lookup::DirectoryWithoutSlash),
            (FileType::Directory, true) => self.look_up_index(path, dependencies),
            (_, true) => Err(LookupError::NotFound),
            (_, false) => Ok(Lookup::File(self.open_file(path, dependencies)?)),
        }
    }

    /// True if `path` leads to a regular file. Records what it depends on.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if it is on a mount that this lookup may not enter.
    pub fn is_file(
        &self,
        path: &RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<bool, LookupError> {
        self.is_kind(FileType::RegularFile, path, dependencies)
    }

    /// The same for a directory.
    ///
    /// # Errors
    /// The same.
    pub fn is_directory(
        &self,
        path: &RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<bool, LookupError> {
        self.is_kind(FileType::Directory, path, dependencies)
    }

    fn is_kind(
        &self,
        kind: FileType,
        path: &RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<bool, LookupError> {
        match self.kind(path, dependencies) {
            Ok(found) => Ok(found == kind),
            Err(LookupError::OtherMount) if dependencies.mounts() == Mounts::Own => {
                Err(LookupError::OtherMount)
            }
            Err(_) => Ok(false),
        }
    }

    /// Opens the regular file whose name has `suffix` appended, if there is one.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if the file is on a mount that this lookup may not enter.
    pub fn find_sibling(
        &self,
        path: &mut RelativePath,
        suffix: &str,
        dependencies: &mut Dependencies,
    ) -> Result<Option<OpenFile>, LookupError> {
        if self.is_single_file() {
            return Ok(None);
        }
        let Ok(before) = path.append(suffix.as_bytes()) else {
            return Ok(None);
        };
        let sibling = match self.kind(path, dependencies) {
            Ok(FileType::RegularFile) => self.open_file(path, dependencies).map(Some),
            Ok(_) => Ok(None),
            Err(refusal) => Err(refusal),
        };
        path.truncate(before);
        match sibling {
            Err(LookupError::OtherMount) if dependencies.mounts() == Mounts::Own => {
                Err(LookupError::OtherMount)
            }
            Err(_) => Ok(None),
            sibling => sibling,
        }
    }

    /// Returns the stat(2) of what `name` in the directory `path` leads to, if that is inside the
    /// root.
    pub(super) fn stat_below(
        &self,
        path: &mut RelativePath,
        name: &[u8],
        mounts: Mounts,
    ) -> Result<Stat, Errno> {
        let before = path.append(&[b"/", name].concat());
        let before = before.map_err(|_| Errno::NAMETOOLONG)?;
        let stat = self.stat(path.as_c_str(), within(mounts));
        path.truncate(before);
        stat
    }

    /// True if the file system still shows what `dependencies` recorded. With `plainly`, a path
    /// with a symbolic link or another mount on it counts as changed, because inotify(7) would miss
    /// changes there.
    pub(super) fn still_matches(&self, dependencies: &Dependencies, plainly: bool) -> bool {
        dependencies.holds(|path| match plainly {
            false => match self.stat(path, within(dependencies.mounts())) {
                Err(Errno::XDEV) if dependencies.mounts() == Mounts::Own => Observation::Unknown,
                stat => Observation::of(&stat),
            },
            // A link or mount is on the path. inotify would miss changes behind it.
            true => match self.stat(path, WITHIN | PLAIN) {
                Err(Errno::LOOP | Errno::XDEV) => Observation::Unknown,
                stat => Observation::of(&stat),
            },
        })
    }

    /// True if a lookup on the root's own mount can hang.
    pub fn can_hang(&self) -> bool {
        can_hang(self.file_system)
    }

    /// Identifies the mount that `path` leads to, as far as the root's own mount shows. Mounts of
    /// different paths can have the same number.
    pub fn mount_of(&self, path: &RelativePath) -> u64 {
        if self.can_hang() {
            return 0;
        }
        let path = path.as_c_str().to_bytes();
        let ends = memchr::memchr_iter(b'/', path).chain([path.len()]);
        let is_outside = |end: &usize| {
            let part = CString::new(&path[..*end]).unwrap_or_default();
            let resolve = within(Mounts::Own);
            matches!(
                self.open_as_is(&part, OFlags::PATH, resolve),
                Err(Errno::XDEV)
            )
        };
        let end = ends.take(MOUNT_DEPTH).find(is_outside);
        let mount = &path[..end.unwrap_or(0)];
        mount.iter().fold(0, |sum: u64, b| {
            sum.wrapping_mul(257).wrapping_add(u64::from(*b) + 1)
        })
    }

    /// The kind of the root's file system.
    pub(super) fn file_system(&self) -> FsWord {
        self.file_system
    }

    /// Opens the path below the root (O_PATH), if it is on the root's own mount and no link is on
    /// the way.
    pub(super) fn open_without_links(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        self.open_beneath(&path, OFlags::PATH, WITHIN | PLAIN)
    }

    /// The root's descriptor (O_PATH): it cannot be read.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    fn look_up_index(
        &self,
        path: &mut RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<Lookup, LookupError> {
        for name in &self.indexes {
            let Ok(before) = path.append(format!("/{name}").as_bytes()) else {
                continue;
            };
            match self.kind(path, dependencies) {
                Ok(FileType::RegularFile) => {
                    return Ok(Lookup::File(self.open_file(path, dependencies)?));
                }
                Ok(_) | Err(LookupError::NotFound) => path.truncate(before),
                Err(refusal) => return Err(refusal),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = self.open_beneath(path.as_c_str(), flags, within(dependencies.mounts()))?;
        Ok(Lookup::Directory(directory))
    }

    /// Checks the kind of file before opening it. Opening a FIFO would wake its writer, and opening
    /// a device can have any effect. Only regular files and directories pass.
    fn kind(
        &self,
        path: &RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<FileType, LookupError> {
        let stat = self.stat(path.as_c_str(), within(dependencies.mounts()));
        dependencies.add(path, Observation::of(&stat));
        kind(&stat?)
    }

    /// Opens the file. Another file may have taken its place since the check: `NONBLOCK` then keeps
    /// the open from hanging, and fstat(2) on the descriptor decides.
    fn open_file(
        &self,
        path: &RelativePath,
        dependencies: &mut Dependencies,
    ) -> Result<OpenFile, LookupError> {
        let file = self.open_beneath(path.as_c_str(), FILE, within(dependencies.mounts()))?;
        let mount = match dependencies.mounts() {
            Mounts::Own => None,
            Mounts::All => remote_mount(&file),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(LookupError::Forbidden);
        }
        dependencies.add(path, Observation::File(FileState::of(&stat)));
        let generated = match self.is_generated(&file, &stat) {
            true => Some(generated::read_content(&file)?),
            false => None,
        };
        let length = generated.as_ref().map(|content| content.len() as u64);
        Ok(OpenFile {
            file,
            length: length.unwrap_or(u64::try_from(stat.st_size).unwrap_or(0)),
            inode: stat.st_ino,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            mount,
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            media_type: super::media_type(path.as_path()),
            timestamp_step: timestamp_step(mount.is_some() || self.can_hang(), stat.st_ctime_nsec),
            generated,
        })
    }

    /// Asks the file system unless it is the root's own, whose kind is known.
    fn is_generated(&self, file: &OwnedFd, stat: &Stat) -> bool {
        generated::is_generated(match stat.st_dev == self.inode.0 {
            true => self.file_system,
            false => fstatfs(file).map_or(self.file_system, |answer| answer.f_type),
        })
    }

    fn stat(&self, path: &CStr, resolve: ResolveFlags) -> Result<Stat, Errno> {
        let place = self.open_beneath(path, OFlags::PATH, resolve)?;
        let stat = fstat(&place);
        sys::close(place);
        stat
    }

    /// Opens what `path` leads to, if that is inside the root.
    fn open_beneath(
        &self,
        path: &CStr,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        match self.open_as_is(path, flags, resolve) {
            Err(Errno::XDEV) if !resolve.contains(ResolveFlags::NO_SYMLINKS) => {
                self.open_rewritten(path, flags, resolve)
            }
            result => result,
        }
    }

    /// The same for a path with a link that openat2(2) refuses but that may lead inside.
    fn open_rewritten(
        &self,
        path: &CStr,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let (mut names, links) = (MAX_NAMES, RootLinks(self, resolve));
        for _ in 0..MAX_LINKS {
            match links::resolve_links(&links, path, &mut names) {
                Ok(path) => match self.open_as_is(&path, flags, resolve) {
                    // The path has a new link since it was resolved. With `NO_XDEV`, it may also be
                    // on another mount, and is refused.
                    Err(Errno::XDEV) if resolve == WITHIN => {}
                    result => return result,
                },
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::XDEV)
    }

    /// Opens a path beneath the root, retrying after renames.
    fn open_as_is(
        &self,
        path: &CStr,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let mut tries = 0;
        loop {
            match open_beneath(&self.directory, path, flags, resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tries < RENAME_RETRIES => tries += 1,
                result => return result,
            }
        }
    }
}

/// Reads links below a root with these flags.
struct RootLinks<'a>(&'a Root, ResolveFlags);

impl LinkReader for RootLinks<'_> {
    fn is_root(&self, path: &[u8]) -> bool {
        [&self.0.path, &self.0.name]
            .iter()
            .any(|root| without_slash(root) == path)
    }

    fn root(&self) -> &[u8] {
        without_slash(&self.0.path)
    }

    fn read_link(&self, path: &CStr) -> Result<Option<CString>, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let resolve = self.1 | ResolveFlags::NO_SYMLINKS;
        let place = match self.0.open_as_is(path, flags, resolve) {
            // This was not a link a moment ago.
            Err(Errno::LOOP) => return Err(Errno::AGAIN),
            place => place?,
        };
        let result = sys::read_link(&place);
        sys::close(place);
        match result {
            Ok(target) => Ok(Some(target)),
            // readlink(2) on something that is not a link.
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// The bytes of an absolute path without a slash at its end; empty for `/`.
fn without_slash(path: &Path) -> &[u8] {
    let path = path.as_os_str().as_bytes();
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Explains why openat2(2) cannot open a root. EPERM is not about permissions: seccomp filters of
/// old container runtimes do not know the call.
fn without_openat2(errno: Errno, path: &Path) -> io::Error {
    let can_be_opened = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).is_ok()
    };
    let sentence = match errno {
        Errno::NOSYS => {
            "openat2(2) is missing, and requests cannot be kept inside the root without it. It needs Linux 5.6 \
             or later, and a seccomp filter must not hide it"
        }
        Errno::PERM if can_be_opened() => {
            "a seccomp filter forbids openat2(2), and requests cannot be kept inside the root without it. Allow \
             the call, or update the container runtime: filters older than Docker 20.10 and libseccomp 2.5 \
             do not know it"
        }
        _ => return errno.into(),
    };
    io::Error::new(io::ErrorKind::Unsupported, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::{Duration, UNIX_EPOCH};

    fn root(path: &Path) -> Root {
        let indexes = ["index.html", "index.htm"].map(String::from);
        Root::open(path, indexes.into()).expect("a root")
    }

    fn shown(root: &Root, target: &str) -> String {
        let mut path = match RelativePath::decode(target.as_bytes()) {
            Ok(path) => path,
            Err(error) => return format!("{error:?}"),
        };
        match root.look_up(&mut path, &mut Dependencies::new(Mounts::All)) {
            Ok(Lookup::File(file)) => format!("{} {}", file.length, file.media_type.0),
            Ok(Lookup::Directory(_)) => "directory".into(),
            Ok(Lookup::DirectoryWithoutSlash) => "add a slash".into(),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    /// A file counts as recently changed while its timestamps may hide another change: for the step
    /// of its file system, and as long as its ctime is in the future.
    #[test]
    fn recently_changed_files() {
        const EXT4: fs::FsWord = 0xef53;
        const FAT: fs::FsWord = 0x4d44;
        const NFS: fs::FsWord = 0x6969;
        let file = |file_system, nanos| OpenFile {
            file: open("/dev/null", OFlags::RDONLY, Mode::empty()).expect("opened"),
            length: 0,
            mount: None,
            inode: 1,
            modified: UNIX_EPOCH,
            changed: time(1_000_000_000, nanos),
            media_type: ("", ""),
            timestamp_step: timestamp_step(can_hang(file_system), nanos),
            generated: None,
        };
        for (file_system, nanos, settled) in [
            (EXT4, 500_000_000, 1_500),
            (EXT4, 0, 2_000),
            (FAT, 0, 2_000),
            (NFS, 500_000_000, 10_500),
            (NFS, 0, 10_000),
        ] {
            let file = file(file_system, nanos);
            let at = |millis: i64| {
                let since = Duration::from_millis((1_000_000_000_000 + millis).unsigned_abs());
                file.is_recently_changed(UNIX_EPOCH + since)
            };
            assert!(at(settled - 1) && !at(settled), "{file_system:x} {nanos}");
            assert!(at(-1000), "changed in the future");
        }
    }

    #[test]
    fn lookups_by_path() {
        let all = tempfile::tempdir().expect("a directory");
        let within = all.path().join("root");
        write(all.path().join("secret"), "secret").expect("written");
        for directory in ["", "empty", "site", "trap", "dark"] {
            create_dir(within.join(directory)).expect("made");
        }
        create_dir(within.join("trap/index.html")).expect("made");
        write(within.join("a.txt"), "abc").expect("written");
        write(within.join("plain"), "").expect("written");
        write(within.join("site/index.htm"), "12").expect("written");
        write(within.join("dark/index.html"), "12").expect("written");
        let mode = Permissions::from_mode(0o111);
        set_permissions(within.join("dark"), mode).expect("set");
        let links = [
            ("inside", "site/../a.txt"),
            ("dir", "site"),
            ("out", "../secret"),
            ("gone", "../nothing"),
            ("absolute", "/etc/passwd"),
            ("loop", "loop"),
            ("proc", "/proc/self/cwd"),
            ("parent", "../root/a.txt"),
            ("site/up", "../../root/site"),
            ("itself", "../root"),
            ("beside", "../root-of-another"),
            ("circle", "../root/circle"),
        ];
        for (name, target) in links {
            symlink(target, within.join(name)).expect("linked");
        }
        let absolute = [
            ("in", "a.txt"),
            ("in-dir", "site"),
            ("in-gone", "nothing"),
            ("in-loop", "in-loop"),
            ("in-out", "out"),
            ("in-root", ""),
            ("in-fifo", "fifo"),
        ];
        for (name, target) in absolute {
            symlink(within.join(target), within.join(name)).expect("linked");
        }
        create_dir(within.join("indexed")).expect("made");
        symlink(within.join("a.txt"), within.join("indexed/index.html")).expect("linked");
        create_dir(all.path().join("root-of-another")).expect("made");
        let fifo = within.join("fifo");
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
        let _socket = std::os::unix::net::UnixListener::bind(within.join("socket"));
        let root = root(&within);
        let cases = [
            ("/a.txt", "3 text/plain"),
            ("/plain", "0 application/octet-stream"),
            ("/a.txt/", "NotFound"),
            ("/a.txt/b", "NotFound"),
            ("/b.txt", "NotFound"),
            ("/", "directory"),
            ("/empty", "add a slash"),
            ("/empty/", "directory"),
            ("/site/", "2 text/html"),
            ("/trap/", "directory"),
            ("/dark/", "2 text/html"),
            ("/inside", "3 application/octet-stream"),
            ("/dir", "add a slash"),
            ("/dir/", "2 text/html"),
            ("/out", "Forbidden"),
            ("/gone", "Forbidden"),
            ("/absolute", "Forbidden"),
            ("/loop", "Forbidden"),
            ("/proc", "Forbidden"),
            ("/parent", "3 application/octet-stream"),
            ("/site/up", "add a slash"),
            ("/site/up/index.htm", "2 text/html"),
            ("/site/up/up/up/", "2 text/html"),
            ("/itself/a.txt", "3 text/plain"),
            ("/itself/itself/in", "3 application/octet-stream"),
            ("/beside", "Forbidden"),
            ("/circle", "Forbidden"),
            ("/in", "3 application/octet-stream"),
            ("/in/", "NotFound"),
            ("/in-dir", "add a slash"),
            ("/in-dir/", "2 text/html"),
            ("/in-dir/none", "NotFound"),
            ("/in-gone", "NotFound"),
            ("/in-loop", "Forbidden"),
            ("/in-out", "Forbidden"),
            ("/in-root/in-root/a.txt", "3 text/plain"),
            ("/in-fifo", "Forbidden"),
            ("/indexed/", "3 text/html"),
            ("/fifo", "Forbidden"),
            ("/socket", "Forbidden"),
            ("/../secret", "Malformed"),
        ];
        for (target, expected) in cases {
            assert_eq!(
                shown(&root, target).split('(').next(),
                Some(expected),
                "{target}"
            );
        }
        let long = format!("/{}", "a".repeat(300));
        assert_eq!(shown(&root, &long), "NotFound");
    }

    /// A request must not wake a writer that waits for a reader of its FIFO.
    #[test]
    fn a_fifo_is_never_opened() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        let root = root(directory.path());
        let opened = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let file = std::fs::File::options().write(true).open(&fifo);
                opened.store(true, Relaxed);
                file
            });
            for _ in 0..1000 {
                assert_eq!(shown(&root, "/fifo"), "Forbidden");
            }
            assert!(!opened.load(Relaxed), "the writer was woken");
            let _reader = std::fs::File::open(&fifo).expect("opens once both are there");
            writer.join().expect("joined").expect("opened");
        });
    }

    /// The root may be given by a link, and links inside may use either name.
    #[test]
    fn links_may_name_the_root_as_it_was_given() {
        let all = tempfile::tempdir().expect("a directory");
        let (within, current) = (all.path().join("r1"), all.path().join("current"));
        create_dir(&within).expect("made");
        symlink("r1", &current).expect("linked");
        write(within.join("a.txt"), "abc").expect("written");
        symlink(current.join("a.txt"), within.join("given")).expect("linked");
        symlink(within.join("a.txt"), within.join("real")).expect("linked");
        symlink("../current/a.txt", within.join("parent")).expect("linked");
        let root = root(&current);
        for target in ["/given", "/real", "/parent"] {
            assert_eq!(shown(&root, target), "3 application/octet-stream");
        }
    }

    /// A listing gets nothing about links that lead out of the root or to nothing.
    #[test]
    fn stat_follows_links_inside_only() {
        let all = tempfile::tempdir().expect("a directory");
        let within = all.path().join("root");
        create_dir(&within).expect("made");
        write(within.join("a.txt"), "abc").expect("written");
        for (target, name) in [
            ("/etc/passwd", "out"),
            ("none", "gone"),
            ("../root/a.txt", "in"),
        ] {
            symlink(target, within.join(name)).expect("linked");
        }
        symlink(within.join("a.txt"), within.join("absolute")).expect("linked");
        let root = root(&within);
        let mut path = RelativePath::decode(b"/").expect("a path");
        let mut length = |name: &[u8]| {
            root.stat_below(&mut path, name, Mounts::All)
                .ok()
                .map(|stat| stat.st_size)
        };
        for (name, expected) in [
            (&b"a.txt"[..], Some(3)),
            (b"in", Some(3)),
            (b"absolute", Some(3)),
            (b"out", None),
            (b"gone", None),
        ] {
            assert_eq!(length(name), expected, "{}", name.escape_ascii());
        }
    }

    /// While a directory swaps places with a link, no request opens anything outside.
    #[test]
    fn renames_during_lookup_do_not_lead_out() {
        let all = tempfile::tempdir().expect("a directory");
        let within = all.path().join("root");
        for directory in ["root", "root/d", "outside", "root/e"] {
            create_dir(all.path().join(directory)).expect("made");
        }
        write(within.join("d/f"), "in").expect("written");
        write(within.join("e/f"), "in").expect("written");
        write(all.path().join("outside/f"), "out of the root").expect("written");
        let links = [
            "../outside".into(),
            all.path().join("outside"),
            "../root/e".into(),
            within.join("e"),
            within.join("../outside"),
        ];
        for (number, target) in links.iter().enumerate() {
            symlink(target, within.join(format!("l{number}"))).expect("linked");
        }
        symlink(within.join("d"), within.join("to-d")).expect("linked");
        let root = root(&within);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (0..links.len()).cycle() {
                    let flags = fs::RenameFlags::EXCHANGE;
                    let (d, l) = (within.join("d"), within.join(format!("l{number}")));
                    fs::renameat_with(fs::CWD, &d, fs::CWD, &l, flags).expect("swapped");
                    if stop.load(Relaxed) {
                        break;
                    }
                }
            });
            let wrong = (0..20_000).find_map(|round| {
                let found = shown(&root, ["/d/f", "/to-d/f"][round % 2]);
                let fine = ["2 application/octet-stream", "Forbidden"].contains(&&*found);
                (!fine && !found.starts_with("Busy")).then_some(found)
            });
            stop.store(true, Relaxed);
            assert_eq!(wrong, None);
        });
    }
}
