//! How long a measurement takes, and how often it is made.

use std::time::Duration;

/// One way to run the benchmark.
pub struct Pace {
    pub name: &'static str,
    pub rounds: u32,
    /// The time before a measurement, which does not count.
    pub warm_up: Duration,
    /// The length of a measurement with the benchmark's own generator.
    pub run: Duration,
    /// The length of a measurement with wrk, in whole seconds.
    pub wrk_seconds: u64,
    /// Whether each experiment takes all of its steps.
    pub all_steps: bool,
}

/// Shows that everything works. One round has no spread, and runs this short show little else.
pub const QUICK: Pace = Pace {
    name: "quick",
    rounds: 1,
    warm_up: Duration::from_millis(60),
    run: Duration::from_millis(240),
    wrk_seconds: 1,
    all_steps: false,
};

/// For results to keep.
pub const FULL: Pace = Pace {
    name: "full",
    rounds: 3,
    warm_up: Duration::from_millis(200),
    run: Duration::from_millis(800),
    wrk_seconds: 1,
    all_steps: true,
};

/// A 99th percentile needs 2,000 latencies. A random number of requests is due in a time, so a
/// tenth more are planned.
const ENOUGH_FOR_P99: f64 = 2200.0;

impl Pace {
    /// The length of a measurement at so many requests per second: long enough for a 99th percentile
    /// if the results are to be kept.
    pub fn run_at(&self, rate: f64) -> Duration {
        match self.all_steps {
            true => self.run.max(Duration::from_secs_f64(ENOUGH_FOR_P99 / rate)),
            false => self.run,
        }
    }
}
