//! The cost of a request: CPU time, system calls, context switches.

use crate::bench::{Measurement, Trial, small};
use crate::calls::Calls;
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::CpuTime;
use evserve_lab::last_log::LastLog;
use evserve_lab::server::Server;
use evserve_lab::switches::Switches;

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
    let before = Switches::of_tree(server.id()).total();
    let seen = trial.finish_load(&mut load)?;
    let after = Switches::of_tree(server.id()).total();
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
    let own = LastLog::read(&trial.log())?.calls_per_request();
    figures.extend(own.map(|calls| ("socket_calls", calls)));
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
