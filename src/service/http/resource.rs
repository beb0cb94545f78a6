//! What a path leads to, ready to be sent: a file in one state, and its compressed siblings.

use crate::files::{CacheEntry, CacheLimits, Dependencies, OpenFile};
use crate::http1::{Coding, FileLines, FileVersion, List, TagParts, Validators, accepted};
use crate::offload;
use crate::session::{File, Source};
use arrayvec::ArrayVec;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

/// The longest file that is kept in memory, in bytes. Longer ones are sent by sendfile(2): one more system call costs
/// less than copying them.
const IN_MEMORY: u64 = 256 * 1024;

/// A file, and its siblings that have a coding.
#[derive(Debug)]
pub(super) struct Resource(ArrayVec<Representation, 4>);

/// One file, in one state.
#[derive(Debug)]
pub(super) struct Representation {
    pub content: Source,
    pub length: u64,
    pub media_type: (&'static str, &'static str),
    pub coding: Option<Coding>,
    pub validators: Validators,
    pub lines: FileLines,
}

/// A representation that was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    kept: Arc<CacheEntry<Resource>>,
    index: usize,
}

/// What a resource is made with.
pub(super) struct Maker<'a> {
    /// How much may be kept.
    pub limits: CacheLimits,
    /// Lines to add to every answer.
    pub more: &'a str,
    /// What entity tags are made of.
    pub tag_parts: TagParts,
    pub now: SystemTime,
}

impl Maker<'_> {
    /// A resource from the file and its siblings, and what was seen on the way to them.
    pub fn make(
        &self,
        file: OpenFile,
        siblings: ArrayVec<(Coding, OpenFile), 3>,
        dependencies: Dependencies,
    ) -> CacheEntry<Resource> {
        let media_type = file.media_type;
        let vary = vary(siblings.len());
        let mut kept = CacheEntry {
            value: Resource(ArrayVec::new()),
            dependencies,
            cost: CacheLimits { bytes: 0, files: 0 },
            fleeting: false,
        };
        let coded = siblings
            .into_iter()
            .map(|(coding, file)| (Some(coding), file));
        for (coding, file) in [(None, file)].into_iter().chain(coded) {
            let name = coding.map(|coding| coding.name);
            let variant = name.unwrap_or("");
            let length = file.length;
            let version = FileVersion {
                inode: file.inode,
                length,
                modified: file.generated.as_ref().map_or(file.modified, |_| self.now),
                changed: file.generated.as_ref().map_or(file.changed, |_| self.now),
                is_young: file.generated.is_some() || file.is_young(self.now),
            };
            let validators = Validators::new(&version, self.tag_parts, variant);
            let lines = FileLines::new(&validators, vary, self.more, media_type, name, length);
            let content = self.content(file, &mut kept);
            kept.cost.bytes += lines.size();
            kept.value.0.push(Representation {
                content,
                length,
                media_type,
                coding,
                validators,
                lines,
            });
        }
        kept
    }

    /// The content of a small file, if it need not be waited for; else the file.
    fn content(&self, mut file: OpenFile, kept: &mut CacheEntry<Resource>) -> Source {
        if let Some(content) = file.generated.take() {
            // The next moment it may say something else.
            kept.fleeting = true;
            kept.cost.bytes += content.len();
            file.close();
            return Source::Bytes(Arc::new(content));
        }
        kept.fleeting |= file.is_young(self.now);
        if file.length <= IN_MEMORY && self.limits.bytes > 0 {
            if let Some(content) = file.content_now() {
                kept.cost.bytes += content.len();
                file.close();
                return Source::Bytes(Arc::new(content));
            }
            // Once it has been sent it is in memory, and the next look finds it there.
            kept.fleeting = true;
        }
        kept.cost.files += 1;
        let file = match file.mount {
            None => File::local(file.file),
            Some(mount) => File::remote(file.file, mount, offload::close),
        };
        Source::File(Arc::new(file))
    }
}

impl Chosen {
    /// The representation that the client likes best, by its Accept-Encoding field.
    pub fn new(kept: Arc<CacheEntry<Resource>>, accept_encoding: Option<List<'_>>) -> Chosen {
        let all = &kept.value.0;
        let index = match accept_encoding {
            Some(field) if all.len() > 1 => accepted(field)
                .find_map(|coding| all.iter().position(|one| one.coding == Some(coding))),
            _ => None,
        };
        Chosen {
            index: index.unwrap_or(0),
            kept,
        }
    }

    /// What the choice depended on.
    pub fn vary(&self) -> Option<&'static str> {
        vary(self.kept.value.0.len() - 1)
    }

    /// The file itself.
    pub fn plain(kept: Arc<CacheEntry<Resource>>) -> Chosen {
        Chosen { kept, index: 0 }
    }
}

fn vary(siblings: usize) -> Option<&'static str> {
    (siblings > 0).then_some("Accept-Encoding")
}

impl Deref for Chosen {
    type Target = Representation;

    fn deref(&self) -> &Representation {
        &self.kept.value.0[self.index]
    }
}
