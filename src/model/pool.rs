//! A fixed number of threads, each of which accepts and serves one connection at a time.
//!
//! Nothing is made or destroyed per connection. But a peer holds its thread as long as it is connected, slow or silent
//! as it may be: once there are as many of those as threads, all others wait.

use super::crew::{Crew, Threads};
use super::{Listening, Serving, Share};
use crate::session::Counters;
use std::io;
use std::iter;
use std::sync::Arc;
use std::thread::Builder;

/// The stack of a thread that serves connections, in bytes. The deepest call, which answers a request of the longest
/// kind, needs less than half of it; only pages that were touched take up memory.
const STACK_SIZE: usize = 128 * 1024;

/// A thread that serves connections, yet to be started.
pub(super) fn small_thread() -> Builder {
    Builder::new().stack_size(STACK_SIZE)
}

/// Serves until a signal ends it, with as many threads for each listener as the limits say.
///
/// # Errors
/// If a thread cannot be started.
pub fn run(serving: Serving) -> io::Result<Counters> {
    let threads = serving.limits.threads;
    serve(serving, threads, false)
}

/// Serves with that many threads for each listener.
///
/// # Errors
/// If a thread cannot be started.
pub(super) fn serve(
    mut serving: Serving,
    threads: usize,
    one_exchange: bool,
) -> io::Result<Counters> {
    let Share {
        listening,
        answering,
        signals,
        hangups,
        log,
        hub,
    } = serving.only_share()?;
    let per_listener = Threads::PerListener(threads);
    let crew = Arc::new(Crew::new(
        serving.timeouts,
        per_listener,
        &listening,
        one_exchange,
        log,
        hub,
    )?);
    for listening in &listening {
        crew.prepare(&listening.listener)?;
    }
    let (listening, answering) = (Arc::<[Listening]>::from(listening), Arc::from(answering));
    let each = (0..listening.len()).flat_map(|index| iter::repeat_n(index, threads));
    let started = each.into_iter().try_for_each(|index| {
        let listening = listening.clone();
        let started = crew.start(move |crew| serve_one_by_one(crew, &listening[index], index));
        started.map_err(|error| {
            let why = format!("cannot start {threads} threads: {error}; see --threads");
            io::Error::other(why)
        })
    });
    let started = started.and_then(|()| crew.start_answering(&answering));
    crew.oversee(started, (&signals, &hangups), &listening, &answering)
}

fn serve_one_by_one(crew: &Arc<Crew>, listening: &Listening, index: usize) {
    let mut desk = crew.desk(index);
    while let Some(accepted) = crew.accept(listening, index) {
        crew.serve(&mut desk, accepted);
    }
}
