//! Busy clients beside idle ones.

use super::super::bench::{Measurement, Trial, small};
use super::super::company::Company;
use super::super::contestant::Needs;
use super::super::lab::Outcome;
use super::super::pace::Pace;
use super::generator_seconds;

const BUSY: usize = 8;

/// What all busy clients ask for together, in requests a second.
const RATE: f64 = 2000.0;

pub fn seconds(pace: &Pace, idle: u64) -> f64 {
    coming_seconds(idle) + 2.0 * generator_seconds(pace, idle)
}

/// About how long so many idle connections take to come and to go.
pub fn coming_seconds(idle: u64) -> f64 {
    0.1 + idle as f64 / 5000.0
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    // Two loads come one after the other, and the first one's connections may not be gone at once.
    let needs = Needs {
        connections: Some(trial.step + 3 * BUSY as u64),
        threads: None,
    };
    let server = trial.start("http", needs)?;
    let company = Company {
        idle: trial.step as usize,
        ..Company::default()
    };
    let company = trial.invite(&server, company)?;
    if let Some(why) = company.absent {
        return Ok(Measurement::none(why));
    }
    let closed = trial.load(server.address(), small(false), BUSY, None)?;
    let even = trial.load(server.address(), small(false), BUSY, Some(RATE))?;
    Ok(Measurement::of(&[
        ("requests_per_s", closed.per_second()),
        ("p50_us", even.p50_us),
        ("p99_us", even.p99_us),
        ("greatest_us", even.greatest_us),
        ("unanswered", even.unanswered as f64),
    ]))
}
