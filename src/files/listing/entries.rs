//! A directory's entries in packed form: 18 bytes each, plus the name.
//!
//! A `String` per name would take three times the memory, and freeing 200,000 of them would hold up
//! the loop too long.

use super::budget::{BudgetError, Reservation};
use crate::sys::{FileType, Stat};

/// The size of a chunk in bytes: an offset within it has 16 bits.
const CHUNK: usize = 64 * 1024;

/// The size of the first chunk, since most directories are small.
const FIRST_CHUNK: usize = 4 * 1024;

/// The most chunks: a chunk's number has 16 bits.
const MAX_CHUNKS: usize = 1 << 16;

/// The bytes before each name: the size, the modification time, and the length of the name with a
/// bit for directories.
const HEADER: usize = 18;
const DIRECTORY: u16 = 1 << 15;

/// The last second that HTTP's date format can express.
const LAST_SECOND: u64 = 253_402_300_799;

/// The position of an entry in [`Entries`]: the chunk's number and the offset within it.
pub(super) type EntryOffset = u32;

/// All entries, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Entries {
    chunks: Vec<Vec<u8>>,
    /// The number of entries.
    pub count: usize,
    /// The number of directories among them.
    pub directories: usize,
    /// The sum of the files' sizes in bytes, at most `u64::MAX`: sparse files can exceed it.
    pub bytes: u64,
}

/// An entry as a request for it would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryEntry<'a> {
    pub name: &'a [u8],
    pub is_directory: bool,
    /// In bytes; 0 for a directory.
    pub size: u64,
    /// In seconds since the epoch; 0 if unknown.
    pub modified: u64,
}

impl<'a> DirectoryEntry<'a> {
    /// Creates an entry. Without `stat`, only the name is known.
    pub fn new(name: &'a [u8], stat: Option<&Stat>) -> DirectoryEntry<'a> {
        let is_directory =
            stat.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let size = stat.filter(|_| !is_directory).map_or(0, |s| s.st_size);
        let seconds = stat.map_or(0, |stat| stat.st_mtime);
        DirectoryEntry {
            name,
            is_directory,
            size: u64::try_from(size).unwrap_or(0),
            modified: u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND),
        }
    }
}

impl Entries {
    /// Appends an entry.
    ///
    /// # Errors
    /// The budget has no memory left.
    pub fn push(
        &mut self,
        entry: DirectoryEntry<'_>,
        reservation: &Reservation,
    ) -> Result<(), BudgetError> {
        let length = HEADER + entry.name.len();
        let last = self.chunks.len().checked_sub(1);
        if last.is_none_or(|index| self.chunks[index].len() + length > chunk_size(index)) {
            if self.chunks.len() == MAX_CHUNKS {
                return Err(BudgetError::TooLarge);
            }
            let size = chunk_size(self.chunks.len());
            reservation.grow(size)?;
            self.chunks.push(Vec::with_capacity(size));
        }
        let kind = if entry.is_directory { DIRECTORY } else { 0 };
        let name_length = entry.name.len() as u16 | kind;
        let chunk = self.chunks.last_mut().expect("one was just added");
        chunk.extend_from_slice(&entry.size.to_ne_bytes());
        chunk.extend_from_slice(&entry.modified.to_ne_bytes());
        chunk.extend_from_slice(&name_length.to_ne_bytes());
        chunk.extend_from_slice(entry.name);
        self.count += 1;
        self.directories += usize::from(entry.is_directory);
        self.bytes = self.bytes.saturating_add(entry.size);
        Ok(())
    }

    /// The entry at an offset from [`next`](Entries::next).
    pub fn at(&self, offset: EntryOffset) -> DirectoryEntry<'_> {
        let chunk = &self.chunks[(offset >> 16) as usize];
        let (header, rest) = chunk[(offset & 0xffff) as usize..].split_at(HEADER);
        let number = |from: usize| {
            u64::from_ne_bytes(header[from..from + 8].try_into().expect("eight bytes"))
        };
        let name_length = u16::from_ne_bytes(header[16..].try_into().expect("two bytes"));
        DirectoryEntry {
            name: &rest[..usize::from(name_length & !DIRECTORY)],
            is_directory: name_length & DIRECTORY != 0,
            size: number(0),
            modified: number(8),
        }
    }

    /// Returns the entry at `cursor` and advances the cursor. Start with 0.
    pub fn next(&self, cursor: &mut EntryOffset) -> Option<(EntryOffset, DirectoryEntry<'_>)> {
        let mut index = (*cursor >> 16) as usize;
        let mut begin = (*cursor & 0xffff) as usize;
        if begin >= self.chunks.get(index)?.len() {
            (index, begin) = (index + 1, 0);
            self.chunks.get(index)?;
        }
        let offset = (index << 16 | begin) as EntryOffset;
        let entry = self.at(offset);
        let end = begin + HEADER + entry.name.len();
        // The end of a full chunk is the start of the next one.
        *cursor = ((index << 16) + end).try_into().unwrap_or(EntryOffset::MAX);
        Some((offset, entry))
    }
}

fn chunk_size(index: usize) -> usize {
    if index == 0 { FIRST_CHUNK } else { CHUNK }
}

#[cfg(test)]
mod tests {
    use super::super::budget::ListingBudget;
    use super::*;
    use std::sync::Arc;

    /// Sparse files can add up to more than 64 bits.
    #[test]
    fn sums_of_sizes_saturate() {
        let reservation = Reservation::new(Arc::new(ListingBudget::new(1 << 20)));
        let mut entries = Entries::default();
        for name in [&b"a"[..], b"b", b"c"] {
            let size = i64::MAX as u64;
            let entry = DirectoryEntry {
                size,
                ..DirectoryEntry::new(name, None)
            };
            entries.push(entry, &reservation).expect("room");
        }
        assert_eq!((entries.count, entries.bytes), (3, u64::MAX));
    }

    #[test]
    fn pushed_entries_are_read_back() {
        let budget = Arc::new(ListingBudget::new(16 << 20));
        let reservation = Reservation::new(budget.clone());
        let mut entries = Entries::default();
        let name = |number: usize| vec![b'n'; 1 + number % 255];
        for number in 0..5000 {
            let name = name(number);
            let entry = DirectoryEntry {
                name: &name,
                is_directory: number % 7 == 0,
                size: number as u64,
                modified: LAST_SECOND - number as u64,
            };
            entries.push(entry, &reservation).expect("room");
        }
        let (mut cursor, mut number) = (0, 0);
        while let Some((offset, entry)) = entries.next(&mut cursor) {
            let expected = DirectoryEntry {
                name: &name(number),
                is_directory: number % 7 == 0,
                size: number as u64,
                modified: LAST_SECOND - number as u64,
            };
            assert_eq!(
                (entry, entries.at(offset)),
                (expected, expected),
                "{number}"
            );
            number += 1;
        }
        assert_eq!((number, entries.directories), (5000, 715));
        assert!(budget.used() < 5000 * (HEADER + 128) + 2 * CHUNK);
    }

    #[test]
    fn without_memory_no_entry_is_added() {
        let budget = Arc::new(ListingBudget::new(FIRST_CHUNK + CHUNK));
        let reservation = Reservation::new(budget);
        let mut entries = Entries::default();
        let result = loop {
            if let Err(shortage) = entries.push(DirectoryEntry::new(b"a name", None), &reservation)
            {
                break shortage;
            }
        };
        assert_eq!(result, BudgetError::TooLarge);
        assert_eq!(entries.count, FIRST_CHUNK / 24 + CHUNK / 24);
    }
}
