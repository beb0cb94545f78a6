//! Files that options name: the fallback and the error pages.

use super::error_page;
use crate::config::StartError;
use crate::files::{Dependencies, Lookup, Mounts, RelativePath, Root};
use crate::http1::Request;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The beginnings of the names under which configured files are cached. No target begins like them.
pub(super) const FALLBACK: &[u8] = b"fallback ";
pub(super) const ERROR_PAGE: &[u8] = b"error page ";

/// The name under which a configured file is cached.
pub(super) fn configured_name(prefix: &[u8], path: &RelativePath) -> Vec<u8> {
    [prefix, path.as_c_str().to_bytes()].concat()
}

/// Parses the path of an option, which is relative to the root and not percent-encoded. The file
/// must exist.
pub(super) fn configured_file(
    option: &str,
    text: &str,
    root: &Root,
) -> Result<Box<RelativePath>, StartError> {
    const IN_A_NAME: &AsciiSet = &CONTROLS.add(b'%');
    let encoded = percent_encode(text.as_bytes(), IN_A_NAME);
    let path = RelativePath::decode(format!("/{encoded}").as_bytes()).ok();
    let is_file = |path: &RelativePath| {
        let found = root.look_up(&mut path.clone(), &mut Dependencies::new(Mounts::All));
        matches!(found, Ok(Lookup::File(_)))
    };
    path.filter(is_file).map(Box::new).ok_or_else(|| {
        let root = root.path().display();
        StartError(format!("{option}: there is no such file in {root}"))
    })
}

/// True if a request is for a page: it asks for HTML, as browsers do for pages only, and its last
/// name has no extension. A path that is hidden, or is for programs (RFC 8615), is none.
pub(super) fn asks_for_page(request: &Request<'_>) -> bool {
    let Ok(path) = RelativePath::decode(request.target.path) else {
        return false;
    };
    let has_dot = path.names().last().is_some_and(|name| name.contains(&b'.'));
    let is_hidden = path.names().any(|name| name.starts_with(b"."));
    !has_dot && !is_hidden && request.accept.is_some_and(error_page::names_html)
}
