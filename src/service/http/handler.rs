//! What answers requests.

use super::response::Response;
use crate::http1::{Request, StatusCode};
use crate::service::Sharing;
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
///     fn respond(&self, request: &Request<'_>, _: &Time) -> Response {
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
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response;

    /// The answer to what could not be understood, came too slowly or was too long.
    fn error_response(&self, status: StatusCode, _time: &Time) -> Response {
        Response::status(status)
    }

    /// What answers to different connections share: see [`Service::sharing`](crate::service::Service::sharing). Return
    /// [`Sharing::Nothing`] if no answer depends on what an earlier one changed.
    fn sharing(&self) -> Sharing {
        Sharing::Memory
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
    fn served_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// See [`Service::is_ready`](crate::service::Service::is_ready).
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }
}
