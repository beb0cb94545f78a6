//! The workers: a loop on a thread for each, made, started and ended together.

use super::completions::{Completions, uring_uses};
use super::driver::Driver;
use super::readiness::Readiness;
use super::siblings::Siblings;
use super::{EVENTS, EventLoop};
use crate::config::{self, Accept, Trigger, UringOperations};
use crate::model::{ServerSetup, catch_panic};
use crate::poller::{EdgeEpoll, Epoll, LevelEpoll, OneShotEpoll, Poller};
use crate::session::Counters;
use crate::uring::{self, Ring};
use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long the first loop waits for another worker after that one has cut off its connections.
const WORKER_EXIT_WAIT: Duration = Duration::from_secs(1);

/// Serves by readiness: see [`run`].
pub fn run_readiness<P: Poller + 'static>(setup: ServerSetup) -> io::Result<Counters> {
    run::<Readiness<P>>(setup)
}

/// Serves by epoll(7), triggered as the setting says: see [`run`].
pub fn run_epoll(setup: ServerSetup) -> io::Result<Counters> {
    match setup.trigger {
        Trigger::Edge if setup.accept == Accept::Exclusive => run::<Readiness<EdgeEpoll>>(setup),
        Trigger::Edge => run::<Readiness<Epoll>>(setup),
        Trigger::Level => run::<Readiness<LevelEpoll>>(setup),
        Trigger::Oneshot => run::<Readiness<OneShotEpoll>>(setup),
    }
}

/// Serves by io_uring(7), as the [settings](config::Uring) say: see [`run`].
pub fn run_uring(setup: ServerSetup) -> io::Result<Counters> {
    match setup.uring.operations {
        UringOperations::Poll => run::<Readiness<Ring>>(setup),
        UringOperations::Single | UringOperations::Multishot => run::<Completions>(setup),
    }
}

/// Checks that [`run_uring`] can make its rings.
///
/// # Errors
/// A sentence for the user about the cause, and what to do.
pub fn check_uring(settings: &config::Uring) -> Result<(), String> {
    uring::check(EVENTS, uring_uses(settings))
}

/// Serves until a signal comes: the first worker's loop runs on this thread, each other one on a
/// thread of its own.
///
/// # Errors
/// If a poller cannot be created, for whichever worker; or if a wait fails so that the loop cannot
/// continue.
fn run<D: Driver + 'static>(setup: ServerSetup) -> io::Result<Counters> {
    let max_connections = setup
        .limits
        .max_connections
        .div_ceil(setup.workers.len().max(1));
    let ServerSetup {
        timeouts,
        workers,
        uring,
        accept,
        by_loop,
        ..
    } = setup;
    let listeners = workers.iter().map(|parts| parts.stream_endpoints.len());
    let siblings = Siblings::of(&listeners.collect::<Vec<_>>(), accept)?;
    let make = move |parts| EventLoop::<D>::new(parts, max_connections, &timeouts, &uring);
    let mut workers = workers.into_iter().zip(siblings);
    let first = workers.next();
    let (done, results) = channel();
    let (made, all_made) = channel();
    let mut starters = Vec::new();
    for (index, parts) in (1..).zip(workers) {
        // No loop begins before each is made, on its thread. So if one cannot be, there is nothing
        // to stop.
        let (starter, started) = channel::<()>();
        let (done, made) = (done.clone(), made.clone());
        let run = move || {
            if let Some(result) = run_worker(|| make(parts), made, &started) {
                // Fails if the first loop has stopped waiting.
                let _ = done.send((index, result));
            }
        };
        Builder::new().spawn(run).map_err(|error| {
            io::Error::other(format!(
                "cannot start a thread for a worker: {error}; see --workers"
            ))
        })?;
        starters.push(starter);
    }
    drop(done);
    let first = first.map(make).transpose()?;
    // Each worker sends one result.
    all_made
        .iter()
        .take(starters.len())
        .collect::<io::Result<()>>()?;
    for starter in &starters {
        // Cannot fail: the thread waits for this.
        let _ = starter.send(());
    }
    let mut each = vec![Counters::default(); starters.len() + 1];
    each[0] = first.map_or(Ok(Counters::default()), EventLoop::run)?;
    // Every worker gets the signal by itself. One that hangs is left behind.
    let end = Instant::now() + timeouts.drain_delay + timeouts.drain + WORKER_EXIT_WAIT;
    for ended in 0..starters.len() {
        match results.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((index, counters)) => each[index] = counters?,
            Err(_) => {
                let number = starters.len() - ended;
                log::error!("hung workers left behind: {number}; a handler does not return");
                break;
            }
        }
    }
    let mut sum = Counters::default();
    each.iter().for_each(|counters| sum.add(counters));
    *by_loop.lock().unwrap_or_else(PoisonError::into_inner) = each;
    Ok(sum)
}

/// Makes a worker's loop and reports that. Runs it when `started` says so; returns `None` if it
/// never does.
fn run_worker<D: Driver>(
    make: impl FnOnce() -> io::Result<EventLoop<D>>,
    made: Sender<io::Result<()>>,
    started: &Receiver<()>,
) -> Option<io::Result<Counters>> {
    let (event_loop, result) = match catch_panic(make).unwrap_or_else(panicked) {
        Ok(event_loop) => (Some(event_loop), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Fails if another worker's loop could not be made.
    let _ = made.send(result);
    drop(made);
    started.recv().ok()?;
    event_loop.map(|one| catch_panic(|| one.run()).unwrap_or_else(panicked))
}

/// The result of a worker that panicked.
fn panicked<T>() -> io::Result<T> {
    Err(io::Error::other("a worker panicked"))
}
