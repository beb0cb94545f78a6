//! Connected clients beside new ones, each of which makes a TLS handshake.

use crate::bench::{GRACE, Measurement, Trial, small};
use crate::contestant::Needs;
use evserve_lab::Outcome;

pub const CONNECTED: usize = 64;

/// Requests per second of all connected clients together.
const RATE: f64 = 2000.0;

/// Connections that some models must be able to keep: the connected clients, and those that make a
/// handshake.
const CONNECTIONS: u64 = 128;

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
    Ok(Measurement::of(&[
        ("p50_us", seen.p50_us),
        ("p99_us", seen.p99_us),
        ("handshakes_per_s", made),
    ]))
}
