//! A server of the library that also computes pages: the handler takes the time that it needs, and
//! does nothing to let others have their turn.

use super::bench::SMALL_BYTES;
use evserve::Server;
use evserve::config::{AccessLog, Config};
use evserve::http1::Request;
use evserve::service::Sharing;
use evserve::service::http::{self, Fallback, PartialHandler, Response};
use evserve::session::Time;
use evserve_lab::Outcome;
use evserve_lab::root::content;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// With this as its first argument, the benchmark is this server.
pub const ARGUMENT: &str = "serve-computed-pages";

/// The page that is computed. It has the content of the small file.
pub const PATH: &str = "/computed";

/// The CPU time that it takes: the same for threads that share a core.
const WORK: Duration = Duration::from_millis(5);

/// How to serve.
#[derive(Serialize, Deserialize)]
pub struct Computing {
    pub address: SocketAddr,
    pub model: String,
    pub workers: Option<u32>,
    pub root: PathBuf,
}

struct Page;

impl PartialHandler for Page {
    fn try_respond(&self, request: &Request<'_>, _: &Time) -> Option<Response> {
        (request.target.path == PATH.as_bytes()).then(|| {
            compute();
            Response::html(String::from_utf8_lossy(&content(SMALL_BYTES)))
        })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }
}

/// Computes until this thread has used its time.
fn compute() {
    let used = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let Ok(begin) = used() else { return };
    let mut number: u64 = 1;
    while used().is_ok_and(|now| now - begin < WORK) {
        for _ in 0..10_000 {
            number = black_box(
                number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
}

/// Serves until a signal ends it.
///
/// # Errors
/// The arguments are invalid, or the server does not start.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let orders: Computing = serde_json::from_str(arguments.first().ok_or("no orders")?)?;
    let make = |config: &Config| {
        let handler = Fallback::new(Page, http::files(config)?);
        Ok(http::service(handler, config))
    };
    let server = Server::builder()
        .configure(|config| {
            config.root = orders.root;
            config.access_log = AccessLog::Off;
            config.timeouts.idle = Duration::from_secs(600);
            config.workers = orders
                .workers
                .map_or(config.workers, |workers| workers as usize);
        })
        .model(&orders.model)
        .listen(&orders.address.to_string(), make)?
        .start()?;
    Ok(server.run()?)
}
