//! Fast clients beside slow readers and silent ones.

use super::super::bench::{Measurement, Trial, large_path, small};
use super::super::company::Company;
use super::super::contestant::Needs;
use super::super::lab::Outcome;

const FAST: usize = 50;

/// What all fast clients ask for together, in requests a second. Each has a connection of its own, since short
/// conversations are what a pool is for: with connections that stay, 50 clients would be too many for it by themselves.
const RATE: f64 = 1000.0;

/// Few, so that the steps go beyond it.
const POOL: u64 = 8;

/// In KiB; more than all buffers between the server and a slow reader hold.
const LARGE_KIB: u64 = 16 * 1024;

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let needs = Needs {
        connections: None,
        threads: Some(POOL),
    };
    let server = trial.start("http", needs)?;
    let company = Company {
        silent: trial.step as usize,
        slow: trial.step as usize,
        large: large_path(LARGE_KIB),
        ..Company::default()
    };
    let _company = trial.invite(&server, company)?;
    let seen = trial.load(server.address(), small(true), FAST, Some(RATE))?;
    let asked = (seen.answers + seen.unanswered).max(1) as f64;
    Ok(Measurement::of(&[
        ("p50_us", seen.p50_us),
        ("p99_us", seen.p99_us),
        ("answered_percent", 100.0 * seen.answers as f64 / asked),
    ]))
}
