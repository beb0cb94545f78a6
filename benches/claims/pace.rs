//! How long a measurement takes, and how often it is made.

use evserve_lab::repetition::Rule;
use std::time::Duration;

/// One way to run the benchmark.
pub struct Pace {
    pub name: &'static str,
    /// How long all may take.
    pub budget: Duration,
    /// The numbers of rounds. An interval takes 6.
    pub rounds: Rule,
    /// The same for claims with thousands of connections.
    pub crowd_rounds: Rule,
    /// The number of connections that count as many.
    pub crowd: usize,
    /// The time before a measurement, which does not count.
    pub warm_up: Duration,
    /// The length of a measurement.
    pub run: Duration,
    /// How long many connections run.
    pub crowd_run: Duration,
}

/// Intervals within 5 % of the median are narrow enough.
const fn rounds(least: u32, most: u32) -> Rule {
    Rule {
        least,
        most,
        within: 0.05,
    }
}

/// For results to keep.
pub const FULL: Pace = Pace {
    name: "full",
    budget: Duration::from_secs(8 * 60),
    rounds: rounds(6, 16),
    crowd_rounds: rounds(6, 6),
    crowd: 10_000,
    warm_up: Duration::from_millis(100),
    run: Duration::from_millis(500),
    crowd_run: Duration::from_secs(2),
};

/// A first look.
pub const QUICK: Pace = Pace {
    name: "quick",
    budget: Duration::from_secs(60),
    rounds: rounds(6, 6),
    crowd_rounds: rounds(1, 1),
    crowd: 10_000,
    warm_up: Duration::from_millis(40),
    run: Duration::from_millis(100),
    crowd_run: Duration::from_millis(1000),
};

/// Shows that everything works.
pub const TEST: Pace = Pace {
    name: "test",
    budget: Duration::MAX,
    rounds: rounds(1, 1),
    crowd_rounds: rounds(1, 1),
    crowd: 100,
    warm_up: Duration::from_millis(10),
    run: Duration::from_millis(20),
    crowd_run: Duration::from_millis(20),
};
