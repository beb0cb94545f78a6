//! How the loop comes to its end: first it says so, then it stops accepting, then it has no connections any more.

use super::{EventLoop, enqueue};
use crate::model::say_that_we_leave;
use crate::poller::{Poller, Ready};

/// How many turns' worth of connections are still taken from the backlog when the server stops.
const BACKLOG_TURNS: usize = 64;

impl<P: Poller> EventLoop<P> {
    /// The first signal begins the end, the second one ends it.
    pub(super) fn hear_signals(&mut self) {
        for _ in 0..self.signals.take() {
            if self.leave_end.take().is_none() && !self.stopping {
                self.begin_leaving();
                continue;
            }
            log::info!("second signal: ending at once");
            self.begin_drain();
            self.drain_end = Some(self.worker.time.now());
        }
    }

    /// Lets those who send clients here find out that they should not any more.
    fn begin_leaving(&mut self) {
        if let Some(reporter) = &self.reporter {
            reporter.drain();
        }
        if self.delay.is_zero() {
            return self.begin_drain();
        }
        say_that_we_leave(self.delay);
        self.leave_end = Some(self.worker.time.now() + self.delay);
    }

    /// Stops accepting; idle connections close as soon as they have been looked at once more.
    pub(super) fn begin_drain(&mut self) {
        if self.stopping {
            return;
        }
        log::info!("stopping: {} connections are open", self.entries.len());
        // Who is in the backlog has been accepted as far as it can tell.
        self.listeners.set_all_ready();
        for _ in 0..BACKLOG_TURNS {
            self.accept();
        }
        self.stop_listening();
        self.stop_answering();
        self.stopping = true;
        self.drain_end = Some(self.worker.time.now() + self.drain_time);
        for (key, entry) in &mut self.entries {
            // A request may have arrived that no event has told of yet.
            entry.ready |= Ready::READABLE;
            enqueue(&mut self.queue, key, entry);
        }
    }
}
