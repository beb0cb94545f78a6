//! Closed loops: throughput, connections per second, large files.

use crate::bench::{Measurement, Trial, large_path, small};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::{CpuTime, Used};
use evserve_lab::load::{Asks, Seen};
use std::time::Duration;

/// The number of connections that request large files.
const LARGE_CONNECTIONS: usize = 8;

pub fn throughput(trial: &Trial<'_>) -> Outcome<Measurement> {
    let (seen, used) = run(trial, small(false), trial.step as usize)?;
    Ok(Measurement::of(&[
        ("requests_per_s", seen.per_second()),
        ("cpu_us", per(used.total, seen.responses as f64)),
    ]))
}

pub fn connections(trial: &Trial<'_>) -> Outcome<Measurement> {
    let (seen, used) = run(trial, small(true), trial.step as usize)?;
    Ok(Measurement::of(&[
        ("connections_per_s", seen.per_second()),
        ("cpu_us", per(used.total, seen.responses as f64)),
    ]))
}

pub fn large(trial: &Trial<'_>) -> Outcome<Measurement> {
    let asks = Asks::Http {
        path: large_path(trial.step),
        bytes: trial.step as usize * 1024,
        close: false,
        pipelined: 1,
    };
    let (seen, used) = run(trial, asks, LARGE_CONNECTIONS)?;
    let mib = seen.bytes as f64 / f64::from(1 << 20);
    Ok(Measurement::of(&[
        ("mib_per_s", mib / seen.seconds),
        ("us_per_mib", per(used.total, mib)),
    ]))
}

/// Infinite without a count: such a value is no figure.
fn per(time: Duration, count: f64) -> f64 {
    time.as_secs_f64() * 1e6 / count
}

fn run(trial: &Trial<'_>, asks: Asks, connections: usize) -> Outcome<(Seen, Used)> {
    let needs = Needs {
        connections: Some(connections as u64 + 1),
        // The default pool: with more clients than threads it serves the first ones.
        threads: Some(64),
    };
    let server = trial.start("http", needs)?;
    let mut load = trial.begin_load(server.address(), asks, connections, None)?;
    let before = CpuTime::of_tree(server.id())?;
    let seen = trial.finish_load(&mut load)?;
    let used = CpuTime::of_tree(server.id())?.since(&before);
    Ok((seen, used))
}
