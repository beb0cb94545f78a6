//! What the connections of one thread share, as a model makes it.

use super::timeouts;
use crate::config::Timeouts;
use crate::session::{Time, Trace, Wakers, Worker};
use crate::trace;

/// A worker for connections with these limits. Its sessions are traced, if anything is.
pub(super) fn worker(time: Time, limits: &Timeouts, wakers: Option<Box<dyn Wakers>>) -> Worker {
    static TRACE: Trace = Trace {
        step: |from, to| trace::note_state(from, to),
        answered: || trace::count_answered(1),
    };
    Worker {
        limits: timeouts::limits(limits),
        wakers,
        trace: trace::is_on().then_some(&TRACE),
        ..Worker::new(time)
    }
}
