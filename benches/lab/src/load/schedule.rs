//! When each client sends, at a constant rate: the clients take turns at even intervals. It reads
//! no clock.

use std::time::{Duration, Instant};

/// The schedule of all clients.
pub struct Schedule {
    start: Instant,
    rate: f64,
    /// How many requests of all clients have been due so far.
    due: u64,
    /// How many requests each client has sent.
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

    /// Returns the client whose request is due now, if any. Each request is returned once.
    pub fn next_due(&mut self, now: Instant) -> Option<usize> {
        if self.next_time() > now {
            return None;
        }
        let client = self.due % self.asked.len() as u64;
        self.due += 1;
        Some(client as usize)
    }

    /// When the next request is due.
    pub fn next_time(&self) -> Instant {
        self.time(self.due)
    }

    /// Takes the oldest due request of a client. Returns the time at which it was due.
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
