//! A document root as a handler.

use super::handler::{Handler, OpenRequests};
use super::response::{DeferredLookup, Response};
use super::site::Site;
use crate::config::{Config, StartError};
use crate::files::{Mounts, NamedRoot, RelativePath, Root};
use crate::http1::{Request, StatusCode};
use crate::offload;
use crate::service::Sharing;
use crate::session::Time;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A document root as a handler. A lookup that depends on other mounts than the root's, or on a
/// root that can hang, runs on a thread that may wait.
pub(super) struct FileHandler {
    site: Arc<Site>,
    /// True if a loop has asked for the [notifier](Handler::notifier).
    is_in_loop: AtomicBool,
}

impl FileHandler {
    pub fn new(named: NamedRoot, config: &Config) -> Result<FileHandler, StartError> {
        Ok(FileHandler {
            site: Arc::new(Site::new(named, config)?),
            is_in_loop: AtomicBool::new(false),
        })
    }

    /// The same lookup on all mounts.
    fn look_up(&self, request: &Request<'_>) -> DeferredLookup {
        let path = RelativePath::decode(request.target.path);
        let root = self.site.root.last_known();
        let mount = path.ok().zip(root).map(|(path, root)| root.mount_of(&path));
        let site = self.site.clone();
        DeferredLookup {
            mount: mount.unwrap_or_default(),
            look: Box::new(move |request, time| {
                let made = site.respond(request, time, Mounts::All);
                made.unwrap_or_else(|_| Response::status_text(StatusCode::FORBIDDEN))
            }),
        }
    }
}

impl Handler for FileHandler {
    /// Opens files but changes nothing.
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response {
        if let Some(response) = self.site.cached_response(request, time) {
            return response;
        }
        let response = self.site.respond(request, time, Mounts::Own);
        response.unwrap_or_else(|_| Response::lookup(self.look_up(request)))
    }

    /// Does without a configured page that is on another mount: there may be no request to wait for
    /// it.
    fn error_response(&self, status: StatusCode, time: &Time) -> Response {
        self.site.error_response(status, time)
    }

    fn open_requests(&self) -> OpenRequests {
        match self.site.options.cors {
            Some(_) => OpenRequests::Preflights,
            None => OpenRequests::None,
        }
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn about(&self) -> String {
        let root = self.site.root.last_known();
        let path = root.as_deref().map_or(self.site.root.name(), Root::path);
        path.display().to_string()
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.is_in_loop.store(true, Relaxed);
        self.site.cache.notifier(&*self.site.root.last_known()?)
    }

    fn notified(&self) {
        self.site.cache.notified();
    }

    fn served_paths(&self) -> Vec<PathBuf> {
        vec![self.site.root.name().to_owned()]
    }

    fn is_ready(&self, time: &Time) -> bool {
        match self.site.root(time, Mounts::Own) {
            Ok(root) => root.is_some(),
            // A loop must not wait: the next call returns the result.
            Err(_) if self.is_in_loop.load(Relaxed) => {
                let (site, time) = (self.site.clone(), time.clone());
                offload::run(0, Box::new(move || drop(site.root(&time, Mounts::All))));
                self.site.root.last_known().is_some()
            }
            Err(_) => matches!(self.site.root(time, Mounts::All), Ok(Some(_))),
        }
    }
}
