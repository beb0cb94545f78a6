//! A fixed number of threads, each of which accepts and serves one connection at a time.
//!
//! Nothing is made or destroyed per connection. But a peer holds its thread as long as it is connected, slow or silent
//! as it may be: once there are as many of those as threads, all others wait.

use super::crew::{Crew, Threads};
use super::{Serving, Share};
use crate::session::Counters;
use std::io;
use std::iter;
use std::thread::{self, Builder};

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
        board,
    } = serving.only_share()?;
    let per_listener = Threads::PerListener(threads);
    let crew = &Crew::new(
        serving.timeouts,
        per_listener,
        &listening,
        one_exchange,
        log,
        board,
    )?;
    for listening in &listening {
        crew.prepare(&listening.listener)?;
    }
    thread::scope(|scope| {
        let start = |(index, listening)| {
            let serve = move || {
                let mut desk = crew.desk(index);
                while let Some(accepted) = crew.accept(listening, index) {
                    crew.serve(&mut desk, listening, accepted);
                }
            };
            let started = small_thread().spawn_scoped(scope, serve);
            started.map(drop).map_err(|error| {
                let why = format!("cannot start {threads} threads: {error}; see --threads");
                io::Error::other(why)
            })
        };
        let all = listening.iter().enumerate();
        let all = all.flat_map(|one| iter::repeat_n(one, threads));
        let started = all.into_iter().try_for_each(start);
        let started = started.and_then(|()| crew.start_answering(scope, &answering));
        let result = started.and_then(|()| crew.oversee(&signals, &hangups, &listening));
        crew.stop_accepting(&listening);
        result
    })?;
    Ok(crew.counters())
}
