//! What the figures depend on, and whether they can be believed.

use super::pace::{FULL, Pace};
use super::plan::Measured;
use evserve_lab::environment;
use evserve_lab::run::Fact;

/// A run is unfit if more measurements than this part of them were disturbed.
const UNFIT_SHARE: f64 = 0.05;

/// What is known before anything is measured.
pub fn facts(pace: &Pace) -> Vec<Fact> {
    let mut all = environment::machine();
    let mut add = |what: &str, says: String| all.push((what.to_owned(), says));
    let evserve = environment::version(env!("CARGO_BIN_EXE_evserve"), "--version");
    add("programs", evserve.unwrap_or_default());
    let (rounds, run) = (pace.rounds, pace.run.as_millis());
    add(
        "run",
        format!(
            "{}: {} to {} rounds, measurements of {run} ms",
            pace.name, rounds.least, rounds.most
        ),
    );
    let facts = all.into_iter().map(|(name, value)| Fact { name, value });
    facts.collect()
}

/// Why the figures are not to be believed, as parts of a sentence.
pub fn unfit(pace: &Pace, measured: &Measured) -> Vec<String> {
    let mut why = Vec::new();
    if pace.name != FULL.name {
        why.push(format!(
            "the run is `{}`, with short measurements",
            pace.name
        ));
    }
    let Measured {
        made, disturbed, ..
    } = measured;
    if f64::from(*disturbed) > UNFIT_SHARE * f64::from(*made) {
        why.push(format!(
            "{disturbed} of {made} measurements were disturbed by other programs"
        ));
    }
    why
}
