//! The clock of a thread: the only place that sets a worker's [`Time`].

use crate::session::Time;
use std::time::{Duration, Instant, SystemTime};

/// Reads the monotonic clock with every call, and the wall clock once per second.
pub struct Clock {
    /// When the wall clock was read.
    read: Instant,
    wall: SystemTime,
    /// When the wall clock's second ends. Without this, the Date field could change up to a second
    /// late.
    next_second: Instant,
}

impl Clock {
    /// Creates a clock, and returns it with the current time.
    pub fn start() -> (Clock, Time) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let clock = Clock {
            read: now,
            wall,
            next_second: now + until_next_second(wall),
        };
        (clock, Time::new(now, wall).with_clock(Instant::now))
    }

    /// Sets `time` to now.
    pub fn read(&mut self, time: &mut Time) {
        let now = Instant::now();
        if now >= self.next_second {
            self.read = now;
            self.wall = SystemTime::now();
            self.next_second = now + until_next_second(self.wall);
        }
        time.set(now, self.wall + (now - self.read));
    }
}

fn until_next_second(wall: SystemTime) -> Duration {
    let nanos = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    Duration::from_nanos(1_000_000_000 - u64::from(nanos))
}
