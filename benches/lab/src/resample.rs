//! The ratio of the medians of two runs, whose measurements are no pairs: by bootstrap.

use crate::statistics::{Interval, median};
use fastrand::Rng;

/// How often both lists are drawn again.
const DRAWS: usize = 2000;

/// The level of the interval. The bootstrap of so few values reaches less than it says: at 95 % it
/// can miss the true ratio in more than 5 of 100 cases, at 99 % in 2 at most (tests/coverage.rs).
const LEVEL: f64 = 0.99;

/// Fewer values than this have no interval.
pub const LEAST: usize = 6;

/// An interval of the ratio of the medians, `above` to `below`. The same lists give the same
/// interval. `None` for fewer than 6 values, or where a median below is 0.
pub fn ratio_of_medians(above: &[f64], below: &[f64]) -> Option<Interval> {
    if above.len().min(below.len()) < LEAST {
        return None;
    }
    let mut random = Rng::with_seed(20);
    let mut ratios = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let ratio = drawn_median(above, &mut random)? / drawn_median(below, &mut random)?;
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let tail = (DRAWS as f64 * (1.0 - LEVEL) / 2.0) as usize;
    let interval = Interval {
        low: ratios[tail],
        high: ratios[DRAWS - 1 - tail],
    };
    (interval.low.is_finite() && interval.high.is_finite()).then_some(interval)
}

/// The median of as many values, each drawn from all of them.
fn drawn_median(values: &[f64], random: &mut Rng) -> Option<f64> {
    let drawn: Vec<_> = (0..values.len())
        .map(|_| values[random.usize(..values.len())])
        .collect();
    median(&drawn)
}
