//! The benchmark's own load generator, in a process of its own: it sends requests over many
//! connections and compares every byte of every response.
//!
//! It works in one of two ways. In a *closed loop* each client sends its next request as soon as it
//! has a response: that shows how much a server can do. At a *constant rate* clients send when a
//! request is due, whatever became of the one before, and latency counts from the due time. So a
//! server that stalls does not get fewer requests, and the requests that had to wait are in the
//! figures. (To leave them out is what Gil Tene calls coordinated omission.)
//!
//! - [`script`]: the request, and the right response
//! - [`client`]: the connections of one client, one after the other
//! - [`schedule`]: when each client sends
//! - [`drive`]: the loop, and its results
//! - [`chat`]: another loop, for a chat

mod chat;
mod client;
mod drive;
mod schedule;
mod script;

use crate::Outcome;
use crate::subprocess::wait_for_end;
use serde::{Deserialize, Serialize};
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::time::Duration;

/// With this as its first argument, the benchmark is the load generator.
pub const ARGUMENT: &str = "make-load";

/// The line that it prints when the warm-up is over.
pub const BEGIN: &str = "begin";

/// The load to generate.
#[derive(Clone, Serialize, Deserialize)]
pub struct Orders {
    pub address: SocketAddr,
    pub asks: Asks,
    /// The number of clients, each with one connection at a time.
    pub clients: usize,
    /// Requests per second of all clients together. Without it they run in a closed loop.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    pub run: Duration,
}

/// The kind of request.
#[derive(Clone, Serialize, Deserialize)]
pub enum Asks {
    /// Echo, with a message of this length in bytes.
    Echo { bytes: usize },
    /// Chat: a line to all other clients.
    Chat,
    /// A file of this length over HTTP, optionally with `Connection: close`. `pipelined` requests are
    /// sent at once, and their responses count as one.
    Http {
        path: String,
        bytes: usize,
        close: bool,
        pipelined: usize,
    },
}

/// The results, without the warm-up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub responses: u64,
    /// Received bytes, also of incomplete responses. Not counted in a chat.
    pub bytes: u64,
    /// Responses in the warm-up.
    pub answers_before: u64,
    /// How many clients have had a response.
    pub clients_answered: usize,
    pub seconds: f64,
    /// Latencies in microseconds. Requests without a response at the end count with the time they
    /// had waited.
    pub p50_us: f64,
    pub p99_us: f64,
    pub greatest_us: f64,
    /// How many requests were due and had no response at the end.
    pub unanswered: u64,
    /// How many connections broke before a response. The request was sent again.
    pub broken: u64,
}

impl Seen {
    pub fn per_second(&self) -> f64 {
        self.responses as f64 / self.seconds
    }
}

/// Runs the load and prints its result as a line of JSON. Then keeps the connections open until the
/// parent closes the standard input, so that the parent can inspect the server with all its
/// connections.
///
/// # Errors
/// The arguments are invalid, a response is wrong, or connections break again and again.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let orders = arguments.first().ok_or("no orders")?;
    let orders: Orders = serde_json::from_str(orders)?;
    // Holds the connections until the end.
    let mut drive;
    let seen = match orders.asks {
        Asks::Chat => chat::run(&orders)?,
        Asks::Echo { .. } | Asks::Http { .. } => {
            drive = drive::Drive::new(&orders)?;
            drive.run()?
        }
    };
    say(&serde_json::to_string(&seen)?)?;
    wait_for_end()
}

fn say(line: &str) -> Outcome<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
