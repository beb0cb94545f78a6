//! A thread that reads files again while the server runs: when SIGHUP comes, or when they change.
//!
//! It is a thread of its own because a file system may answer late; no loop waits for it.

use crate::sys::{EventFd, PollFd, PollFlags, poll_untraced};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// The stack of the thread, in bytes.
const STACK: usize = 256 * 1024;

/// What such a thread waits for.
pub(super) struct ReloadRequests {
    request: Arc<EventFd>,
    stop: Arc<EventFd>,
}

/// Ends the thread when it is dropped.
pub(super) struct ReloadThread(Arc<EventFd>);

/// What ended a wait.
pub(super) enum Event {
    Stop,
    Request,
    Change,
    Time,
}

impl ReloadRequests {
    pub fn new() -> io::Result<ReloadRequests> {
        Ok(ReloadRequests {
            request: Arc::new(EventFd::new()?),
            stop: Arc::new(EventFd::new()?),
        })
    }

    /// Set this to have the files read again.
    pub fn request(&self) -> Arc<EventFd> {
        self.request.clone()
    }

    /// Starts a thread. Without it, a restart is needed for `changes`.
    pub fn start(
        &self,
        name: &str,
        changes: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Option<ReloadThread> {
        let builder = Builder::new().name(name.into()).stack_size(STACK);
        match builder.spawn(run) {
            Ok(_) => Some(ReloadThread(self.stop.clone())),
            Err(error) => {
                log::warn!("cannot start a thread: {error}; {changes} needs a restart");
                None
            }
        }
    }

    /// Waits for a request, for the end, and until `changes` is readable. A request is returned again
    /// until it is [taken](ReloadRequests::take).
    pub fn wait(&self, changes: Option<&OwnedFd>, longest: Option<Duration>) -> Event {
        let mut watched = vec![
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::new(&self.request, PollFlags::IN),
        ];
        watched.extend(changes.map(|changes| PollFd::new(changes, PollFlags::IN)));
        if poll_untraced(&mut watched, longest).is_err() {
            return Event::Stop;
        }
        let mut ready = watched.iter().map(|one| !one.revents().is_empty());
        match ready.position(|is_ready| is_ready) {
            Some(0) => Event::Stop,
            Some(1) => Event::Request,
            Some(_) => Event::Change,
            None => Event::Time,
        }
    }

    /// Takes the request.
    pub fn take(&self) {
        self.request.clear();
    }
}

impl Drop for ReloadThread {
    fn drop(&mut self) {
        self.0.set();
    }
}
