//! The memory that all listings may take together.
//!
//! Processes share no memory to count in. There, most of the budget is cut into units, one for each byte of a file that
//! holds nothing, and a process has those that it has locked (fcntl(2)). The kernel unlocks them however it ends.

use crate::sys::untraced::memfd_create;
use crate::sys::{MemfdFlags, lock_byte};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Up to this size, in bytes, a listing may use the whole budget; a larger one leaves [`SPARE_PART`] of it. So clients
/// that read large listings slowly cannot keep others from listing ordinary directories.
const SMALL: usize = 128 * 1024;

/// The part of the budget that large listings leave to small ones: an eighth.
const SPARE_PART: usize = 8;

/// Into how many units the budget is cut that processes share, and the least that a unit is, in bytes.
const UNITS: usize = 1024;
const LEAST_UNIT: usize = 8 * 1024;

/// A budget in bytes, shared by all listings of one service.
#[derive(Debug)]
pub struct ListingBudget {
    limit: usize,
    used: AtomicUsize,
    /// What other processes may have too, beside the limit, which is then for this one alone.
    units: Option<SharedUnits>,
}

/// The part of a budget that processes share.
#[derive(Debug)]
struct SharedUnits {
    file: OwnedFd,
    /// How large one is, in bytes.
    size: usize,
    /// How many there are.
    count: usize,
    /// The numbers of those that this process has.
    held: Mutex<Vec<usize>>,
}

/// Why there is no more memory for a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetError {
    /// This listing does not fit the budget, not even alone.
    TooLarge,
    /// Other listings have the memory at the moment.
    Busy,
}

/// What one listing has taken of the budget; dropping it returns that.
#[derive(Debug)]
pub(super) struct Reservation {
    memory: Arc<ListingBudget>,
    bytes: AtomicUsize,
}

impl ListingBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> ListingBudget {
        ListingBudget {
            limit,
            used: AtomicUsize::new(0),
            units: None,
        }
    }

    /// The same for so many processes together, which are yet to be forked. Each has a part of its own that the others
    /// cannot take.
    pub fn shared_by_processes(limit: usize, processes: usize) -> ListingBudget {
        let own = limit / SPARE_PART / processes.max(1);
        let shared = limit - limit / SPARE_PART;
        let size = (shared / UNITS).max(LEAST_UNIT);
        match memfd_create(c"listings", MemfdFlags::CLOEXEC) {
            Ok(file) => ListingBudget {
                limit: own,
                used: AtomicUsize::new(0),
                units: Some(SharedUnits {
                    file,
                    size,
                    count: shared / size,
                    held: Mutex::default(),
                }),
            },
            Err(_) => ListingBudget::new(limit / processes.max(1)),
        }
    }

    /// Reserves `bytes` for a listing that has `own` already.
    fn take(&self, own: usize, bytes: usize) -> Result<(), BudgetError> {
        let total = own.saturating_add(bytes);
        if let Some(units) = &self.units {
            return self.take_units(units, total, bytes);
        }
        let most = match total <= SMALL {
            true => self.limit,
            false => self.limit - self.limit / SPARE_PART,
        };
        if total > most {
            return Err(BudgetError::TooLarge);
        }
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self.used.fetch_update(Relaxed, Relaxed, fits);
        taken.map(drop).map_err(|_| BudgetError::Busy)
    }
}

impl ListingBudget {
    fn take_units(
        &self,
        units: &SharedUnits,
        total: usize,
        bytes: usize,
    ) -> Result<(), BudgetError> {
        if total > self.limit + units.count * units.size {
            return Err(BudgetError::TooLarge);
        }
        let used = self.used.load(Relaxed).saturating_add(bytes);
        let needed = used.saturating_sub(self.limit).div_ceil(units.size);
        if !units.hold(needed) {
            return Err(BudgetError::Busy);
        }
        self.used.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn release(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Relaxed) - bytes;
        if let Some(units) = &self.units {
            units.keep(used.saturating_sub(self.limit).div_ceil(units.size));
        }
    }
}

impl SharedUnits {
    /// Has at least so many units. False if others have them.
    fn hold(&self, needed: usize) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = 0;
        while held.len() < needed {
            if number == self.count {
                return false;
            }
            if !held.contains(&number) && lock_byte(&self.file, number, true) {
                held.push(number);
            }
            number += 1;
        }
        true
    }

    /// Gives all but so many units back.
    fn keep(&self, needed: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() > needed {
            if let Some(number) = held.pop() {
                lock_byte(&self.file, number, false);
            }
        }
    }
}

impl Reservation {
    /// A reservation of nothing yet.
    pub fn new(memory: Arc<ListingBudget>) -> Reservation {
        Reservation {
            memory,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Reserves so many bytes more. Call this before allocating them.
    pub fn grow(&self, bytes: usize) -> Result<(), BudgetError> {
        self.memory.take(self.bytes.load(Relaxed), bytes)?;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Returns so many bytes of what was reserved. Call this after freeing them.
    pub fn shrink(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.memory.release(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.release(*self.bytes.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl ListingBudget {
        /// How much is reserved at the moment, in bytes.
        pub fn used(&self) -> usize {
            self.used.load(Relaxed)
        }
    }

    #[test]
    fn large_listings_leave_a_part_to_small_ones() {
        let memory = Arc::new(ListingBudget::new(8 * SMALL));
        let large = Reservation::new(memory.clone());
        assert_eq!(large.grow(7 * SMALL + 1), Err(BudgetError::TooLarge));
        assert_eq!(large.grow(4 * SMALL), Ok(()));
        let second = Reservation::new(memory.clone());
        assert_eq!(second.grow(4 * SMALL), Err(BudgetError::Busy));
        assert_eq!(second.grow(3 * SMALL), Ok(()));
        assert_eq!(second.grow(1), Err(BudgetError::Busy));
        let small = Reservation::new(memory.clone());
        assert_eq!(small.grow(SMALL), Ok(()));
        assert_eq!(
            Reservation::new(memory.clone()).grow(1),
            Err(BudgetError::Busy)
        );
        large.shrink(SMALL);
        assert_eq!(
            second.grow(1),
            Err(BudgetError::Busy),
            "the small one's part"
        );
        drop(small);
        assert_eq!(second.grow(1), Ok(()));
        drop((large, second));
        assert_eq!(memory.used(), 0);
    }

    /// The locks of a process do not exclude itself, so only a fork shows what others cannot have: see
    /// `tests/wire/listings.rs`.
    #[test]
    fn a_process_has_its_part_and_units_for_the_rest() {
        let memory = Arc::new(ListingBudget::shared_by_processes(64 << 20, 40));
        let (own, units) = (memory.limit, memory.units.as_ref().expect("a memfd"));
        assert!(40 * own + units.count * units.size <= 64 << 20);
        assert!(40 * own + units.count * units.size > 63 << 20);
        let held = || units.held.lock().expect("no panic").len();
        let listing = Reservation::new(memory.clone());
        assert_eq!((listing.grow(own), held()), (Ok(()), 0));
        assert_eq!((listing.grow(1), held()), (Ok(()), 1));
        assert_eq!((listing.grow(10 * units.size), held()), (Ok(()), 11));
        assert_eq!(
            listing.grow(units.count * units.size),
            Err(BudgetError::TooLarge)
        );
        let second = Reservation::new(memory.clone());
        assert_eq!(
            second.grow(units.count * units.size - 1),
            Err(BudgetError::Busy)
        );
        listing.shrink(10 * units.size);
        drop(second);
        assert_eq!(held(), 1);
        drop(listing);
        assert_eq!((held(), memory.used()), (0, 0));
        let least = ListingBudget::shared_by_processes(64 * 1024, 10_000);
        assert_eq!(least.units.expect("a memfd").count, 7);
    }

    #[test]
    fn a_small_budget_is_one_for_small_listings() {
        let memory = Arc::new(ListingBudget::new(SMALL / 2));
        let only = Reservation::new(memory);
        assert_eq!(only.grow(SMALL / 2 + 1), Err(BudgetError::TooLarge));
        assert_eq!(only.grow(SMALL / 2), Ok(()));
        assert_eq!(only.grow(1), Err(BudgetError::TooLarge));
        assert_eq!(only.grow(usize::MAX), Err(BudgetError::TooLarge));
    }
}
