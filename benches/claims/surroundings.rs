//! What the figures depend on, and whether they can be believed.

use super::pace::{FULL, Pace};
use evserve_lab::environment;
use evserve_lab::run::Fact;
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;

/// A machine with more running programs than this is busy: the servers and the load take two cores.
const BUSY: f64 = 0.5;

pub fn facts(pace: &Pace) -> Vec<Fact> {
    let mut all = environment::machine();
    let mut add = |what: &str, says: String| all.push((what.to_owned(), says));
    let evserve = environment::version(env!("CARGO_BIN_EXE_evserve"), "--version");
    add("program", evserve.unwrap_or_default());
    let files = getrlimit(Resource::Nofile).maximum;
    add(
        "limit of open files",
        files.map_or("none".to_owned(), |limit| limit.to_string()),
    );
    add(
        "measurements",
        format!(
            "{} to {} rounds of {} ms",
            pace.rounds.least,
            pace.rounds.most,
            pace.run.as_millis()
        ),
    );
    let facts = all.into_iter().map(|(name, value)| Fact { name, value });
    facts.collect()
}

/// Why the figures are not to be believed, as parts of a sentence.
pub fn unfit(pace: &Pace) -> Vec<String> {
    let mut why = Vec::new();
    if pace.name != FULL.name {
        why.push(format!(
            "the run is `{}`, with short measurements",
            pace.name
        ));
    }
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    if let Some(load) = load.filter(|load: &f64| *load > BUSY) {
        why.push(format!(
            "the machine was busy before it began (load {load})"
        ));
    }
    why
}
