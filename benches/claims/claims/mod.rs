//! The claims: a row each, with its source, its sides and its rules.
//!
//! A quotation is verbatim, and its source was looked up. A number that is in no source is not
//! given.

mod accepting;
mod clients;
mod events;
mod rings;
mod threads;

use super::work::Side;
use evserve_lab::claim::{Claim, Figure};
use evserve_lab::run::Better;

/// A claim with its experiment.
pub struct Row {
    pub claim: Claim,
    /// The contestants.
    pub sides: &'static [Side],
}

/// All claims, by year.
pub const CLAIMS: &[Row] = &[
    events::TEN_THOUSAND,
    events::DENSE,
    events::SPARSE,
    threads::EVENTS_WIN,
    threads::THREADS_WIN,
    accepting::UNIFORM,
    clients::OMISSION,
    accepting::ONE_WORKER,
    rings::ZERO_COPY,
    rings::ECHO,
    rings::SPLICE,
    threads::RUNTIME,
    clients::TWO_WRITES,
];

impl Row {
    /// Whether a side takes many connections.
    pub fn is_crowd(&self) -> bool {
        self.sides.iter().any(|side| side.work.is_crowd())
    }
}

/// What a core of the server can do, however busy the load's core is.
const PER_CPU_SECOND: Figure = Figure {
    name: "per_cpu_second",
    title: "requests",
    unit: "per second of CPU time",
    better: Better::Higher,
};

/// What came. The load's core may have been the limit.
const PER_SECOND: Figure = Figure {
    name: "per_second",
    title: "requests",
    unit: "per second",
    better: Better::Higher,
};
