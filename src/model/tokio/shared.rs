//! What tasks share: all of them, and those of one thread.

use crate::model::clock::Clock;
use crate::model::thread_group::{ActiveConnection, ThreadGroup};
use crate::model::update_trace;
use crate::recording::Syscall;
use crate::session::{BUFFER_SIZE, Time, WORK_PER_TURN, Worker};
use crate::trace;
use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::mpsc;

/// The call in which a thread of the runtime waits for sockets.
pub const WAIT_CALL: &str = "epoll_wait";

/// Held by each task. The runtime ends when none is left.
pub type Alive = mpsc::Sender<()>;

/// What all tasks share.
pub struct Shared {
    /// The permits, the supervisor's flags and the log.
    pub group: Arc<ThreadGroup>,
    /// When the clocks of all threads began: a task may go on on another thread.
    pub time: Time,
    /// How many sessions have work of their own.
    pub working: AtomicUsize,
}

/// What the tasks of one thread share. A task uses it between two awaits, and no longer.
pub struct Local {
    shared: Arc<Shared>,
    /// What all sessions of the thread share.
    pub worker: Worker,
    clock: Clock,
    /// The bytes that were received or loaded last.
    pub buffer: Box<[u8]>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
    /// The call in which this thread waits, for the trace.
    static WAIT: Cell<Option<trace::Call>> = const { Cell::new(None) };
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
    pub fn with<T>(shared: &Arc<Shared>, act: impl FnOnce(&mut Local) -> T) -> T {
        LOCAL.with_borrow_mut(|local| act(local.get_or_insert_with(|| Local::new(shared))))
    }

    /// Prepares the worker for a connection.
    pub fn begin(&mut self, active: &ActiveConnection) {
        self.clock.read(&mut self.worker.time);
        self.shared.group.read_flags(active, &mut self.worker);
        update_trace(&mut self.worker);
        trace::set_subject(active.socket.as_raw_fd());
        // The runtime has no turns: the sessions that work divide the work of one among them.
        self.worker.work = WORK_PER_TURN / self.shared.working.load(SeqCst).max(1);
    }

    /// Called before the thread waits: no task can go on.
    pub fn before_wait() {
        LOCAL.with_borrow_mut(|local| {
            if let Some(local) = local {
                local.worker.counters.wait_calls += 1;
            }
        });
        let text = |_| format!("{WAIT_CALL}: until a task can go on");
        trace::note_wait(Syscall::Runtime, -1, || None, text);
        WAIT.set(Some(trace::call(Syscall::Runtime, -1)));
    }

    /// Called when the thread has waited.
    pub fn after_wait() {
        if let Some(call) = WAIT.take() {
            let name = || format!("{WAIT_CALL}(of the runtime)");
            call.returned(&Ok(()), name, |()| "woken".into());
        }
    }

    /// Called before the thread ends.
    pub fn end() {
        if let Some(mut local) = LOCAL.take() {
            local.shared.group.end_thread(&mut local.worker);
        }
    }
}
