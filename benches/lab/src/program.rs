//! Copies of programs, so that their files lie in the page cache in the same way.
//!
//! A linker writes its file here and there, and the page cache then holds it in single pages. Of a
//! file that was written from beginning to end, it holds larger folios, and the processor needs
//! fewer entries for their translation: a request to evserve then takes 1 to 2 % less CPU time. So a
//! program that was just built loses to its own copy, and to every one that was installed.

use crate::Outcome;
use std::fs::{Permissions, create_dir_all, read, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Copies a program into a folder below `beside`, unless it is there, and returns the copy.
///
/// # Errors
/// Errors of the file system.
pub fn copy_of(program: &Path, beside: &Path) -> Outcome<PathBuf> {
    let program = program.canonicalize()?;
    let copy = beside.join("programs").join(program.strip_prefix("/")?);
    if !copy.exists() {
        create_dir_all(copy.parent().expect("it is below a folder"))?;
        // No std::fs::copy: it may share blocks, and the page cache is then filled by reading.
        write(&copy, read(&program)?)?;
        set_permissions(&copy, Permissions::from_mode(0o755))?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::copy_of;
    use std::process::Command;

    #[test]
    fn a_copy_is_made_once_and_runs() {
        let beside = tempfile::tempdir().expect("a folder");
        let program = std::env::current_exe().expect("this program");
        let copy = copy_of(&program, beside.path()).expect("a copy");
        assert!(copy.starts_with(beside.path()));
        let made = copy.metadata().expect("a file").modified().expect("a time");
        let again = copy_of(&program, beside.path()).expect("a copy");
        assert_eq!(again, copy);
        let now = again.metadata().expect("a file").modified();
        assert_eq!(now.expect("a time"), made);
        let listed = Command::new(copy)
            .arg("--list")
            .output()
            .expect("it starts");
        assert!(listed.status.success());
    }
}
