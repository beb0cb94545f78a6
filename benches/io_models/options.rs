//! What may be said after `cargo bench --bench io_models --`.

use super::experiments::{EXPERIMENTS, Experiment};
use super::pace::{FULL, Pace, QUICK};
use clap::Parser;

/// Runs every I/O model of evserve on the same work
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench io_models --")]
pub struct Options {
    /// About a minute instead of about twenty: fewer steps, one short round
    #[arg(long)]
    quick: bool,

    /// Measure this model and no other; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,

    /// Do this experiment and no other; may be given more than once
    #[arg(long, value_name = "EXPERIMENT", value_parser = experiment_names())]
    only: Vec<String>,

    /// Write the results into docs/io-models too: tables and plots into the chapters, all else into `results`
    #[arg(long, conflicts_with_all = ["model", "only"])]
    pub write: bool,

    /// What cargo says to a benchmark
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// Those that are to be done.
    pub fn experiments(&self) -> Vec<&'static Experiment> {
        let wanted = |experiment: &&Experiment| {
            self.only.is_empty() || self.only.iter().any(|name| name == experiment.name)
        };
        EXPERIMENTS.iter().filter(wanted).collect()
    }

    /// How long and how often.
    pub fn pace(&self) -> &'static Pace {
        if self.quick { &QUICK } else { &FULL }
    }
}

fn experiment_names() -> clap::builder::PossibleValuesParser {
    let names = EXPERIMENTS.iter().map(|experiment| experiment.name);
    names.collect::<Vec<_>>().into()
}
