//! How the loop comes to its end: first it says so, then it stops accepting, then it has no connections any more.

use super::{EventLoop, FIRST_DOOR_KEY, enqueue};
use crate::model::say_that_we_leave;
use crate::poller::{Poller, Ready};
use std::os::fd::AsFd;

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
        if self.refused > 0 {
            log::warn!(
                "{} connections were closed for want of a place",
                self.refused
            );
        }
        // Who is in the backlog has been accepted as far as it can tell.
        for door in &mut self.doors {
            door.ready = true;
        }
        for _ in 0..BACKLOG_TURNS {
            self.accept();
        }
        for (door, key) in self.doors.drain(..).zip(FIRST_DOOR_KEY..) {
            let fd = door.listening.listener.as_fd();
            if let Err(error) = self.poller.change(fd, key, door.watched, Ready::NONE) {
                log::warn!("a listener cannot be unwatched: {error}");
            }
        }
        self.stop_answering();
        self.stopping = true;
        self.accept_again = None;
        self.make_room_again = None;
        self.drain_end = Some(self.worker.time.now() + self.drain_time);
        for (key, entry) in &mut self.entries {
            // A request may have arrived that no event has told of yet.
            entry.ready |= Ready::READABLE;
            enqueue(&mut self.queue, key, entry);
        }
    }
}
