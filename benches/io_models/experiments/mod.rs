//! The experiments: a table of what varies and what is drawn, and a file for each kind of
//! measurement.
//!
//! An experiment is a row in [`EXPERIMENTS`] (`table.rs`) and a function that makes one
//! measurement. A chapter of docs/io-models explains what it shows; `<!-- NAME:begin -->` there
//! marks the place for its plots.

mod accepting;
mod chat;
mod closed;
mod cost;
pub mod curves;
mod echo;
mod fairness;
mod handshakes;
mod idle;
mod memory;
mod table;
mod triggers;
mod work;

pub use table::EXPERIMENTS;

use super::bench::{Measurement, Trial};
use super::contestant::Contestant;
use super::pace::{Pace, Steps};
use evserve_lab::Outcome;
use evserve_lab::run::{self, Better, Figure};

/// One experiment.
pub struct Experiment {
    pub name: &'static str,
    pub title: &'static str,
    /// A sentence or two about the work.
    pub about: &'static str,
    /// The meaning of its steps.
    pub steps_are: &'static str,
    /// Its own contestants, the baseline first. Empty: all models take part.
    pub variants: &'static [Variant],
    quick: &'static [u64],
    full: &'static [u64],
    pub plots: &'static [Plot],
    /// The expected seconds of a measurement at a step.
    pub seconds: fn(&Pace, u64) -> f64,
    /// The reason if a contestant cannot take part at a step.
    pub cannot: fn(&Contestant, u64) -> Option<String>,
    /// Makes one measurement.
    pub measure: fn(&Trial<'_>) -> Outcome<Measurement>,
}

/// A contestant of one experiment alone: the baseline of the models with more options.
pub struct Variant {
    pub name: &'static str,
    /// With spaces between them.
    pub options: &'static str,
}

/// One plot of an experiment.
pub struct Plot {
    /// The figure that it shows.
    pub figure: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
    /// Whether its axis is logarithmic.
    pub logarithmic: bool,
}

impl Experiment {
    pub fn steps(&self, pace: &Pace) -> &'static [u64] {
        match pace.steps {
            Steps::All => self.full,
            Steps::Few => self.quick,
            Steps::First => &self.quick[..1],
        }
    }

    /// Its part of a run, without measurements yet.
    pub fn begin(&self) -> run::Experiment {
        let figure = |plot: &Plot| Figure {
            name: plot.figure.to_owned(),
            title: plot.title.to_owned(),
            unit: plot.unit.to_owned(),
            better: plot.better,
            logarithmic: plot.logarithmic,
        };
        run::Experiment {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            about: self.about.to_owned(),
            steps_are: self.steps_are.to_owned(),
            contestants: Vec::new(),
            figures: self.plots.iter().map(figure).collect(),
            samples: Vec::new(),
            gaps: Vec::new(),
        }
    }
}

/// The expected time of a measurement with the generator at this rate.
fn seconds_at(pace: &Pace, rate: f64) -> f64 {
    0.1 + (pace.warm_up + pace.run_at(rate)).as_secs_f64()
}

/// The expected time of a measurement with the generator in a closed loop.
fn generator_seconds(pace: &Pace, _step: u64) -> f64 {
    0.1 + (pace.warm_up + pace.run).as_secs_f64()
}
