//! How a loop takes the steps of a [`Shutdown`](crate::model::shutdown::Shutdown).

use super::EventLoop;
use super::driver::Driver;
use crate::model::process::begin_last_steps;
use crate::model::shutdown::Step;
use crate::poller::ReadySet;

/// How many more times the loop accepts when it stops, so that the backlogs are empty.
const BACKLOG_TURNS: usize = 64;

impl<D: Driver> EventLoop<D> {
    /// Takes the steps that are due.
    #[inline]
    pub(super) fn shut_down(&mut self) {
        if self.shutdown.deadline().is_some() {
            self.take_shutdown_steps();
        }
    }

    fn take_shutdown_steps(&mut self) {
        let now = self.worker.time.now();
        while let Some(step) = self.shutdown.step(now, self.connections.len()) {
            match step {
                Step::Announce => {
                    self.status.iter().for_each(|status| status.drain());
                    self.worker.one_exchange = true;
                }
                Step::Stop => self.stop(),
                Step::CutOff => {
                    begin_last_steps();
                    let connections = &mut self.connections;
                    connections.enqueue_all(|slot| slot.connection.abort());
                }
                // For threads and processes. A loop closes its connections in the turn in which it
                // cuts them off.
                Step::Kill | Step::GiveUp => {}
            }
        }
    }

    /// Stops accepting. Idle connections close, unless a request has arrived.
    fn stop(&mut self) {
        // Clients in the backlog are connected already, as far as they know.
        self.stop_accepting_ahead();
        self.listeners.set_all_ready();
        for _ in 0..BACKLOG_TURNS {
            self.accept();
        }
        self.stop_listening();
        self.stop_answering();
        self.worker.stopping = true;
        // A request may have arrived that no event has reported yet.
        let connections = &mut self.connections;
        connections.enqueue_all(|slot| slot.io.ready |= ReadySet::READABLE);
    }
}
