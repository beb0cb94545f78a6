//! Error pages for browsers, in place of the status as plain text.

use super::representation::MediaType;
use crate::files::error_page;
use crate::http1::{List, Request, StatusCode, media_weight};

/// The deepest path, in directories below the root, from which an error page links to the root.
const MAX_DEPTH: usize = 64;

pub(super) const MEDIA_TYPE: MediaType = ("text/html", "; charset=utf-8");

/// Returns the page if the client prefers HTML to plain text.
pub(super) fn html(status: StatusCode, request: &Request<'_>) -> Option<Vec<u8>> {
    if !request.accept.is_some_and(prefers_pages) {
        return None;
    }
    let (_, phrase) = status.text().trim_end().split_once(' ').unwrap_or_default();
    let to_root = relative_root(request.target.path);
    Some(error_page(status.code(), phrase, to_root.as_deref()).into_bytes())
}

/// True if an Accept field names HTML, and not only as one of all types.
pub(super) fn names_html(accept: List<'_>) -> bool {
    let mut lines = accept.lines();
    lines.any(|line| memchr::memmem::find(line, b"text/html").is_some())
        && media_weight(accept, "text/html") > 0
}

fn prefers_pages(accept: List<'_>) -> bool {
    names_html(accept) && media_weight(accept, "text/html") > media_weight(accept, "text/plain")
}

/// The relative reference from a request's URL to the root. A reverse proxy may serve the root
/// below a path of its own, where `/` would lead elsewhere. `None` for very deep paths, whose
/// reference would only make the page longer.
fn relative_root(path: &[u8]) -> Option<String> {
    let depth = memchr::memchr_iter(b'/', path).count().saturating_sub(1);
    (depth <= MAX_DEPTH).then(|| match depth {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    })
}
