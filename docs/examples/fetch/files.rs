//! Files that appear under their names when they are complete, and not before.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A file that is not complete. Dropping it removes it. Only if the process is killed does it stay,
/// as `.fetch-PROCESS-NUMBER.part`.
pub struct PartialFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    is_finished: bool,
}

impl PartialFile {
    /// A new file in `folder`. No name made from a URL begins with a dot.
    pub fn create(folder: &Path) -> io::Result<PartialFile> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = folder.join(format!(".fetch-{process}-{number}.part"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(PartialFile {
            file,
            path,
            bytes: 0,
            is_finished: false,
        })
    }

    pub fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Gives the complete file its name, unless there is such a file already.
    pub fn finish(mut self, path: &Path) -> Result<u64, String> {
        match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.is_finished = true;
                Ok(self.bytes)
            }
            Err(Errno::EXIST) => Err(format!("{} exists; it is not replaced", path.display())),
            Err(errno) => Err(format!("cannot write {}: {errno}", path.display())),
        }
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing can be done if this fails.
            let _ = remove_file(&self.path);
        }
    }
}
