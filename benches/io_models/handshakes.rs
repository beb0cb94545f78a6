//! Clients that make a full TLS handshake each, so many a second, and leave. They run in a process
//! of their own, which gets the core only when the load does not need it.

use evserve_lab::Outcome;
use evserve_lab::subprocess::wait_for_end;
use evserve_lab::tls::TlsClient;
use rustix::process::nice;
use serde::{Deserialize, Serialize};
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// With this as its first argument, the benchmark makes handshakes.
pub const ARGUMENT: &str = "make-handshakes";

/// How many handshakes may be under way.
const THREADS: u64 = 32;

/// The handshakes to make.
#[derive(Clone, Serialize, Deserialize)]
pub struct Handshakes {
    pub address: SocketAddr,
    /// The server's certificate.
    pub certificate: PathBuf,
    pub per_second: f64,
}

/// Makes handshakes until the parent closes the standard input. Then prints how many it made per
/// second.
///
/// # Errors
/// The arguments are invalid.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let handshakes: Handshakes = serde_json::from_str(arguments.first().ok_or("no orders")?)?;
    let client = TlsClient::trusting(&handshakes.certificate)?;
    nice(19)?;
    let (made, has_ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let begin = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, made, has_ended) = (&client, &made, &has_ended);
            let address = handshakes.address;
            let due = move |turn: u64| {
                let index = (turn * THREADS + thread) as f64;
                begin + Duration::from_secs_f64(index / handshakes.per_second)
            };
            scope.spawn(move || {
                let mut turn = 0;
                while !has_ended.load(Relaxed) {
                    thread::sleep(due(turn).saturating_duration_since(Instant::now()));
                    made.fetch_add(u64::from(client.shake_hands(address).is_ok()), Relaxed);
                    turn += 1;
                }
            });
        }
        let ended = wait_for_end();
        has_ended.store(true, Relaxed);
        let per_second = made.load(Relaxed) as f64 / begin.elapsed().as_secs_f64();
        writeln!(stdout(), "{per_second}")?;
        ended
    })
}
