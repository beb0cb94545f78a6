//! What is kept of a file: one state of it, ready to be sent, and its compressed siblings.

use crate::files::{CacheEntry, CacheLimits, Dependencies, OpenFile};
use crate::http1::{Coding, FileFields, FileVersion, List, TagParts, Validators, accepted_codings};
use crate::offload;
use crate::session::{BodySource, File};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::SystemTime;

/// The longest file that is kept in memory, in bytes. Longer ones are sent by sendfile(2): one more system call costs
/// less than copying them.
const MAX_IN_MEMORY: u64 = 256 * 1024;

/// A media type and its parameters.
pub(super) type MediaType = (&'static str, &'static str);

/// A file, and behind it its siblings that have a coding.
pub(super) type Representations = ArrayVec<Arc<Representation>, 4>;

/// One file, in one state.
#[derive(Debug)]
pub(super) struct Representation {
    pub content: BodySource,
    pub length: u64,
    pub media_type: MediaType,
    pub coding: Option<Coding>,
    pub validators: Validators,
    pub lines: FileFields,
    /// What the choice of it depends on.
    pub vary: Option<&'static str>,
}

/// The representation that the client likes best, by its Accept-Encoding field.
pub(super) fn choose(
    all: &Representations,
    accept_encoding: Option<List<'_>>,
) -> Arc<Representation> {
    let coded = match accept_encoding {
        Some(field) if all.len() > 1 => accepted_codings(field)
            .find_map(|coding| all.iter().find(|one| one.coding == Some(coding))),
        _ => None,
    };
    coded.unwrap_or(&all[0]).clone()
}

/// What representations are made with.
pub(super) struct RepresentationBuilder<'a> {
    /// How much may be kept.
    pub limits: CacheLimits,
    /// Lines to add to every answer.
    pub more: &'a str,
    /// What entity tags are made of.
    pub tag_parts: TagParts,
    pub now: SystemTime,
}

impl RepresentationBuilder<'_> {
    /// What is kept of a file and its siblings, with what was seen on the way to them.
    pub fn make(
        &self,
        file: OpenFile,
        siblings: ArrayVec<(Coding, OpenFile), 3>,
        dependencies: Dependencies,
    ) -> CacheEntry<Representations> {
        let media_type = file.media_type;
        let vary = (!siblings.is_empty()).then_some("Accept-Encoding");
        let mut entry = CacheEntry {
            value: Representations::new(),
            dependencies,
            cost: CacheLimits { bytes: 0, files: 0 },
            is_volatile: false,
        };
        let coded = siblings
            .into_iter()
            .map(|(coding, file)| (Some(coding), file));
        for (coding, file) in [(None, file)].into_iter().chain(coded) {
            let name = coding.map(|coding| coding.name);
            let length = file.length;
            let validators = Validators::new(
                &self.version(&file),
                self.tag_parts,
                name.unwrap_or_default(),
            );
            let lines = FileFields::new(&validators, vary, self.more, media_type, name, length);
            let content = self.content(file, &mut entry);
            entry.cost.bytes += size_of::<Representation>() + lines.size();
            entry.value.push(Arc::new(Representation {
                content,
                length,
                media_type,
                coding,
                validators,
                lines,
                vary,
            }));
        }
        entry
    }

    /// What is generated has the version of the moment in which it was read.
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
            is_young: is_generated || file.is_recently_changed(self.now),
        }
    }

    /// The content of a small file, if it need not be waited for; else the file.
    fn content(&self, mut file: OpenFile, entry: &mut CacheEntry<Representations>) -> BodySource {
        if let Some(content) = file.generated.take() {
            // The next moment it may say something else.
            entry.is_volatile = true;
            entry.cost.bytes += content.len();
            file.close();
            return BodySource::Bytes(Arc::new(content));
        }
        entry.is_volatile |= file.is_recently_changed(self.now);
        if file.length <= MAX_IN_MEMORY && self.limits.bytes > 0 {
            if let Some(content) = file.content_now() {
                entry.cost.bytes += content.len();
                file.close();
                return BodySource::Bytes(Arc::new(content));
            }
            // Once it has been sent it is in memory, and the next look finds it there.
            entry.is_volatile = true;
        }
        entry.cost.files += 1;
        let file = match file.mount {
            None => File::local(file.file),
            Some(mount) => File::remote(file.file, mount, offload::close),
        };
        BodySource::File(Arc::new(file))
    }
}
