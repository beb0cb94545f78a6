//! How epoll reports events: at each change, as long as it lasts, or once for each wait.

use super::Variant;
use crate::bench::{Measurement, Trial, small};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::CpuTime;
use evserve_lab::last_log::LastLog;

pub const VARIANTS: &[Variant] = &[
    trigger("edge", "--trigger edge"),
    trigger("level", "--trigger level"),
    trigger("oneshot", "--trigger oneshot"),
];

const fn trigger(name: &'static str, options: &'static str) -> Variant {
    Variant { name, options }
}

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let server = trial.start("http", Needs::default())?;
    let mut load = trial.begin_load(server.address(), small(false), trial.step as usize, None)?;
    let before = CpuTime::of_tree(server.id())?;
    let seen = trial.finish_load(&mut load)?;
    let used = CpuTime::of_tree(server.id())?.since(&before).total;
    drop(load);
    server.end()?;
    let mut figures = vec![
        ("cpu_us", used.as_secs_f64() * 1e6 / seen.responses as f64),
        ("requests_per_s", seen.per_second()),
    ];
    // The server counts from its start, and so with the warm-up.
    let log = LastLog::read(&trial.log())?;
    let counts = [
        ("interest_changes", log.interest_changes()),
        ("events", log.events()),
        ("would_blocks", log.would_blocks()),
    ];
    for (name, count) in counts {
        let each = count.zip(log.requests());
        figures.extend(each.map(|(count, requests)| (name, count / requests)));
    }
    Ok(Measurement::of(&figures))
}
