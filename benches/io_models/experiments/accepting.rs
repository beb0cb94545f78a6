//! Two loops that share an address: who gets the connections, and who is woken.

use super::{Variant, generator_seconds};
use crate::bench::{Measurement, Trial, small};
use crate::contestant::Needs;
use crate::pace::{Pace, Steps};
use evserve_lab::Outcome;
use evserve_lab::last_log::LastLog;
use evserve_lab::load::Orders;
use evserve_lab::statistics::greatest;
use evserve_lab::switches::Switches;
use std::time::Duration;

pub const VARIANTS: &[Variant] = &[
    accept("reuseport", "--workers 2 --accept reuseport"),
    accept("shared", "--workers 2 --accept shared"),
    accept("exclusive", "--workers 2 --accept exclusive"),
    accept("handover", "--workers 2 --accept handover"),
];

/// Long enough for a 99th percentile at 4,000 connections a second, which one client makes.
const RUN: Duration = Duration::from_millis(550);

const fn accept(name: &'static str, options: &'static str) -> Variant {
    Variant { name, options }
}

fn run(pace: &Pace) -> Duration {
    match pace.steps {
        Steps::All => pace.run.max(RUN),
        Steps::Few | Steps::First => pace.run,
    }
}

/// The expected seconds of a measurement.
pub fn seconds(pace: &Pace, step: u64) -> f64 {
    generator_seconds(pace, step) + (run(pace) - pace.run).as_secs_f64()
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = trial.start("http", Needs::default())?;
    let mut load = trial.begin_orders(&Orders {
        address: server.address(),
        asks: small(true),
        clients: trial.step as usize,
        rate: None,
        warm_up: trial.pace.warm_up,
        run: run(trial.pace),
        beside: None,
    })?;
    let before = Switches::of_tree(server.id());
    let seen = trial.finish_load(&mut load)?;
    let woken = Switches::of_tree(server.id()).woken_since(&before);
    drop(load);
    server.end()?;
    let log = LastLog::read(&trial.log())?;
    let wake_ups: f64 = woken.iter().sum();
    let mut figures = vec![
        ("wake_ups", wake_ups / seen.responses as f64),
        ("connections_per_s", seen.per_second()),
    ];
    let most = greatest(&woken).map(|most| 100.0 * most / wake_ups);
    figures.extend(most.map(|share| ("most_woken_percent", share)));
    let fullest = log.fullest_loop_percent();
    figures.extend(fullest.map(|share| ("fullest_percent", share)));
    if let (Some(vain), Some(counts)) = (log.vain_listener_events(), log.connections_by_loop()) {
        figures.push(("vain_events", vain / counts.iter().sum::<f64>()));
    }
    Ok(Measurement::of(&figures).with_percentiles(&seen))
}
