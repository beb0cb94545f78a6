//! What answers requests, and the forms in which an answer may take its time.

use super::response::Response;
use crate::http1::{Request, StatusCode};
use crate::session::Time;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Answers requests; shared by all threads that serve it.
///
/// ```
/// use evserve::http1::{Request, StatusCode};
/// use evserve::service::http::{Handler, Response};
/// use evserve::session::Time;
///
/// struct Hello;
///
/// impl Handler for Hello {
///     fn answer(&self, request: &Request<'_>, _: &Time) -> Response {
///         match request.target.path {
///             b"/" => Response::text("Hello!\n").header("X-Greeting", "yes"),
///             _ => Response::status(StatusCode::NOT_FOUND),
///         }
///     }
/// }
/// ```
pub trait Handler: Send + Sync {
    /// The answer to a request. Its body, if it had one, has been read and dropped. A HEAD request is answered like a
    /// GET; the content is left out later. This is called between others' turns, so it must not wait for anything.
    fn answer(&self, request: &Request<'_>, time: &Time) -> Response;

    /// The answer to what could not be understood, came too slowly or was too long.
    fn refusal(&self, status: StatusCode, _time: &Time) -> Response {
        Response::status(status)
    }

    /// What it is called, in a word for the log.
    fn name(&self) -> &str {
        "http"
    }

    /// What is served, in a few words for the log.
    fn about(&self) -> String {
        "a program's answers".into()
    }

    /// See [`Service::notifier`](crate::service::Service::notifier).
    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// See [`Service::notified`](crate::service::Service::notified).
    fn notified(&self) {}

    /// See [`Service::directories`](crate::service::Service::directories).
    fn directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// See [`Service::is_ready`](crate::service::Service::is_ready).
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }
}

/// Why there is no answer yet, and how it comes about.
pub(super) enum Deferred {
    /// It is made slice by slice.
    Task(Box<dyn Task>),
    /// What the answer is can be known only where one may wait for a file system.
    LookUp(LookUp),
}

/// An answer that takes longer to make than others should wait.
pub(super) trait Task: Send {
    /// A number for the mount that the next step may wait for, if it can hang: then it must be done where one may wait.
    fn mount(&self) -> Option<u64>;

    /// Does at most so much work, which is taken off; the answer, once it is there, or the status to refuse with. It is not
    /// called again after that.
    fn step(&mut self, work: &mut usize) -> Option<Result<Response, StatusCode>>;
}

/// A look-up that may wait for a file system.
pub(super) struct LookUp {
    /// A number for the mount that it may wait for.
    pub mount: u64,
    /// Answers the same request, however long that takes.
    pub look: Box<dyn FnOnce(&Request<'_>, &Time) -> Response + Send>,
}
