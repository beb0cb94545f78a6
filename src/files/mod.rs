//! The document root: from the path in a request to an open file that is certain to lie inside.
//!
//! This module knows neither sockets nor HTTP. It opens every file beneath the root's descriptor.

mod cache;
mod dependencies;
mod generated;
mod links;
mod listing;
mod mounts;
mod named_root;
mod open_file;
mod page;
mod path;
mod root;
mod single_file;
mod watch;

pub use cache::{Cache, CacheEntry, CacheLimits};
pub use dependencies::Dependencies;
pub use listing::{
    Filter, Format, Listing, ListingBudget, ListingError, ListingMemory, ListingOptions, Listings,
    SortKey,
};
pub use mounts::{Mounts, remote_mount};
pub use named_root::{NamedRoot, Resolution};
pub use open_file::{LookupError, OpenFile, read_whole, regular_file_length};
pub use page::{PAGE_POLICY, error_page};
pub use path::{PathError, RelativePath};
pub use root::{Lookup, Root};

use std::path::Path;

/// Returns the media type for a file name's extension, and the charset for text, assumed to be
/// UTF-8.
pub fn media_type(name: &Path) -> (&'static str, &'static str) {
    match mime_guess::from_path(name).first_raw() {
        Some(text) if text.starts_with("text/") => (text, "; charset=utf-8"),
        Some(other) => (other, ""),
        None => ("application/octet-stream", ""),
    }
}
