//! Compares evserve with a stub and with the servers that are installed:
//! `cargo bench --bench servers`. With `-- --write` the result goes into docs/performance.md, which
//! also explains it.
//!
//! Each server runs on one core and wrk on another. Under each workload (`workload.rs`) the
//! servers take turns for several rounds. Before and after that, each server's responses are
//! checked byte by byte.

#![allow(missing_docs)]

mod check;
mod options;
mod peers;
mod report;
mod stub;
mod trial;
mod workload;

use clap::Parser;
use evserve_lab::cores::Cores;
use evserve_lab::progress::Progress;
use evserve_lab::root::Root;
use evserve_lab::tls::Tls;
use evserve_lab::wrk::Wrk;
use evserve_lab::{Outcome, environment, page};
use options::Options;
use peers::{BEFORE, EVSERVE_URING, PEERS, Peer};
use std::fs::{File, create_dir_all, write};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use trial::{Bench, Measured, STUB};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == stub::ARGUMENT => stub::run(rest).map(|()| true),
        _ => compare(&Options::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("servers: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark. Returns whether nothing failed.
fn compare(options: &Options) -> Outcome<bool> {
    if !options.bench {
        // `cargo test --all-targets` starts benchmarks too, and this one is too slow for that.
        println!("this takes minutes: run it with `cargo bench --bench servers`");
        return Ok(true);
    }
    let mut bench = prepare(options)?;
    let environment = start_all(&mut bench, options)?;
    let workloads = options.workloads();
    let contestants: usize = workloads.iter().map(|one| bench.contestants(one)).sum();
    let trials = contestants * options.rounds as usize;
    let mut progress = Progress::new(trials, trials as f64)?;
    let folder = folder();
    create_dir_all(&folder)?;
    let mut csv = File::create(folder.join("results.csv"))?;
    writeln!(csv, "{}", report::CSV_HEAD)?;
    let mut all = Vec::new();
    for workload in workloads {
        let measured = bench.measure(workload, &mut progress)?;
        progress.end();
        csv.write_all(report::csv(&measured).as_bytes())?;
        for fault in &measured.faults {
            eprintln!("servers: {}: {fault}", workload.title);
        }
        all.push(measured);
    }
    publish(options, &report::markdown(&environment, &all), &all)?;
    Ok(all.iter().all(|measured| measured.faults.is_empty()))
}

fn prepare(options: &Options) -> Outcome<Bench> {
    let names: Vec<_> = [STUB]
        .into_iter()
        .chain(PEERS.iter().map(|peer| peer.name))
        .collect();
    if let Some(name) = options.unknown_server(&names) {
        return Err(format!("there is no server `{name}` among {}", names.join(", ")).into());
    }
    let cores = Cores::choose()?;
    let root = Root::make(workload::FILES)?;
    // For a second after a change an entity tag is weak, and longer. Responses must not change
    // their length.
    std::thread::sleep(Duration::from_millis(1100));
    let wrk = Wrk::find(cores.load, root.beside().to_owned())?;
    let tls = Tls::make(root.beside())?;
    Ok(Bench {
        cores,
        root,
        tls,
        wrk,
        servers: Vec::new(),
        tls_servers: Vec::new(),
        has_stub: options.wants(STUB),
        rounds: options.rounds,
        seconds: options.seconds,
    })
}

/// Starts all chosen servers that are installed, and prints how to install the others. Returns the
/// environment.
fn start_all(bench: &mut Bench, options: &Options) -> Outcome<Vec<(String, String)>> {
    let mut environment = environment::machine();
    let mut versions = Vec::new();
    let before = options.against.as_deref().map(Peer::before);
    let all = before.iter().chain(PEERS);
    let workloads = options.workloads();
    let uses = [false, true].map(|tls| workloads.iter().any(|one| one.tls == tls));
    for peer in all.filter(|peer| options.wants(peer.name)) {
        let Some(version) = peer.version() else {
            let (name, install) = (peer.name, peer.install);
            let fault = format!("{name}, which is not installed: {install}");
            if options.named(name) || name == BEFORE {
                return Err(fault.into());
            }
            eprintln!("servers: without {fault}");
            continue;
        };
        let [plain, tls] = uses;
        let added = (!plain || started(bench.add(peer, false), peer, options)?)
            && (!tls || started(bench.add(peer, true), peer, options)?);
        versions.extend(added.then_some(version));
    }
    versions.extend(bench.wrk.version());
    environment.push(("programs".to_owned(), versions.join(", ")));
    let (rounds, seconds) = (options.rounds, options.seconds);
    environment.push((
        "rounds".to_owned(),
        format!("{rounds}, of {seconds} s for each server and workload"),
    ));
    Ok(environment)
}

/// Returns whether a server has started.
///
/// # Errors
/// It has not, and it was chosen by name, or can start on every machine.
fn started(added: Outcome<()>, peer: &Peer, options: &Options) -> Outcome<bool> {
    match added {
        Err(fault) if peer.name == EVSERVE_URING && !options.named(peer.name) => {
            eprintln!("servers: without {}: {fault}", peer.name);
            Ok(false)
        }
        added => added.map(|()| true),
    }
}

/// Prints the result and writes it to its files.
fn publish(options: &Options, tables: &str, all: &[Measured]) -> Outcome<()> {
    println!("{tables}");
    let chart = report::chart(all);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let place = if options.write {
        docs.join("performance")
    } else {
        folder()
    };
    create_dir_all(&place)?;
    let mut text = tables.to_owned();
    if let Some(svg) = chart {
        write(place.join("servers.svg"), svg)?;
        text = format!(
            "![CPU time per request in terms of the stub's](performance/servers.svg)\n\n{tables}"
        );
    }
    if options.write {
        page::fill(&docs.join("performance.md"), "servers", &text)
    } else {
        println!("written to {}", place.display());
        Ok(write(place.join("servers.md"), tables)?)
    }
}

/// `target/servers`, in the target directory in use.
fn folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("servers")
}
