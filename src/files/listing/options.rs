//! The options of a directory listing.

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
    /// The bytes of the name.
    Name,
    /// The size.
    Size,
    /// The modification time.
    Time,
}

/// The options of a directory listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingOptions {
    /// The format of the page.
    pub format: Format,
    /// The sort key.
    pub key: SortKey,
    /// Largest or newest first.
    pub descending: bool,
}
