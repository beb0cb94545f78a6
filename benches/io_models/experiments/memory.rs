//! The memory of an idle connection, in the server and in the kernel.

use crate::background::BackgroundClients;
use crate::bench::{Measurement, Trial};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cpu_time::tree;
use evserve_lab::server::Server;
use std::fs::{read_dir, read_to_string};
use std::thread::sleep;
use std::time::Duration;

/// The time until memory has settled.
const REST: Duration = Duration::from_millis(200);

/// The kernel's own memory, from /proc/meminfo. It is that of the whole machine, so other programs
/// are in the difference.
const KERNEL: &[&str] = &["Slab:", "KernelStack:", "PageTables:"];

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
    let (private, kernel) = (private_bytes(&server), kernel_bytes());
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
        ("private_bytes", each(private_bytes(&server), private)),
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

/// The private memory of all the server's processes.
fn private_bytes(server: &Server) -> u64 {
    // Clean pages are the program's text, which processes may share.
    let of = |process: &u32| {
        let rollup = read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        kib(&rollup, "Private_Dirty:") * 1024
    };
    tree(server.id()).iter().map(of).sum()
}

fn kernel_bytes() -> u64 {
    let text = read_to_string("/proc/meminfo").unwrap_or_default();
    KERNEL.iter().map(|key| kib(&text, key) * 1024).sum()
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or(0)
}
