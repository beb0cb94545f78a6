//! How often the intervals of the benchmarks hold the truth, simulated: with few values, under
//! several distributions, and where a measurement is repeated until its interval is narrow.

#![allow(missing_docs)]

use evserve_lab::resample::ratio_of_medians;
use evserve_lab::statistics::{Interval, Verdict, interval_at, median, sequential_interval};
use fastrand::Rng;
use std::f64::consts::{LN_2, TAU};

/// The bounds of a step, as a full run has them.
const LEAST: usize = 6;
const MOST: usize = 24;
const WITHIN: f64 = 0.05;

/// How often each case is simulated. The shares below have a standard error of half a per cent.
const RUNS: usize = 2000;

/// Distributions of the logarithm of a ratio. Their median is 0.
const DISTRIBUTIONS: &[(&str, fn(&mut Rng) -> f64)] = &[
    ("log-normal", normal),
    ("skewed", |random| -(1.0 - random.f64()).ln() - LN_2),
    ("two humps, alike", |random| {
        let hump = if random.bool() { 2.0 } else { -2.0 };
        hump + normal(random) / 3.0
    }),
    ("two humps, one smaller", |random| {
        let hump = if random.f64() < 0.3 { 3.0 } else { 0.0 };
        // 0.2838 is the median of the rest.
        hump + normal(random) / 2.0 - 0.2838
    }),
];

fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos()
}

fn draw(random: &mut Rng, of: fn(&mut Rng) -> f64, scale: f64, count: usize) -> Vec<f64> {
    let value = |_| (scale * of(random)).exp();
    (0..count).map(value).collect()
}

/// In how many of 100 runs the interval contains the truth, which is 1.
fn share(mut run: impl FnMut() -> Interval) -> f64 {
    let hits = (0..RUNS).filter(|_| run().verdict() == Verdict::NoDifference);
    100.0 * hits.count() as f64 / RUNS as f64
}

/// Repeats a measurement until its interval is narrow, as a run does.
fn repeat(
    random: &mut Rng,
    of: fn(&mut Rng) -> f64,
    scale: f64,
    interval: fn(&[f64]) -> Option<Interval>,
) -> Interval {
    let mut values = draw(random, of, scale, LEAST);
    loop {
        let middle = median(&values).expect("there are some");
        let found = interval(&values).expect("there are enough");
        if values.len() == MOST || (found.high - found.low) / 2.0 / middle <= WITHIN {
            return found;
        }
        values.extend(draw(random, of, scale, 1));
    }
}

#[test]
fn an_interval_holds_the_truth_in_95_of_100_cases() {
    let mut random = Rng::with_seed(1);
    for count in [6, 8, 12] {
        for (name, of) in DISTRIBUTIONS {
            let found = share(|| {
                let values = draw(&mut random, *of, 0.1, count);
                sequential_interval(&values).expect("there are enough")
            });
            println!("{count} values, {name}: {found:.1} %");
            assert!(found >= 95.0, "{count} values, {name}: {found:.1} %");
        }
    }
}

/// This is also the A/A test: the truth is that there is no difference.
#[test]
fn it_does_so_where_narrow_intervals_end_the_repetition() {
    let mut random = Rng::with_seed(2);
    for scale in [0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2] {
        for (name, of) in DISTRIBUTIONS {
            let found = share(|| repeat(&mut random, *of, scale, sequential_interval));
            println!("scale {scale}, {name}: {found:.1} %");
            assert!(found >= 95.0, "scale {scale}, {name}: {found:.1} %");
        }
    }
}

/// Why it is not at 95 %, which would be enough for a number of values that is fixed before.
#[test]
fn an_interval_at_95_per_cent_does_not_where_narrow_ones_end_the_repetition() {
    let mut random = Rng::with_seed(3);
    let interval = |values: &[f64]| interval_at(values, 0.95);
    let found = share(|| repeat(&mut random, DISTRIBUTIONS[2].1, 0.04, interval));
    println!("two humps, alike: {found:.1} %");
    assert!(found < 93.0, "{found:.1} %");
}

/// Why it is no bootstrap.
#[test]
fn a_percentile_bootstrap_of_the_median_does_not_with_few_values() {
    let mut random = Rng::with_seed(4);
    for count in [6, 8, 12] {
        let found = share(|| {
            let values = draw(&mut random, normal, 0.1, count);
            let mut medians: Vec<_> = (0..200)
                .filter_map(|_| {
                    let again = (0..count).map(|_| values[random.usize(..count)]);
                    median(&again.collect::<Vec<_>>())
                })
                .collect();
            medians.sort_by(f64::total_cmp);
            Interval {
                low: medians[4],
                high: medians[195],
            }
        });
        println!("{count} values: {found:.1} %");
        assert!(found < 95.0, "{count} values: {found:.1} %");
    }
}

#[test]
fn the_ratio_of_two_medians_is_held_in_95_of_100_cases() {
    let mut random = Rng::with_seed(5);
    for count in [6, 8, 12] {
        for (name, of) in DISTRIBUTIONS {
            let hits = (0..400).filter(|_| {
                let (above, below) = (
                    draw(&mut random, *of, 0.1, count),
                    draw(&mut random, *of, 0.1, count),
                );
                ratio_of_medians(&above, &below).map(|found| found.verdict())
                    == Some(Verdict::NoDifference)
            });
            let found = hits.count() as f64 / 4.0;
            println!("{count} values, {name}: {found:.1} %");
            assert!(found >= 95.0, "{count} values, {name}: {found:.1} %");
        }
    }
}

#[test]
fn a_difference_of_10_per_cent_is_shown_when_the_interval_is_within_5() {
    let mut random = Rng::with_seed(6);
    let shown = (0..RUNS).filter(|_| {
        let mut values = draw(&mut random, normal, 0.03, 12);
        values.iter_mut().for_each(|value| *value *= 0.9);
        sequential_interval(&values).map(|found| found.verdict()) == Some(Verdict::Lower)
    });
    let shown = 100.0 * shown.count() as f64 / RUNS as f64;
    assert!(shown >= 95.0, "{shown:.1} %");
}
