//! How long a measurement takes, and how often it is made.

use std::time::Duration;

/// One way to run the benchmark.
pub struct Pace {
    pub name: &'static str,
    pub rounds: u32,
    /// What comes before a measurement and is not in it.
    pub warm_up: Duration,
    /// A measurement by the generator of this benchmark's own.
    pub run: Duration,
    /// A measurement by wrk, which knows whole seconds only.
    pub wrk_seconds: u64,
    /// Whether each experiment takes all of its steps.
    pub all_steps: bool,
}

/// To see whether everything works: one round shows no spread, and such short runs little of anything.
pub const QUICK: Pace = Pace {
    name: "quick",
    rounds: 1,
    warm_up: Duration::from_millis(60),
    run: Duration::from_millis(240),
    wrk_seconds: 1,
    all_steps: false,
};

/// To keep.
pub const FULL: Pace = Pace {
    name: "full",
    rounds: 3,
    warm_up: Duration::from_millis(200),
    run: Duration::from_millis(800),
    wrk_seconds: 1,
    all_steps: true,
};
