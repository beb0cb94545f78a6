//! Chooses the entries of a listing whose names contain some words.
//!
//! Entries and their order are shared by all clients of a directory. What a client has alone is one
//! bit for each entry, taken from the budget of listings.

use super::Format;
use super::budget::{BudgetError, Reservation};
use super::entries::DirectoryEntry;
use super::filter::Filter;
use super::rows::write_row;
use super::shared_directory::BYTES_PER_UNIT;

/// How many bytes of names one unit of work compares.
const COMPARED_PER_UNIT: usize = 1024;

/// The chosen entries, by their index in the client's order.
#[derive(Debug)]
pub(super) struct Selection {
    chosen: Vec<u64>,
    /// How many entries were compared.
    compared: usize,
    /// How many are chosen.
    pub count: usize,
    /// The length of their rows, in bytes.
    pub length: u64,
    name: String,
    row: Vec<u8>,
}

impl Selection {
    /// Prepares to choose among `count` entries.
    ///
    /// # Errors
    /// The budget has no memory left.
    pub fn begin(count: usize, reservation: &Reservation) -> Result<Selection, BudgetError> {
        let words = count.div_ceil(64);
        reservation.grow(words * size_of::<u64>())?;
        Ok(Selection {
            chosen: vec![0; words],
            compared: 0,
            count: 0,
            length: 0,
            name: String::new(),
            row: Vec::new(),
        })
    }

    /// Does up to `work` units of work. Returns true once all entries were compared. `entry` returns
    /// an entry by its index, which is less than `count`.
    pub fn step<'a>(
        &mut self,
        filter: &Filter,
        format: Format,
        (count, entry): (usize, impl Fn(usize) -> DirectoryEntry<'a>),
        work: &mut usize,
    ) -> bool {
        while self.compared < count {
            if *work == 0 {
                return false;
            }
            let (mut bytes, mut written) = (0, 0);
            while self.compared < count && bytes < COMPARED_PER_UNIT {
                let entry = entry(self.compared);
                bytes += entry.name.len() * (1 + filter.count());
                if filter.matches(entry.name, &mut self.name) {
                    self.chosen[self.compared / 64] |= 1 << (self.compared % 64);
                    self.row.clear();
                    write_row(format, entry, self.count == 0, &mut self.row);
                    written += self.row.len();
                    self.count += 1;
                }
                self.compared += 1;
            }
            self.length += written as u64;
            *work = work.saturating_sub(bytes / COMPARED_PER_UNIT + written / BYTES_PER_UNIT);
        }
        true
    }

    /// The first chosen index from `from` on.
    pub fn next(&self, from: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.chosen.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = *self.chosen.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::ListingBudget;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn entries_are_chosen_in_slices() {
        let budget = Arc::new(ListingBudget::new(1 << 20));
        let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        for (text, work_at_once) in [("7", 1), ("7", 1000), ("x", 3), ("0", 3), ("999", 1)] {
            let reservation = Reservation::new(budget.clone());
            let filter = Filter::new(text).expect("a word");
            let mut selection = Selection::begin(1000, &reservation).expect("room");
            assert_eq!(budget.used(), 128);
            let entry = |index: usize| DirectoryEntry::new(names[index].as_bytes(), None);
            let mut slices = 1;
            while !selection.step(
                &filter,
                Format::Text,
                (1000, entry),
                &mut work_at_once.clone(),
            ) {
                slices += 1;
            }
            assert!(work_at_once > 1 || slices > 5, "{slices} slices");
            let (mut chosen, mut from) = (Vec::new(), 0);
            while let Some(index) = selection.next(from) {
                chosen.push(&*names[index]);
                from = index + 1;
            }
            let expected: Vec<_> = names.iter().filter(|name| name.contains(text)).collect();
            assert_eq!(chosen, expected);
            assert_eq!(selection.count, expected.len());
            let length: usize = expected.iter().map(|name| name.len() + 1).sum();
            assert_eq!(selection.length, length as u64);
        }
        assert_eq!(budget.used(), 0);
    }
}
