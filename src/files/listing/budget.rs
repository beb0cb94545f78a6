//! The memory budget of all directory listings.
//!
//! Processes share no memory to count in. For them, most of the budget is divided into units, each
//! represented by one byte of an empty file. A process owns the units whose bytes it has locked
//! (fcntl(2)). The kernel unlocks them however the process ends.

use crate::sys::untraced::memfd_create;
use crate::sys::{MemfdFlags, lock_byte};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Listings up to this size in bytes may use the whole budget. Larger ones leave a part of it free
/// ([`SPARE_PART`]). So clients that read large listings slowly do not block ordinary ones.
const SMALL: usize = 128 * 1024;

/// Large listings leave an eighth of the budget to small ones: this is the divisor.
const SPARE_PART: usize = 8;

/// The number of units in a shared budget, and the least size of a unit in bytes.
const UNITS: usize = 1024;
const LEAST_UNIT: usize = 8 * 1024;

/// A memory budget in bytes for all listings of one service.
#[derive(Debug)]
pub struct ListingBudget {
    limit: usize,
    used: AtomicUsize,
    /// The budget shared with other processes. `limit` is then the part that this process has
    /// alone.
    units: Option<SharedUnits>,
}

/// The part of a budget that processes share.
#[derive(Debug)]
struct SharedUnits {
    file: OwnedFd,
    /// The size of a unit in bytes.
    size: usize,
    /// The number of units.
    count: usize,
    /// The units that this process owns.
    held: Mutex<Vec<usize>>,
}

/// Why a listing gets no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetError {
    /// This listing would not fit even alone.
    TooLarge,
    /// Other listings use the memory at the moment.
    Busy,
}

/// The memory of one listing. Dropping this returns it to the budget.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<ListingBudget>,
    bytes: AtomicUsize,
}

impl ListingBudget {
    /// Creates a budget of `limit` bytes for one process.
    pub fn new(limit: usize) -> ListingBudget {
        ListingBudget {
            limit,
            used: AtomicUsize::new(0),
            units: None,
        }
    }

    /// Creates a budget of `limit` bytes for several processes. Call this before forking them. Each
    /// has a part of its own that the others cannot take.
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

    /// Reserves `bytes` for a listing that already has `own`.
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
        if !units.acquire(needed) {
            return Err(BudgetError::Busy);
        }
        self.used.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn release(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Relaxed) - bytes;
        if let Some(units) = &self.units {
            units.release_all_but(used.saturating_sub(self.limit).div_ceil(units.size));
        }
    }
}

impl SharedUnits {
    /// Acquires units until this process owns `needed`. Returns false if other processes own too
    /// many.
    fn acquire(&self, needed: usize) -> bool {
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

    /// Releases all units but `needed`.
    fn release_all_but(&self, needed: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() > needed {
            if let Some(number) = held.pop() {
                lock_byte(&self.file, number, false);
            }
        }
    }
}

impl Reservation {
    /// Creates an empty reservation.
    pub fn new(budget: Arc<ListingBudget>) -> Reservation {
        Reservation {
            budget,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Reserves more bytes. Call this before allocating them.
    pub fn grow(&self, bytes: usize) -> Result<(), BudgetError> {
        self.budget.take(self.bytes.load(Relaxed), bytes)?;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Returns reserved bytes. Call this after freeing them.
    pub fn shrink(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.budget.release(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(*self.bytes.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl ListingBudget {
        /// How many bytes are reserved.
        pub fn used(&self) -> usize {
            self.used.load(Relaxed)
        }
    }

    #[test]
    fn large_listings_leave_a_part_for_small_ones() {
        let budget = Arc::new(ListingBudget::new(8 * SMALL));
        let large = Reservation::new(budget.clone());
        assert_eq!(large.grow(7 * SMALL + 1), Err(BudgetError::TooLarge));
        assert_eq!(large.grow(4 * SMALL), Ok(()));
        let second = Reservation::new(budget.clone());
        assert_eq!(second.grow(4 * SMALL), Err(BudgetError::Busy));
        assert_eq!(second.grow(3 * SMALL), Ok(()));
        assert_eq!(second.grow(1), Err(BudgetError::Busy));
        let small = Reservation::new(budget.clone());
        assert_eq!(small.grow(SMALL), Ok(()));
        assert_eq!(
            Reservation::new(budget.clone()).grow(1),
            Err(BudgetError::Busy)
        );
        large.shrink(SMALL);
        assert_eq!(
            second.grow(1),
            Err(BudgetError::Busy),
            "that part is for small listings"
        );
        drop(small);
        assert_eq!(second.grow(1), Ok(()));
        drop((large, second));
        assert_eq!(budget.used(), 0);
    }

    /// A process's locks do not exclude the process itself. `tests/wire/listings.rs` tests them
    /// between processes.
    #[test]
    fn a_process_has_its_own_part_and_units() {
        let budget = Arc::new(ListingBudget::shared_by_processes(64 << 20, 40));
        let (own, units) = (budget.limit, budget.units.as_ref().expect("a memfd"));
        assert!(40 * own + units.count * units.size <= 64 << 20);
        assert!(40 * own + units.count * units.size > 63 << 20);
        let held = || units.held.lock().expect("no panic").len();
        let listing = Reservation::new(budget.clone());
        assert_eq!((listing.grow(own), held()), (Ok(()), 0));
        assert_eq!((listing.grow(1), held()), (Ok(()), 1));
        assert_eq!((listing.grow(10 * units.size), held()), (Ok(()), 11));
        assert_eq!(
            listing.grow(units.count * units.size),
            Err(BudgetError::TooLarge)
        );
        let second = Reservation::new(budget.clone());
        assert_eq!(
            second.grow(units.count * units.size - 1),
            Err(BudgetError::Busy)
        );
        listing.shrink(10 * units.size);
        drop(second);
        assert_eq!(held(), 1);
        drop(listing);
        assert_eq!((held(), budget.used()), (0, 0));
        let least = ListingBudget::shared_by_processes(64 * 1024, 10_000);
        assert_eq!(least.units.expect("a memfd").count, 7);
    }

    #[test]
    fn a_small_budget_serves_small_listings_only() {
        let budget = Arc::new(ListingBudget::new(SMALL / 2));
        let only = Reservation::new(budget);
        assert_eq!(only.grow(SMALL / 2 + 1), Err(BudgetError::TooLarge));
        assert_eq!(only.grow(SMALL / 2), Ok(()));
        assert_eq!(only.grow(1), Err(BudgetError::TooLarge));
        assert_eq!(only.grow(usize::MAX), Err(BudgetError::TooLarge));
    }
}
