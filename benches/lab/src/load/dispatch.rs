//! Which client sends which request, and how late. It reads no clock.
//!
//! All clients share one queue: the longest free one takes the next request. A request that is due
//! while none is free waits in the queue. (The load generators Vegeta and k6 do the same; wrk2
//! gives each connection a schedule of its own, so one slow response holds up requests that
//! others could send.) Which times are in the queue follows from the arrivals, so nothing is stored
//! for it, however long it becomes.

use super::arrivals::Arrivals;
use std::collections::VecDeque;

/// The queue of requests and the free clients.
pub struct Dispatcher {
    /// `None` in a closed loop: there, a request is due as soon as a client is free.
    arrivals: Option<Arrivals>,
    free: VecDeque<usize>,
    free_since_ns: Vec<u64>,
}

/// A request to send now.
#[derive(Debug, PartialEq)]
pub struct Sending {
    pub client: usize,
    pub due_ns: u64,
    /// For how long it was due while this client was free.
    pub lag_ns: u64,
}

impl Dispatcher {
    /// All clients are free.
    pub fn new(arrivals: Option<Arrivals>, clients: usize) -> Dispatcher {
        Dispatcher {
            arrivals,
            free: (0..clients).collect(),
            free_since_ns: vec![0; clients],
        }
    }

    /// A client has its response, and may have had it since this time.
    pub fn release(&mut self, client: usize, since_ns: u64) {
        self.free_since_ns[client] = since_ns;
        self.free.push_back(client);
    }

    /// Returns the oldest request that is due, if a client is free for it.
    pub fn next(&mut self, now_ns: u64) -> Option<Sending> {
        let client = *self.free.front()?;
        let due_ns = match &mut self.arrivals {
            None => now_ns,
            Some(arrivals) if arrivals.next_ns() > now_ns => return None,
            Some(arrivals) => arrivals.take(),
        };
        self.free.pop_front();
        let could_be_sent = due_ns.max(self.free_since_ns[client]);
        Some(Sending {
            client,
            due_ns,
            lag_ns: now_ns.saturating_sub(could_be_sent),
        })
    }

    /// When the oldest request is due that has not been sent. `None` in a closed loop.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.arrivals.as_ref().map(Arrivals::next_ns)
    }

    /// Takes a request that was due before `end` and has not been sent.
    pub fn take_waiting(&mut self, end_ns: u64) -> Option<u64> {
        let arrivals = self.arrivals.as_mut()?;
        (arrivals.next_ns() < end_ns).then(|| arrivals.take())
    }
}
