//! The parts that benchmarks of whole servers share: a server on one core, wrk on another, and the
//! results.
//!
//! Each file is one mechanism and, but for `last_log`, knows no particular server. The benchmark decides which servers
//! to compare, with which files and requests. A package of its own, so that a user of evserve's
//! library builds none of it.
//!
//! - [`comparison`]: what a run shows
//! - [`cores`]: the cores of server and load, and how to start a program on one
//! - [`core_to_core`]: how far apart these cores are
//! - [`program`]: copies of programs
//! - [`server`]: a server's process, from its start to its end
//! - [`cpu_time`]: the CPU time of a program and its children
//! - [`switches`]: the context switches of its threads
//! - [`memory`]: the memory of a program and of the kernel
//! - [`last_log`]: what evserve has counted
//! - [`attempts`]: makes a measurement again that was disturbed or failed
//! - [`disturbance`]: what else ran on these cores
//! - [`root`]: the served files
//! - [`exchange`]: a client that reads whole responses
//! - [`tls`]: a certificate, and a client that trusts it
//! - [`wrk`]: the load generator wrk and its results
//! - [`late`]: something did not come in time
//! - [`load`]: a load generator of our own, which also keeps to a rate
//! - [`subprocess`]: the benchmark's own program, started again on the load's core
//! - [`progress`]: the current measurement, and the remaining time
//! - [`repetition`]: which step is measured next, and when it is enough
//! - [`run`]: all measurements, as a file
//! - [`resample`]: the ratio of two medians, by bootstrap
//! - [`statistics`]: best, median, its interval, and the median of ratios
//! - [`environment`]: the machine, in a few lines
//! - [`claim`]: a published claim, and the verdict of a run
//! - [`two_runs`]: two runs beside each other
//! - [`page`]: Markdown tables, and the part of a page that a benchmark fills
//! - [`chart`]: charts as SVG
//! - [`report`]: a run for people: charts, tables, findings, a page

// For the benchmarks alone: names say what fields hold.
#![allow(missing_docs)]

pub mod attempts;
pub mod chart;
pub mod claim;
pub mod comparison;
pub mod core_to_core;
pub mod cores;
pub mod cpu_time;
pub mod disturbance;
pub mod environment;
pub mod exchange;
pub mod last_log;
pub mod late;
pub mod load;
pub mod memory;
pub mod page;
pub mod program;
pub mod progress;
pub mod repetition;
pub mod report;
pub mod resample;
pub mod root;
pub mod run;
pub mod server;
pub mod statistics;
pub mod subprocess;
pub mod switches;
pub mod tls;
pub mod two_runs;
pub mod wrk;

/// The result of an operation whose error is a sentence for the user.
pub type Outcome<T> = Result<T, Fault>;

/// A sentence for the user.
pub type Fault = Box<dyn std::error::Error>;
