//! How a server ends: the steps from the first signal to the last wait, and when each is due.
//!
//! A pure state machine: time is an argument, and the model takes the steps. What they are logged as stands here.

use crate::config::Timeouts;
use std::time::{Duration, Instant};

/// How long after the stop it is logged that connections are still open. Idle ones are closed by then.
const NOTICE_DELAY: Duration = Duration::from_millis(100);

/// How long what was cut off may take to write its log lines and to report what it did.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long killed processes are waited for: a kernel that waits for a device kills nobody.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// What a model does next to come to its end. The steps come in this order, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A signal has come. Tell the status, which says so to its readers; answers say that they are the last from now on.
    /// Accepting goes on for `--drain-delay`.
    Announce,
    /// Stop accepting and close idle connections. What is under way has `--drain-timeout`.
    Stop,
    /// Cut off the connections that are left, and have [`begin_last_steps`](super::process::begin_last_steps) bound what
    /// follows.
    CutOff,
    /// Something hangs. Kill processes; leave threads behind, which cannot be killed.
    Kill,
    /// Leave behind what is not even killed.
    GiveUp,
}

/// How far a server has come in ending. Once it is stopping, it is over as soon as no connection is left.
#[derive(Debug)]
pub struct Shutdown {
    delay: Duration,
    drain: Duration,
    /// The last step that was taken. Before the first signal there is none.
    last_step: Option<Step>,
    /// When the next one is due.
    due: Option<Instant>,
    /// The delay has begun, which is logged once the status says so too.
    must_log_delay: bool,
    /// When to log which connections are still waited for.
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

    /// A signal has come: the first begins the end, and the second one skips what is left of the delay and the drain
    /// time. Take the [steps](Shutdown::step) that are due then.
    pub fn signal(&mut self, now: Instant) {
        if self.last_step >= Some(Step::CutOff) {
            return;
        }
        if self.due.is_some() {
            log::info!("second signal: ending at once");
            (self.delay, self.drain) = (Duration::ZERO, Duration::ZERO);
        }
        (self.due, self.notice) = (Some(now), None);
    }

    /// The next step, if it is due: ask until there is none. So many connections are `open`.
    pub fn step(&mut self, now: Instant, open: usize) -> Option<Step> {
        if std::mem::take(&mut self.must_log_delay) {
            let delay = self.delay.as_secs_f32();
            log::info!(
                "stopping in {delay} s: /healthz says so, and clients are served until then"
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
            Some(Step::Stop) => (Step::CutOff, Some(LAST_WORDS)),
            Some(Step::CutOff) => (Step::Kill, Some(LAST_WAIT)),
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

    /// When to ask for the next step. `None` before the first signal and after the last step.
    pub fn deadline(&self) -> Option<Instant> {
        self.notice.into_iter().chain(self.due).min()
    }

    /// The last step that was taken.
    pub fn last_step(&self) -> Option<Step> {
        self.last_step
    }

    /// Answers say that they are the last.
    pub fn is_announced(&self) -> bool {
        self.last_step.is_some()
    }

    /// Nothing is accepted any more.
    pub fn is_stopping(&self) -> bool {
        self.last_step >= Some(Step::Stop)
    }

    /// The server has ended: it is stopping and has nothing left, or gives up what is left.
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

    /// One that has so many milliseconds for the delay and for draining, and the time it begins.
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
    fn without_a_signal_it_serves() {
        let (mut shutdown, start) = shutdown(0, 0);
        assert_eq!(steps(&mut shutdown, start + MS * 1_000_000), []);
        assert_eq!(shutdown.deadline(), None);
        assert!(!shutdown.is_announced() && !shutdown.is_over(0));
    }

    #[test]
    fn each_step_comes_when_its_time_has() {
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
    fn without_a_drain_time_all_is_cut_off_at_once() {
        let (mut shutdown, start) = shutdown(0, 0);
        shutdown.signal(start);
        let expected = [Step::Announce, Step::Stop, Step::CutOff];
        assert_eq!(steps(&mut shutdown, start), expected);
    }

    /// A loop that was held up takes the steps it has missed, and what follows has its whole time all the same.
    #[test]
    fn a_late_step_takes_nothing_from_the_next() {
        let (mut shutdown, start) = shutdown(200, 3000);
        shutdown.signal(start);
        assert_eq!(steps(&mut shutdown, start), [Step::Announce]);
        let late = start + MS * 10_000;
        assert_eq!(steps(&mut shutdown, late), [Step::Stop]);
        assert_eq!(steps(&mut shutdown, late + NOTICE_DELAY), []);
        assert_eq!(shutdown.deadline(), Some(late + MS * 3000));
    }

    /// Whenever it comes: before the first has been looked at, in the delay, or while draining.
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
            assert_eq!(shutdown.deadline(), Some(now + LAST_WORDS));
        }
    }

    /// Whatever comes when: the steps come in order and each once, none before it is due, and the end is bounded by the
    /// times it has. More signals never put it off.
    #[test]
    fn any_order_of_signals_times_and_ends_keeps_to_the_times() {
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
            // Each of the five looks may have come up to 400 ms late.
            let most = MS * (delay + drain + 5 * 400) + LAST_WORDS + LAST_WAIT;
            assert!(now <= first.expect("it began so") + most);
        }
    }
}
