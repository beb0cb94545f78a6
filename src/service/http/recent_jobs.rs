//! Which versions of files were compressed lately.
//!
//! A result that does not fit into the cache, or that other files soon push out of it, would be made
//! again for the next client. So each version is compressed at most once in [`INTERVAL`].

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// The shortest time between two jobs for a version and a coding.
const INTERVAL: Duration = Duration::from_secs(600);

/// The most jobs that are remembered, about 40 bytes each. With more in an [`INTERVAL`], the oldest
/// ones are forgotten, and may be done again.
const MAX_JOBS: usize = 4096;

/// The jobs of the last [`INTERVAL`], each identified by a number.
#[derive(Debug, Default)]
pub(super) struct RecentJobs {
    known: HashSet<u64>,
    /// The same jobs, oldest first.
    begun: VecDeque<(u64, Instant)>,
}

impl RecentJobs {
    /// Returns true if this job was not begun lately, and remembers it from now on.
    pub fn begin(&mut self, job: u64, now: Instant) -> bool {
        while let Some((_, begun)) = self.begun.front()
            && now.saturating_duration_since(*begun) >= INTERVAL
        {
            self.forget_oldest();
        }
        if !self.known.insert(job) {
            return false;
        }
        if self.begun.len() == MAX_JOBS {
            self.forget_oldest();
        }
        self.begun.push_back((job, now));
        true
    }

    /// Forgets the job that was just begun, because it was not done.
    pub fn cancel_last(&mut self) {
        if let Some((job, _)) = self.begun.pop_back() {
            self.known.remove(&job);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((job, _)) = self.begun.pop_front() {
            self.known.remove(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_begun_once_in_a_while() {
        let (mut jobs, now) = (RecentJobs::default(), Instant::now());
        assert!(jobs.begin(1, now) && jobs.begin(2, now));
        assert!(!jobs.begin(1, now + INTERVAL / 2));
        assert!(jobs.begin(1, now + INTERVAL));
        jobs.cancel_last();
        assert!(jobs.begin(1, now + INTERVAL));
    }

    #[test]
    fn its_memory_is_bounded() {
        let (mut jobs, now) = (RecentJobs::default(), Instant::now());
        for job in 0..2 * MAX_JOBS as u64 {
            assert!(jobs.begin(job, now));
        }
        assert_eq!((jobs.known.len(), jobs.begun.len()), (MAX_JOBS, MAX_JOBS));
        assert!(!jobs.begin(MAX_JOBS as u64, now) && jobs.begin(0, now));
    }
}
