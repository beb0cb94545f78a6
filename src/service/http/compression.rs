//! Compresses a version of a file once, for the clients that ask for it.
//!
//! The first client that accepts a coding gets the file as it is, and starts a job on the background
//! thread. The result becomes a further representation of the same cache entry, as a compressed
//! sibling would be, and is dropped with it. A coding whose result is not a tenth smaller, or does
//! not fit into the cache, is not tried again soon for this version.

use super::recent_jobs::RecentJobs;
use super::representation::{Representation, Representations, value_cost};
use crate::background;
use crate::files::{CacheEntry, read_whole};
use crate::http1::{Coding, FileFields, Validators};
use crate::session::BodySource;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Instant;

#[cfg(feature = "compress")]
/// The quality of brotli. From 6 on it takes several times as long for a few per cent.
const BROTLI_QUALITY: i32 = 5;

#[cfg(feature = "compress")]
/// The base-2 logarithm of brotli's window, in bytes (RFC 7932 section 9.1): 4 MiB.
const BROTLI_WINDOW: i32 = 22;

type Entry = CacheEntry<Representations>;

/// The jobs of a site, and their results that the cache does not hold yet.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    has_results: AtomicBool,
    /// At most one for each job that can wait, since the next request takes them all.
    results: Mutex<Vec<Compressed>>,
    recent: Mutex<RecentJobs>,
    hasher: RandomState,
}

/// The result of a job.
#[derive(Debug)]
pub(super) struct Compressed {
    /// The name of the entry in the cache.
    pub name: Box<[u8]>,
    pub entry: Arc<Entry>,
    coding: Coding,
    content: Vec<u8>,
}

impl Compressor {
    /// Starts a job for a file that a client would rather have in this coding, unless there was one
    /// lately for the same version.
    pub fn start(self: &Arc<Self>, name: &[u8], entry: &Arc<Entry>, coding: Coding, now: Instant) {
        let plain = &entry.value[0];
        let Some(compressible) = plain.compressible.as_deref() else {
            return;
        };
        let is_remote = matches!(&plain.content, BodySource::File(file) if file.mount().is_some());
        if is_remote || !compressible.begin(coding) {
            return;
        }
        let version = &compressible.version;
        let times = (version.modified, version.changed);
        let identity = (name, version.inode, version.length, times, coding.name);
        // If another thread has the lock, a later request tries again.
        let Some(mut recent) = try_lock(&self.recent) else {
            return compressible.put_off(coding);
        };
        if !recent.begin(self.hasher.hash_one(identity), now) {
            return compressible.put_off(coding);
        }
        let (compressor, name, its_entry) = (self.clone(), name.into(), entry.clone());
        let job = move || {
            let plain = &its_entry.value[0];
            let content = compress(&plain.content, plain.length, coding);
            if let Some(content) = content.filter(|one| is_worth_it(one, plain.length)) {
                compressor.put(Compressed {
                    name,
                    entry: its_entry,
                    coding,
                    content,
                });
            }
        };
        // If too much waits now, a later request tries again.
        if !background::run(Box::new(job)) {
            recent.cancel_last();
            compressible.put_off(coding);
        }
    }

    fn put(&self, result: Compressed) {
        let mut results = self
            .results
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        results.push(result);
        self.has_results.store(true, Ordering::Release);
    }

    /// True if [`take`](Compressor::take) may return something.
    pub fn has_results(&self) -> bool {
        self.has_results.load(Ordering::Relaxed)
    }

    /// Takes the results for the cache. Does not wait: if a job is about to put one, there is a next
    /// time.
    pub fn take(&self) -> Vec<Compressed> {
        let Some(mut results) = try_lock(&self.results) else {
            return Vec::new();
        };
        self.has_results.store(false, Ordering::Relaxed);
        std::mem::take(&mut *results)
    }
}

/// Locks without waiting.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Compressed {
    /// The cache entry with this result as a further representation.
    pub fn into_entry(self) -> Option<Entry> {
        let old = &self.entry;
        let plain = &old.value[0];
        let compressible = plain.compressible.as_deref()?;
        let coding = self.coding;
        let validators =
            Validators::new(&compressible.version, compressible.tag_parts, coding.name);
        let length = self.content.len() as u64;
        let lines = FileFields::new(
            &validators,
            plain.vary,
            &compressible.more,
            plain.media_type,
            Some(coding.name),
            length,
        );
        let mut value = old.value.clone();
        let further = Representation {
            content: BodySource::Bytes(Arc::new(self.content)),
            length,
            coding: Some(coding),
            validators,
            lines,
            media_type: plain.media_type,
            vary: plain.vary,
            compressible: None,
        };
        value.try_push(Arc::new(further)).ok()?;
        Some(CacheEntry {
            cost: value_cost(&value),
            value,
            dependencies: old.dependencies.clone(),
            is_volatile: old.is_volatile,
        })
    }
}

/// At least a tenth shorter.
fn is_worth_it(content: &[u8], length: u64) -> bool {
    content.len() as u64 <= length / 10 * 9
}

/// Compresses the content. `None` if it cannot be read as long as it was.
fn compress(content: &BodySource, length: u64, coding: Coding) -> Option<Vec<u8>> {
    match content {
        BodySource::Bytes(content) => encode(content, coding),
        BodySource::File(file) => encode(&read_whole(file, length)?, coding),
    }
}

/// `None` without the feature `compress`.
#[cfg(not(feature = "compress"))]
fn encode(_: &[u8], _: Coding) -> Option<Vec<u8>> {
    None
}

#[cfg(feature = "compress")]
fn encode(content: &[u8], coding: Coding) -> Option<Vec<u8>> {
    use crate::http1::GZIP;
    use std::io::Write;

    let mut to = Vec::with_capacity(content.len() / 4);
    if coding == GZIP {
        let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::best());
        encoder.write_all(content).ok()?;
        to = encoder.finish().ok()?;
    } else {
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: BROTLI_QUALITY,
            lgwin: BROTLI_WINDOW,
            size_hint: content.len(),
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &content[..], &mut to, &parameters).ok()?;
    }
    to.shrink_to_fit();
    Some(to)
}
