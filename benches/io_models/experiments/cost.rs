//! The cost of a request: CPU time, system calls, context switches.

use crate::bench::{Measurement, Trial, small};
use crate::calls::Calls;
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::{CpuTime, tree};
use evserve_lab::server::Server;
use std::fs::{read_dir, read_to_string};

/// Measures CPU time, user and system separately.
pub fn time(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = start(trial)?;
    let mut load = trial.begin_load(server.address(), small(false), trial.step as usize, None)?;
    let before = CpuTime::of_tree(server.id())?;
    let seen = trial.finish_load(&mut load)?;
    let used = CpuTime::of_tree(server.id())?.since(&before);
    let each = used.total.as_secs_f64() * 1e6 / seen.responses.max(1) as f64;
    Ok(Measurement::of(&[
        ("cpu_us", each),
        ("user_us", each * used.user_share),
        ("system_us", each * (1.0 - used.user_share)),
        ("requests_per_s", seen.per_second()),
    ]))
}

/// Measures system calls and context switches. Counting takes time itself, so [`time`] is a
/// separate measurement.
pub fn calls(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = start(trial)?;
    let mut load = trial.begin_load(server.address(), small(false), trial.step as usize, None)?;
    let before = switches(server.id());
    let seen = trial.finish_load(&mut load)?;
    let after = switches(server.id());
    drop(load);
    let each = |count: u64| count as f64 / seen.responses.max(1) as f64;
    let mut figures = vec![("switches", each(after.saturating_sub(before)))];
    if let Some(calls) = Calls::start(server.id(), trial.beside)? {
        let seen = trial.load(server.address(), small(false), trial.step as usize, None)?;
        // perf has counted the warm-up too.
        let all = seen.responses + seen.answers_before;
        figures.extend(
            calls
                .end()?
                .map(|count| ("system_calls", count as f64 / all.max(1) as f64)),
        );
    }
    server.end()?;
    figures.extend(own_count(&read_to_string(trial.log())?).map(|calls| ("socket_calls", calls)));
    Ok(Measurement::of(&figures))
}

fn start(trial: &Trial<'_>) -> Outcome<Server> {
    let needs = Needs {
        connections: Some(2 * trial.step + 8),
        // The pool's default.
        threads: Some(64),
    };
    trial.start("http", needs)
}

/// Of all threads of all its current processes.
fn switches(process: u32) -> u64 {
    let tasks = |process: &u32| {
        read_dir(format!("/proc/{process}/task"))
            .into_iter()
            .flatten()
            .flatten()
    };
    let of = |text: String| -> u64 {
        let counts = text.lines().filter(|line| line.contains("ctxt_switches:"));
        counts
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    };
    let all = tree(process);
    let statuses = all
        .iter()
        .flat_map(tasks)
        .filter_map(|task| read_to_string(task.path().join("status")).ok());
    statuses.map(of).sum()
}

/// From the line that the server logs at its end:
/// `.. system calls to wait and on sockets, 3.02 per request: ..`.
fn own_count(log: &str) -> Option<f64> {
    let line = log
        .lines()
        .find(|line| line.contains("system calls to wait"))?;
    line.split(" per request")
        .next()?
        .rsplit(' ')
        .next()?
        .parse()
        .ok()
}
