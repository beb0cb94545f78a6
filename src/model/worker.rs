//! Creates the [`Worker`] that the sessions of one thread share.

use super::timer_queue;
use crate::config::Timeouts;
use crate::session::{Time, TraceHooks, Wakers, Worker};
use crate::trace;

/// Creates a worker with these timeouts. Its sessions are traced if the trace is on.
pub(super) fn new_worker(time: Time, limits: &Timeouts, wakers: Option<Box<dyn Wakers>>) -> Worker {
    static TRACE: TraceHooks = TraceHooks {
        transition: |from, to| trace::note_state(from, to),
        answered: || trace::count_answered(1),
    };
    Worker {
        time_limits: timer_queue::time_limits(limits),
        wakers,
        trace: trace::is_on().then_some(&TRACE),
        ..Worker::new(time)
    }
}
