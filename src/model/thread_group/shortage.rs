//! Closing connections that have had their response, to make room for waiting clients.
//!
//! A serving thread knows only its own peer. So the supervisor finds the connections to close. It
//! checks only after it was alerted: it sleeps while every service has a free permit.

use super::{GroupState, ThreadGroup};
use crate::session::MIN_IDLE_AGE;
use crate::sys::{self, is_readable};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

/// The most connections closed at one check. While clients wait, each check closes twice as many as
/// the one before.
const MAX_CLOSED: usize = 1024;

/// When the supervisor next checks whether clients wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextCheck {
    /// When it is alerted. Every service has a free permit.
    WhenAlerted,
    /// When a listener is ready. A service has no free permit, and no client waits yet.
    WhenReady,
    /// At this time. It then closes up to this many connections.
    At(Instant, usize),
}

impl ThreadGroup {
    /// Wakes the supervisor to check for waiting clients, unless it will check by itself.
    pub(super) fn alert(&self) {
        if self.wants_alert.load(SeqCst) && self.wants_alert.swap(false, SeqCst) {
            self.wake_queue.waker(0).wake();
        }
    }

    /// Checks whether clients wait, and closes connections to make room. Returns when to check
    /// next.
    pub(super) fn make_room(&self, check: NextCheck, now: Instant) -> NextCheck {
        let next = now + MIN_IDLE_AGE;
        let count = match check {
            NextCheck::At(time, _) if now < time => return check,
            NextCheck::At(_, count) => count,
            // Alerted, or a listener is ready. Connections idle now are closed at the next check,
            // if they still are.
            NextCheck::WhenAlerted | NextCheck::WhenReady => 0,
        };
        // Set before the check, so that a later change alerts the supervisor again.
        self.wants_alert.store(true, SeqCst);
        let is_short = !self.services_without_permits().is_empty();
        if self.connections_are_waiting() {
            self.wants_alert.store(false, SeqCst);
            self.close_closable(count);
            return NextCheck::At(next, (count * 2).clamp(1, MAX_CLOSED));
        }
        match check {
            _ if !is_short => NextCheck::WhenAlerted,
            NextCheck::At(..) => NextCheck::WhenReady,
            // The last permit is taken and released many times a second: not each time is worth a
            // check.
            NextCheck::WhenAlerted | NextCheck::WhenReady => {
                self.wants_alert.store(false, SeqCst);
                NextCheck::At(next, 0)
            }
        }
    }

    /// The services without a free permit.
    pub(super) fn services_without_permits(&self) -> Vec<usize> {
        let mut state = self.state.lock();
        let all = 0..self.crowded.len();
        all.filter(|one| !state.has_free(*one)).collect()
    }

    /// True if clients wait for a permit or, if a thread accepts only when it can serve, to be
    /// accepted. Marks the services whose connections hold what they wait for as crowded.
    fn connections_are_waiting(&self) -> bool {
        let mut state = self.state.lock();
        let GroupState {
            listeners, waiting, ..
        } = &mut *state;
        let waits = |index: usize, _| {
            waiting[self.services[index]] > 0 || is_readable(&self.stream_endpoints[index].listener)
        };
        listeners.set_all_ready();
        let shortages = listeners.shortages(waits, |_| None);
        for (service, crowded) in self.crowded.iter().enumerate() {
            crowded.store(listeners.is_crowded(service), SeqCst);
        }
        !shortages.is_empty()
    }

    /// Closes up to `count` connections that had had their response at the last check, and have
    /// been idle since.
    fn close_closable(&self, mut count: usize) {
        for (_, active) in &self.state.lock().connections {
            let is_crowded = self.crowded[active.service].load(SeqCst);
            if is_crowded && active.control.take_closable(count > 0) {
                count -= 1;
                // Input that has arrived by now is still answered.
                let _ = sys::shutdown_read(&active.socket);
            }
        }
    }
}
