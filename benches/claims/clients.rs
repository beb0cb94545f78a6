//! Clients that are not the load generator's: one that sends each request in two parts, and some
//! that come one after the other.

use super::work::{SMALL, length};
use evserve_lab::Outcome;
use evserve_lab::cores::stay_on;
use evserve_lab::exchange::Client;
use evserve_lab::root::content;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// The first requests of a connection, which do not count: the kernel acknowledges at once until it
/// knows the connection as one of requests and responses.
const WARM_UP: usize = 4;

/// The least number of requests that count.
const LEAST: usize = 6;

/// Returns the latencies of requests on one connection, in microseconds. Each is sent in two parts.
/// That is the case in which Nagle's algorithm waits for an acknowledgement, which the receiver
/// delays.
///
/// # Errors
/// The connection fails, or a response is wrong.
pub fn in_two_parts(
    core: usize,
    address: SocketAddr,
    nodelay: bool,
    run: Duration,
) -> Outcome<Vec<f64>> {
    on_core(core, move || {
        let mut client = Client::connect(address)?;
        client.set_nodelay(nodelay)?;
        let mut latencies = Vec::new();
        let end = Instant::now() + run;
        while latencies.len() < WARM_UP + LEAST || Instant::now() < end {
            let begin = Instant::now();
            client.send(format!("GET /{SMALL} HTTP/1.1\r\n").as_bytes())?;
            client.send(format!("Host: {address}\r\n\r\n").as_bytes())?;
            receive(&mut client)?;
            latencies.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        latencies.drain(..WARM_UP);
        Ok(latencies)
    })
}

/// Connects so often, one after the other, each with a request.
///
/// # Errors
/// A connection fails, or a response is wrong.
pub fn one_by_one(core: usize, address: SocketAddr, connections: usize) -> Outcome<()> {
    on_core(core, move || {
        for _ in 0..connections {
            let mut client = Client::connect(address)?;
            client.send(format!("GET /{SMALL} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
            receive(&mut client)?;
        }
        Ok(())
    })
}

fn receive(client: &mut Client) -> Outcome<()> {
    let response = client.receive(false)?;
    match response.status == 200 && response.body == content(length(SMALL)) {
        true => Ok(()),
        false => Err("a response is wrong".into()),
    }
}

/// Runs clients on a thread that stays on this core.
fn on_core<T: Send + 'static>(
    core: usize,
    clients: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let all = move || -> Outcome<T> {
        stay_on(core)?;
        clients()
    };
    let thread = thread::spawn(move || all().map_err(|fault| fault.to_string()));
    Ok(thread.join().map_err(|_| "the clients panicked")??)
}
