//! A fixed number of threads, each of which accepts and serves one connection at a time.
//!
//! Nothing is made or destroyed per connection. But a peer holds its thread as long as it is connected, slow or silent
//! as it may be: once there are as many of those as threads, all others wait.

use super::ServerSetup;
use super::thread_group::{ThreadGroup, Threads};
use crate::session::Counters;
use std::io;
use std::iter;
use std::sync::Arc;

/// Serves until a signal ends it, with as many threads for each listener as the limits say.
///
/// # Errors
/// If a thread cannot be started.
pub fn run(setup: ServerSetup) -> io::Result<Counters> {
    let threads = setup.limits.threads;
    serve(setup, threads, false)
}

/// Serves with that many threads for each listener.
///
/// # Errors
/// If a thread cannot be started.
pub(super) fn serve(
    setup: ServerSetup,
    threads: usize,
    one_exchange: bool,
) -> io::Result<Counters> {
    let per_listener = Threads::PerListener(threads);
    ThreadGroup::serve(setup, per_listener, one_exchange, |group| {
        let each = (0..group.listeners()).flat_map(|listener| iter::repeat_n(listener, threads));
        each.into_iter().try_for_each(|listener| {
            let started = group.start(move |group| serve_one_by_one(group, listener));
            started.map_err(|error| {
                let why = format!("cannot start {threads} threads: {error}; see --threads");
                io::Error::other(why)
            })
        })
    })
}

fn serve_one_by_one(group: &Arc<ThreadGroup>, listener: usize) {
    let mut runner = group.runner(listener);
    while let Some(accepted) = group.accept(listener) {
        group.serve_connection(&mut runner, accepted);
    }
}
