//! A single file that is served instead of a directory: where it is, and which names in a request mean it.

use super::path::RelativePath;
use crate::sys;
use crate::sys::untraced::readlink;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One file of a directory.
#[derive(Debug)]
pub(super) struct SingleFile {
    /// The absolute path by which it was named; any name in it may be a link.
    name: PathBuf,
    /// The same path without links, when it was opened.
    path: PathBuf,
    /// The last name of that, in its directory.
    in_directory: RelativePath,
    /// What a request calls it: the last name of `name`.
    requested: RelativePath,
}

impl SingleFile {
    /// The file that has this path.
    ///
    /// # Errors
    /// Those of realpath(3), and [`io::ErrorKind::InvalidInput`] if it has no name, as `/` has none.
    pub fn new(path: &Path) -> io::Result<SingleFile> {
        let name = std::path::absolute(path)?;
        let path = name.canonicalize()?;
        let last = |path: &Path| RelativePath::of_name(path.file_name().unwrap_or(OsStr::new("")));
        let no_name = io::ErrorKind::InvalidInput;
        Ok(SingleFile {
            in_directory: last(&path).ok_or(no_name)?,
            requested: last(&name).ok_or(no_name)?,
            path,
            name,
        })
    }

    /// The absolute path by which it was named.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds it.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Its path in that directory.
    pub fn in_directory(&self) -> &RelativePath {
        &self.in_directory
    }

    /// True if a request's path means it: `/`, or its name.
    pub fn is_named_by(&self, path: &RelativePath) -> bool {
        let is_root = path.as_c_str() == c".";
        let is_name = !path.names_directory() && path.as_c_str() == self.requested.as_c_str();
        is_root || is_name
    }

    /// True if `place`, what its name leads to, still has the same path. The file itself may be another one. Without a
    /// proc(5) that is not known, and taken to be so.
    pub fn is_at<E>(&self, place: Result<OwnedFd, E>) -> bool {
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
