//! The options of `cargo bench --bench io_models --`.

use super::experiments::{EXPERIMENTS, Experiment};
use super::pace::{FULL, Pace, QUICK};
use clap::Parser;
use std::path::PathBuf;

/// Measure every I/O model of evserve on the same work
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench io_models --")]
pub struct Options {
    /// Fewer steps and one short round: over a minute instead of about 25
    #[arg(long)]
    quick: bool,

    /// Measure only this model; may be repeated
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,

    /// Run only this experiment; may be repeated
    #[arg(long, value_name = "EXPERIMENT", value_parser = experiment_names())]
    only: Vec<String>,

    /// Write the results into docs/io-models too: tables and plots into the chapters, all else into
    /// `results`
    #[arg(long, conflicts_with_all = ["model", "only"])]
    pub write: bool,

    /// Write the report of this result file again, and measure nothing
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "model", "only"])]
    pub report: Option<PathBuf>,

    /// Test the load generator against a server whose pauses are known, and print what it measured
    #[arg(long)]
    pub self_test: bool,

    /// Cargo passes this to benchmarks
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// The chosen experiments.
    pub fn experiments(&self) -> Vec<&'static Experiment> {
        let wanted = |experiment: &&Experiment| {
            self.only.is_empty() || self.only.iter().any(|name| name == experiment.name)
        };
        EXPERIMENTS.iter().filter(wanted).collect()
    }

    /// The name of the run's folder. A part of the measurements never replaces all of them.
    pub fn folder(&self) -> &'static str {
        match self {
            Options {
                report: Some(_), ..
            } => "shown",
            _ if !self.model.is_empty() || !self.only.is_empty() => "part",
            _ => self.pace().name,
        }
    }

    /// The length and number of measurements.
    pub fn pace(&self) -> &'static Pace {
        if self.quick { &QUICK } else { &FULL }
    }
}

fn experiment_names() -> clap::builder::PossibleValuesParser {
    let names = EXPERIMENTS.iter().map(|experiment| experiment.name);
    names.collect::<Vec<_>>().into()
}
