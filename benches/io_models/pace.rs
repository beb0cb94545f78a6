//! How long a measurement takes, and how often it is made.

use evserve_lab::repetition::Rule;
use std::time::Duration;

/// One way to run the benchmark.
#[derive(Clone, Copy)]
pub struct Pace {
    pub name: &'static str,
    /// How often a step is measured.
    pub rule: Rule,
    /// The bound of the whole run. What it does not reach is left out, or has fewer rounds.
    pub budget: Duration,
    /// The time before a measurement, which does not count.
    pub warm_up: Duration,
    /// The length of a measurement.
    pub run: Duration,
    pub steps: Steps,
}

/// Which steps of an experiment are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    All,
    Few,
    First,
}

/// Shows that everything works. One round has no spread, and runs this short show little else.
pub const QUICK: Pace = Pace {
    name: "quick",
    rule: Rule {
        least: 1,
        most: 1,
        within: 0.05,
    },
    budget: Duration::from_secs(110),
    warm_up: Duration::from_millis(60),
    run: Duration::from_millis(240),
    steps: Steps::Few,
};

/// For results to keep.
pub const FULL: Pace = Pace {
    name: "full",
    rule: Rule {
        least: 6,
        most: 24,
        within: 0.05,
    },
    budget: Duration::from_secs(55 * 60),
    warm_up: Duration::from_millis(80),
    run: Duration::from_millis(250),
    steps: Steps::All,
};

/// Starts everything once. The figures mean nothing.
pub const TRY_OUT: Pace = Pace {
    warm_up: Duration::from_millis(10),
    run: Duration::from_millis(20),
    steps: Steps::First,
    ..QUICK
};

/// A 99th percentile needs 2,000 latencies. A random number of requests is due in a time, so a
/// tenth more are planned.
const ENOUGH_FOR_P99: f64 = 2200.0;

impl Pace {
    /// The length of a measurement at so many requests per second: long enough for a 99th percentile
    /// if the results are to be kept.
    pub fn run_at(&self, rate: f64) -> Duration {
        match self.steps {
            Steps::All => self.run.max(Duration::from_secs_f64(ENOUGH_FOR_P99 / rate)),
            Steps::Few | Steps::First => self.run,
        }
    }
}
