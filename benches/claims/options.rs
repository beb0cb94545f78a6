//! The options of `cargo bench --bench claims --`.

use super::claims::{CLAIMS, Row};
use super::pace::{FULL, Pace, QUICK};
use clap::Parser;
use clap::builder::PossibleValuesParser;

/// Measure published claims about I/O models again
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench claims --")]
pub struct Options {
    /// Short measurements, and one round of those with 10,000 connections: a minute, and no verdicts
    /// to keep
    #[arg(long)]
    quick: bool,

    /// Measure only this claim; may be repeated
    #[arg(long, value_name = "CLAIM", value_parser = claim_names())]
    only: Vec<String>,

    /// Write the result into docs/claims.md and docs/claims/results too
    #[arg(long, conflicts_with = "only")]
    pub write: bool,

    /// Measure nothing: write docs/claims.md from the files in docs/claims/results
    #[arg(long, conflicts_with_all = ["only", "quick", "write"])]
    pub page: bool,

    /// Cargo passes this to benchmarks
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The chosen claims.
    pub fn rows(&self) -> Vec<&'static Row> {
        let wanted = |row: &&Row| {
            self.only.is_empty() || self.only.iter().any(|name| name == row.claim.name)
        };
        CLAIMS.iter().filter(wanted).collect()
    }

    /// The length and number of measurements.
    pub fn pace(&self) -> &'static Pace {
        if self.quick { &QUICK } else { &FULL }
    }
}

fn claim_names() -> PossibleValuesParser {
    let names = CLAIMS.iter().map(|row| row.claim.name);
    names.collect::<Vec<_>>().into()
}
