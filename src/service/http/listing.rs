//! Directory listings as responses.

use super::compressed_text::{self, COMPRESSION, CompressionPermit, accepts_gzip};
use super::remaining_body::GeneratedBody;
use super::response::{Response, ResponseTask};
use crate::files::{
    Filter, Format, Listing, ListingError, ListingOptions, Listings, Mounts, RelativePath, Root,
    SortKey, remote_mount,
};
use crate::http1::{List, Method, Request, StatusCode, Verdict, media_weight};
use crate::observe::throttled;
use percent_encoding::percent_decode;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// The shortest time between two log lines about missing memory for listings. The same clients may
/// ask all day.
const LISTING_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A response with the listing of a directory, or the status to refuse with. With `compresses`, it
/// may depend on Accept-Encoding.
pub(super) fn respond(
    (listings, compresses): (&Listings, bool),
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
    let options = options(request);
    if request.method == Method::Head {
        let response = Response::without_content(options.format.media_type());
        return Ok(with_listing_fields(response, options.format, compresses));
    }
    let mount = match mounts {
        Mounts::Own => None,
        Mounts::All => remote_mount(&directory),
    };
    let root = root.clone();
    let listing = listings.begin(root, path, request.target.path, directory, mount, options);
    Ok(Response::task(Box::new(ListingTask {
        step: Step::Read(listing.map(Box::new)),
        compresses,
        accepts_gzip: compresses && accepts_gzip(request.accept_encoding),
    })))
}

/// Reads a directory and writes its listing, slice by slice.
struct ListingTask {
    step: Step,
    /// True if listings are compressed for those that accept it.
    compresses: bool,
    /// True if this one is.
    accepts_gzip: bool,
}

/// The next step of a task.
enum Step {
    Read(Result<Box<Listing>, ListingError>),
    /// The listing is ready. The next step takes milliseconds, on another thread.
    Compress(Box<Listing>, CompressionPermit),
    /// The response was returned.
    End,
}

impl ResponseTask for ListingTask {
    fn mount(&self) -> Option<u64> {
        match &self.step {
            Step::Read(listing) => listing.as_ref().ok()?.mount(),
            Step::Compress(..) => Some(COMPRESSION),
            Step::End => None,
        }
    }

    fn step(&mut self, work: &mut usize) -> Option<Result<Response, StatusCode>> {
        let (response, format) = match std::mem::replace(&mut self.step, Step::End) {
            Step::Read(Ok(mut listing)) => match listing.step(work) {
                Ok(true) => {
                    let format = listing.format();
                    let media_type = format.media_type();
                    if self.accepts_gzip
                        && let Some(permit) = CompressionPermit::take(media_type.0, listing.left())
                    {
                        self.step = Step::Compress(listing, permit);
                        return None;
                    }
                    (Response::generated(listing, media_type), format)
                }
                Ok(false) => {
                    self.step = Step::Read(Ok(listing));
                    return None;
                }
                Err(error) => return Some(Err(status_of(error))),
            },
            Step::Read(Err(error)) => return Some(Err(status_of(error))),
            Step::Compress(listing, _permit) => {
                let format = listing.format();
                (
                    compressed_text::listing(listing, format.media_type()),
                    format,
                )
            }
            Step::End => return None,
        };
        Some(Ok(with_listing_fields(response, format, self.compresses)))
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
fn with_listing_fields(response: Response, format: Format, compresses: bool) -> Response {
    Response {
        vary: Some(match compresses {
            true => "Accept, Accept-Encoding",
            false => "Accept",
        }),
        has_policy: format == Format::Html,
        ..response
    }
}

/// What a request asks for, by its query: `sort=name|size|time`, with a minus sign in front for
/// descending order (or `order=desc`), `q=WORDS`, `format=html|json|text`. Without a format its
/// Accept field counts.
fn options(request: &Request<'_>) -> ListingOptions {
    let query = request.target.query.unwrap_or_default();
    let value = |name: &[u8]| {
        let mut pairs = query.split(|&b| b == b'&');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
    };
    let sort = value(b"sort").unwrap_or_default();
    let (key, has_sign) = match sort.strip_prefix(b"-") {
        Some(key) => (key, true),
        None => (sort, false),
    };
    ListingOptions {
        format: match value(b"format") {
            Some(b"html") => Format::Html,
            Some(b"json") => Format::Json,
            Some(b"text") => Format::Text,
            _ => preferred_format(request.accept.unwrap_or(List::from(&b"*/*"[..]))),
        },
        key: match key {
            b"size" => SortKey::Size,
            b"time" => SortKey::Time,
            _ => SortKey::Name,
        },
        descending: match value(b"order") {
            Some(b"asc") => false,
            Some(b"desc") => true,
            _ => has_sign,
        },
        filter: value(b"q").and_then(|text| Filter::new(&form_value(text))),
    }
}

/// The value of a form's field, which a browser has encoded (URL Standard,
/// application/x-www-form-urlencoded).
fn form_value(encoded: &[u8]) -> String {
    let spaced: Vec<_> = encoded
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

fn preferred_format(accept: List<'_>) -> Format {
    let formats = [Format::Html, Format::Json, Format::Text];
    let weight = |format: &Format| media_weight(accept, format.media_type().0);
    // `max_by_key` returns the last of equals, and the first format is to win.
    let best = formats.into_iter().rev().max_by_key(weight);
    best.unwrap_or(Format::Html)
}
