//! Listings of directories, as responses.

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

/// How often it is logged that there is no memory for a listing: the same clients may ask all day.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// A directory as the request wants it listed, or the status to refuse with.
pub(super) fn answer(
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
        return Ok(listed(Response::without_content, order.format));
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

/// A directory is read, and its page made, slice by slice.
struct ListingTask {
    /// There is one until the answer is there.
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
                let pieces = |media_type| Response::pieces(Box::new(listing), media_type);
                Some(Ok(listed(pieces, format)))
            }
            Err(error) => {
                self.listing = None;
                Some(Err(refused_listing(error)))
            }
        }
    }
}

/// The status to refuse a listing with.
fn refused_listing(error: ListingError) -> StatusCode {
    match error {
        ListingError::Unreadable(kind) => {
            throttled!(Error, "cannot list a directory: {kind}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ListingError::TooLarge => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory: it has too many entries for --listing-bytes"
            );
            StatusCode::INSUFFICIENT_STORAGE
        }
        ListingError::Busy => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory now: other listings take all of --listing-bytes"
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

/// The response that `make` makes of a media type, with what belongs to a listing in this format.
fn listed(make: impl FnOnce(MediaType) -> Response, format: Format) -> Response {
    Response {
        vary: Some("Accept"),
        has_policy: format == Format::Html,
        ..make(format.media_type())
    }
}

/// How the request wants a directory listed: what its query says (`sort=name|size|time`, `order=asc|desc`,
/// `format=html|json|text`), else what its Accept field likes best.
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
    // The last of equals wins in `max_by_key`, and the first format is the one to prefer.
    let best = formats.into_iter().rev().max_by_key(weight);
    best.unwrap_or(Format::Html)
}
