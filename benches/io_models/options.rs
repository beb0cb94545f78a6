//! The options of `cargo bench --bench io_models --`.

use super::contestant::Build;
use super::experiments::{EXPERIMENTS, Experiment};
use super::pace::{FULL, Pace, QUICK};
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// Two builds differ less than two models.
const AGAINST_WITHIN: f64 = 0.02;

/// Measure every I/O model of evserve on the same work
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench io_models --")]
pub struct Options {
    /// Fewer steps and one short round: two minutes at most
    #[arg(long)]
    quick: bool,

    /// How long the measurements may take. What is not precise by then is shown as it is
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: Option<u64>,

    /// Repeat a step until its ratios are within so many per cent [default: 5; with --against 2]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    within: Option<f64>,

    /// Measure only this model; may be repeated
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,

    /// Run only this experiment; may be repeated
    #[arg(long, value_name = "EXPERIMENT", value_parser = experiment_names())]
    only: Vec<String>,

    /// Compare with another build of evserve, which is measured beside this one; may be repeated
    #[arg(long, value_name = "NAME=PATH", conflicts_with = "write")]
    pub against: Vec<Build>,

    /// Order the measurements by this number, as a run before was
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Write the results into docs/io-models too: tables and plots into the chapters, all else into
    /// `results`
    #[arg(long, conflicts_with_all = ["model", "only"])]
    pub write: bool,

    /// Write the report of this result file again, and measure nothing
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "model", "only"])]
    pub report: Option<PathBuf>,

    /// Compare two result files, of two machines or commits, and measure nothing
    #[arg(long, num_args = 2, value_names = ["FIRST.json", "SECOND.json"],
          conflicts_with_all = ["quick", "model", "only", "report", "write", "against"])]
    pub compare: Vec<PathBuf>,

    /// Write the comparison into this file: as HTML if its name ends so, else as Markdown
    #[arg(short, long, value_name = "FILE", requires = "compare")]
    pub output: Option<PathBuf>,

    /// Test the load generator against a server whose pauses are known, and print what it measured
    #[arg(long)]
    pub self_test: bool,

    /// Cargo passes this to benchmarks
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Everything, without an option.
    pub fn for_test() -> Options {
        Options::parse_from(["io_models"])
    }

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
            _ if !self.against.is_empty() => "against",
            _ if !self.model.is_empty() || !self.only.is_empty() => "part",
            _ => self.pace().name,
        }
    }

    /// The length and number of measurements.
    pub fn pace(&self) -> Pace {
        let mut pace = if self.quick { QUICK } else { FULL };
        if let Some(minutes) = self.minutes {
            pace.budget = Duration::from_secs(60 * minutes);
        }
        if !self.against.is_empty() {
            pace.rule.within = AGAINST_WITHIN;
        }
        if let Some(percent) = self.within {
            pace.rule.within = percent / 100.0;
        }
        pace
    }

    /// The seed of the order of the measurements.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32))
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.1..=100.0).contains(&value) => Ok(value),
        _ => Err("not a number from 0.1 to 100".to_owned()),
    }
}

fn experiment_names() -> clap::builder::PossibleValuesParser {
    let names = EXPERIMENTS.iter().map(|experiment| experiment.name);
    names.collect::<Vec<_>>().into()
}
