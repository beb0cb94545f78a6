//! The benchmark's own load generator, in a process of its own: it sends requests over many
//! connections and compares every byte of every response.
//!
//! It works in one of two ways. In a *closed loop* each client sends its next request as soon as it
//! has a response: that shows how much a server can do. In an *open loop* requests are due at random
//! times, whatever became of those before, and latency counts from the due time. So a server that
//! stalls does not get fewer requests, and the requests that had to wait are in the figures. (To
//! leave them out is what Gil Tene calls coordinated omission.)
//!
//! It has one core, and its own delays are in the latencies. So it measures them, and says when it
//! was the limit: see [`Generator`].
//!
//! - [`script`]: the request, and the right response
//! - [`client`]: the connections of one client, one after the other
//! - [`arrivals`]: when requests are due
//! - [`dispatch`]: which client sends which request
//! - [`record`]: the figures, and the rules for them
//! - [`drive`]: the loop
//! - [`chat`]: another loop, for a chat
//! - [`self_test`]: the generator against a stub whose pauses are known ([`stub`])

mod arrivals;
mod chat;
mod client;
mod dispatch;
mod drive;
mod record;
mod script;
pub mod self_test;
#[cfg(test)]
mod simulation;
mod stub;

use crate::Outcome;
use crate::subprocess::wait_for_end;
use nix::time::{ClockId, clock_gettime};
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
    /// Requests per second of all clients together, on average. Without it they run in a closed
    /// loop.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    pub run: Duration,
    /// Other requests, beside these.
    pub beside: Option<Beside>,
}

/// An open loop beside another load, from clients of its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct Beside {
    pub asks: Asks,
    pub clients: usize,
    pub rate: f64,
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
    /// Responses that came in this time.
    pub responses: u64,
    /// Received bytes, also of incomplete responses. Not counted in a chat.
    pub bytes: u64,
    /// Responses in the warm-up.
    pub answers_before: u64,
    /// How many clients have had a response.
    pub clients_answered: usize,
    pub seconds: f64,
    /// The number of latencies. In an open loop: of requests that were due in this time.
    pub latencies: u64,
    /// Percentiles of the latencies in microseconds. Requests without a response at the end count
    /// with the time they had waited. `None`: there are too few for this percentile.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub greatest_us: f64,
    /// How many requests were due and had no response at the end.
    pub unanswered: u64,
    /// How many requests were due a second or more before the end, or in the first half of a shorter
    /// load, and how many of these had no response at the end. 0 in a chat.
    pub judged: u64,
    pub overdue: u64,
    /// How many connections broke before a response. The request was sent again.
    pub broken: u64,
    pub generator: Generator,
    /// The results of the requests beside these. Bytes and broken connections count above.
    pub beside: Option<Box<Seen>>,
}

/// The generator's own part in the results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Generator {
    /// For how long a request was due and a client free before it was sent: at most this. It is part
    /// of the latency. A response that the generator had not read yet counts as one since the last
    /// time it looked.
    pub lag_p50_us: Option<f64>,
    pub lag_p99_us: Option<f64>,
    pub lag_p999_us: Option<f64>,
    /// The part of the time in which it had nothing to do.
    pub idle_percent: f64,
    /// The part of the time for which it had its core. In an open loop it never sleeps for long.
    pub cpu_percent: f64,
    /// Why it was the limit, if it was: see the constants of [`record`].
    pub limited: Option<String>,
}

impl Seen {
    pub fn per_second(&self) -> f64 {
        self.responses as f64 / self.seconds
    }

    /// The percentiles that have enough samples, for a result: p50_us, p99_us and p999_us.
    pub fn percentiles(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("p50_us", self.p50_us),
            ("p99_us", self.p99_us),
            ("p999_us", self.p999_us),
        ];
        let measured = all.into_iter();
        measured
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The part of the requests with a response, in per cent, among those that had time to get one.
    /// `None` if there were none.
    pub fn answered_percent(&self) -> Option<f64> {
        let answered = self.judged - self.overdue;
        (self.judged > 0).then(|| 100.0 * answered as f64 / self.judged as f64)
    }

    /// Why there is no 99th percentile, if there is none.
    pub fn too_few_for_p99(&self) -> Option<String> {
        self.p99_us.is_none().then(|| {
            format!(
                "a 99th percentile needs 2,000 latencies, and there are {}",
                self.latencies
            )
        })
    }
}

/// Called when the warm-up is over.
type Begun<'a> = &'a mut dyn FnMut() -> Outcome<()>;

/// Runs the load and prints its result as a line of JSON. Then keeps the connections open until the
/// parent closes the standard input, so that the parent can inspect the server with all its
/// connections.
///
/// # Errors
/// The arguments are invalid, a response is wrong, or connections break again and again.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let orders = arguments.first().ok_or("no orders")?;
    let orders: Orders = serde_json::from_str(orders)?;
    let mut begun = || say(BEGIN);
    // Holds the connections until the end.
    let mut drive;
    let seen = match orders.asks {
        Asks::Chat => chat::run(&orders, &mut begun)?,
        Asks::Echo { .. } | Asks::Http { .. } => {
            drive = drive::Drive::new(&orders)?;
            drive.run(&mut begun)?
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

/// The CPU time of this thread.
fn thread_cpu_ns() -> Outcome<u64> {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    Ok(time.as_nanos() as u64)
}
