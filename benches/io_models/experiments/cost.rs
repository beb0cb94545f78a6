//! The cost of a request: CPU time, system calls, context switches.

use crate::bench::{Measurement, Trial, small};
use crate::calls::Calls;
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::{CoreTime, CpuTime};
use evserve_lab::last_log::LastLog;
use evserve_lab::server::Server;
use evserve_lab::switches::Switches;

/// Measures CPU time, and how much of it is spent in the program. Nothing but the server runs on its
/// core.
pub fn time(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = start(trial)?;
    let core = || CoreTime::of(trial.cores.server);
    let mut load = trial.begin_load(server.address(), small(false), trial.step as usize, None)?;
    let (before, of_core) = (CpuTime::of_tree(server.id())?, core()?);
    let seen = trial.finish_load(&mut load)?;
    let user_share = core()?.user_share_since(&of_core);
    let used = CpuTime::of_tree(server.id())?.since(&before);
    let each = used.total.as_secs_f64() * 1e6 / seen.responses.max(1) as f64;
    let mut figures = vec![("cpu_us", each), ("requests_per_s", seen.per_second())];
    if let Some(share) = user_share {
        figures.extend([
            ("user_us", each * share),
            ("system_us", each * (1.0 - share)),
        ]);
    }
    Ok(Measurement::of(&figures))
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
