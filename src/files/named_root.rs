//! The root by its name: which directory that is at the moment.
//!
//! A deploy switches the link that is the root's name, a build removes the directory and makes it again, somebody mounts
//! something over it. An open directory shows none of that, so the name is looked at, at most once a second and only when
//! a request comes. While it leads to nothing that can be read there is no root.

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

/// How long the name is believed to lead where it led. It costs four system calls to look, and two to close.
const TRUST_TIME: Duration = Duration::from_secs(1);

/// Where each name led when that was last logged, by the name; `None` for nowhere. Several loops follow one name, and
/// one line is enough.
static LOGGED: Mutex<BTreeMap<PathBuf, Option<Location>>> = Mutex::new(BTreeMap::new());

/// A directory in its place: its path, its device and its inode.
type Location = (PathBuf, u64, u64);

/// A directory that is served, by its name.
#[derive(Debug)]
pub struct NamedRoot {
    name: PathBuf,
    indexes: Vec<String>,
    /// The process that logs. Those that are forked off see the same as it does.
    process: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    root: Option<Arc<Root>>,
    /// Until then it is believed.
    valid_until: Option<Instant>,
    /// A thread looks at the moment. The others go on with what was known: that one may wait for a file system.
    is_being_checked: bool,
}

/// Where a name leads.
#[derive(Debug)]
pub enum Resolution {
    /// To the directory to which it led before.
    Unchanged(Arc<Root>),
    /// To another one, from now on.
    Changed(Arc<Root>),
    /// Nowhere. True if that was not so before.
    Missing(bool),
}

impl NamedRoot {
    /// Opens the directory that has this name. A relative name is meant from where the process is now.
    ///
    /// # Errors
    /// Those of [`Root::open`].
    pub fn open(path: &Path, indexes: Vec<String>) -> io::Result<NamedRoot> {
        let name = std::path::absolute(path)?;
        let root = Root::open(&name, indexes.clone())?;
        logged().insert(name.clone(), Some(root.location()));
        Ok(NamedRoot {
            name,
            indexes,
            process: std::process::id(),
            state: Mutex::new(State {
                root: Some(Arc::new(root)),
                valid_until: None,
                is_being_checked: false,
            }),
        })
    }

    /// The absolute name.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The directory to which it led when that was last looked at.
    pub fn last_known(&self) -> Option<Arc<Root>> {
        self.state().root.clone()
    }

    /// Until when the name is believed to lead where it led when that was last looked at.
    pub fn valid_until(&self) -> Option<Instant> {
        self.state().valid_until
    }

    /// Where the name leads at `now`, or led within the second before. Looks if that is not known, opens what is new, and logs
    /// what has changed. Other threads go on meanwhile with what was known.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if that cannot be known without waiting for other mounts than these.
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
            // The kernel's memory is enough, as a rule.
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

    /// Where the name leads now, if it led there before.
    fn resolve_again(&self, before: Option<Arc<Root>>) -> Resolution {
        if let Some(root) = before.as_ref().filter(|root| root.is_current()) {
            return Resolution::Unchanged(root.clone());
        }
        let opened = Root::open(&self.name, self.indexes.clone());
        match (opened, before) {
            (Ok(root), Some(before)) if root.location() == before.location() => {
                Resolution::Unchanged(before)
            }
            (Ok(root), _) => {
                self.log_change(&root);
                Resolution::Changed(Arc::new(root))
            }
            // That there is no descriptor or memory to spare, say, is no news of the root.
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
            Some(None) => log::info!("{name} can be served again: it is {path} now"),
            Some(Some((before, ..))) if before == *root.path() => {
                log::info!("{name} is another directory now, which is served from now on");
            }
            Some(Some(_)) => log::info!("{name} leads to {path} now, which is served from now on"),
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
                "{name} is another directory now, which the sandbox keeps this process from reading: all requests \
                 get 503. Start the program again to serve it, or see --sandbox"
            ),
            _ => log::warn!(
                "{name} cannot be served any more: {error}; all requests get 503 until it can be"
            ),
        }
    }

    /// Notes where the name leads. What was last logged of it, if that is something else and this process logs.
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

fn logged() -> MutexGuard<'static, BTreeMap<PathBuf, Option<Location>>> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True if the error means that there is nothing that can be served by this name, for anybody, or for this process.
fn means_missing(error: &io::Error) -> bool {
    const NOWHERE: &[Errno] = &[
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::ACCESS,
        Errno::PERM,
        // What was mounted there has failed.
        Errno::STALE,
        Errno::NOTCONN,
        Errno::NODEV,
        Errno::NXIO,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| NOWHERE.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, remove_dir, rename};
    use std::os::unix::fs::symlink;

    /// What `led` says, as text: the last name of the directory.
    fn shown(resolution: &Resolution) -> String {
        let last = |root: &Root| root.path().file_name().map(|name| name.to_owned());
        match resolution {
            Resolution::Unchanged(root) => format!("same {:?}", last(root).expect("a name")),
            Resolution::Changed(root) => format!("other {:?}", last(root).expect("a name")),
            Resolution::Missing(new) => format!("nowhere, new: {new}"),
        }
    }

    /// On this mount all is known to the kernel, or can be looked at.
    fn follow(root: &NamedRoot, now: Instant) -> Resolution {
        let resolution = root.resolve(now, Mounts::Own);
        resolution
            .or_else(|_| root.resolve(now, Mounts::All))
            .expect("all mounts may be looked at")
    }

    #[test]
    fn a_name_is_followed_within_a_second() {
        type Change = fn(&Path);
        let changes: [(&str, Change, &str); 9] = [
            ("nothing", |_| {}, "same \"r1\""),
            (
                "the link is switched",
                |at| {
                    symlink("r2", at.join("a/new")).expect("linked");
                    rename(at.join("a/new"), at.join("a/current")).expect("switched");
                },
                "other \"r2\"",
            ),
            (
                "what it leads to is gone",
                |at| remove_dir(at.join("a/r2")).expect("removed"),
                "nowhere, new: true",
            ),
            ("nothing", |_| {}, "nowhere, new: false"),
            (
                "it is made again",
                |at| create_dir(at.join("a/r2")).expect("made"),
                "other \"r2\"",
            ),
            (
                "it is replaced by another of the same name",
                |at| {
                    rename(at.join("a/r2"), at.join("a/old")).expect("moved");
                    create_dir(at.join("a/r2")).expect("made");
                },
                "other \"r2\"",
            ),
            (
                "the same directory has another path",
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
                "and is there again",
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

    /// A loop has to wait for nothing to know that nothing has changed.
    #[test]
    fn the_kernel_knows_by_heart_what_has_not_changed() {
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
