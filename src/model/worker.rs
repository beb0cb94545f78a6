//! Creates the [`Worker`] that the sessions of one thread share.

use super::timer_queue;
use crate::config::Timeouts;
use crate::recording::End;
use crate::session::{Action, Connection, Time, TraceHooks, Wakers, Worker};
use crate::trace;

static TRACE: TraceHooks = TraceHooks {
    transition: |from, to| trace::note_state(from, to),
    answered: trace::note_answered,
    request: trace::note_request,
};

/// Creates a worker with these timeouts. Its sessions are traced if the trace is on.
pub(super) fn new_worker(time: Time, limits: &Timeouts, wakers: Option<Box<dyn Wakers>>) -> Worker {
    Worker {
        time_limits: timer_queue::time_limits(limits),
        wakers,
        trace: trace::is_on().then_some(&TRACE),
        ..Worker::new(time)
    }
}

/// Has the sessions traced from now on if the trace is on, and otherwise not. Call this once in
/// each turn, or before each call that receives.
#[inline]
pub(super) fn update_trace(worker: &mut Worker) {
    let is_on = trace::is_on();
    if is_on != worker.trace.is_some() {
        worker.trace = is_on.then_some(&TRACE);
    }
}

/// How a connection ends that is about to be closed.
pub(super) fn ending(connection: &Connection) -> End {
    match connection.next() {
        Action::Close { .. } if connection.is_aborted() => End::Aborted,
        Action::Close { .. } if connection.peer_has_ended() => End::PeerEnded,
        Action::Close { .. } => End::Finished,
        // An operation has failed.
        _ => End::Aborted,
    }
}
