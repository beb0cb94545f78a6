//! Opens certificates again when SIGHUP comes and when their files change, and warns of their end.
//!
//! This is done on a thread of its own, because a file system may answer late. The certificates of
//! the moment are replaced as a whole, and no loop waits for that. Whatever takes a lock that a
//! forked process could need is done [`without_forks`].

use super::certificates::{LoadedCertificates, file_states, warn_of_ends};
use super::reload::{Event, ReloadRequests, ReloadThread};
use crate::confine::directories_on_path;
use crate::model::without_forks;
use crate::sys::untraced::{accessat, inotify_add_watch, inotify_init, ready_now};
use crate::sys::{Access, AtFlags, CWD, CreateFlags, Errno, PollFlags, WatchFlags, WatchReader};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long nothing must happen to the files before they are opened again: a certificate and its
/// key are two files.
const QUIET: Duration = Duration::from_secs(1);

/// The longest wait for that.
const LONGEST_UNREST: Duration = Duration::from_secs(10);

/// How often to look at files without a notice, since some file systems give none, and to forget
/// the keys of past tickets.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often to warn of an end.
const WARN_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What opens the certificates again.
pub(super) struct Renewal {
    pub loaded: LoadedCertificates,
    pub requests: Arc<ReloadRequests>,
}

impl Renewal {
    pub fn new(loaded: LoadedCertificates) -> io::Result<Renewal> {
        Ok(Renewal {
            loaded,
            requests: Arc::new(ReloadRequests::new()?),
        })
    }

    /// Starts the thread.
    pub fn start(self) -> Option<ReloadThread> {
        let requests = self.requests.clone();
        requests.start("certificates", "a renewed certificate", move || self.run())
    }

    fn run(mut self) {
        let mut watched = WatchedFiles::new(&self.loaded.files);
        without_forks(|| watched.log_blind_spots());
        let mut warned = Instant::now();
        // A file may have changed before it was watched.
        let mut event = match file_states(&self.loaded.files) == self.loaded.states {
            true => Event::Time,
            false => Event::Change,
        };
        loop {
            match event {
                Event::Stop => return,
                Event::Change => self.wait_for_quiet(&watched),
                Event::Request => self.requests.take(),
                Event::Time => {}
            }
            // First the watch, then the look: no change is lost between them.
            watched = WatchedFiles::new(&self.loaded.files);
            let states = file_states(&self.loaded.files);
            let is_changed = states != self.loaded.states;
            self.loaded.states = states;
            if is_changed || matches!(event, Event::Request) {
                self.reload();
            }
            without_forks(|| {
                self.loaded.tls.forget_past_tickets();
                if warned.elapsed() >= WARN_INTERVAL {
                    warned = Instant::now();
                    warn_of_ends(&self.loaded.tls);
                }
            });
            event = self
                .requests
                .wait(watched.inotify.as_ref(), Some(CHECK_INTERVAL));
        }
    }

    fn reload(&self) {
        let tls = &self.loaded.tls;
        if self.loaded.files.is_empty() {
            return;
        }
        let reloaded = tls.reload();
        let denied = Errno::ACCESS.to_string();
        without_forks(|| {
            let wrong = tls.replace(reloaded);
            for why in &wrong {
                let hint = match why.ends_with(&denied) {
                    // The sandbox knows the directories that there were at the start.
                    true => ". If a directory was replaced, restart evserve",
                    false => "",
                };
                log::error!("{why}; the certificate that was loaded before stays in use{hint}");
            }
            if wrong.is_empty() {
                log::info!("the certificates have been opened again");
            }
            warn_of_ends(tls);
        });
    }

    /// Waits until nothing more happens to the files. Looks once per [`QUIET`], however busy their
    /// directory is.
    fn wait_for_quiet(&self, files: &WatchedFiles) {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_UNREST {
            files.drop_events();
            // A signal and the end are seen again by the next wait.
            let is_quiet = match self.requests.wait(None, Some(QUIET)) {
                Event::Time | Event::Change => !files.have_changed(),
                Event::Stop | Event::Request => true,
            };
            if is_quiet {
                return;
            }
        }
    }
}

/// Files, watched by their names: inotify(7) reports what happens in every directory that a name
/// leads through by a link, and in the last one.
struct WatchedFiles {
    inotify: Option<OwnedFd>,
    /// Files, and the directories of theirs that cannot be watched, and why.
    unwatched: Vec<(PathBuf, PathBuf, Errno)>,
}

impl WatchedFiles {
    fn new(files: &[PathBuf]) -> WatchedFiles {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        let mut watched = WatchedFiles {
            inotify: inotify_init(flags).ok().filter(|_| !files.is_empty()),
            unwatched: Vec::new(),
        };
        for file in files {
            let name = absolute(file).unwrap_or(file.clone());
            // Of a name that leads nowhere at the moment, at least its directory.
            let known = directories_on_path(&name)
                .unwrap_or_else(|_| name.parent().map(PathBuf::from).into_iter().collect());
            for directory in known {
                watched.add(&name, directory);
            }
        }
        watched
    }

    fn add(&mut self, file: &Path, directory: PathBuf) {
        let flags = WatchFlags::ONLYDIR
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let result = match &self.inotify {
            Some(inotify) => inotify_add_watch(inotify, &directory, flags),
            None => Err(Errno::MFILE),
        };
        let is_known = self
            .unwatched
            .iter()
            .any(|(_, known, _)| *known == directory);
        if let (Err(errno), false) = (result, is_known) {
            self.unwatched.push((file.into(), directory, errno));
        }
    }

    fn log_blind_spots(&self) {
        // The start has warned of files that cannot be read any more.
        let can_read = |file: &Path| accessat(CWD, file, Access::READ_OK, AtFlags::EACCESS).is_ok();
        let unwatched = self.unwatched.iter();
        for (_, directory, errno) in unwatched.filter(|(file, ..)| can_read(file)) {
            log::warn!(
                "changes in {} are not noticed: {errno}; send SIGHUP after a renewal",
                directory.display()
            );
        }
    }

    fn have_changed(&self) -> bool {
        let mut inotify = self.inotify.iter();
        inotify.any(|fd| ready_now(fd, PollFlags::IN).is_ok_and(|ready| !ready.is_empty()))
    }

    fn drop_events(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        if let Some(inotify) = &self.inotify {
            let mut events = WatchReader::new(inotify, &mut buffer);
            while matches!(events.next(), Ok(_) | Err(Errno::INTR)) {}
        }
    }
}
