//! HTTP/1.1 sessions, and the handlers that respond to requests.
//!
//! A [`Handler`] responds to requests; [`service`] makes a service of it. Static files are one
//! handler; [`Fallback`] puts a program's own responses before another handler.
//!
//! A response consists of three things: what is cached of a file (`Representation`), what is sent
//! for one request ([`Response`]), and the fields of its head
//! ([`ResponseHead`](crate::http1::ResponseHead), with those that the configuration adds in
//! `ConfiguredFields`).

mod access;
mod access_log_writer;
mod clean_urls;
mod compressed_text;
mod compressible;
mod compression;
mod configured_files;
mod content;
mod context;
mod deferred;
mod error_page;
mod exchange;
mod fallback;
mod fields;
mod file_handler;
mod handler;
mod head;
mod listing;
mod recent_jobs;
mod redirect;
mod remaining_body;
mod representation;
mod response;
mod rules;
mod session;
mod site;
mod state;

pub use fallback::{Fallback, PartialHandler};
pub use handler::{Handler, OpenRequests};
pub use redirect::redirects;
pub use response::Response;

pub(super) use compressed_text::FixedText;

use super::{Service, Sharing};
use crate::config::{Config, StartError};
use crate::files::NamedRoot;
use crate::session::{Session, Time, Transition};
use context::HttpContext;
use file_handler::FileHandler;
use session::HttpSession;
use state::TRANSITIONS;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

struct Http(Arc<HttpContext>);

/// Makes a service of a handler. Of `config` it uses the limits of requests, the fields to add, and
/// the access log.
pub fn service(handler: impl Handler + 'static, config: &Config) -> Arc<dyn Service> {
    Arc::new(Http(Arc::new(HttpContext::new(Box::new(handler), config))))
}

/// A handler that serves the files below `config.root`, by the http options of `config`.
///
/// # Errors
/// If the root or a configured file cannot be opened.
pub fn files(config: &Config) -> Result<impl Handler + use<>, StartError> {
    let indexes = config.http.indexes.clone();
    let root = NamedRoot::open(&config.root, indexes).map_err(|error| {
        StartError(match error.kind() {
            ErrorKind::Unsupported => format!("cannot serve {}: {error}", config.root.display()),
            _ => format!(
                "cannot serve {}: {error}; name a directory or a file that can be read",
                config.root.display()
            ),
        })
    })?;
    FileHandler::new(root, config)
}

pub(super) fn start(config: &Config) -> Result<Arc<dyn Service>, StartError> {
    Ok(service(files(config)?, config))
}

impl Service for Http {
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(HttpSession::new(self.0.clone(), peer))
    }

    fn turn_away(&self, peer: IpAddr) -> Option<Box<dyn Session>> {
        let session = HttpSession::refusing(self.0.clone(), peer);
        Some(Box::new(session))
    }

    fn sharing(&self) -> Sharing {
        self.0.handler.sharing()
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.0.handler.notifier()
    }

    fn notified(&self) {
        self.0.handler.notified();
    }

    fn served_paths(&self) -> Vec<PathBuf> {
        self.0.handler.served_paths()
    }

    fn is_ready(&self, time: &Time) -> bool {
        self.0.handler.is_ready(time)
    }

    fn transitions(&self) -> &'static [Transition] {
        TRANSITIONS
    }

    fn name(&self) -> &str {
        self.0.handler.name()
    }

    fn about(&self) -> String {
        self.0.handler.about()
    }

    fn url_scheme(&self) -> Option<&'static str> {
        Some("http")
    }
}
