//! The memory of an idle connection, in the server and in the kernel.

use crate::background::BackgroundClients;
use crate::bench::{Measurement, Trial};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::tree;
use evserve_lab::memory::{kernel_bytes, private_bytes};
use std::fs::read_dir;
use std::thread::sleep;
use std::time::Duration;

/// The time until memory has settled.
const REST: Duration = Duration::from_millis(200);

pub fn measure(trial: &Trial<'_>) -> Outcome<Measurement> {
    let needs = Needs {
        connections: Some(trial.step + 8),
        threads: None,
    };
    let server = trial.start("http", needs)?;
    // The memory that the first request touches is no cost of the connections.
    let one = BackgroundClients {
        idle: 1,
        ..BackgroundClients::default()
    };
    drop(trial.connect_background(&server, one)?);
    sleep(REST);
    let (private, kernel) = (private_bytes(server.id()), kernel_bytes());
    let clients = BackgroundClients {
        idle: trial.step as usize,
        ..BackgroundClients::default()
    };
    let clients = trial.connect_background(&server, clients)?;
    if let Some(why) = clients.missing {
        return Ok(Measurement::none(why));
    }
    sleep(REST);
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / trial.step as f64;
    let processes = tree(server.id());
    Ok(Measurement::of(&[
        ("private_bytes", each(private_bytes(server.id()), private)),
        ("kernel_bytes", each(kernel_bytes(), kernel)),
        (
            "threads",
            processes.iter().map(threads).sum::<usize>() as f64,
        ),
        ("processes", processes.len() as f64),
    ]))
}

fn threads(process: &u32) -> usize {
    read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count)
}
