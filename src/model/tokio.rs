//! The runtime tokio: a task for each connection, on one thread or on several.
//!
//! A task is written as a thread would be, and runs as a connection of the event loop does: where it
//! must wait, its thread runs other tasks. The runtime has an epoll(7) of its own, which wakes the
//! tasks of ready sockets. A supervisor waits for signals, as for threads.

mod accepting;
mod task;
mod watch;

use super::ServerSetup;
use super::clock::Clock;
use super::thread_group::{ActiveConnection, ThreadGroup, Threads};
use crate::session::{BUFFER_SIZE, Counters, Time, WORK_PER_TURN, Worker};
use crate::trace;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// The call in which a thread of the runtime waits for sockets.
pub const WAIT_CALL: &str = "epoll_wait";

/// Held by each task. The runtime ends when none is left.
type Alive = mpsc::Sender<()>;

/// What all tasks share.
struct Shared {
    group: Arc<ThreadGroup>,
    /// When the clocks of all threads began: a task may go on on another thread.
    time: Time,
    /// How many sessions have work of their own.
    working: AtomicUsize,
}

/// What the tasks of one thread share. A task uses it between two awaits, and no longer.
struct Local {
    shared: Arc<Shared>,
    worker: Worker,
    clock: Clock,
    /// The bytes that were received or loaded last.
    buffer: Box<[u8]>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
    /// The call in which this thread waits, for the trace.
    static WAIT: Cell<Option<trace::Call>> = const { Cell::new(None) };
}

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

impl Local {
    fn new(shared: &Arc<Shared>) -> Local {
        Local {
            worker: shared.group.worker(shared.time.clone()),
            clock: Clock::start().0,
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            shared: shared.clone(),
        }
    }

    /// Calls `act` with what the tasks of this thread share.
    fn with<T>(shared: &Arc<Shared>, act: impl FnOnce(&mut Local) -> T) -> T {
        LOCAL.with_borrow_mut(|local| act(local.get_or_insert_with(|| Local::new(shared))))
    }

    /// Prepares the worker for a connection.
    fn begin(&mut self, active: &ActiveConnection) {
        self.clock.read(&mut self.worker.time);
        self.shared.group.read_flags(active, &mut self.worker);
        // The runtime has no turns: the sessions that work divide the work of one among them.
        self.worker.work = WORK_PER_TURN / self.shared.working.load(SeqCst).max(1);
    }

    /// Called before the thread waits: no task can go on.
    fn before_wait() {
        LOCAL.with_borrow_mut(|local| {
            if let Some(local) = local {
                local.worker.counters.wait_calls += 1;
            }
        });
        trace::note_wait(|| format!("{WAIT_CALL}: until a task can go on"));
        WAIT.set(Some(trace::call()));
    }

    /// Called when the thread has waited.
    fn after_wait() {
        if let Some(call) = WAIT.take() {
            let name = || format!("{WAIT_CALL}(of the runtime)");
            call.returned(&Ok(()), name, |()| "woken".into());
        }
    }

    /// Called before the thread ends.
    fn end() {
        if let Some(mut local) = LOCAL.take() {
            local.shared.group.end_thread(&mut local.worker);
        }
    }
}
