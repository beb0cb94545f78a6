//! Which files may become shorter, and what is needed to compress them.

use crate::http1::{CODINGS, Coding, FileVersion, GZIP, TagParts};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

/// The lengths of files that are compressed, in bytes. A shorter one hardly saves a packet; a longer
/// one would occupy the thread for seconds.
const LENGTHS: RangeInclusive<u64> = 1024..=10 * 1024 * 1024;

/// The codings that are made here, best first.
const MADE: [Coding; 2] = [CODINGS[0], GZIP];

/// What is needed to make further representations of a file. It belongs to the one of the file as it
/// is.
#[derive(Debug)]
pub(super) struct Compressible {
    /// Whether the job of each coding has been started.
    begun: [AtomicBool; MADE.len()],
    pub version: FileVersion,
    pub tag_parts: TagParts,
    /// Header lines to add.
    pub more: Box<str>,
}

impl Compressible {
    pub fn new(version: FileVersion, tag_parts: TagParts, more: &str) -> Compressible {
        Compressible {
            begun: Default::default(),
            version,
            tag_parts,
            more: more.into(),
        }
    }

    /// True if this coding can be made and no job for it has been started.
    pub fn wants(&self, coding: Coding) -> bool {
        let index = MADE.iter().position(|one| *one == coding);
        index.is_some_and(|index| !self.begun[index].load(Ordering::Relaxed))
    }

    /// True once for each coding that can be made: start its job then.
    pub fn begin(&self, coding: Coding) -> bool {
        let index = MADE.iter().position(|one| *one == coding);
        index.is_some_and(|index| !self.begun[index].swap(true, Ordering::Relaxed))
    }

    /// Notes that the job of a coding could not be started, so that it is tried again.
    pub fn put_off(&self, coding: Coding) {
        if let Some(index) = MADE.iter().position(|one| *one == coding) {
            self.begun[index].store(false, Ordering::Relaxed);
        }
    }
}

/// True if a file of this type and length may become shorter.
pub(super) fn is_compressible(media_type: &str, length: u64) -> bool {
    const TEXTS: &[&str] = &[
        "json",
        "javascript",
        "xml",
        "wasm",
        "manifest",
        "x-sh",
        "rtf",
        "sql",
    ];
    let (kind, name) = media_type.split_once('/').unwrap_or_default();
    let is_text = match kind {
        "text" => true,
        "application" => TEXTS.iter().any(|text| name.contains(text)),
        "image" => matches!(name, "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon"),
        "font" => matches!(name, "ttf" | "otf"),
        _ => false,
    };
    is_text && LENGTHS.contains(&length)
}
