//! A handler of last resort behind a handler that answers only some requests.

use super::handler::{Handler, OpenRequests};
use super::response::Response;
use crate::http1::{Request, StatusCode};
use crate::service::Sharing;
use crate::session::Time;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Responds to some requests and leaves the others to a fallback: the first half of a [`Fallback`].
/// Closures implement it.
pub trait PartialHandler: Send + Sync {
    /// The response to a request, as for [`Handler::respond`]. `None` leaves the request to the
    /// fallback.
    fn try_respond(&self, request: &Request<'_>, time: &Time) -> Option<Response>;

    /// See [`Handler::sharing`].
    fn sharing(&self) -> Sharing {
        Sharing::Memory
    }

    /// What both serve, in a few words for the log. `None`: what the fallback says.
    fn about(&self) -> Option<String> {
        None
    }
}

impl<F> PartialHandler for F
where
    F: Fn(&Request<'_>, &Time) -> Option<Response> + Send + Sync,
{
    fn try_respond(&self, request: &Request<'_>, time: &Time) -> Option<Response> {
        self(request, time)
    }
}

/// Asks a partial handler first, then a full one. Error pages, notifications of changed files,
/// directories, readiness and names are those of the full handler.
///
/// ```
/// use evserve::config::Config;
/// use evserve::http1::Request;
/// use evserve::service::http::{self, Fallback, Response};
/// use evserve::session::Time;
///
/// # let config = Config::default();
/// let hello = |request: &Request<'_>, _: &Time| match request.target.path {
///     b"/hello" => Some(Response::text("Hello!\n")),
///     _ => None,
/// };
/// let service = http::service(Fallback::new(hello, http::files(&config)?), &config);
/// # Ok::<(), evserve::config::StartError>(())
/// ```
pub struct Fallback<P, H> {
    first: P,
    handler: H,
}

impl<P: PartialHandler, H: Handler> Fallback<P, H> {
    /// Requests go to `first`, then to `handler` if `first` returns `None`.
    pub fn new(first: P, handler: H) -> Fallback<P, H> {
        Fallback { first, handler }
    }
}

impl<P: PartialHandler, H: Handler> Handler for Fallback<P, H> {
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response {
        let response = self.first.try_respond(request, time);
        response.unwrap_or_else(|| self.handler.respond(request, time))
    }

    fn error_response(&self, status: StatusCode, time: &Time) -> Response {
        self.handler.error_response(status, time)
    }

    fn sharing(&self) -> Sharing {
        self.first.sharing().max(self.handler.sharing())
    }

    fn open_requests(&self) -> OpenRequests {
        self.handler.open_requests()
    }

    fn name(&self) -> &str {
        self.handler.name()
    }

    fn about(&self) -> String {
        let about = self.first.about();
        about.unwrap_or_else(|| self.handler.about())
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.handler.notifier()
    }

    fn notified(&self) {
        self.handler.notified();
    }

    fn served_paths(&self) -> Vec<PathBuf> {
        self.handler.served_paths()
    }

    fn is_ready(&self, time: &Time) -> bool {
        self.handler.is_ready(time)
    }
}

#[cfg(test)]
mod tests {
    /// The names of the methods in the block that starts with `begin`.
    fn methods<'a>(source: &'a str, begin: &str) -> Vec<&'a str> {
        let (_, block) = source.split_once(begin).expect("the block");
        let (block, _) = block.split_once("\n}\n").expect("its end");
        let names = block.split("\n    fn ").skip(1);
        names
            .map(|rest| rest.split('(').next().expect("a name"))
            .collect()
    }

    /// A [`Handler`](super::Handler) method with a default would compile even if `Fallback` forgot
    /// it.
    #[test]
    fn every_method_of_a_handler_is_forwarded() {
        let all = methods(include_str!("handler.rs"), "pub trait Handler");
        let here = methods(include_str!("fallback.rs"), "Handler for Fallback<P, H> {");
        assert!(all.contains(&"respond") && all.contains(&"served_paths"));
        assert_eq!(here, all);
    }
}
