//! A fixed number of threads; each accepts and serves one connection at a time.
//!
//! Nothing is created per connection. But a connected client holds its thread, however slow or
//! silent it is. Once every thread has such a client, all other clients wait.

use super::ServerSetup;
use super::thread_group::{ThreadGroup, Threads};
use crate::session::Counters;
use std::io;
use std::iter;
use std::sync::Arc;

/// Serves until a signal comes, with [`Limits::threads`](super::Limits::threads) threads per
/// listener.
///
/// # Errors
/// If a thread cannot be started.
pub fn run(setup: ServerSetup) -> io::Result<Counters> {
    let threads = setup.limits.threads;
    serve(setup, threads, false)
}

/// Serves with `threads` threads per listener. With `one_exchange`, connections close after their
/// first response.
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
