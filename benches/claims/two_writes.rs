//! A client that sends each request in two parts and then waits for the response. This is the case
//! in which Nagle's algorithm waits for an acknowledgement, and the receiver delays it.

use super::work::length;
use evserve_lab::Outcome;
use evserve_lab::cores::stay_on;
use evserve_lab::exchange::Client;
use evserve_lab::root::content;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// The requested file.
pub const FILE: &str = "1k.html";

/// The first requests of a connection, which do not count: the kernel acknowledges at once until it
/// knows the connection as one of requests and responses.
const WARM_UP: usize = 4;

/// The least number of requests that count.
const LEAST: usize = 6;

/// Returns the latencies of requests on one connection, in microseconds. The client stays on `core`.
///
/// # Errors
/// The connection fails, or a response is wrong.
pub fn latencies(
    core: usize,
    address: SocketAddr,
    nodelay: bool,
    run: Duration,
) -> Outcome<Vec<f64>> {
    let client = move || -> Outcome<Vec<f64>> {
        stay_on(core)?;
        exchange(address, nodelay, run)
    };
    let client = thread::spawn(move || client().map_err(|fault| fault.to_string()));
    Ok(client.join().map_err(|_| "the client panicked")??)
}

fn exchange(address: SocketAddr, nodelay: bool, run: Duration) -> Outcome<Vec<f64>> {
    let mut client = Client::connect(address)?;
    client.set_nodelay(nodelay)?;
    let right = content(length(FILE));
    let mut latencies = Vec::new();
    let end = Instant::now() + run;
    while latencies.len() < WARM_UP + LEAST || Instant::now() < end {
        let begin = Instant::now();
        client.send(format!("GET /{FILE} HTTP/1.1\r\n").as_bytes())?;
        client.send(format!("Host: {address}\r\n\r\n").as_bytes())?;
        let response = client.receive(false)?;
        latencies.push(begin.elapsed().as_secs_f64() * 1e6);
        if response.status != 200 || response.body != right {
            return Err("a response is wrong".into());
        }
    }
    latencies.drain(..WARM_UP);
    Ok(latencies)
}
