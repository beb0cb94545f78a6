//! Directory listings as responses.

use super::remaining_body::GeneratedBody;
use super::representation::MediaType;
use super::response::{Response, ResponseTask};
use crate::files::{
    Format, Listing, ListingError, ListingOptions, Listings, Mounts, RelativePath, Root, SortKey,
    remote_mount,
};
use crate::http1::{List, Method, Request, StatusCode, Verdict, media_weight};
use crate::observe::throttled;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// The shortest time between two log lines about missing memory for listings. The same clients may
/// ask all day.
const LISTING_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A response with the listing of a directory, or the status to refuse with.
pub(super) fn respond(
    listings: &Listings,
    request: &Request<'_>,
    path: RelativePath,
    directory: OwnedFd,
    root: &Arc<Root>,
    mounts: Mounts,
) -> Result<Response, StatusCode> {
    match request.conditions.verdict_without_validators() {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(Response::not_modified()),
        Verdict::PreconditionFailed => return Err(StatusCode::PRECONDITION_FAILED),
    }
    let order = order(request);
    if request.method == Method::Head {
        return Ok(with_listing_fields(Response::without_content, order.format));
    }
    let mount = match mounts {
        Mounts::Own => None,
        Mounts::All => remote_mount(&directory),
    };
    let root = root.clone();
    let listing = listings.begin(root, path, request.target.path, directory, mount, order);
    Ok(Response::task(Box::new(ListingTask {
        listing: Some(listing),
    })))
}

/// Reads a directory and writes its listing, slice by slice.
struct ListingTask {
    /// `None` once the response was returned.
    listing: Option<Result<Listing, ListingError>>,
}

impl ResponseTask for ListingTask {
    fn mount(&self) -> Option<u64> {
        self.listing.as_ref()?.as_ref().ok()?.mount()
    }

    fn step(&mut self, work: &mut usize) -> Option<Result<Response, StatusCode>> {
        let ready = match &mut self.listing {
            Some(Ok(listing)) => listing.step(work),
            Some(Err(error)) => Err(*error),
            None => return None,
        };
        match ready {
            Ok(false) => None,
            Ok(true) => {
                let listing = self.listing.take()?.ok()?;
                let format = listing.format();
                let pieces = |media_type| Response::generated(Box::new(listing), media_type);
                Some(Ok(with_listing_fields(pieces, format)))
            }
            Err(error) => {
                self.listing = None;
                Some(Err(status_of(error)))
            }
        }
    }
}

/// The status for a listing that fails.
fn status_of(error: ListingError) -> StatusCode {
    match error {
        ListingError::Unreadable(kind) => {
            throttled!(Error, "cannot list a directory: {kind}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ListingError::TooLarge => {
            throttled!(
                every LISTING_LOG_INTERVAL,
                Warn,
                "cannot list a directory: it has too many entries for --listing-bytes"
            );
            StatusCode::INSUFFICIENT_STORAGE
        }
        ListingError::Busy => {
            throttled!(
                every LISTING_LOG_INTERVAL,
                Warn,
                "cannot list a directory now: other listings use all of --listing-bytes"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

impl GeneratedBody for Listing {
    fn left(&self) -> u64 {
        Listing::left(self)
    }

    fn next(&mut self, work: &mut usize) -> Vec<u8> {
        self.write_piece(work)
    }
}

/// Completes a response with the fields that listings in this format have.
fn with_listing_fields(make: impl FnOnce(MediaType) -> Response, format: Format) -> Response {
    Response {
        vary: Some("Accept"),
        has_policy: format == Format::Html,
        ..make(format.media_type())
    }
}

/// The format and order that a request asks for, by its query (`sort=name|size|time`,
/// `order=asc|desc`, `format=html|json|text`), else by its Accept field.
fn order(request: &Request<'_>) -> ListingOptions {
    let query = request.target.query.unwrap_or_default();
    let value = |name: &[u8]| {
        let mut pairs = query.split(|&b| b == b'&');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
    };
    ListingOptions {
        format: match value(b"format") {
            Some(b"html") => Format::Html,
            Some(b"json") => Format::Json,
            Some(b"text") => Format::Text,
            _ => preferred_format(request.accept.unwrap_or(List::from(&b"*/*"[..]))),
        },
        key: match value(b"sort") {
            Some(b"size") => SortKey::Size,
            Some(b"time") => SortKey::Time,
            _ => SortKey::Name,
        },
        descending: value(b"order") == Some(b"desc"),
    }
}

fn preferred_format(accept: List<'_>) -> Format {
    let formats = [Format::Html, Format::Json, Format::Text];
    let weight = |format: &Format| media_weight(accept, format.media_type().0);
    // `max_by_key` returns the last of equals, and the first format is to win.
    let best = formats.into_iter().rev().max_by_key(weight);
    best.unwrap_or(Format::Html)
}
