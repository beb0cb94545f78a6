//! The options of `cargo bench --bench uring --`.

use super::steps::{STEPS, Step};
use super::workloads::{WORKLOADS, Workload};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use std::time::Duration;

/// Compare the steps of the model io-uring with epoll
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench uring --")]
pub struct Options {
    /// Pairs for each step and workload
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Milliseconds for each measurement
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    milliseconds: u64,

    /// Measure only this workload; may be repeated
    #[arg(long, value_name = "WORKLOAD", value_parser = names(WORKLOADS.iter().map(|one| one.name)))]
    only: Vec<String>,

    /// Measure only this step; may be repeated
    #[arg(long, value_name = "STEP", value_parser = names(STEPS.iter().map(|one| one.name)))]
    step: Vec<String>,

    /// Write the result into docs/io-models/12-completions.md too
    #[arg(long)]
    pub write: bool,

    /// Cargo passes this to benchmarks
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Everything once, and short.
    pub fn for_test() -> Options {
        Options {
            rounds: 1,
            milliseconds: 20,
            only: Vec::new(),
            step: Vec::new(),
            write: false,
            bench: false,
        }
    }

    /// The length of a measurement.
    pub fn run(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    /// The chosen workloads.
    pub fn workloads(&self) -> Vec<&'static Workload> {
        let wanted =
            |one: &&Workload| self.only.is_empty() || self.only.iter().any(|name| name == one.name);
        WORKLOADS.iter().filter(wanted).collect()
    }

    /// The chosen steps.
    pub fn steps(&self) -> Vec<&'static Step> {
        let wanted =
            |one: &&Step| self.step.is_empty() || self.step.iter().any(|name| name == one.name);
        STEPS.iter().filter(wanted).collect()
    }
}

fn names(all: impl Iterator<Item = &'static str>) -> PossibleValuesParser {
    all.collect::<Vec<_>>().into()
}
