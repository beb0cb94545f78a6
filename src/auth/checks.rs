//! Bounds how many passwords are checked at the same time: each takes 19 MiB and more.

use super::hashing::Memory;
use super::shared::{CHECKS, CheckTurn, Shared};
use std::mem::take;
use std::sync::{Condvar, Mutex, PoisonError};

/// The checks of this process.
#[derive(Debug)]
pub(super) struct Checks {
    /// The memory of those that are not under way.
    free: Mutex<Vec<Memory>>,
    ended: Condvar,
}

/// A check under way, until it is dropped.
pub(super) struct Turn<'a> {
    checks: &'a Checks,
    /// What the check before has left.
    pub memory: Memory,
    of_processes: Option<CheckTurn<'a>>,
}

impl Checks {
    pub fn new() -> Checks {
        let free = (0..CHECKS).map(|_| Memory::default()).collect();
        Checks {
            free: Mutex::new(free),
            ended: Condvar::new(),
        }
    }

    /// Waits until there are fewer than [`CHECKS`] checks, also those of other processes.
    pub fn begin<'a>(&'a self, shared: Option<&'a Shared>) -> Turn<'a> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.ended.wait_while(free, |free| free.is_empty());
        let memory = free.unwrap_or_else(PoisonError::into_inner).pop();
        Turn {
            checks: self,
            memory: memory.unwrap_or_default(),
            of_processes: shared.map(Shared::begin_check),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut memory = take(&mut self.memory);
        // Of many processes, each would keep its own. Frees it before another one begins.
        if self.of_processes.is_some() {
            memory = Memory::default();
        }
        let free = self.checks.free.lock();
        free.unwrap_or_else(PoisonError::into_inner).push(memory);
        self.checks.ended.notify_one();
    }
}
