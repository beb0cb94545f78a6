//! The trait `Handler`, which makes responses.

use super::response::Response;
use crate::http1::{Request, StatusCode};
use crate::service::Sharing;
use crate::session::Time;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// The requests that need no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRequests {
    /// None.
    None,
    /// Those for this path.
    Path(&'static [u8]),
    /// The preflight requests of browsers, which carry no credentials (Fetch, "CORS-preflight
    /// fetch"). Their response must not depend on anything but the configuration.
    Preflights,
}

/// Responds to requests. All threads that serve it share it.
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
    /// Returns the response to a request. The request's body, if any, was read and dropped. Answer
    /// HEAD like GET: the session leaves out the content. Must not wait: a loop calls this between
    /// the turns of other connections.
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response;

    /// Returns the response to a request that was malformed, too slow or too long.
    fn error_response(&self, status: StatusCode, _time: &Time) -> Response {
        Response::status(status)
    }

    /// What responses to different connections share: see
    /// [`Service::sharing`](crate::service::Service::sharing). Return [`Sharing::Nothing`] if no
    /// response depends on what an earlier one changed.
    fn sharing(&self) -> Sharing {
        Sharing::Memory
    }

    /// The requests that are answered although the configuration asks for a password.
    fn open_requests(&self) -> OpenRequests {
        OpenRequests::None
    }

    /// A one-word name for the log.
    fn name(&self) -> &str {
        "http"
    }

    /// What is served, in a few words for the log.
    fn about(&self) -> String {
        "a custom handler".into()
    }

    /// See [`Service::notifier`](crate::service::Service::notifier).
    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// See [`Service::notified`](crate::service::Service::notified).
    fn notified(&self) {}

    /// See [`Service::served_paths`](crate::service::Service::served_paths).
    fn served_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// See [`Service::is_ready`](crate::service::Service::is_ready).
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }
}
