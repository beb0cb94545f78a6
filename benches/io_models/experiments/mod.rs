//! The experiments: a table of what is varied and what is drawn, and a file for each way of measuring.
//!
//! An experiment is a row in [`EXPERIMENTS`] (`table.rs`) and a function that makes one measurement. What it shows, and why, is said
//! in a chapter of docs/io-models, where `<!-- NAME:begin -->` marks the place for its plots.

mod chat;
mod cost;
mod echo;
mod fairness;
mod idle;
mod memory;
mod table;
mod wrk;

pub use table::EXPERIMENTS;

use super::bench::{Measurement, Trial};
use super::contestant::Contestant;
use super::lab::Outcome;
use super::pace::Pace;

/// One experiment.
pub struct Experiment {
    pub name: &'static str,
    pub title: &'static str,
    /// What is done, in a sentence or two.
    pub about: &'static str,
    /// What its steps are numbers of.
    pub steps_are: &'static str,
    quick: &'static [u64],
    full: &'static [u64],
    pub plots: &'static [Plot],
    /// About how many seconds a measurement takes at a step.
    pub seconds: fn(&Pace, u64) -> f64,
    /// Why a contestant cannot take part at a step.
    pub cannot: fn(&Contestant, u64) -> Option<String>,
    /// One measurement.
    pub measure: fn(&Trial<'_>) -> Outcome<Measurement>,
}

/// One picture of an experiment.
pub struct Plot {
    /// The figure of a measurement that it shows.
    pub figure: &'static str,
    pub title: &'static str,
    pub measure: &'static str,
    pub logarithmic: bool,
}

impl Experiment {
    pub fn steps(&self, pace: &Pace) -> &'static [u64] {
        if pace.all_steps {
            self.full
        } else {
            self.quick
        }
    }
}

/// About how long a measurement by the generator takes.
fn generator_seconds(pace: &Pace, _step: u64) -> f64 {
    0.1 + (pace.warm_up + pace.run).as_secs_f64()
}
