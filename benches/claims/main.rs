//! Measures again what people have published about I/O models: `cargo bench --bench claims`. With
//! `-- --write` the result goes into docs/claims.md and docs/claims/results/reference.json.
//! `-- --page` writes the page again, from all files in docs/claims/results, and measures nothing.
//!
//! Each claim (`claims/`) has two or more sides: options of evserve and a load. The sides are
//! measured one right after the other, round by round, in turning order. Each measurement has a
//! server of its own on one core; the load runs on another and compares every byte.

#![allow(missing_docs)]

mod claims;
mod clients;
mod options;
mod pace;
mod plan;
mod publish;
mod surroundings;
mod trial;
mod work;

use claims::{CLAIMS, Row};
use clap::Parser;
use evserve_lab::cores::Cores;
use evserve_lab::root::Root;
use evserve_lab::{Outcome, load};
use options::Options;
use pace::{Pace, TEST};
use plan::{Measured, Plan};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;
use trial::Bench;
use work::FILES;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == load::ARGUMENT => load::run(rest).map(|()| true),
        _ if !arguments.iter().any(|argument| argument == "--bench") => try_out(&arguments),
        _ => measure(&Options::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("claims: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark, or writes the page only. Returns whether nothing failed. What this machine
/// cannot do is no failure.
fn measure(options: &Options) -> Outcome<bool> {
    if options.page {
        publish::write_page()?;
        return Ok(true);
    }
    let pace = options.pace();
    // Before anything is measured, because it holds the load of the machine.
    let environment = surroundings::facts(pace);
    let measured = carry_out(&options.rows(), pace)?;
    let unfit = surroundings::unfit(pace, &measured);
    let run = publish::run(environment, unfit, pace, measured);
    publish::keep(&run, options.write)?;
    Ok(run.faults.is_empty())
}

fn carry_out(rows: &[&'static Row], pace: &'static Pace) -> Outcome<Measured> {
    Plan::new(&prepare(pace)?, rows)?.carry_out()
}

/// `cargo test` does this, unless its arguments name other tests: it measures each side of each
/// claim once, for a moment, and keeps nothing. Returns whether nothing failed.
fn try_out(arguments: &[String]) -> Outcome<bool> {
    let has = |option: &str| arguments.iter().any(|one| one == option);
    if has("--list") {
        // For cargo-nextest, which asks also for those that are ignored.
        if !has("--ignored") {
            println!("claims: test");
        }
        return Ok(true);
    }
    let mut names = arguments.iter().filter(|one| !one.starts_with('-'));
    if names.any(|name| name != "claims") {
        return Ok(true);
    }
    if let Err(fault) = Cores::choose() {
        println!("the benchmark of claims is not tried out: {fault}");
        return Ok(true);
    }
    let rows: Vec<_> = CLAIMS.iter().collect();
    let Measured { faults, absent, .. } = carry_out(&rows, &TEST)?;
    println!("each side of each claim was measured once; to measure: `cargo bench --bench claims`");
    // A kernel or a container may have no io_uring, and a build no tokio.
    let may_lack = |side: &String| {
        ["io-uring", "io_uring", "tokio"]
            .iter()
            .any(|name| side.contains(name))
    };
    let has_all = absent.iter().all(may_lack);
    Ok(faults.is_empty() && has_all)
}

fn prepare(pace: &'static Pace) -> Outcome<Bench> {
    // Servers and generators inherit the limit.
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    setrlimit(Resource::Nofile, most)?;
    Ok(Bench {
        cores: Cores::choose()?,
        root: Root::make(FILES)?,
        pace,
    })
}
