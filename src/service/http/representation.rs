//! What is cached of a file: one version of it and of its compressed siblings, ready to be sent.

use super::compressible::{Compressible, is_compressible};
use crate::files::{CacheEntry, CacheLimits, Dependencies, OpenFile};
use crate::http1::{Coding, FileFields, FileVersion, List, TagParts, Validators, accepted_codings};
use crate::offload;
use crate::session::{BodySource, File};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::SystemTime;

/// The longest file that is kept in memory, in bytes. Longer ones are sent by sendfile(2): one more
/// system call costs less than the copy.
const MAX_IN_MEMORY: u64 = 256 * 1024;

/// A media type and its parameters.
pub(super) type MediaType = (&'static str, &'static str);

/// A file, then its compressed siblings.
pub(super) type Representations = ArrayVec<Arc<Representation>, 4>;

/// One version of one file.
#[derive(Debug)]
pub(super) struct Representation {
    pub content: BodySource,
    pub length: u64,
    pub media_type: MediaType,
    pub coding: Option<Coding>,
    /// What is needed to compress it, if that may pay.
    pub compressible: Option<Box<Compressible>>,
    pub validators: Validators,
    pub lines: FileFields,
    /// The Vary field: which request fields select among the representations.
    pub vary: Option<&'static str>,
}

/// The representation that the client prefers, by its Accept-Encoding field. And the coding that it
/// would prefer to that, if it can be made.
pub(super) fn choose(
    all: &Representations,
    accept_encoding: Option<List<'_>>,
) -> (Arc<Representation>, Option<Coding>) {
    let (plain, mut missing) = (&all[0], None);
    let compressible = plain.compressible.as_deref();
    if let Some(field) = accept_encoding.filter(|_| all.len() > 1 || compressible.is_some()) {
        for coding in accepted_codings(field) {
            if let Some(coded) = all.iter().find(|one| one.coding == Some(coding)) {
                return (coded.clone(), missing);
            }
            if missing.is_none() && compressible.is_some_and(|one| one.wants(coding)) {
                missing = Some(coding);
            }
        }
    }
    (plain.clone(), missing)
}

/// How much of a cache's limits the representations use.
pub(super) fn value_cost(all: &Representations) -> CacheLimits {
    let mut cost = CacheLimits { bytes: 0, files: 0 };
    for one in all {
        cost.bytes += size_of::<Representation>() + one.lines.size();
        if let Some(compressible) = &one.compressible {
            cost.bytes += size_of::<Compressible>() + compressible.more.len();
        }
        match &one.content {
            BodySource::Bytes(content) => cost.bytes += content.len(),
            BodySource::File(_) => cost.files += 1,
        }
    }
    cost
}

/// Makes representations of open files.
pub(super) struct RepresentationBuilder<'a> {
    /// How much may be cached.
    pub limits: CacheLimits,
    /// Header lines to add to every response.
    pub more: &'a str,
    /// The media type, if the configuration has one for it.
    pub media_type: Option<MediaType>,
    /// Compress texts that clients would rather have compressed.
    pub compresses: bool,
    /// The coding of the file itself, as in a picture of the type svgz.
    pub coding: Option<Coding>,
    /// It is sent instead of what was asked for, depending on the field Accept.
    pub is_fallback: bool,
    /// What entity tags consist of.
    pub tag_parts: TagParts,
    pub now: SystemTime,
}

impl RepresentationBuilder<'_> {
    /// Makes a cache entry of a file and its siblings. `dependencies` is what the lookup of the
    /// files depended on.
    pub fn build(
        &self,
        file: OpenFile,
        siblings: ArrayVec<(Coding, OpenFile), 3>,
        dependencies: Dependencies,
    ) -> CacheEntry<Representations> {
        let may_compress = self.compresses
            && siblings.is_empty()
            && self.coding.is_none()
            && is_compressible(self.media_type.unwrap_or(file.media_type).0, file.length);
        let vary = match (self.is_fallback, may_compress || !siblings.is_empty()) {
            (false, false) => None,
            (false, true) => Some("Accept-Encoding"),
            (true, false) => Some("Accept"),
            (true, true) => Some("Accept, Accept-Encoding"),
        };
        let mut media_type = self.media_type.unwrap_or(file.media_type);
        let mut entry = CacheEntry {
            value: Representations::new(),
            dependencies,
            cost: CacheLimits { bytes: 0, files: 0 },
            is_volatile: false,
        };
        let coded = siblings
            .into_iter()
            .map(|(coding, file)| (Some(coding), file));
        for (coding, file) in [(self.coding, file)].into_iter().chain(coded) {
            let name = coding.map(|coding| coding.name);
            let length = file.length;
            let version = self.version(&file);
            let validators = Validators::new(&version, self.tag_parts, name.unwrap_or_default());
            let sample = self.sample(&file, media_type);
            let content = self.content(file, &mut entry);
            if coding.is_none() && !media_type.1.is_empty() && !is_utf8(&sample, &content) {
                media_type.1 = "";
            }
            let lines = FileFields::new(&validators, vary, self.more, media_type, name, length);
            // One that is read again at the next request is not worth a job.
            let compressible = (may_compress && !entry.is_volatile)
                .then(|| Box::new(Compressible::new(version, self.tag_parts, self.more)));
            entry.value.push(Arc::new(Representation {
                content,
                length,
                media_type,
                coding,
                compressible,
                validators,
                lines,
                vary,
            }));
        }
        entry.cost = value_cost(&entry.value);
        entry
    }

    /// A generated file gets the current time as its version.
    fn version(&self, file: &OpenFile) -> FileVersion {
        let is_generated = file.generated.is_some();
        FileVersion {
            inode: file.inode,
            length: file.length,
            modified: if is_generated {
                self.now
            } else {
                file.modified
            },
            changed: if is_generated { self.now } else { file.changed },
            is_recently_changed: is_generated || file.is_recently_changed(self.now),
        }
    }

    /// The first bytes of a text that is too long to be kept in memory.
    fn sample(&self, file: &OpenFile, media_type: MediaType) -> ArrayVec<u8, SAMPLE> {
        let mut sample = ArrayVec::new();
        if !media_type.1.is_empty() && file.length > MAX_IN_MEMORY && file.generated.is_none() {
            let mut bytes = [0; SAMPLE];
            sample.extend(
                file.beginning_now(&mut bytes)
                    .unwrap_or_default()
                    .iter()
                    .copied(),
            );
        }
        sample
    }

    /// The content of a small file if it can be read without waiting; else the open file.
    fn content(&self, mut file: OpenFile, entry: &mut CacheEntry<Representations>) -> BodySource {
        if let Some(content) = file.generated.take() {
            // The file may be generated with other content at the next read.
            entry.is_volatile = true;
            file.close();
            return BodySource::Bytes(Arc::new(content));
        }
        entry.is_volatile |= file.is_recently_changed(self.now);
        if file.length <= MAX_IN_MEMORY && self.limits.bytes > 0 {
            if let Some(content) = file.content_now() {
                file.close();
                return BodySource::Bytes(Arc::new(content));
            }
            // After the file was sent it is in the page cache, and the next lookup reads it from
            // there.
            entry.is_volatile = true;
        }
        let file = match file.mount {
            None => File::local(file.file),
            Some(mount) => File::remote(file.file, mount, offload::close),
        };
        BodySource::File(Arc::new(file))
    }
}

/// How much of a large file shows whether it is UTF-8, in bytes.
const SAMPLE: usize = 4 * 1024;

/// False if the content of a text shows that it is no UTF-8. True if it cannot be read without
/// waiting.
fn is_utf8(sample: &[u8], content: &BodySource) -> bool {
    match (content, std::str::from_utf8(sample)) {
        (BodySource::Bytes(all), _) => std::str::from_utf8(all).is_ok(),
        (BodySource::File(_), Ok(_)) => true,
        // A character that the end of the sample cuts is no error.
        (BodySource::File(_), Err(error)) => error.error_len().is_none(),
    }
}
