//! A thread per connection.
//!
//! Each connection's waiting is its own thread's, so nobody waits for anybody else; the price is a thread, its stack
//! and the scheduler's work for each of them.

use super::crew::{Crew, Threads};
use super::pool::small_thread;
use super::{Serving, Share};
use crate::session::Counters;
use std::io;
use std::thread;

/// Serves until a signal ends it.
///
/// # Errors
/// If no thread can be started to accept connections.
pub fn run(mut serving: Serving) -> io::Result<Counters> {
    let Share {
        listening,
        answering,
        signals,
        hangups,
        log,
        board,
    } = serving.only_share()?;
    let max_connections = serving.limits.max_connections;
    let threads = Threads::PerConnection(max_connections);
    let crew = &Crew::new(serving.timeouts, threads, &listening, false, log, board)?;
    for listening in &listening {
        crew.prepare(&listening.listener)?;
    }
    thread::scope(|scope| {
        let all = listening.iter().enumerate();
        let started = all.into_iter().try_for_each(|(index, listening)| {
            let accept = move || {
                while let Some(accepted) = crew.accept(listening, index) {
                    let serve = move || crew.serve(&mut crew.desk(index), listening, accepted);
                    if let Err(error) = small_thread().spawn_scoped(scope, serve) {
                        // The connection is closed.
                        crew.wait_for_threads(&error);
                    }
                }
            };
            small_thread().spawn_scoped(scope, accept).map(|_| ())
        });
        let started = started.and_then(|()| crew.start_answering(scope, &answering));
        let result = started.and_then(|()| crew.oversee(&signals, &hangups, &listening));
        crew.stop_accepting(&listening);
        result
    })?;
    Ok(crew.counters())
}
