//! The memory that all listings may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Up to this size, in bytes, a listing may use the whole budget; a larger one leaves [`SPARE_PART`] of it. So clients
/// that read large listings slowly cannot keep others from listing ordinary directories.
const SMALL: usize = 128 * 1024;

/// The part of the budget that large listings leave to small ones: an eighth.
const SPARE_PART: usize = 8;

/// A budget in bytes, shared by all listings of one service.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
}

/// Why there is no more memory for a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// This listing does not fit the budget, not even alone.
    TooLarge,
    /// Other listings have the memory at the moment.
    Busy,
}

/// What one listing has taken of the budget; dropping it returns that.
#[derive(Debug)]
pub(super) struct Reservation {
    memory: Arc<Memory>,
    bytes: AtomicUsize,
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Memory {
        Memory {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// How much is reserved at the moment, in bytes.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Reserves `bytes` for a listing that has `own` already.
    fn take(&self, own: usize, bytes: usize) -> Result<(), Shortage> {
        let total = own.saturating_add(bytes);
        let most = match total <= SMALL {
            true => self.limit,
            false => self.limit - self.limit / SPARE_PART,
        };
        if total > most {
            return Err(Shortage::TooLarge);
        }
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self.used.fetch_update(Relaxed, Relaxed, fits);
        taken.map(drop).map_err(|_| Shortage::Busy)
    }
}

impl Reservation {
    /// A reservation of nothing yet.
    pub fn new(memory: Arc<Memory>) -> Reservation {
        Reservation {
            memory,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Reserves so many bytes more. Call this before allocating them.
    pub fn grow(&self, bytes: usize) -> Result<(), Shortage> {
        self.memory.take(self.bytes.load(Relaxed), bytes)?;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Returns so many bytes of what was reserved. Call this after freeing them.
    pub fn shrink(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.memory.used.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_listings_leave_a_part_to_small_ones() {
        let memory = Arc::new(Memory::new(8 * SMALL));
        let large = Reservation::new(memory.clone());
        assert_eq!(large.grow(7 * SMALL + 1), Err(Shortage::TooLarge));
        assert_eq!(large.grow(4 * SMALL), Ok(()));
        let second = Reservation::new(memory.clone());
        assert_eq!(second.grow(4 * SMALL), Err(Shortage::Busy));
        assert_eq!(second.grow(3 * SMALL), Ok(()));
        assert_eq!(second.grow(1), Err(Shortage::Busy));
        let small = Reservation::new(memory.clone());
        assert_eq!(small.grow(SMALL), Ok(()));
        assert_eq!(
            Reservation::new(memory.clone()).grow(1),
            Err(Shortage::Busy)
        );
        large.shrink(SMALL);
        assert_eq!(second.grow(1), Err(Shortage::Busy), "the small one's part");
        drop(small);
        assert_eq!(second.grow(1), Ok(()));
        drop((large, second));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_small_budget_is_one_for_small_listings() {
        let memory = Arc::new(Memory::new(SMALL / 2));
        let only = Reservation::new(memory);
        assert_eq!(only.grow(SMALL / 2 + 1), Err(Shortage::TooLarge));
        assert_eq!(only.grow(SMALL / 2), Ok(()));
        assert_eq!(only.grow(1), Err(Shortage::TooLarge));
        assert_eq!(only.grow(usize::MAX), Err(Shortage::TooLarge));
    }
}
