//! Chat: each line goes to all other members.

use crate::bench::{Measurement, Trial};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::load::Asks;

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
    ])
    .with_percentiles(&seen))
}
