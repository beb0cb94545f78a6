//! The document root by name: which directory has that name now.
//!
//! A deploy switches a symbolic link, a build removes the directory and creates it again, an
//! administrator mounts another file system over it. An open directory shows none of that. So the
//! name is checked at most once a second, and only when a request arrives. While it leads to no
//! readable directory, there is no root.

use super::mounts::Mounts;
use super::open_file::LookupError;
use super::root::Root;
use crate::sys::untraced::accessat;
use crate::sys::{Access, AtFlags, CWD, Errno};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a check is valid. A check costs six system calls; two of them are close(2).
const TRUST_TIME: Duration = Duration::from_secs(1);

/// The location last logged for each name; `None` if it was missing. All loops share this, so each
/// change is logged once.
static LOGGED: Mutex<BTreeMap<PathBuf, Option<Location>>> = Mutex::new(BTreeMap::new());

/// A directory's path, device and inode.
type Location = (PathBuf, u64, u64);

/// A served directory, by its name.
#[derive(Debug)]
pub struct NamedRoot {
    name: PathBuf,
    indexes: Vec<String>,
    /// True for a single file. A directory that takes its place is not served.
    is_file: bool,
    /// The process that logs changes. Its children notice the same changes but do not log them.
    process: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    root: Option<Arc<Root>>,
    /// When the last check expires.
    valid_until: Option<Instant>,
    /// A thread is checking now and may wait for a file system. The others use the last result.
    is_being_checked: bool,
}

/// What a name leads to.
#[derive(Debug)]
pub enum Resolution {
    /// The same directory as before.
    Unchanged(Arc<Root>),
    /// Another directory than before.
    Changed(Arc<Root>),
    /// Neither a readable directory nor a readable file. True if there was one at the last check.
    Missing(bool),
}

impl NamedRoot {
    /// Opens the directory, or the single file, with this name. A relative name starts at the
    /// current directory.
    ///
    /// # Errors
    /// Those of [`Root::open`].
    pub fn open(path: &Path, indexes: Vec<String>) -> io::Result<NamedRoot> {
        let name = std::path::absolute(path)?;
        let is_file = name.is_file();
        let root = open_root(&name, &indexes, is_file)?;
        logged().insert(name.clone(), Some(root.location()));
        Ok(NamedRoot {
            name,
            indexes,
            is_file,
            process: std::process::id(),
            state: Mutex::new(State {
                root: Some(Arc::new(root)),
                valid_until: None,
                is_being_checked: false,
            }),
        })
    }

    /// True if it names a single file.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// The absolute name.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The directory that the last check found.
    pub fn last_known(&self) -> Option<Arc<Root>> {
        self.state().root.clone()
    }

    /// When the last check expires.
    pub fn valid_until(&self) -> Option<Instant> {
        self.state().valid_until
    }

    /// Returns what the name leads to at `now`. Checks again if the last check has expired, opens
    /// the new directory and logs the change. Other threads use the last result meanwhile.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if the check would need a mount that is not in `mounts`.
    pub fn resolve(&self, now: Instant, mounts: Mounts) -> Result<Resolution, LookupError> {
        let mut state = self.state();
        if state.is_being_checked
            || state
                .valid_until
                .is_some_and(|valid_until| now < valid_until)
        {
            return Ok(match &state.root {
                Some(root) => Resolution::Unchanged(root.clone()),
                None => Resolution::Missing(false),
            });
        }
        let before = state.root.clone();
        if mounts == Mounts::Own {
            // Usually the kernel has the path in its cache.
            let root = before.filter(|root| root.is_current_without_io());
            let root = root.ok_or(LookupError::OtherMount)?;
            state.valid_until = Some(now + TRUST_TIME);
            return Ok(Resolution::Unchanged(root));
        }
        state.valid_until = Some(now + TRUST_TIME);
        state.is_being_checked = true;
        drop(state);
        let resolution = self.resolve_again(before);
        let mut state = self.state();
        state.is_being_checked = false;
        state.root = match &resolution {
            Resolution::Unchanged(root) | Resolution::Changed(root) => Some(root.clone()),
            Resolution::Missing(_) => None,
        };
        Ok(resolution)
    }

    /// Checks the name. `before` is the directory that it led to.
    fn resolve_again(&self, before: Option<Arc<Root>>) -> Resolution {
        if let Some(root) = before.as_ref().filter(|root| root.is_current()) {
            return Resolution::Unchanged(root.clone());
        }
        let opened = open_root(&self.name, &self.indexes, self.is_file);
        match (opened, before) {
            (Ok(root), Some(before)) if root.location() == before.location() => {
                Resolution::Unchanged(before)
            }
            (Ok(root), _) => {
                self.log_change(&root);
                Resolution::Changed(Arc::new(root))
            }
            // Errors such as EMFILE say nothing about the root.
            (Err(error), Some(before)) if !means_missing(&error) => Resolution::Unchanged(before),
            (Err(error), before) => {
                self.log_loss(&error);
                Resolution::Missing(before.is_some())
            }
        }
    }

    fn log_change(&self, root: &Root) {
        let (name, path) = (self.name.display(), root.path().display());
        match self.log_once(Some(root)) {
            None => {}
            Some(None) => log::info!("{name} is back: serving {path}"),
            Some(Some((before, ..))) if before == *root.path() => {
                log::info!("{name} was replaced: serving the new directory");
            }
            Some(Some(_)) => log::info!("{name} now leads to {path}: serving that directory"),
        }
    }

    fn log_loss(&self, error: &io::Error) {
        if self.log_once(None).is_none() {
            return;
        }
        let name = self.name.display();
        let may_be_read = || {
            let access = Access::READ_OK | Access::EXEC_OK;
            accessat(CWD, &self.name, access, AtFlags::EACCESS).is_ok()
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied if may_be_read() => log::warn!(
                "{name} was replaced, and the sandbox keeps this process from reading the new \
                 directory: requests get 503. Restart the server to serve it, or see --sandbox"
            ),
            _ => log::warn!("cannot serve {name}: {error}; requests get 503 until it is back"),
        }
    }

    /// Records the location to be logged. Returns the previous one if it differs, or `None` in a
    /// process that does not log.
    fn log_once(&self, root: Option<&Root>) -> Option<Option<Location>> {
        if std::process::id() != self.process {
            return None;
        }
        let location = root.map(Root::location);
        let before = logged().insert(self.name.clone(), location.clone());
        before.filter(|before| *before != location)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_root(name: &Path, indexes: &[String], is_file: bool) -> io::Result<Root> {
    match is_file {
        true => Root::open_single(name),
        false => Root::open(name, indexes.to_vec()),
    }
}

fn logged() -> MutexGuard<'static, BTreeMap<PathBuf, Option<Location>>> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if the error means that this process can serve nothing under this name.
fn means_missing(error: &io::Error) -> bool {
    const NOWHERE: &[Errno] = &[
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::ACCESS,
        Errno::PERM,
        // The mounted file system has failed.
        Errno::STALE,
        Errno::NOTCONN,
        Errno::NODEV,
        Errno::NXIO,
    ];
    // It is neither a directory nor a regular file.
    let is_other = error.kind() == io::ErrorKind::InvalidInput;
    is_other
        || error
            .raw_os_error()
            .is_some_and(|code| NOWHERE.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, remove_dir, rename};
    use std::os::unix::fs::symlink;

    /// The result as text, with the directory's last name.
    fn shown(resolution: &Resolution) -> String {
        let last = |root: &Root| root.path().file_name().map(|name| name.to_owned());
        match resolution {
            Resolution::Unchanged(root) => format!("same {:?}", last(root).expect("a name")),
            Resolution::Changed(root) => format!("other {:?}", last(root).expect("a name")),
            Resolution::Missing(new) => format!("nowhere, new: {new}"),
        }
    }

    /// Checks without waiting if possible, and with waiting otherwise.
    fn follow(root: &NamedRoot, now: Instant) -> Resolution {
        let resolution = root.resolve(now, Mounts::Own);
        resolution
            .or_else(|_| root.resolve(now, Mounts::All))
            .expect("all mounts may be looked at")
    }

    #[test]
    fn a_replaced_root_is_noticed_within_a_second() {
        type Change = fn(&Path);
        let changes: [(&str, Change, &str); 9] = [
            ("nothing", |_| {}, "same \"r1\""),
            (
                "a switched link",
                |at| {
                    symlink("r2", at.join("a/new")).expect("linked");
                    rename(at.join("a/new"), at.join("a/current")).expect("switched");
                },
                "other \"r2\"",
            ),
            (
                "its target is removed",
                |at| remove_dir(at.join("a/r2")).expect("removed"),
                "nowhere, new: true",
            ),
            ("nothing", |_| {}, "nowhere, new: false"),
            (
                "its target is created again",
                |at| create_dir(at.join("a/r2")).expect("made"),
                "other \"r2\"",
            ),
            (
                "its target is replaced by another directory",
                |at| {
                    rename(at.join("a/r2"), at.join("a/old")).expect("moved");
                    create_dir(at.join("a/r2")).expect("made");
                },
                "other \"r2\"",
            ),
            (
                "its target is moved",
                |at| {
                    rename(at.join("a/r2"), at.join("a/r3")).expect("moved");
                    symlink("r3", at.join("a/r2")).expect("linked");
                },
                "other \"r3\"",
            ),
            (
                "a parent is renamed",
                |at| rename(at.join("a"), at.join("b")).expect("moved"),
                "nowhere, new: true",
            ),
            (
                "the parent is renamed back",
                |at| rename(at.join("b"), at.join("a")).expect("moved"),
                "other \"r3\"",
            ),
        ];
        let all = tempfile::tempdir().expect("a directory");
        for directory in ["a", "a/r1", "a/r2"] {
            create_dir(all.path().join(directory)).expect("made");
        }
        symlink("r1", all.path().join("a/current")).expect("linked");
        let root = NamedRoot::open(&all.path().join("a/current"), Vec::new()).expect("a root");
        let mut now = Instant::now();
        follow(&root, now);
        for (what, change, expected) in changes {
            let before = follow(&root, now);
            change(all.path());
            now += TRUST_TIME - Duration::from_millis(1);
            match (follow(&root, now), before) {
                (Resolution::Unchanged(now), Resolution::Unchanged(before)) => {
                    assert!(Arc::ptr_eq(&now, &before));
                }
                (Resolution::Missing(false), Resolution::Missing(false)) => {}
                (now, before) => panic!("{what}: {} after {}", shown(&now), shown(&before)),
            }
            now += Duration::from_millis(1);
            assert_eq!(shown(&follow(&root, now)), expected, "{what}");
        }
    }

    #[test]
    fn an_unchanged_root_is_confirmed_from_the_kernels_cache() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = NamedRoot::open(directory.path(), Vec::new()).expect("a root");
        for second in 0..3 {
            let now = Instant::now() + TRUST_TIME * second;
            let resolution = root.resolve(now, Mounts::Own);
            assert!(
                matches!(resolution, Ok(Resolution::Unchanged(_))),
                "{resolution:?}"
            );
        }
    }
}
