//! Load curves: latency and CPU time against the offered load, from a tenth of what epoll can do
//! until a model collapses.

use crate::bench::{Measurement, Trial, small};
use crate::contestant::{Contestant, Needs};
use crate::pace::{Pace, Steps};
use evserve_lab::Outcome;
use evserve_lab::core_to_core::{Distance, latency_ns};
use evserve_lab::cpu_time::CpuTime;
use evserve_lab::late::Late;
use evserve_lab::load::Orders;
use evserve_lab::statistics::median;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The connections of the load, also of the closed loop that finds the capacity.
const CLIENTS: usize = 64;

/// Clients, and as many again that are about to be closed.
const NEEDS: Needs = Needs {
    connections: Some(2 * CLIENTS as u64),
    threads: None,
};

/// A model has collapsed when it answers less than this part of the requests that were due.
const COLLAPSED_BELOW: f64 = 0.95;

/// How often the capacity is measured, for its median.
const CAPACITY_ROUNDS: usize = 3;

/// A 99.9th percentile needs 20,000 latencies; a tenth more are planned.
const ENOUGH_FOR_P999: f64 = 22_000.0;

/// The longest measurement. Below 10,000 requests a second it is too short for a 99.9th percentile.
const LONGEST: Duration = Duration::from_millis(2200);

/// About what epoll can do, to estimate how long measurements take.
const TYPICAL_CAPACITY: f64 = 100_000.0;

/// What measurements of a run share.
#[derive(Default)]
pub struct State {
    /// Requests per second of epoll in a closed loop, found by the first measurement at each distance
    /// of the cores.
    capacities: Mutex<Vec<(Option<Distance>, f64)>>,
    /// What happened at each step of each model.
    steps: Mutex<BTreeMap<(String, u64), Step>>,
}

/// The measurements of a model at one step.
#[derive(Default)]
struct Step {
    measured: u32,
    collapsed: u32,
    /// What part was answered when it collapsed last.
    answered: f64,
}

impl State {
    /// Why this model is not measured at this step: it has collapsed at a lower one, in at least half
    /// of the rounds, so that one disturbance does not end its curve.
    fn collapsed_below(&self, step: u64, name: &str) -> Option<String> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = steps.range((name.to_owned(), 0)..(name.to_owned(), step));
        let ((_, at), found) = below.find(|(_, one)| 2 * one.collapsed >= one.measured)?;
        let percent = 100.0 * found.answered;
        Some(format!(
            "it collapsed at {at} %: it answered {percent:.0} % of what was due"
        ))
    }

    fn note(&self, name: &str, step: u64, answered: f64) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let found = steps.entry((name.to_owned(), step)).or_default();
        found.measured += 1;
        if answered < COLLAPSED_BELOW {
            found.collapsed += 1;
            found.answered = answered;
        }
    }
}

/// The length of a measurement at this rate.
fn run_at(pace: &Pace, rate: f64) -> Duration {
    let enough = Duration::from_secs_f64(ENOUGH_FOR_P999 / rate).min(LONGEST);
    match pace.steps {
        Steps::All => pace.run_at(rate).max(enough),
        Steps::Few | Steps::First => pace.run,
    }
}

/// The expected seconds of a measurement.
pub fn seconds(pace: &Pace, step: u64) -> f64 {
    let run = run_at(pace, TYPICAL_CAPACITY * step as f64 / 100.0);
    0.1 + (pace.warm_up + run).as_secs_f64()
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let name = &trial.contestant.name;
    if let Some(why) = trial.curves.collapsed_below(trial.step, name) {
        return Ok(Measurement::none(why));
    }
    let rate = capacity(trial)? * trial.step as f64 / 100.0;
    let server = trial.start("http", NEEDS)?;
    let mut load = trial.begin_orders(&Orders {
        address: server.address(),
        asks: small(false),
        clients: CLIENTS,
        rate: Some(rate),
        warm_up: trial.pace.warm_up,
        run: run_at(trial.pace, rate),
        beside: None,
    })?;
    let before = CpuTime::of_tree(server.id())?;
    let seen = trial.finish_load(&mut load)?;
    let used = CpuTime::of_tree(server.id())?.since(&before).total;
    let answered = seen.responses as f64 / seen.latencies.max(1) as f64;
    if let Some(why) = &seen.generator.limited
        && answered < COLLAPSED_BELOW
    {
        let why = format!("the load generator was the limit: {why}");
        return Ok(Measurement::none(why));
    }
    trial.curves.note(name, trial.step, answered);
    Ok(Measurement::of(&[
        ("offered_per_s", rate),
        ("achieved_per_s", seen.per_second()),
        (
            "cpu_us",
            used.as_secs_f64() * 1e6 / seen.responses.max(1) as f64,
        ),
    ])
    .with_percentiles(&seen))
}

/// Requests per second of epoll in a closed loop: measured once in a run at each distance of the
/// cores, so that the steps of all models are the same loads.
fn capacity(trial: &Trial<'_>) -> Outcome<f64> {
    let distance = latency_ns(trial.cores).map(Distance::of);
    let capacities = trial.curves.capacities.lock();
    let mut capacities = capacities.unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = capacities.iter().find(|(at, _)| *at == distance) {
        return Ok(*known);
    }
    let epoll = Contestant::baseline();
    let trial = trial.of(&epoll);
    let mut measured = Vec::new();
    for _ in 0..CAPACITY_ROUNDS {
        let server = trial.start("http", NEEDS)?;
        let seen = trial.load(server.address(), small(false), CLIENTS, None)?;
        measured.push(seen.per_second());
    }
    let capacity = median(&measured).filter(|capacity| *capacity > 0.0);
    let capacity = capacity.ok_or_else(|| Late("epoll answered nothing in time".to_owned()))?;
    capacities.push((distance, capacity));
    Ok(capacity)
}
