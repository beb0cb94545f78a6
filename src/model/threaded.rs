//! A thread per connection.
//!
//! Each connection's waiting is its own thread's, so nobody waits for anybody else; the price is a thread, its stack
//! and the scheduler's work for each of them.

use super::crew::{Crew, Threads};
use super::{Listening, Serving, Share};
use crate::session::Counters;
use std::io;
use std::sync::Arc;

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
        hub,
    } = serving.only_share()?;
    let max_connections = serving.limits.max_connections;
    let threads = Threads::PerConnection(max_connections);
    let crew = Crew::new(serving.timeouts, threads, &listening, false, log, hub)?;
    let crew = Arc::new(crew);
    for listening in &listening {
        crew.prepare(&listening.listener)?;
    }
    let (listening, answering) = (Arc::<[_]>::from(listening), Arc::from(answering));
    let started = (0..listening.len()).try_for_each(|index| {
        let listening = listening.clone();
        crew.start(move |crew| accept_all(crew, &listening[index], index))
    });
    let started = started.and_then(|()| crew.start_answering(&answering));
    crew.oversee(started, (&signals, &hangups), &listening, &answering)
}

/// Starts a thread for each connection at a listener.
fn accept_all(crew: &Arc<Crew>, listening: &Listening, index: usize) {
    while let Some(accepted) = crew.accept(listening, index) {
        let serve = move |crew: &Arc<Crew>| crew.serve(&mut crew.desk(index), accepted);
        if let Err(error) = crew.start(serve) {
            // The connection is closed.
            crew.wait_for_threads(&error);
        }
    }
}
