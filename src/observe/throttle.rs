//! Limits log lines that clients can cause: each kind is logged once per interval, with the number
//! of lines left out.

use crate::sys::MemfdFlags;
use crate::sys::untraced::{memfd_create, monotonic_time, pread, pwrite};
use log::Level;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The default interval. A client can cause thousands of lines a second. Each takes disk space, or
/// pushes other lines out of the journal.
pub const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The number of kinds that forked processes can tell apart. Kinds with the same slot share their
/// interval and count.
const SLOTS: usize = 1024;

/// A file of one [`State`] per slot, shared by forked processes.
static SHARED: OnceLock<OwnedFd> = OnceLock::new();

/// How many messages this process has left out of the log without logging their number yet.
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
    /// When the next message may be logged, in nanoseconds of the monotonic clock.
    next: u64,
    /// How many messages were left out since the last one.
    suppressed: u64,
}

impl Throttle {
    /// A kind of message that is logged once per `interval`. `name` identifies the kind.
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

    /// Logs a message, unless one of this kind was logged within the interval.
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

    /// Returns the number of messages left out if this one is to be logged; else counts it.
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
                    // `log_suppressed` may have logged the count already.
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

    /// Two processes that read at the same moment may both log a line. That is harmless.
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
        // If this fails, a few more lines are logged.
        let _ = pwrite(shared, numbers.as_flattened(), 16 * slot as u64);
    }
}

fn suppressed_here() -> std::sync::MutexGuard<'static, u64> {
    SUPPRESSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shares intervals and counts with child processes. Call this before fork(2).
pub fn share_throttles() {
    if let Ok(memory) = memfd_create(c"throttles", MemfdFlags::CLOEXEC) {
        // A second server in this process shares them with the first.
        let _ = SHARED.set(memory);
    }
}

/// Logs how many messages were left out since the last count. Call this at the end.
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

/// Logs a message that clients can cause often: `throttled!(Warn, "text {value}")`, or with its own
/// interval, `throttled!(every LOG_INTERVAL, Warn, "text")`.
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
    fn one_message_per_interval_with_the_number_left_out() {
        let mut state = State::default();
        let admit = |state: &mut State, now: u64| state.admit(now, LOG_INTERVAL);
        assert_eq!(admit(&mut state, 5 * SECOND), Some(0));
        for _ in 0..3 {
            assert_eq!(admit(&mut state, 6 * SECOND - 1), None);
        }
        assert_eq!(admit(&mut state, 6 * SECOND), Some(3));
        assert_eq!(admit(&mut state, 7 * SECOND), Some(0));
    }

    /// A program may log after one of its servers has ended.
    #[test]
    fn counting_continues_after_counts_were_logged() {
        let throttle = Throttle::new("test", LOG_INTERVAL);
        assert_eq!(throttle.admit(0), Some(0));
        assert_eq!(throttle.admit(1), None);
        log_suppressed();
        assert_eq!(throttle.admit(SECOND), Some(1));
    }

    #[test]
    fn processes_share_intervals_and_counts() {
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
    fn kinds_have_different_slots() {
        let slots =
            ["a.rs:1", "a.rs:2", "b.rs:1"].map(|name| Throttle::new(name, LOG_INTERVAL).slot);
        assert!(slots[0] != slots[1] && slots[1] != slots[2] && slots[0] != slots[2]);
    }
}
