//! Fast clients beside slow readers and silent ones.

use super::seconds_at;
use crate::background::BackgroundClients;
use crate::bench::{Measurement, Trial, large_path, small};
use crate::contestant::Needs;
use crate::pace::Pace;
use evserve_lab::Outcome;

const FAST: usize = 50;

/// Requests per second of all fast clients together. Each request has a new connection, because a
/// pool is made for short connections: 50 that stay open would be too many for it already.
const RATE: f64 = 1000.0;

/// Few, so that the steps exceed it.
const POOL: u64 = 8;

/// In KiB: more than all buffers between the server and a slow reader.
const LARGE_KIB: u64 = 16 * 1024;

pub fn seconds(pace: &Pace, _step: u64) -> f64 {
    0.1 + seconds_at(pace, RATE)
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let needs = Needs {
        connections: None,
        threads: Some(POOL),
    };
    let server = trial.start("http", needs)?;
    let clients = BackgroundClients {
        silent: trial.step as usize,
        slow: trial.step as usize,
        large: large_path(LARGE_KIB),
        ..BackgroundClients::default()
    };
    let _clients = trial.connect_background(&server, clients)?;
    let seen = trial.load(server.address(), small(true), FAST, Some(RATE))?;
    let asked = seen.latencies.max(1) as f64;
    Ok(Measurement::of(&[(
        "answered_percent",
        100.0 * (asked - seen.unanswered as f64) / asked,
    )])
    .with_percentiles(&seen))
}
