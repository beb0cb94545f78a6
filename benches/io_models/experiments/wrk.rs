//! Measurements with wrk: throughput, connections per second, large files. One response is compared
//! byte by byte before and one during the measurement; wrk counts the bytes of all.

use crate::bench::{Measurement, SMALL, SMALL_BYTES, Trial, large_path};
use crate::contestant::Needs;
use evserve_lab::Outcome;
use evserve_lab::cores::stay_on;
use evserve_lab::cpu_time::Used;
use evserve_lab::exchange::{Client, Response};
use evserve_lab::root::content;
use evserve_lab::wrk::{Load, Traffic};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// The timeout of the sample. Where all clients wait, it waits too, and there is no sample.
const SAMPLE_LIMIT: Duration = Duration::from_millis(400);

/// A response has this field if other clients wait, so lengths may differ by it.
const CLOSE: &str = "Connection: close\r\n";

/// The number of connections that request large files.
const LARGE_CONNECTIONS: usize = 8;

/// The work of wrk in a measurement.
struct Task {
    path: String,
    bytes: usize,
    connections: usize,
    closes: bool,
}

pub fn throughput(trial: &Trial<'_>) -> Outcome<Measurement> {
    let (traffic, used) = run(trial, &small(trial, false))?;
    Ok(Measurement::of(&[
        ("requests_per_s", traffic.requests_per_second()),
        ("cpu_us", per(used.total, traffic.requests as f64)),
    ]))
}

pub fn connections(trial: &Trial<'_>) -> Outcome<Measurement> {
    let (traffic, used) = run(trial, &small(trial, true))?;
    Ok(Measurement::of(&[
        ("connections_per_s", traffic.requests_per_second()),
        ("cpu_us", per(used.total, traffic.requests as f64)),
    ]))
}

pub fn large(trial: &Trial<'_>) -> Outcome<Measurement> {
    let task = Task {
        path: large_path(trial.step),
        bytes: trial.step as usize * 1024,
        connections: LARGE_CONNECTIONS,
        closes: false,
    };
    let (traffic, used) = run(trial, &task)?;
    let mib = traffic.bytes as f64 / f64::from(1 << 20);
    Ok(Measurement::of(&[
        ("mib_per_s", mib / traffic.time.as_secs_f64()),
        ("us_per_mib", per(used.total, mib)),
    ]))
}

fn small(trial: &Trial<'_>, closes: bool) -> Task {
    Task {
        path: SMALL.to_owned(),
        bytes: SMALL_BYTES,
        connections: trial.step as usize,
        closes,
    }
}

fn per(time: Duration, count: f64) -> f64 {
    time.as_secs_f64() * 1e6 / count
}

fn run(trial: &Trial<'_>, task: &Task) -> Outcome<(Traffic, Used)> {
    // One more for the sample.
    let connections = Some(task.connections as u64 + 1);
    // The default pool: with more clients than threads it serves the first ones.
    let threads = Some(64);
    let mut server = trial.start(
        "http",
        Needs {
            connections,
            threads,
        },
    )?;
    let address = server.address();
    let response = ask(address, task, Duration::from_secs(5))?;
    let always = response.length()
        - if response.head.contains(CLOSE) {
            CLOSE.len()
        } else {
            0
        };
    let before = server.cpu_time()?;
    let fields: &[String] = if task.closes {
        &["Connection: close".to_owned()]
    } else {
        &[]
    };
    let load = Load {
        address,
        scheme: "http",
        method: "GET",
        path: &task.path,
        fields,
        connections: task.connections,
        pipelined: 1,
        seconds: trial.pace.wrk_seconds,
        status: 200,
        response_bytes: always..=always + CLOSE.len(),
    };
    let (traffic, sampled) = thread::scope(|scope| {
        let sampler =
            scope.spawn(|| sample(trial, address, task).map_err(|fault| fault.to_string()));
        let traffic = trial.wrk.run(&load);
        (traffic, sampler.join())
    });
    sampled.map_err(|_| "the sample panicked")??;
    Ok((traffic?, server.cpu_time()?.since(&before)))
}

/// Compares a response in the middle of the measurement, if one comes in time.
fn sample(trial: &Trial<'_>, address: SocketAddr, task: &Task) -> Outcome<()> {
    stay_on(trial.cores.load)?;
    thread::sleep(Duration::from_secs(trial.pace.wrk_seconds) / 2);
    match ask(address, task, SAMPLE_LIMIT) {
        Err(fault) if !fault.is::<std::io::Error>() => Err(fault),
        _ => Ok(()),
    }
}

fn ask(address: SocketAddr, task: &Task, limit: Duration) -> Outcome<Response> {
    let mut client = Client::connect_with(address, limit)?;
    let close = if task.closes { CLOSE } else { "" };
    client.send(
        format!(
            "GET {} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n",
            task.path
        )
        .as_bytes(),
    )?;
    let response = client.receive(false)?;
    if response.status != 200 || response.body != content(task.bytes) {
        return Err(format!("a wrong response with status {}", response.status).into());
    }
    Ok(response)
}
