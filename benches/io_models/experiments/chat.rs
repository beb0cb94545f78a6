//! Chat: each line goes to all other members.

use super::super::bench::{Measurement, Trial};
use super::super::contestant::Needs;
use super::super::lab::Outcome;
use super::super::load::Asks;

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let members = trial.step as usize;
    let needs = Needs {
        connections: Some(trial.step),
        threads: None,
    };
    let server = trial.start("chat", needs)?;
    let seen = trial.load(server.address(), Asks::Chat, members, None)?;
    Ok(Measurement::of(&[
        ("heard_per_s", seen.per_second()),
        ("said_per_s", seen.per_second() / (members - 1) as f64),
        ("p50_us", seen.p50_us),
        ("p99_us", seen.p99_us),
    ]))
}
