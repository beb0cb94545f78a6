//! The options of a directory listing.

use super::filter::Filter;

/// The format of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page for people.
    Html,
    /// An array of objects.
    Json,
    /// One name per line.
    Text,
}

impl Format {
    /// The media type and its parameters.
    pub fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Format::Html => ("text/html", "; charset=utf-8"),
            Format::Json => ("application/json", ""),
            Format::Text => ("text/plain", "; charset=utf-8"),
        }
    }
}

/// The sort key. Directories always come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The name, as people expect it: numbers by value, letters without case and accents.
    Name,
    /// The size.
    Size,
    /// The modification time.
    Time,
}

/// The options of a directory listing.
#[derive(Clone, Debug)]
pub struct ListingOptions {
    /// The format of the page.
    pub format: Format,
    /// The sort key.
    pub key: SortKey,
    /// Largest or newest first.
    pub descending: bool,
    /// Which names to list; all without it.
    pub filter: Option<Filter>,
}

impl SortKey {
    /// The key as a query names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            SortKey::Name => "name",
            SortKey::Size => "size",
            SortKey::Time => "time",
        }
    }
}

impl ListingOptions {
    /// True for the order without a query.
    pub(super) fn is_default_order(&self) -> bool {
        self.key == SortKey::Name && !self.descending
    }
}
