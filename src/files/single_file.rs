//! A single file served instead of a directory: its location, and the request paths that mean it.

use super::path::RelativePath;
use crate::sys;
use crate::sys::untraced::readlink;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file and the directory that contains it.
#[derive(Debug)]
pub(super) struct SingleFile {
    /// The absolute path that the user gave. Any name in it may be a link.
    name: PathBuf,
    /// The path without links when the file was opened.
    path: PathBuf,
    /// The last name of `path`: the file below its directory.
    relative_path: RelativePath,
    /// The last name of `name`: the file in requests.
    requested: RelativePath,
}

impl SingleFile {
    /// Resolves this path.
    ///
    /// # Errors
    /// Those of realpath(3), and [`io::ErrorKind::InvalidInput`] for a path without a name, such as
    /// `/`.
    pub fn new(path: &Path) -> io::Result<SingleFile> {
        let name = std::path::absolute(path)?;
        let path = name.canonicalize()?;
        let last = |path: &Path| RelativePath::of_name(path.file_name().unwrap_or(OsStr::new("")));
        let no_name = io::ErrorKind::InvalidInput;
        Ok(SingleFile {
            relative_path: last(&path).ok_or(no_name)?,
            requested: last(&name).ok_or(no_name)?,
            path,
            name,
        })
    }

    /// The absolute path that the user gave.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that contains the file.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The file's path below that directory.
    pub fn relative_path(&self) -> &RelativePath {
        &self.relative_path
    }

    /// True if a request for this path means the file: `/`, or the file's name.
    pub fn is_named_by(&self, path: &RelativePath) -> bool {
        let is_root = path.as_c_str() == c".";
        let is_name = !path.names_directory() && path.as_c_str() == self.requested.as_c_str();
        is_root || is_name
    }

    /// True if `place`, opened by `name`, still has the same path. It may be another file. True too
    /// without procfs, where this is unknown.
    pub fn has_same_path<E>(&self, place: Result<OwnedFd, E>) -> bool {
        let Ok(place) = place else {
            return false;
        };
        let link = readlink(format!("/proc/self/fd/{}", place.as_raw_fd()), Vec::new());
        sys::close(place);
        link.map_or(true, |path| {
            path.to_bytes() == self.path.as_os_str().as_bytes()
        })
    }
}
