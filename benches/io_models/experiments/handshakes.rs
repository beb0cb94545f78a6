//! Connected clients beside new ones, each of which makes a TLS handshake.

use super::seconds_at;
use crate::bench::{GRACE, Measurement, Trial, small};
use crate::contestant::Needs;
use crate::pace::Pace;
use evserve_lab::Outcome;

pub const CONNECTED: usize = 64;

/// Requests per second of all connected clients together.
const RATE: f64 = 2000.0;

/// Connections that some models must be able to keep: the connected clients, and those that make a
/// handshake.
const CONNECTIONS: u64 = 128;

pub fn seconds(pace: &Pace, _step: u64) -> f64 {
    0.2 + seconds_at(pace, RATE)
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let needs = Needs {
        connections: Some(CONNECTIONS),
        threads: None,
    };
    let (server, encrypted) = trial.start_with_tls(needs)?;
    let new = match trial.step {
        0 => None,
        per_second => Some(trial.make_handshakes(encrypted, per_second as f64)?),
    };
    let seen = trial.load(server.address(), small(false), CONNECTED, Some(RATE))?;
    let made = new.map_or(Ok(0.0), |new| {
        new.end(GRACE)?
            .parse::<f64>()
            .map_err(Box::<dyn std::error::Error>::from)
    })?;
    Ok(Measurement::of(&[("handshakes_per_s", made)]).with_percentiles(&seen))
}
