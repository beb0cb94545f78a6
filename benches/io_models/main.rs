//! Compares the I/O models: `cargo bench --bench io_models`, or with `-- --quick` for a first look.
//! With `-- --write` the result goes into docs/io-models/: figures and plots into `results`, tables
//! into the chapters, which explain them.
//!
//! Each model serves on one core, and the load runs on another. Every measurement has a server of
//! its own. The models take turns at each step of each experiment (`experiments/mod.rs`),
//! and each round repeats all steps.

#![allow(missing_docs)]

mod background;
mod bench;
mod calls;
mod contestant;
mod experiments;
mod handshakes;
mod options;
mod pace;
mod plan;
mod publish;

use bench::{Bench, FILES};
use clap::Parser;
use contestant::Contestant;
use evserve_lab::cores::Cores;
use evserve_lab::root::Root;
use evserve_lab::run::{FORMAT, Fact, Run};
use evserve_lab::tls::Tls;
use evserve_lab::wrk::Wrk;
use evserve_lab::{Outcome, environment, load};
use options::Options;
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
    if !options.bench {
        // `cargo test --all-targets` starts benchmarks too, and this one is too slow for that.
        println!("this takes minutes: run it with `cargo bench --bench io_models`");
        return Ok(true);
    }
    if let Some(file) = &options.report {
        let run = Run::read(file)?;
        publish(options, &run, true)?;
        return Ok(true);
    }
    if options.self_test {
        load::self_test::print()?;
        return Ok(true);
    }
    let contestants = Contestant::chosen(&options.model)?;
    let cores = Cores::choose()?;
    let root = Root::make(FILES)?;
    let wrk = Wrk::find(cores.load, root.beside().to_owned())?;
    let tls = Tls::make(root.beside())?;
    let bench = Bench {
        cores,
        root,
        tls,
        wrk,
        pace: options.pace(),
        curves: experiments::curves::State::default(),
    };
    let experiments = options.experiments();
    let mut run = Run {
        format: FORMAT,
        benchmark: "io_models".to_owned(),
        environment: surroundings(&bench),
        pace: bench.pace.name.to_owned(),
        unfit: Vec::new(),
        baseline: Contestant::BASELINE.to_owned(),
        contestants: contestants.iter().map(Contestant::begin).collect(),
        experiments: experiments.iter().map(|one| one.begin()).collect(),
        faults: Vec::new(),
    };
    let plan = Plan::make(bench.pace, &contestants, &experiments, &mut run);
    let ended = plan.carry_out(&bench, &mut run);
    // If the user stopped the run, show what was measured, but do not keep it as a result.
    publish(options, &run, ended.is_ok())?;
    ended?;
    Ok(run.faults.is_empty())
}

fn surroundings(bench: &Bench) -> Vec<Fact> {
    let mut all = environment::machine();
    let perf = environment::version("perf", "--version");
    let evserve = environment::version(env!("CARGO_BIN_EXE_evserve"), "--version");
    let programs: Vec<_> = [evserve, bench.wrk.version(), perf]
        .into_iter()
        .flatten()
        .collect();
    let mut add = |what: &str, says: String| all.push((what.to_owned(), says));
    add("programs", programs.join(", "));
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    add(
        "limit of open files",
        format!("{}, at most {}", shown(files.current), shown(files.maximum)),
    );
    let pace = bench.pace;
    let (name, rounds, run, seconds) = (
        pace.name,
        pace.rounds,
        pace.run.as_millis(),
        pace.wrk_seconds,
    );
    add(
        "run",
        match rounds {
            1 => format!(
                "{name}: one round, measurements of {run} ms, by wrk of {seconds} s; a first look: \
                 trust no order below a factor of two, and no 99th percentile"
            ),
            _ => {
                format!("{name}: {rounds} rounds, measurements of {run} ms, by wrk of {seconds} s")
            }
        },
    );
    let fact = |(name, value)| Fact { name, value };
    all.into_iter().map(fact).collect()
}

/// Writes the run to its files, and `to_keep` also into docs if the user wants that.
fn publish(options: &Options, run: &Run, to_keep: bool) -> Outcome<()> {
    publish::into_target(run, options.folder())?;
    match options.write && to_keep {
        true => publish::into_docs(run),
        false => Ok(()),
    }
}
