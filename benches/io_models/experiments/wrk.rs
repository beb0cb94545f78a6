//! What wrk measures: throughput, connections per second, large files. Answers are compared to the last byte before,
//! and one more in the middle of the measurement; meanwhile wrk counts their bytes.

use super::super::bench::{Measurement, SMALL, SMALL_BYTES, Trial, large_path};
use super::super::contestant::Needs;
use super::super::lab::Outcome;
use super::super::lab::cores::stay_on;
use super::super::lab::cpu_time::Used;
use super::super::lab::exchange::{Answer, Client};
use super::super::lab::root::content;
use super::super::lab::wrk::{Load, Traffic};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// How long the sample may take: where everybody waits, it does too, and then there is none.
const SAMPLE_LIMIT: Duration = Duration::from_millis(400);

/// Whether an answer has this field depends on who is waiting, so answers differ in length by it.
const CLOSE: &str = "Connection: close\r\n";

/// How many connections ask for large files.
const LARGE_CONNECTIONS: usize = 8;

/// What wrk is to do in a measurement.
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
    // The pool is what it is by default: with more clients than threads it serves the first ones.
    let threads = Some(64);
    let mut server = trial.start(
        "http",
        Needs {
            connections,
            threads,
        },
    )?;
    let address = server.address();
    let answer = ask(address, task, Duration::from_secs(5))?;
    let always = answer.length()
        - if answer.head.contains(CLOSE) {
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
        method: "GET",
        path: &task.path,
        fields,
        connections: task.connections,
        pipelined: 1,
        seconds: trial.pace.wrk_seconds,
        status: 200,
        answer_bytes: always..=always + CLOSE.len(),
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

/// Compares an answer in the middle of the measurement; where none comes in time, there is nothing to compare.
fn sample(trial: &Trial<'_>, address: SocketAddr, task: &Task) -> Outcome<()> {
    stay_on(trial.cores.load)?;
    thread::sleep(Duration::from_secs(trial.pace.wrk_seconds) / 2);
    match ask(address, task, SAMPLE_LIMIT) {
        Err(fault) if !fault.is::<std::io::Error>() => Err(fault),
        _ => Ok(()),
    }
}

fn ask(address: SocketAddr, task: &Task, limit: Duration) -> Outcome<Answer> {
    let mut client = Client::connect_with(address, limit)?;
    let close = if task.closes { CLOSE } else { "" };
    client.send(
        format!(
            "GET {} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n",
            task.path
        )
        .as_bytes(),
    )?;
    let answer = client.receive(false)?;
    if answer.status != 200 || answer.body != content(task.bytes) {
        return Err(format!("a wrong answer with status {}", answer.status).into());
    }
    Ok(answer)
}
