//! How a listing is to be made.

/// What a listing looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Html,
    /// For programs: an array of objects.
    Json,
    /// A name per line.
    Text,
}

impl Format {
    /// The media type, and its parameters.
    pub fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Format::Html => ("text/html", "; charset=utf-8"),
            Format::Json => ("application/json", ""),
            Format::Text => ("text/plain", "; charset=utf-8"),
        }
    }
}

/// What a listing is sorted by. Directories come first in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The bytes of the name.
    Name,
    /// The length.
    Size,
    /// The time of the last change.
    Time,
}

/// How a listing is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingOptions {
    /// What it looks like.
    pub format: Format,
    /// What it is sorted by.
    pub key: SortKey,
    /// The largest first.
    pub descending: bool,
}
