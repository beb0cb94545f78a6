//! How connections that have had their answer make room for those that wait.
//!
//! A thread that serves sees nobody but its peer. So the supervisor looks for them, once it is alerted: while
//! every service has a permit free, it sleeps.

use super::{GroupState, ThreadGroup};
use crate::session::MIN_IDLE_AGE;
use crate::sys::{self, is_readable};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

/// How many connections may be ended at one look; it begins with one, and doubles as long as others wait.
const MOST_ENDED: usize = 1024;

/// What the supervisor knows of connections that wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextCheck {
    /// Every service has a permit free; it is alerted when that changes.
    WhenAlerted,
    /// One has none free, and nobody waits: its listeners are watched.
    WhenReady,
    /// It looks again by itself at a time, and then ends up to so many connections.
    At(Instant, usize),
}

impl ThreadGroup {
    /// Has the supervisor look whether connections wait, unless it will look by itself.
    pub(super) fn alert(&self) {
        if self.wants_alert.load(SeqCst) && self.wants_alert.swap(false, SeqCst) {
            self.wake_queue.waker(0).wake();
        }
    }

    /// Makes room for connections that wait: see [`NextCheck`].
    pub(super) fn make_room(&self, check: NextCheck, now: Instant) -> NextCheck {
        let next = now + MIN_IDLE_AGE;
        let count = match check {
            NextCheck::At(time, _) if now < time => return check,
            NextCheck::At(_, count) => count,
            // Alerted, or a listener is ready. Connections that are idle now end at the next look if they still are.
            NextCheck::WhenAlerted | NextCheck::WhenReady => 0,
        };
        // Set before it looks: a later change alerts the supervisor again.
        self.wants_alert.store(true, SeqCst);
        let is_short = !self.services_without_permits().is_empty();
        if self.connections_are_waiting() {
            self.wants_alert.store(false, SeqCst);
            self.close_closable(count);
            return NextCheck::At(next, (count * 2).clamp(1, MOST_ENDED));
        }
        match check {
            _ if !is_short => NextCheck::WhenAlerted,
            NextCheck::At(..) => NextCheck::WhenReady,
            // Permits come and go many times a second, and not each time is it worth a look.
            NextCheck::WhenAlerted | NextCheck::WhenReady => {
                self.wants_alert.store(false, SeqCst);
                NextCheck::At(next, 0)
            }
        }
    }

    /// The services that may have no more connections.
    pub(super) fn services_without_permits(&self) -> Vec<usize> {
        let mut state = self.state.lock();
        let all = 0..self.crowded.len();
        all.filter(|one| !state.has_free(*one)).collect()
    }

    /// True if connections wait, for a permit or (where a thread accepts only once it can serve) to be accepted. The
    /// connections that hold what these wait for end with their next answer.
    fn connections_are_waiting(&self) -> bool {
        let mut state = self.state.lock();
        let GroupState {
            listeners, waiting, ..
        } = &mut *state;
        let waits = |index: usize, _| {
            waiting[self.services[index]] > 0 || is_readable(&self.stream_endpoints[index].listener)
        };
        listeners.set_all_ready();
        let shortages = listeners.shortages(waits);
        for (service, crowded) in self.crowded.iter().enumerate() {
            crowded.store(listeners.is_crowded(service), SeqCst);
        }
        !shortages.is_empty()
    }

    /// Ends up to `count` connections that had had their answer when they were last looked at, and have waited since
    /// then.
    fn close_closable(&self, mut count: usize) {
        for (_, active) in &self.state.lock().connections {
            let is_crowded = self.crowded[active.service].load(SeqCst);
            if is_crowded && active.control.take_closable(count > 0) {
                count -= 1;
                // What has come by now is still answered.
                let _ = sys::shutdown_read(&active.socket);
            }
        }
    }
}
