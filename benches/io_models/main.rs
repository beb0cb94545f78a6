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
mod report;
mod results;

use bench::{Bench, FILES};
use clap::Parser;
use contestant::Contestant;
use evserve_lab::cores::Cores;
use evserve_lab::root::Root;
use evserve_lab::tls::Tls;
use evserve_lab::wrk::Wrk;
use evserve_lab::{Outcome, environment, load, page};
use experiments::Experiment;
use options::Options;
use plan::Plan;
use results::Results;
use std::fs::{create_dir_all, read_dir, read_to_string, rename, write};
use std::path::{Path, PathBuf};
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
    };
    let experiments = options.experiments();
    let mut results = Results {
        environment: surroundings(&bench),
        models: contestants
            .iter()
            .map(|one| (one.name.clone(), one.kind))
            .collect(),
        ..Results::default()
    };
    let plan = Plan::make(bench.pace, &contestants, &experiments, &mut results);
    let ended = plan.carry_out(&bench, &mut results);
    // If the user stopped the run, show what was measured, but do not keep it as a result.
    publish(
        options,
        options.write && ended.is_ok(),
        &experiments,
        &results,
    )?;
    ended?;
    Ok(results.faults.is_empty())
}

fn surroundings(bench: &Bench) -> Vec<(String, String)> {
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
    all
}

/// Writes the result to its files.
fn publish(
    options: &Options,
    to_docs: bool,
    experiments: &[&'static Experiment],
    results: &Results,
) -> Outcome<()> {
    let pace = options.pace();
    let pictures = report::pictures(results, experiments, pace)?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut places = vec![folder()];
    if to_docs {
        places.push(docs.join("io-models/results"));
    }
    for place in &places {
        create_dir_all(place)?;
        let csv = place.join("results.csv");
        if csv.is_file() {
            // Two runs show more than one: if they disagree, the order is unknown.
            rename(&csv, place.join("results-before.csv"))?;
        }
        write(csv, results.csv())?;
        let json = serde_json::to_string_pretty(&results.json(experiments))?;
        write(place.join("results.json"), json + "\n")?;
        write(
            place.join("report.html"),
            report::page(results, experiments, &pictures, pace),
        )?;
        for picture in &pictures {
            write(place.join(picture.file()), &picture.svg)?;
        }
        println!("written to {}", place.join("report.html").display());
    }
    if to_docs {
        let course = docs.join("io-models");
        let environment = report::environment(results);
        page::fill(
            &chapter(&course, "environment")?,
            "environment",
            &environment,
        )?;
        for experiment in experiments {
            let shown = report::markdown(results, experiment, &pictures, "results", pace);
            page::fill(&chapter(&course, experiment.name)?, experiment.name, &shown)?;
        }
    }
    Ok(())
}

/// Finds the chapter that marks the place for `name`.
fn chapter(course: &Path, name: &str) -> Outcome<PathBuf> {
    let mark = format!("<!-- {name}:begin -->");
    for entry in read_dir(course)? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && read_to_string(&path)?.contains(&mark) {
            return Ok(path);
        }
    }
    Err(format!("no chapter in {} has the mark {mark}", course.display()).into())
}

/// `target/io_models`, in the target directory in use.
fn folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("io_models")
}
