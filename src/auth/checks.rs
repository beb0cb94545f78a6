//! Bounds how many passwords are checked at the same time: each takes 19 MiB and more.

use super::shared::{CHECKS, CheckTurn, Shared};
use std::sync::{Condvar, Mutex, PoisonError};

/// The checks under way in this process.
#[derive(Debug, Default)]
pub(super) struct Checks {
    under_way: Mutex<usize>,
    ended: Condvar,
}

/// A check under way, until it is dropped.
pub(super) struct Turn<'a> {
    checks: &'a Checks,
    _of_processes: Option<CheckTurn<'a>>,
}

impl Checks {
    /// Waits until there are fewer than [`CHECKS`] checks, also those of other processes.
    pub fn begin<'a>(&'a self, shared: Option<&'a Shared>) -> Turn<'a> {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let under_way = self.ended.wait_while(under_way, |count| *count >= CHECKS);
        *under_way.unwrap_or_else(PoisonError::into_inner) += 1;
        Turn {
            checks: self,
            _of_processes: shared.map(Shared::begin_check),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let under_way = self.checks.under_way.lock();
        *under_way.unwrap_or_else(PoisonError::into_inner) -= 1;
        self.checks.ended.notify_one();
    }
}
