//! How long a measurement takes, and how often it is made.

use std::time::Duration;

/// One way to run the benchmark.
pub struct Pace {
    pub name: &'static str,
    /// The number of rounds. An interval takes 6.
    pub rounds: u32,
    /// The same for claims with thousands of connections.
    pub crowd_rounds: u32,
    /// The number of connections that count as many.
    pub crowd: usize,
    /// The time before a measurement, which does not count.
    pub warm_up: Duration,
    /// The length of a measurement.
    pub run: Duration,
    /// How long many connections run.
    pub crowd_run: Duration,
}

/// For results to keep.
pub const FULL: Pace = Pace {
    name: "full",
    rounds: 12,
    crowd_rounds: 6,
    crowd: 10_000,
    warm_up: Duration::from_millis(100),
    run: Duration::from_millis(500),
    crowd_run: Duration::from_secs(2),
};

/// A first look.
pub const QUICK: Pace = Pace {
    name: "quick",
    rounds: 6,
    crowd_rounds: 1,
    crowd: 10_000,
    warm_up: Duration::from_millis(40),
    run: Duration::from_millis(100),
    crowd_run: Duration::from_millis(1000),
};

/// Shows that everything works.
pub const TEST: Pace = Pace {
    name: "test",
    rounds: 1,
    crowd_rounds: 1,
    crowd: 100,
    warm_up: Duration::from_millis(10),
    run: Duration::from_millis(20),
    crowd_run: Duration::from_millis(20),
};
