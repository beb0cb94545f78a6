//! How a server ends: the steps from the first signal to the last wait, and when each is due.
//!
//! A pure state machine: time is an argument, and the model takes the steps. It also logs them, so
//! that all models log the same lines.

use crate::config::Timeouts;
use crate::net::BACKLOG;
use std::time::{Duration, Instant};

/// How many waiting connections of a listener are accepted when the server stops: a whole backlog.
/// Their clients are connected already, as far as they know.
pub const LAST_ACCEPTS: usize = BACKLOG as usize;

/// How long after the stop it is logged that connections are still open. Idle ones are closed by
/// then.
const NOTICE_DELAY: Duration = Duration::from_millis(100);

/// How long connections that were cut off may take to write their log lines and to report their
/// counters.
const REPORT_TIME: Duration = Duration::from_secs(1);

/// How long to wait for killed processes. A process in a system call that waits for a device cannot
/// be killed.
const KILL_TIME: Duration = Duration::from_millis(500);

/// A step on the way to the end. The steps come in this order, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A signal has come. Mark the status as draining; connections close after their next response.
    /// Accept for another `--drain-delay`.
    Announce,
    /// Stop accepting, and close idle connections. The others have `--drain-timeout` to finish.
    Stop,
    /// Close the remaining connections, and call
    /// [`begin_last_steps`](super::process::begin_last_steps) to bound what follows.
    CutOff,
    /// Some connections hang. Kill processes; leave threads behind, which cannot be killed.
    Kill,
    /// Leave behind processes that cannot be killed.
    GiveUp,
}

/// How far the shutdown of a server has come. Once it is stopping, it is over when no connection is
/// left.
#[derive(Debug)]
pub struct Shutdown {
    delay: Duration,
    drain: Duration,
    /// The last step that was taken. `None` before the first signal.
    last_step: Option<Step>,
    /// When the next step is due.
    due: Option<Instant>,
    /// The drain delay has begun, and is logged at the next call: /healthz must have changed by
    /// then.
    must_log_delay: bool,
    /// When to log how many connections are still open.
    notice: Option<Instant>,
}

impl Shutdown {
    /// No signal has come.
    pub fn new(timeouts: &Timeouts) -> Shutdown {
        Shutdown {
            delay: timeouts.drain_delay,
            drain: timeouts.drain,
            last_step: None,
            due: None,
            must_log_delay: false,
            notice: None,
        }
    }

    /// Reports a signal. The first one begins the shutdown. The second one skips the rest of the
    /// delay and of the drain timeout. Take the [steps](Shutdown::step) that are due afterwards.
    pub fn signal(&mut self, now: Instant) {
        if self.last_step >= Some(Step::CutOff) {
            return;
        }
        if self.due.is_some() {
            log::info!("second signal: stopping at once");
            (self.delay, self.drain) = (Duration::ZERO, Duration::ZERO);
        }
        (self.due, self.notice) = (Some(now), None);
    }

    /// Returns the next step if it is due. Call this until it returns `None`. `open` is the number
    /// of open connections.
    pub fn step(&mut self, now: Instant, open: usize) -> Option<Step> {
        if std::mem::take(&mut self.must_log_delay) {
            let delay = self.delay.as_secs_f32();
            log::info!(
                "stopping in {delay} s: /healthz reports it, and clients are served until then"
            );
        }
        if self.notice.is_some_and(|notice| notice <= now) {
            self.notice = None;
            if open > 0 {
                log::info!(
                    "stopping: waiting up to {} s for {}; Ctrl-C again stops at once",
                    self.drain.as_secs_f32(),
                    connections(open)
                );
            }
        }
        self.due.filter(|due| *due <= now)?;
        let (step, time) = match self.last_step {
            None => (Step::Announce, Some(self.delay)),
            Some(Step::Announce) => (Step::Stop, Some(self.drain)),
            Some(Step::Stop) => (Step::CutOff, Some(REPORT_TIME)),
            Some(Step::CutOff) => (Step::Kill, Some(KILL_TIME)),
            Some(Step::Kill | Step::GiveUp) => (Step::GiveUp, None),
        };
        match step {
            Step::Announce => self.must_log_delay = !self.delay.is_zero(),
            Step::Stop if self.drain > NOTICE_DELAY => self.notice = Some(now + NOTICE_DELAY),
            Step::CutOff => {
                self.notice = None;
                if open > 0 {
                    log::warn!("cut off {}", connections(open));
                }
            }
            _ => {}
        }
        self.last_step = Some(step);
        self.due = time.map(|time| now + time);
        Some(step)
    }

    /// When to call [`step`](Shutdown::step) again. `None` before the first signal and after the
    /// last step.
    pub fn deadline(&self) -> Option<Instant> {
        self.notice.into_iter().chain(self.due).min()
    }

    /// The last step that was taken.
    pub fn last_step(&self) -> Option<Step> {
        self.last_step
    }

    /// True if connections close after their next response.
    pub fn is_announced(&self) -> bool {
        self.last_step.is_some()
    }

    /// True if no more connections are accepted.
    pub fn is_stopping(&self) -> bool {
        self.last_step >= Some(Step::Stop)
    }

    /// True if the server has ended: it is stopping and nothing is `left`, or it gives up what is
    /// left.
    pub fn is_over(&self, left: usize) -> bool {
        self.last_step == Some(Step::GiveUp) || (self.is_stopping() && left == 0)
    }
}

/// Such as `1 connection`.
fn connections(number: usize) -> String {
    match number {
        1 => "1 connection".into(),
        _ => format!("{number} connections"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A shutdown with this delay and drain timeout in milliseconds, and the time it starts.
    fn shutdown(delay_ms: u32, drain_ms: u32) -> (Shutdown, Instant) {
        let timeouts = Timeouts {
            drain_delay: MS * delay_ms,
            drain: MS * drain_ms,
            ..Timeouts::default()
        };
        (Shutdown::new(&timeouts), Instant::now())
    }

    fn steps(shutdown: &mut Shutdown, now: Instant) -> Vec<Step> {
        std::iter::from_fn(|| shutdown.step(now, 1)).collect()
    }

    #[test]
    fn without_a_signal_no_step_is_due() {
        let (mut shutdown, start) = shutdown(0, 0);
        assert_eq!(steps(&mut shutdown, start + MS * 1_000_000), []);
        assert_eq!(shutdown.deadline(), None);
        assert!(!shutdown.is_announced() && !shutdown.is_over(0));
    }

    #[test]
    fn each_step_is_due_at_its_time() {
        let (mut shutdown, start) = shutdown(200, 3000);
        shutdown.signal(start);
        let expected = [
            (0, Step::Announce),
            (200, Step::Stop),
            (3200, Step::CutOff),
            (4200, Step::Kill),
            (4700, Step::GiveUp),
        ];
        for (at, step) in expected {
            let due = start + MS * at;
            if step == Step::CutOff {
                let notice = start + MS * 200 + NOTICE_DELAY;
                assert_eq!(shutdown.deadline(), Some(notice));
                assert_eq!(steps(&mut shutdown, notice), []);
            }
            assert_eq!(shutdown.deadline(), Some(due), "{step:?}");
            if at > 0 {
                assert_eq!(steps(&mut shutdown, due - MS), [], "{step:?}");
            }
            assert_eq!(steps(&mut shutdown, due), [step]);
            assert_eq!(shutdown.last_step(), Some(step));
            assert!(shutdown.is_announced());
            assert_eq!(shutdown.is_stopping(), step >= Step::Stop);
            assert_eq!(shutdown.is_over(0), step >= Step::Stop);
            assert_eq!(shutdown.is_over(1), step == Step::GiveUp);
        }
        assert_eq!(shutdown.deadline(), None);
        assert_eq!(steps(&mut shutdown, start + MS * 1_000_000), []);
    }

    #[test]
    fn without_a_delay_it_stops_at_once() {
        let (mut shutdown, start) = shutdown(0, 3000);
        shutdown.signal(start);
        assert_eq!(steps(&mut shutdown, start), [Step::Announce, Step::Stop]);
        assert_eq!(shutdown.deadline(), Some(start + NOTICE_DELAY));
        assert_eq!(steps(&mut shutdown, start + NOTICE_DELAY), []);
        assert_eq!(shutdown.deadline(), Some(start + MS * 3000));
    }

    #[test]
    fn without_a_drain_timeout_connections_are_cut_off_at_once() {
        let (mut shutdown, start) = shutdown(0, 0);
        shutdown.signal(start);
        let expected = [Step::Announce, Step::Stop, Step::CutOff];
        assert_eq!(steps(&mut shutdown, start), expected);
    }

    /// A loop that was delayed takes the missed steps. The next step still has its full time.
    #[test]
    fn a_late_step_does_not_shorten_the_next() {
        let (mut shutdown, start) = shutdown(200, 3000);
        shutdown.signal(start);
        assert_eq!(steps(&mut shutdown, start), [Step::Announce]);
        let late = start + MS * 10_000;
        assert_eq!(steps(&mut shutdown, late), [Step::Stop]);
        assert_eq!(steps(&mut shutdown, late + NOTICE_DELAY), []);
        assert_eq!(shutdown.deadline(), Some(late + MS * 3000));
    }

    /// The second signal may come before the first was handled, in the delay, or while draining.
    #[test]
    fn a_second_signal_cuts_off_at_once() {
        use Step::{Announce, CutOff, Stop};
        let cases: [(&[u32], &[Step]); 3] = [
            (&[], &[Announce, Stop, CutOff]),
            (&[0], &[Stop, CutOff]),
            (&[0, 200], &[CutOff]),
        ];
        for (looks, expected) in cases {
            let (mut shutdown, start) = shutdown(200, 3_600_000);
            shutdown.signal(start);
            for look in looks {
                steps(&mut shutdown, start + MS * *look);
            }
            let now = start + MS * 500;
            shutdown.signal(now);
            assert_eq!(shutdown.deadline(), Some(now));
            assert_eq!(steps(&mut shutdown, now), expected, "{looks:?}");
            assert_eq!(shutdown.deadline(), Some(now + REPORT_TIME));
        }
    }

    /// In any order of signals, times and closes: the steps come in order, each once, and none
    /// before it is due. The total time is bounded, and more signals never extend it.
    #[test]
    fn random_orders_of_signals_and_closes_keep_the_times() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..2000 {
            let (delay, drain) = (random.u32(0..3) * 100, random.u32(0..3) * 1000);
            let (mut shutdown, start) = shutdown(delay, drain);
            let (mut now, mut open, mut signals) = (start, random.usize(0..4), 0);
            let (mut taken, mut first, mut second) = (Vec::new(), None, None);
            while !shutdown.is_over(open) {
                match random.u8(0..8) {
                    0 => {
                        shutdown.signal(now);
                        signals += 1;
                        if first.is_none() {
                            first = Some(now);
                        } else if second.is_none() {
                            second = Some(now);
                        }
                    }
                    1 => open = open.saturating_sub(1),
                    2 if !shutdown.is_stopping() => open += 1,
                    3 => now += MS * random.u32(1..400),
                    _ => now = shutdown.deadline().unwrap_or(now + MS).max(now),
                }
                let due = shutdown.deadline();
                while let Some(step) = shutdown.step(now, open) {
                    assert!(due.is_some_and(|due| due <= now));
                    assert!(taken.last().is_none_or(|last| *last < step), "{taken:?}");
                    taken.push(step);
                }
                assert!(shutdown.deadline().is_none_or(|due| due > now));
                assert_eq!(shutdown.is_announced(), signals > 0);
                assert!(second.is_none() || taken.contains(&Step::CutOff));
            }
            assert!(taken.starts_with(&[Step::Announce, Step::Stop]));
            assert!(open == 0 || taken.len() == 5);
            // Each of the five steps may have been taken up to 400 ms late.
            let most = MS * (delay + drain + 5 * 400) + REPORT_TIME + KILL_TIME;
            assert!(now <= first.expect("a signal came") + most);
        }
    }
}
