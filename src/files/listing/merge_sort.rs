//! A merge sort in slices: it sorts runs of about a hundred entries, then merges them in pairs.

use super::SortKey;
use super::budget::{BudgetError, Reservation};
use super::entries::{DirectoryEntry, Entries, EntryOffset};
use super::natural;
use std::cmp::Ordering;

/// How many entries are sorted without interruption: a tenth of a millisecond.
const RUN: usize = 128;

/// How many entries one unit of work sorts in a run, or merges.
const SORTED_PER_UNIT: usize = 2;
const MERGED_PER_UNIT: usize = 16;

/// An unfinished sort. Call [`step`](MergeSort::step) until it is done.
#[derive(Debug)]
pub(super) struct MergeSort {
    key: SortKey,
    /// The entries to sort, in sorted runs of `width` once all are here.
    offsets: Vec<EntryOffset>,
    /// The next entry to take.
    cursor: EntryOffset,
    /// The length of the sorted runs; 0 while they are being made.
    width: usize,
    /// The merged runs of this round; as long as `offsets` at its end.
    merged: Vec<EntryOffset>,
    /// How many entries of the left and the right run of the current pair are merged.
    taken: (usize, usize),
}

impl MergeSort {
    /// Begins to sort the entries, directories first.
    ///
    /// # Errors
    /// The budget has no memory left.
    pub fn begin(
        key: SortKey,
        entries: &Entries,
        reservation: &Reservation,
    ) -> Result<MergeSort, BudgetError> {
        reservation.grow(2 * size_of::<EntryOffset>() * entries.count)?;
        Ok(MergeSort {
            key,
            offsets: Vec::with_capacity(entries.count),
            cursor: 0,
            width: 0,
            merged: Vec::with_capacity(entries.count),
            taken: (0, 0),
        })
    }

    /// Does up to `work` units of work. Returns the entries in order once they are sorted.
    pub fn step(
        &mut self,
        entries: &Entries,
        reservation: &Reservation,
        work: &mut usize,
    ) -> Option<Vec<EntryOffset>> {
        while *work > 0 {
            if self.width == 0 {
                if !self.sort_run(entries) {
                    self.width = RUN;
                }
                *work = work.saturating_sub(RUN / SORTED_PER_UNIT);
            } else if self.width < self.offsets.len() {
                (0..MERGED_PER_UNIT).for_each(|_| self.merge_one(entries));
                *work -= 1;
            } else {
                drop(std::mem::take(&mut self.merged));
                reservation.shrink(size_of::<EntryOffset>() * entries.count);
                return Some(std::mem::take(&mut self.offsets));
            }
        }
        None
    }

    /// Takes a run of entries and sorts it. Returns false at the end.
    fn sort_run(&mut self, entries: &Entries) -> bool {
        let begin = self.offsets.len();
        while self.offsets.len() < begin + RUN
            && let Some((offset, _)) = entries.next(&mut self.cursor)
        {
            self.offsets.push(offset);
        }
        let key = self.key;
        let compare =
            |a: &EntryOffset, b: &EntryOffset| compare(entries.at(*a), entries.at(*b), key);
        self.offsets[begin..].sort_unstable_by(compare);
        self.offsets.len() == begin + RUN
    }

    /// Merges one entry of the current pair of runs. Does nothing once one run is left.
    fn merge_one(&mut self, entries: &Entries) {
        let count = self.offsets.len();
        if self.width >= count {
            return;
        }
        let (from_left, from_right) = self.taken;
        let begin = self.merged.len() - from_left - from_right;
        let middle = (begin + self.width).min(count);
        let end = (middle + self.width).min(count);
        let (left, right) = (begin + from_left, middle + from_right);
        let is_left_next = match (left < middle, right < end) {
            (true, true) => {
                let [left, right] = [left, right].map(|at| entries.at(self.offsets[at]));
                compare(left, right, self.key) != Ordering::Greater
            }
            (is_left, _) => is_left,
        };
        let (next, taken) = match is_left_next {
            true => (left, (from_left + 1, from_right)),
            false => (right, (from_left, from_right + 1)),
        };
        self.merged.push(self.offsets[next]);
        self.taken = taken;
        if self.merged.len() == end {
            self.taken = (0, 0);
        }
        if self.merged.len() == count {
            std::mem::swap(&mut self.offsets, &mut self.merged);
            self.merged.clear();
            self.width *= 2;
        }
    }
}

/// Compares two entries for ascending order. They are never equal, because names differ.
fn compare(a: DirectoryEntry<'_>, b: DirectoryEntry<'_>, key: SortKey) -> Ordering {
    let by_key = match key {
        SortKey::Name => Ordering::Equal,
        SortKey::Size => a.size.cmp(&b.size),
        SortKey::Time => a.modified.cmp(&b.modified),
    };
    let directories_first = b.is_directory.cmp(&a.is_directory);
    directories_first
        .then(by_key)
        .then_with(|| natural::compare(a.name, b.name))
}

/// Converts `index` in the requested order to an index in ascending order. The first `directories`
/// of `count` entries are directories, and they come first in descending order too.
pub(super) fn position(index: usize, count: usize, directories: usize, descending: bool) -> usize {
    match (descending, index < directories) {
        (false, _) => index,
        (true, true) => directories - 1 - index,
        (true, false) => count - 1 - (index - directories),
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::ListingBudget;
    use super::*;
    use std::sync::Arc;

    fn sorted(count: usize, key: SortKey, work_at_once: usize) -> (Vec<String>, Vec<String>) {
        let budget = Arc::new(ListingBudget::new(64 << 20));
        let reservation = Reservation::new(budget.clone());
        let mut entries = Entries::default();
        let mut random = fastrand::Rng::with_seed(count as u64);
        for number in 0..count {
            let name = format!("{:06}-{number:06}", random.u32(..1_000_000));
            let entry = DirectoryEntry {
                name: name.as_bytes(),
                is_directory: random.u8(..10) == 0,
                size: random.u64(..50),
                modified: random.u64(..1000),
            };
            entries.push(entry, &reservation).expect("room");
        }
        let before = budget.used();
        let mut sorting = MergeSort::begin(key, &entries, &reservation).expect("room");
        let offsets = loop {
            let mut work = work_at_once;
            if let Some(offsets) = sorting.step(&entries, &reservation, &mut work) {
                break offsets;
            }
        };
        assert_eq!(
            budget.used(),
            before + 4 * count,
            "the spare half is returned"
        );
        let text = |entry: DirectoryEntry<'_>| {
            let key = match key {
                SortKey::Name => 0,
                SortKey::Size => entry.size,
                SortKey::Time => entry.modified,
            };
            let name = String::from_utf8_lossy(entry.name);
            format!("{} {key:04} {name}", u8::from(!entry.is_directory))
        };
        let all: Vec<_> = offsets
            .iter()
            .map(|&offset| text(entries.at(offset)))
            .collect();
        let mut expected = all.clone();
        expected.sort_unstable();
        (all, expected)
    }

    #[test]
    fn any_number_of_entries_is_sorted_in_slices_of_any_size() {
        for count in [0, 1, 2, 127, 128, 129, 256, 385, 5000] {
            for key in [SortKey::Name, SortKey::Size, SortKey::Time] {
                for work_at_once in [1, 7, 512] {
                    let (all, expected) = sorted(count, key, work_at_once);
                    assert_eq!(all.len(), count);
                    assert!(
                        all == expected,
                        "{count} by {key:?}, {work_at_once} at once"
                    );
                }
            }
        }
    }

    #[test]
    fn descending_order_has_directories_first_too() {
        let order = |descending| -> Vec<_> {
            let offset = |index| position(index, 5, 2, descending);
            (0..5).map(offset).collect()
        };
        assert_eq!(order(false), [0, 1, 2, 3, 4]);
        assert_eq!(order(true), [1, 0, 4, 3, 2]);
    }
}
