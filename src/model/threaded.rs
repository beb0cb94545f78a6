//! A thread per connection.
//!
//! Each thread waits only for its own connection, so no client waits for another. The price of each
//! connection is a thread, its stack and the scheduler's work.

use super::ServerSetup;
use super::thread_group::{ThreadGroup, Threads};
use crate::session::Counters;
use std::io;
use std::sync::Arc;

/// Serves until a signal comes.
///
/// # Errors
/// If no thread can be started to accept connections.
pub fn run(setup: ServerSetup) -> io::Result<Counters> {
    let threads = Threads::PerConnection(setup.limits.max_connections);
    ThreadGroup::serve(setup, threads, false, |group| {
        (0..group.listeners())
            .try_for_each(|listener| group.start(move |group| accept_all(group, listener)))
    })
}

/// Starts a thread for each connection at a listener.
fn accept_all(group: &Arc<ThreadGroup>, listener: usize) {
    while let Some(accepted) = group.accept(listener) {
        let serve = move |group: &Arc<ThreadGroup>| {
            group.serve_connection(&mut group.runner(listener), accepted);
        };
        if let Err(error) = group.start(serve) {
            // The connection has been closed together with `serve`, which owned it.
            group.wait_for_threads(&error);
        }
    }
}
