//! Busy clients beside idle ones.

use super::{generator_seconds, seconds_at};
use crate::background::BackgroundClients;
use crate::bench::{Measurement, Trial, small};
use crate::contestant::Needs;
use crate::pace::Pace;
use evserve_lab::Outcome;

const BUSY: usize = 8;

/// Requests per second of all busy clients together.
const RATE: f64 = 2000.0;

pub fn seconds(pace: &Pace, idle: u64) -> f64 {
    coming_seconds(idle) + generator_seconds(pace, idle) + seconds_at(pace, RATE)
}

/// About how long that many idle connections take to open and close.
pub fn coming_seconds(idle: u64) -> f64 {
    0.1 + idle as f64 / 5000.0
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    // Two loads follow each other, and the connections of the first may not be closed at once.
    let needs = Needs {
        connections: Some(trial.step + 3 * BUSY as u64),
        threads: None,
    };
    let server = trial.start("http", needs)?;
    let clients = BackgroundClients {
        idle: trial.step as usize,
        ..BackgroundClients::default()
    };
    let clients = trial.connect_background(&server, clients)?;
    if let Some(why) = clients.missing {
        return Ok(Measurement::none(why));
    }
    let closed = trial.load(server.address(), small(false), BUSY, None)?;
    let even = trial.load(server.address(), small(false), BUSY, Some(RATE))?;
    Ok(Measurement::of(&[
        ("requests_per_s", closed.per_second()),
        ("greatest_us", even.greatest_us),
        ("unanswered", even.unanswered as f64),
    ])
    .with_percentiles(&even))
}
