//! What benchmarks of whole servers share: a server on one core, wrk on another, and what comes of it.
//!
//! Each file is one mechanism and knows of no particular server: which ones are compared, with which files and requests,
//! is the benchmark's own affair. A benchmark takes this in with `mod lab;`; cargo does not take the folder for a
//! benchmark because it has no `main.rs`.
//!
//! - [`cores`]: which core is whose, and starting a program on it
//! - [`server`]: a server's process, from its start until it is gone
//! - [`cpu_time`]: the processor time that a program and its children have used
//! - [`root`]: the files that are served
//! - [`exchange`]: a plain client that reads an answer to the last byte
//! - [`wrk`]: load, and what the load generator saw
//! - [`progress`]: what is being measured, and what remains
//! - [`statistics`]: best, median, and the median of ratios
//! - [`environment`]: the machine, in a few lines
//! - [`page`]: Markdown tables, and the place in a page that a benchmark fills
//! - [`chart`]: bars as SVG
//! - [`lines`]: lines as SVG

// Each benchmark takes what it needs.
#![allow(dead_code)]

pub mod chart;
pub mod cores;
pub mod cpu_time;
pub mod environment;
pub mod exchange;
pub mod lines;
pub mod page;
pub mod progress;
pub mod root;
pub mod server;
pub mod statistics;
pub mod wrk;

/// What may fail with a sentence for whoever runs the benchmark.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
