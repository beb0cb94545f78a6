//! Warnings that strangers can cause: each kind is logged at most once in a while, with how many were left out.

use crate::sys::MemfdFlags;
use crate::sys::untraced::{memfd_create, monotonic_time, pread, pwrite};
use log::Level;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How often a kind is logged unless it says otherwise: a client can cause thousands a second, and each line takes disk
/// space, or pushes out of the journal what others have logged.
pub const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How many kinds child processes tell apart. Two with the same slot share their pauses.
const SLOTS: usize = 1024;

/// What processes that were forked share, since each has its own memory: a [`State`] for each slot.
static SHARED: OnceLock<OwnedFd> = OnceLock::new();

/// How many were left out of the log and are not in a count there, in this process.
static SUPPRESSED: Mutex<u64> = Mutex::new(0);

/// A kind of message.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    slot: usize,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// From when on the next one is logged, in nanoseconds of the monotonic clock.
    next: u64,
    /// How many were left out since the last one.
    suppressed: u64,
}

impl Throttle {
    /// A kind of message that is logged once in each `interval`. Its name tells it from others.
    pub const fn new(name: &str, interval: Duration) -> Throttle {
        // FNV-1a.
        let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
        while at < name.len() {
            hash = (hash ^ name.as_bytes()[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        Throttle {
            interval,
            slot: (hash % SLOTS as u64) as usize,
            state: Mutex::new(State {
                next: 0,
                suppressed: 0,
            }),
        }
    }

    /// Logs a message of this kind, unless one was logged a moment ago.
    pub fn log(&self, level: Level, target: &str, message: impl Display) {
        if level > log::max_level() {
            return;
        }
        match self.admit(monotonic_time().as_nanos() as u64) {
            None => {}
            Some(0) => log::log!(target: target, level, "{message}"),
            Some(suppressed) => log::log!(
                target: target, level, "{message} ({suppressed} more of this kind were not logged)"
            ),
        }
    }

    /// How many were left out since the last one, if one is to be logged now.
    fn admit(&self, now: u64) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = SHARED.get();
        if let Some(shared) = shared {
            *state = State::read(shared, self.slot);
        }
        let admitted = state.admit(now, self.interval);
        match shared {
            Some(shared) => state.write(shared, self.slot),
            None => match admitted {
                Some(suppressed) => {
                    let mut here = suppressed_here();
                    // Its count may have been logged before, by `log_suppressed`.
                    *here = here.saturating_sub(suppressed);
                }
                None => *suppressed_here() += 1,
            },
        }
        admitted
    }
}

impl State {
    fn admit(&mut self, now: u64, interval: Duration) -> Option<u64> {
        if now < self.next {
            self.suppressed += 1;
            return None;
        }
        self.next = now + interval.as_nanos() as u64;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// Two processes that do this at the same moment may both log a line; that does no harm.
    fn read(shared: &OwnedFd, slot: usize) -> State {
        let mut bytes = [0; 16];
        match pread(shared, &mut bytes, 16 * slot as u64) {
            Ok(16) => {
                let (numbers, _) = bytes.as_chunks::<8>();
                State {
                    next: u64::from_ne_bytes(numbers[0]),
                    suppressed: u64::from_ne_bytes(numbers[1]),
                }
            }
            _ => State::default(),
        }
    }

    fn write(self, shared: &OwnedFd, slot: usize) {
        let numbers = [self.next, self.suppressed].map(u64::to_ne_bytes);
        // Memory that cannot be had costs a few more lines.
        let _ = pwrite(shared, numbers.as_flattened(), 16 * slot as u64);
    }
}

fn suppressed_here() -> std::sync::MutexGuard<'static, u64> {
    SUPPRESSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shares pauses and counts with the processes that will be forked. Call this before.
pub fn share_throttles() {
    if let Ok(memory) = memfd_create(c"throttles", MemfdFlags::CLOEXEC) {
        // A second server in the same process shares them with the first.
        let _ = SHARED.set(memory);
    }
}

/// Logs how many messages were left out whose count is in no line yet. Call this at the end.
pub fn log_suppressed() {
    let shared = SHARED.get().map_or(0, |shared| {
        (0..SLOTS)
            .map(|slot| State::read(shared, slot).suppressed)
            .sum()
    });
    match std::mem::take(&mut *suppressed_here()) + shared {
        0 => {}
        suppressed => log::warn!("{suppressed} more warnings were not logged: they came too often"),
    }
}

/// Logs a message that strangers can cause again and again: `throttled!(Warn, "text {value}")`, or with an interval of its
/// own `throttled!(every LOG_INTERVAL, Warn, "text")`.
macro_rules! throttled {
    (every $interval:expr, $level:ident, $($message:tt)+) => {{
        static THROTTLE: $crate::observe::Throttle =
            $crate::observe::Throttle::new(concat!(file!(), ":", line!()), $interval);
        THROTTLE.log(log::Level::$level, module_path!(), format_args!($($message)+));
    }};
    ($level:ident, $($message:tt)+) => {
        $crate::observe::throttled!(every $crate::observe::LOG_INTERVAL, $level, $($message)+)
    };
}

pub(crate) use throttled;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn one_in_each_pause_and_how_many_were_left_out() {
        let mut state = State::default();
        let admit = |state: &mut State, now: u64| state.admit(now, LOG_INTERVAL);
        assert_eq!(admit(&mut state, 5 * SECOND), Some(0));
        for _ in 0..3 {
            assert_eq!(admit(&mut state, 6 * SECOND - 1), None);
        }
        assert_eq!(admit(&mut state, 6 * SECOND), Some(3));
        assert_eq!(admit(&mut state, 7 * SECOND), Some(0));
    }

    /// A library may log after one of its servers has ended.
    #[test]
    fn counts_go_on_after_they_were_logged() {
        let throttle = Throttle::new("test", LOG_INTERVAL);
        assert_eq!(throttle.admit(0), Some(0));
        assert_eq!(throttle.admit(1), None);
        log_suppressed();
        assert_eq!(throttle.admit(SECOND), Some(1));
    }

    #[test]
    fn processes_share_what_they_have_left_out() {
        let shared = memfd_create(c"test", MemfdFlags::CLOEXEC).expect("memory");
        assert_eq!(State::read(&shared, 7), State::default());
        let state = State {
            next: 3,
            suppressed: 4,
        };
        state.write(&shared, 7);
        assert_eq!(State::read(&shared, 7), state);
        assert_eq!(State::read(&shared, 6), State::default());
        assert_eq!(State::read(&shared, 8), State::default());
    }

    #[test]
    fn kinds_have_places_of_their_own() {
        let places =
            ["a.rs:1", "a.rs:2", "b.rs:1"].map(|name| Throttle::new(name, LOG_INTERVAL).slot);
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
    }
}
