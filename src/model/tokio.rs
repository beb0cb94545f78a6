//! The runtime tokio: a task for each connection, on one thread or on several.
//!
//! A task is written as a thread would be, and runs as a connection of the event loop does: where it
//! must wait, its thread runs other tasks. The runtime has an epoll(7) of its own, which wakes the
//! tasks of ready sockets. A supervisor waits for signals, as for threads.

mod accepting;
mod shared;
mod task;
mod watch;

pub use shared::WAIT_CALL;

use super::ServerSetup;
use super::clock::Clock;
use super::thread_group::{ThreadGroup, Threads};
use crate::session::Counters;
use shared::{Local, Shared};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Serves until a signal comes, with all tasks on one thread.
///
/// # Errors
/// If the runtime or its thread cannot be started.
pub fn run_on_one_thread(setup: ServerSetup) -> io::Result<Counters> {
    run(setup, Builder::new_current_thread())
}

/// Serves until a signal comes. Tasks move between as many threads as there are processors;
/// `TOKIO_WORKER_THREADS` in the environment sets another number.
///
/// # Errors
/// If the runtime or its threads cannot be started.
pub fn run_on_threads(setup: ServerSetup) -> io::Result<Counters> {
    run(setup, Builder::new_multi_thread())
}

fn run(setup: ServerSetup, mut builder: Builder) -> io::Result<Counters> {
    let threads = Threads::Runtime(setup.limits.max_connections);
    ThreadGroup::serve(setup, threads, false, |group| {
        builder.enable_io().enable_time();
        builder.on_thread_park(Local::before_wait);
        builder.on_thread_unpark(Local::after_wait);
        builder.on_thread_stop(Local::end);
        let runtime = builder.build()?;
        let shared = Arc::new(Shared {
            group: group.clone(),
            time: Clock::start().1,
            working: AtomicUsize::new(0),
        });
        group.start(move |_| serve(&shared, runtime))
    })
}

/// Runs all tasks to their ends.
fn serve(shared: &Arc<Shared>, runtime: Runtime) {
    let (alive, mut ended) = mpsc::channel(1);
    for listener in 0..shared.group.listeners() {
        runtime.spawn(accepting::accept_all(
            shared.clone(),
            listener,
            alive.clone(),
        ));
    }
    drop(alive);
    runtime.block_on(ended.recv());
    // Waits for the threads of the runtime.
    drop(runtime);
    Local::end();
}
