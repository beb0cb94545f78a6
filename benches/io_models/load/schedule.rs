//! When who is to ask, at a constant rate: the clients take turns, each at even intervals. It reads no clock.

use std::time::{Duration, Instant};

/// The turns of all clients.
pub struct Schedule {
    start: Instant,
    rate: f64,
    /// How many questions should have been asked by now, by all.
    due: u64,
    /// How many of its questions each client has asked.
    asked: Vec<u64>,
}

impl Schedule {
    pub fn new(start: Instant, rate: f64, clients: usize) -> Schedule {
        Schedule {
            start,
            rate,
            due: 0,
            asked: vec![0; clients],
        }
    }

    /// The client whose time has come, if it has. Each turn is told once.
    pub fn next_due(&mut self, now: Instant) -> Option<usize> {
        if self.next_time() > now {
            return None;
        }
        let client = self.due % self.asked.len() as u64;
        self.due += 1;
        Some(client as usize)
    }

    /// When the next client's time comes.
    pub fn next_time(&self) -> Instant {
        self.time(self.due)
    }

    /// Takes the client's oldest question that is due: the time at which it was to be asked.
    pub fn take(&mut self, client: usize) -> Option<Instant> {
        let clients = self.asked.len() as u64;
        let number = self.asked[client] * clients + client as u64;
        (number < self.due).then(|| {
            self.asked[client] += 1;
            self.time(number)
        })
    }

    fn time(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }
}
