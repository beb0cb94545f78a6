//! Compares the steps of the model `io-uring` with `epoll`: `cargo bench --bench uring`. With
//! `-- --write` the result goes into docs/io-models/12-completions.md, which also explains it.
//!
//! Each step (`steps.rs`) is a set of options. Under each workload (`workloads.rs`) each
//! step is measured right before or right after `epoll`, many times over. What counts is the ratio
//! within such a pair. Each measurement has a server of its own, on one core; the load runs on
//! another and compares every byte.

#![allow(missing_docs)]

mod options;
mod pairs;
mod report;
mod steps;
mod trial;
mod workloads;

use clap::Parser;
use evserve_lab::cores::Cores;
use evserve_lab::progress::Progress;
use evserve_lab::root::Root;
use evserve_lab::{Outcome, environment, load, page};
use options::Options;
use pairs::{Measured, Plan};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{create_dir_all, write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use steps::STEPS;
use trial::Bench;
use workloads::FILES;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == load::ARGUMENT => load::run(rest).map(|()| true),
        _ if !arguments.iter().any(|argument| argument == "--bench") => try_out(&arguments),
        _ => compare(&Options::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("uring: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark. Returns whether nothing failed.
fn compare(options: &Options) -> Outcome<bool> {
    let machine = environment::machine();
    let bench = prepare(options)?;
    let mut left_out = Vec::new();
    let steps = bench.startable(options.steps(), &mut left_out)?;
    let workloads = options.workloads();
    let plan = Plan::new(&steps, &workloads, options.rounds);
    eprintln!("about {:.0} min", (plan.seconds(&bench) / 60.0).ceil());
    let mut progress = Progress::new(plan.len(), plan.seconds(&bench))?;
    let all = plan.carry_out(&bench, &mut progress)?;
    progress.end();
    let text = report::markdown(&surroundings(machine, options), &steps, &all, &left_out);
    publish(options, &text, &all)?;
    Ok(all.iter().all(|measured| measured.faults.is_empty()))
}

/// `cargo test` does this, unless its arguments name other tests: it starts every step and every
/// workload once, and measures nothing. Returns whether nothing failed.
fn try_out(arguments: &[String]) -> Outcome<bool> {
    let has = |option: &str| arguments.iter().any(|one| one == option);
    if has("--list") {
        // For cargo-nextest, which asks also for those that are ignored.
        if !has("--ignored") {
            println!("uring: test");
        }
        return Ok(true);
    }
    let mut names = arguments.iter().filter(|one| !one.starts_with('-'));
    if names.any(|name| name != "uring") {
        return Ok(true);
    }
    let options = Options::for_test();
    if let Err(fault) = Cores::choose() {
        println!("the benchmark of io_uring is not tried out: {fault}");
        return Ok(true);
    }
    let bench = prepare(&options)?;
    if let Err(fault) = bench.try_start(&STEPS[0]) {
        println!("the benchmark of io_uring is not tried out: {fault}");
        return Ok(true);
    }
    let mut left_out = Vec::new();
    let steps = bench.startable(options.steps(), &mut left_out)?;
    let mut faults = left_out;
    for (steps, workloads) in [
        (&steps[..1], options.workloads()),
        (
            &steps[..],
            workloads::WORKLOADS.last().into_iter().collect(),
        ),
    ] {
        let plan = Plan::new(steps, &workloads, 1);
        let mut progress = Progress::new(plan.len(), plan.seconds(&bench))?;
        for measured in plan.carry_out(&bench, &mut progress)? {
            faults.extend(measured.faults);
        }
    }
    faults.iter().for_each(|fault| eprintln!("uring: {fault}"));
    println!(
        "each step and each workload was started once; to measure: `cargo bench --bench uring`"
    );
    Ok(faults.is_empty())
}

fn prepare(options: &Options) -> Outcome<Bench> {
    // Servers and generator inherit the limit.
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    setrlimit(Resource::Nofile, most)?;
    Ok(Bench {
        cores: Cores::choose()?,
        root: Root::make(FILES)?,
        run: options.run(),
    })
}

/// What the figures depend on.
fn surroundings(mut machine: Vec<(String, String)>, options: &Options) -> Vec<(String, String)> {
    let evserve = environment::version(env!("CARGO_BIN_EXE_evserve"), "--version");
    machine.extend(evserve.map(|version| ("program".to_owned(), version)));
    let (rounds, run) = (options.rounds, options.run().as_millis());
    machine.push((
        "run".to_owned(),
        format!(
            "{rounds} pairs for each figure; each measurement {run} ms, with a server of its own"
        ),
    ));
    machine
}

/// Prints the result and writes it to its files.
fn publish(options: &Options, text: &str, all: &[Measured]) -> Outcome<()> {
    println!("{text}");
    let place = folder();
    create_dir_all(&place)?;
    write(place.join("results.csv"), report::csv(all))?;
    write(place.join("uring.md"), text)?;
    println!("written to {}", place.display());
    match options.write {
        true => {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/io-models");
            page::fill(&docs.join("12-completions.md"), "uring", text)
        }
        false => Ok(()),
    }
}

/// `target/uring`, in the target directory in use.
fn folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("uring")
}
