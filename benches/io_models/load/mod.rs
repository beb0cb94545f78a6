//! Load of this benchmark's own, made by a process of its own: a mio program that asks over many connections and
//! compares every byte of every answer.
//!
//! It works in one of two ways. In a *closed loop* each client asks again as soon as it has its answer: that finds out
//! how much a server can do. At a *constant rate* clients ask when their time has come, whatever became of the question
//! before, and a latency counts from the intended time: a server that stalls is not asked less often for it, and those
//! who had to wait are in the figures. (Leaving them out is what Gil Tene has called coordinated omission.)
//!
//! - [`script`]: what is asked, and what an answer must be
//! - [`client`]: one connection after the other, of one client
//! - [`schedule`]: when who is to ask
//! - [`drive`]: the loop, and what it has seen
//! - [`chat`]: another loop, for what one says and all others hear

mod chat;
mod client;
mod drive;
mod schedule;
mod script;

use super::lab::Outcome;
use super::own::wait_for_end;
use serde::{Deserialize, Serialize};
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::time::Duration;

/// What this benchmark's program is called with to be the load generator.
pub const ARGUMENT: &str = "make-load";

/// What it says when the warm-up is over.
pub const BEGIN: &str = "begin";

/// What to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Orders {
    pub address: SocketAddr,
    pub asks: Asks,
    /// How many clients there are, each with one connection at a time.
    pub clients: usize,
    /// How many questions a second all of them ask together; without it, as many as they get answers to.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    pub run: Duration,
}

/// What is asked.
#[derive(Clone, Serialize, Deserialize)]
pub enum Asks {
    /// For these many bytes to come back.
    Echo { bytes: usize },
    /// For a line to come to all other clients.
    Chat,
    /// For a file of this length, with `Connection: close` if so wanted.
    Http {
        path: String,
        bytes: usize,
        close: bool,
    },
}

/// What came of it, after the warm-up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub answers: u64,
    /// Those before, in the warm-up.
    pub answers_before: u64,
    /// How many clients have ever had an answer.
    pub clients_answered: usize,
    pub seconds: f64,
    /// Latencies, in microseconds; those who had no answer at the end are in them, with what they had waited by then.
    pub p50_us: f64,
    pub p99_us: f64,
    pub greatest_us: f64,
    /// How many had no answer at the end, of those who should have had one.
    pub unanswered: u64,
    /// How many connections broke while an answer was due; the question was asked again.
    pub broken: u64,
}

impl Seen {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

/// The generator's whole life: load, its result as a line of JSON, and silence with open connections until the parent
/// closes the standard input, so that it can look at the server as it is under load.
///
/// # Errors
/// Orders that are none, a wrong answer, or connections that break again and again.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let orders = arguments.first().ok_or("no orders")?;
    let orders: Orders = serde_json::from_str(orders)?;
    let seen = match orders.asks {
        Asks::Chat => chat::run(&orders)?,
        Asks::Echo { .. } | Asks::Http { .. } => drive::Drive::new(&orders)?.run()?,
    };
    say(&serde_json::to_string(&seen)?)?;
    wait_for_end()
}

fn say(line: &str) -> Outcome<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
