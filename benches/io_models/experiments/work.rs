//! Small files beside pages that a handler computes.

use super::seconds_at;
use crate::bench::{Measurement, SMALL_BYTES, Trial, small};
use crate::computing::PATH;
use crate::pace::Pace;
use evserve_lab::Outcome;
use evserve_lab::load::{Asks, Beside, Orders};

/// The clients that request small files. With the others they fit into a pool of 64 threads and
/// into 40 processes, which are the defaults.
const CLIENTS: usize = 32;

/// The clients that request computed pages.
const COMPUTING: usize = 4;

/// Requests for small files per second.
const RATE: f64 = 10_000.0;

/// The expected seconds of a measurement.
pub fn seconds(pace: &Pace, _step: u64) -> f64 {
    0.1 + seconds_at(pace, RATE)
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = trial.start_computing()?;
    let beside = (trial.step > 0).then(|| Beside {
        asks: Asks::Http {
            path: PATH.to_owned(),
            bytes: SMALL_BYTES,
            close: false,
            pipelined: 1,
        },
        clients: COMPUTING,
        rate: trial.step as f64,
    });
    let mut load = trial.begin_orders(&Orders {
        address: server.address(),
        asks: small(false),
        clients: CLIENTS,
        rate: Some(RATE),
        warm_up: trial.pace.warm_up,
        run: trial.pace.run_at(RATE),
        beside,
    })?;
    let seen = trial.finish_load(&mut load)?;
    let mut figures = Vec::new();
    if let Some(computed) = &seen.beside {
        figures.push(("computed_per_s", computed.per_second()));
        figures.extend(computed.p50_us.map(|p50| ("computed_p50_us", p50)));
    }
    Ok(Measurement::of(&figures).with_percentiles(&seen))
}
