//! Compares the I/O models: `cargo bench --bench io_models`, or with `-- --quick` for a first look.
//! With `-- --write` the result goes into docs/io-models/: figures and plots into `results`, tables
//! into the chapters, which explain them.
//!
//! Each model serves on one core, and the load runs on another. Every measurement has a server of
//! its own. The models take turns at each step of each experiment (`experiments/mod.rs`), and a step
//! is repeated until it is known well enough (`plan.rs`).

#![allow(missing_docs)]

mod attempt;
mod background;
mod bench;
mod calls;
mod computing;
mod contestant;
mod experiments;
mod handshakes;
mod options;
mod pace;
mod parts;
mod plan;
mod publish;
mod surroundings;

use bench::Bench;
use clap::Parser;
use evserve_lab::cores::Cores;
use evserve_lab::run::Run;
use evserve_lab::two_runs::TwoRuns;
use evserve_lab::{Outcome, comparison, load, report};
use fastrand::Rng;
use options::Options;
use parts::Part;
use plan::Plan;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == load::ARGUMENT => load::run(rest).map(|()| true),
        Some((first, rest)) if first == background::ARGUMENT => {
            background::run(rest).map(|()| true)
        }
        Some((first, rest)) if first == handshakes::ARGUMENT => {
            handshakes::run(rest).map(|()| true)
        }
        Some((first, rest)) if first == computing::ARGUMENT => computing::run(rest).map(|()| true),
        _ if !arguments.iter().any(|argument| argument == "--bench") => try_out(&arguments),
        _ => compare(&Options::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("io_models: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark. Returns whether nothing failed.
fn compare(options: &Options) -> Outcome<bool> {
    if let Some(file) = &options.report {
        let run = Run::read(file)?;
        publish(options, &run)?;
        return Ok(true);
    }
    if let [first, second] = &options.compare[..] {
        let both = TwoRuns::of(&Run::read(first)?, &Run::read(second)?);
        publish::comparison(&both, options.output.as_deref())?;
        return Ok(true);
    }
    if options.self_test {
        load::self_test::print()?;
        return Ok(true);
    }
    let parts = Part::choose(&options.experiments(), &options.model, &options.against)?;
    let bench = Bench::prepare(options.pace(), &options.against)?;
    let seed = options.seed();
    let mut run = surroundings::begin(options, &bench, &parts, seed);
    let mut plan = Plan::make(&bench, &parts, &mut run);
    let ended = plan.carry_out(&bench, &mut run, &mut Rng::with_seed(seed));
    surroundings::end(&mut run);
    if ended.is_err() {
        // Show what was measured, but do not keep it as a result.
        publish::into_target(&run, "stopped")?;
    }
    ended?;
    publish(options, &run)?;
    print!("{}", comparison::summary(&run));
    Ok(run.faults.is_empty())
}

/// `cargo test` does this, unless its arguments name other tests: it makes one short measurement of
/// each experiment. Returns whether nothing failed.
fn try_out(arguments: &[String]) -> Outcome<bool> {
    let has = |option: &str| arguments.iter().any(|one| one == option);
    if has("--list") {
        // For cargo-nextest, which asks also for those that are ignored.
        if !has("--ignored") {
            println!("io_models: test");
        }
        return Ok(true);
    }
    let mut names = arguments.iter().filter(|one| !one.starts_with('-'));
    if names.any(|name| name != "io_models") {
        return Ok(true);
    }
    if let Err(fault) = Cores::choose() {
        println!("the benchmark of the I/O models is not tried out: {fault}");
        return Ok(true);
    }
    let options = Options::for_test();
    let bench = Bench::prepare(pace::TRY_OUT, &[])?;
    let names = ["threaded", "exclusive", "level"].map(str::to_owned);
    let parts = Part::choose(&options.experiments(), &names, &[])?;
    let mut run = surroundings::begin(&options, &bench, &parts, 0);
    let mut plan = Plan::make(&bench, &parts, &mut run);
    plan.carry_out(&bench, &mut run, &mut Rng::with_seed(0))?;
    report::page(&run);
    println!("each experiment was tried once; to measure: `cargo bench --bench io_models`");
    run.faults
        .iter()
        .for_each(|fault| eprintln!("io_models: {fault}"));
    Ok(run.faults.is_empty())
}

/// Writes the run to its files, also into docs if the user wants that.
fn publish(options: &Options, run: &Run) -> Outcome<()> {
    publish::into_target(run, options.folder())?;
    match options.write {
        true => publish::into_docs(run),
        false => Ok(()),
    }
}
