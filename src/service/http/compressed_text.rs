//! Texts that the server makes itself, compressed with gzip: listings, and the pages of the status.
//!
//! A listing is compressed for one client, because another one may find the directory changed. That
//! is done on a thread that also waits for file systems, so no loop waits for it. How many listings
//! wait for that is bounded; further ones are sent as they are.

use super::compressible::is_compressible;
use super::remaining_body::GeneratedBody;
use super::representation::MediaType;
use super::response::Response;
use crate::files::Listing;
use crate::http1::{GZIP, List, Request, accepted_codings};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The number that stands for compression where others identify a mount. No mount has it.
pub(super) const COMPRESSION: u64 = u64::MAX;

/// The most listings that are being compressed or wait for it, in the whole process.
const MAX_LISTINGS: usize = 32;

/// The size of a piece in bytes.
const PIECE: usize = 32 * 1024;

/// The line that says how a response is compressed.
const CONTENT_ENCODING: &[u8] = b"Content-Encoding: gzip\r\n";

/// How many listings are being compressed or wait for it.
static LISTINGS: AtomicUsize = AtomicUsize::new(0);

/// One of [`MAX_LISTINGS`].
#[derive(Debug)]
pub(super) struct CompressionPermit(());

/// A compressed listing. Its memory belongs to the budget of listings.
struct CompressedListing {
    content: Vec<u8>,
    sent: usize,
    /// Holds the reservation.
    _listing: crate::files::ListingMemory,
}

impl CompressionPermit {
    /// A permit to compress a listing of this type and length, if that may pay.
    pub fn take(media_type: &str, length: u64) -> Option<CompressionPermit> {
        let more = |count: usize| (count < MAX_LISTINGS).then_some(count + 1);
        let is_free = || LISTINGS.fetch_update(Relaxed, Relaxed, more).is_ok();
        (is_compressible(media_type, length) && is_free()).then_some(CompressionPermit(()))
    }
}

impl Drop for CompressionPermit {
    fn drop(&mut self) {
        LISTINGS.fetch_sub(1, Relaxed);
    }
}

/// True if a client accepts gzip.
pub(super) fn accepts_gzip(accept_encoding: Option<List<'_>>) -> bool {
    accept_encoding.is_some_and(|field| accepted_codings(field).any(|coding| coding == GZIP))
}

/// A response with a ready listing, compressed if that makes it shorter and there is memory for it.
/// Takes milliseconds.
pub(super) fn listing(mut listing: Box<Listing>, media_type: MediaType) -> Response {
    match compress_listing(&mut listing) {
        Some(content) => {
            let body = CompressedListing {
                content,
                sent: 0,
                _listing: listing.into_memory(),
            };
            Response::generated(Box::new(body), media_type).with_line(CONTENT_ENCODING)
        }
        None => {
            listing.rewind();
            Response::generated(listing, media_type)
        }
    }
}

impl GeneratedBody for CompressedListing {
    fn left(&self) -> u64 {
        (self.content.len() - self.sent) as u64
    }

    fn next(&mut self, work: &mut usize) -> Vec<u8> {
        let end = self.content.len().min(self.sent + PIECE);
        let piece = self.content[self.sent..end].to_vec();
        self.sent = end;
        *work = work.saturating_sub(1);
        piece
    }
}

/// A text that stays the same while the server runs.
pub(in crate::service) struct FixedText {
    media_type: &'static str,
    plain: Vec<u8>,
    /// The same, compressed.
    gzip: Option<Vec<u8>>,
}

impl FixedText {
    /// Compresses the text now, if asked to.
    pub fn new(media_type: &'static str, text: impl Into<Vec<u8>>, compress: bool) -> FixedText {
        let plain = text.into();
        let gzip = match compress {
            true => gzip(&plain),
            false => None,
        };
        FixedText {
            media_type,
            plain,
            gzip,
        }
    }

    /// The response to a request for it.
    pub fn respond(&self, request: &Request<'_>) -> Response {
        let response = match &self.gzip {
            Some(gzip) if accepts_gzip(request.accept_encoding) => {
                Response::bytes(self.media_type, gzip.clone()).with_line(CONTENT_ENCODING)
            }
            _ => Response::bytes(self.media_type, self.plain.clone()),
        };
        Response {
            vary: self.gzip.is_some().then_some("Accept-Encoding"),
            ..response
        }
    }
}

#[cfg(not(feature = "compress"))]
fn gzip(_: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(feature = "compress")]
fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

#[cfg(not(feature = "compress"))]
fn compress_listing(_: &mut Listing) -> Option<Vec<u8>> {
    None
}

/// Reserves the memory for the result as it grows.
#[cfg(feature = "compress")]
fn compress_listing(listing: &mut Listing) -> Option<Vec<u8>> {
    use std::io::Write;

    let length = listing.left();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut reserved = 0;
    loop {
        let needed = encoder.get_ref().len() + PIECE;
        listing.reserve(needed.saturating_sub(reserved)).ok()?;
        reserved = reserved.max(needed);
        let piece = listing.write_piece(&mut usize::MAX.clone());
        if piece.is_empty() {
            break;
        }
        encoder.write_all(&piece).ok()?;
    }
    let mut content = encoder.finish().ok()?;
    content.shrink_to_fit();
    ((content.len() as u64) < length).then_some(content)
}
