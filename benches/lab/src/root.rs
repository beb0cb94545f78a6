//! The document root of all servers, in a folder that is removed at the end.

use crate::Outcome;
use std::fs::{File, Permissions, create_dir, set_permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// How long ago the files last changed.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A temporary folder with the files, and beside them a place for configurations and logs.
pub struct Root(TempDir);

impl Root {
    /// Creates files of these names and lengths in bytes.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn make(files: &[(&str, usize)]) -> Outcome<Root> {
        let root = Root(
            tempfile::Builder::new()
                .prefix("evserve-bench-")
                .tempdir()?,
        );
        // Servers that drop root's privileges must be able to read it.
        set_permissions(root.0.path(), Permissions::from_mode(0o755))?;
        create_dir(root.path())?;
        for (name, length) in files {
            let mut file = File::create(root.path().join(name))?;
            file.write_all(&content(*length))?;
            // A file that has just changed may change again within the resolution of its time.
            // Servers may then send a weak validator or none.
            file.set_modified(SystemTime::now() - AGE)?;
        }
        Ok(root)
    }

    /// The document root.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("root")
    }

    /// A place for other files.
    pub fn beside(&self) -> &Path {
        self.0.path()
    }
}

/// Text of this length in which no two lines are equal, so that a repeated or misplaced part is
/// noticed.
pub fn content(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 64);
    let mut line = 0;
    while text.len() < length {
        let _ = writeln!(
            text,
            "<p>Line {line}: all work and no play makes a server fast.</p>"
        );
        line += 1;
    }
    text.truncate(length);
    text
}
