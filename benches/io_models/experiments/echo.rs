//! Echo: messages there and back.

use crate::bench::{Measurement, Trial};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::load::Asks;

const CLIENTS: usize = 16;
const MESSAGE_BYTES: usize = 64;

pub fn by_size(trial: &Trial<'_>) -> Outcome<Measurement> {
    measure(trial, trial.step as usize, CLIENTS)
}

pub fn by_connections(trial: &Trial<'_>) -> Outcome<Measurement> {
    measure(trial, MESSAGE_BYTES, trial.step as usize)
}

fn measure(trial: &Trial<'_>, bytes: usize, clients: usize) -> Outcome<Measurement> {
    // The limits are those by default: 64 threads, 40 processes.
    let server = trial.start("echo", Needs::default())?;
    let seen = trial.load(server.address(), Asks::Echo { bytes }, clients, None)?;
    Ok(Measurement::of(&[
        ("messages_per_s", seen.per_second()),
        (
            "mib_per_s",
            seen.per_second() * bytes as f64 / f64::from(1 << 20),
        ),
        (
            "answered_clients_percent",
            100.0 * seen.clients_answered as f64 / clients as f64,
        ),
    ])
    .with_percentiles(&seen))
}
