//! How long responses take, in a histogram of fixed size. Times are measured only while somebody
//! watches the status.

use crate::session::Action;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The parts of each doubling of the time. A bucket is at most this fraction wide.
const PARTS: u64 = 8;

/// The number of doublings that have buckets: up to two minutes.
const DOUBLINGS: usize = 24;

const BUCKETS: usize = PARTS as usize * (DOUBLINGS + 1);

/// Counts of response times, by all threads. Adding one takes no lock.
#[derive(Debug)]
pub struct ResponseTimes([AtomicU64; BUCKETS]);

/// Measures the responses of one connection.
///
/// A response takes from when input is found until all output is sent. For a loop, input is found
/// when its wait ends, so the time in the run queue counts. Output that no input has asked for,
/// such as server-sent events, is not measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseTimer<T> {
    /// When the input was found.
    begun: Option<T>,
    has_sent: bool,
}

impl Default for ResponseTimes {
    fn default() -> ResponseTimes {
        ResponseTimes([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl ResponseTimes {
    /// Counts a response.
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket(micros)].fetch_add(1, Relaxed);
    }

    /// Each bucket that is not empty: the longest time that it counts, in microseconds, and how many
    /// responses it has. The last one has all that took longer than the one before it.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let counts = self.0.iter().enumerate();
        let counts = counts.map(|(index, count)| (longest(index), count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// The bucket of a time in microseconds. Times below [`PARTS`] have a bucket each.
fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2() - PARTS.ilog2());
    let part = (micros >> doubling) - PARTS;
    let index = PARTS * (doubling + 1) + part;
    (index as usize).min(BUCKETS - 1)
}

/// The longest time that a bucket counts, in microseconds.
fn longest(bucket: usize) -> u64 {
    let (doubling, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    match doubling {
        0 => part,
        doubling => ((PARTS + part + 1) << (doubling - 1)) - 1,
    }
}

impl<T: Copy> ResponseTimer<T> {
    /// Call this after each step of the connection: how many bytes it has received and sent, what it
    /// does next, and when its input was found. If this was the end of a response, returns when the
    /// input of that response was found.
    pub fn step(&mut self, received: u64, sent: u64, next: Action, found: T) -> Option<T> {
        if received > 0 && self.begun.is_none() {
            (self.begun, self.has_sent) = (Some(found), false);
        }
        self.has_sent |= sent > 0;
        let is_over = match next {
            Action::Receive | Action::ShutdownWrite | Action::Close { .. } => true,
            Action::Send | Action::Load | Action::Proceed | Action::Run | Action::Wait => false,
        };
        match is_over && self.has_sent {
            true => self.begun.take(),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_leave_no_time_out() {
        let mut before = 0;
        for micros in 0..100_000 {
            let index = bucket(micros);
            assert!(index == before || index == before + 1, "{micros}");
            before = index;
            assert!(micros <= longest(index), "{micros}");
            assert!(longest(index) - micros <= micros / PARTS, "{micros}");
            assert!(index == 0 || longest(index - 1) < micros, "{micros}");
        }
        let times = ResponseTimes::default();
        times.add(Duration::from_micros(9));
        times.add(Duration::from_micros(9));
        times.add(Duration::MAX);
        let counts = times.counts();
        assert_eq!(counts[0], (9, 2));
        assert_eq!(counts[1].1, 1);
        assert!(counts[1].0 > 120_000_000, "{counts:?}");
    }

    #[test]
    fn a_response_takes_from_its_first_input_to_its_last_output() {
        let mut timer = ResponseTimer::default();
        // The greeting of a server is no response.
        assert_eq!(timer.step(0, 3, Action::Receive, 1), None);
        // Half of a request, the other half, half of the response, the end.
        assert_eq!(timer.step(5, 0, Action::Receive, 2), None);
        assert_eq!(timer.step(5, 0, Action::Send, 3), None);
        assert_eq!(timer.step(0, 9, Action::Send, 4), None);
        assert_eq!(timer.step(0, 9, Action::Receive, 5), Some(2));
        // All at once.
        assert_eq!(timer.step(5, 9, Action::Receive, 6), Some(6));
        // A message that nobody has asked for.
        assert_eq!(timer.step(0, 9, Action::Receive, 7), None);
        // A response before the connection closes.
        let close = Action::Close { may_linger: true };
        assert_eq!(timer.step(5, 9, close, 8), Some(8));
    }
}
