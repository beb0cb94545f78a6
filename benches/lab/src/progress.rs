//! Prints the current measurement and the remaining time to the standard error, and handles
//! signals.

use crate::Outcome;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The progress of the benchmark.
pub struct Progress {
    begin: Instant,
    done: usize,
    /// How many measurements there are, if that is known.
    total: Option<usize>,
    /// The expected durations in any unit: of the measurements made, and of all.
    weight_done: f64,
    weight: f64,
    /// How long it may take.
    budget: Duration,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// For this many measurements with this total duration. From now on SIGINT and SIGTERM end the
    /// benchmark after the current measurement, so that no server is left behind.
    ///
    /// # Errors
    /// Errors of sigaction(2).
    pub fn new(total: usize, weight: f64) -> Outcome<Progress> {
        Ok(Progress {
            total: Some(total),
            weight,
            ..Progress::within(Duration::MAX)?
        })
    }

    /// For an unknown number of measurements that take this long at most. [`Progress::expect`] says
    /// what is left. Their durations are expected in seconds.
    ///
    /// # Errors
    /// Errors of sigaction(2).
    pub fn within(budget: Duration) -> Outcome<Progress> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            register(signal, Arc::clone(&stop))?;
        }
        Ok(Progress {
            begin: Instant::now(),
            done: 0,
            total: None,
            weight_done: 0.0,
            weight: 0.0,
            budget,
            stop,
        })
    }

    /// The rest has this expected duration, the next measurement included.
    pub fn expect(&mut self, rest: f64) {
        self.weight = self.weight_done + rest;
    }

    /// Whether measurements with this expected duration still fit the time.
    pub fn has_time_for(&self, weight: f64) -> bool {
        self.begin.elapsed() + self.real(weight) <= self.budget
    }

    /// How long that takes, as far as the measurements so far tell.
    fn real(&self, weight: f64) -> Duration {
        let each = match self.weight_done > 0.0 {
            true => self.begin.elapsed().as_secs_f64() / self.weight_done,
            false => 1.0,
        };
        Duration::try_from_secs_f64(each * weight).unwrap_or(Duration::MAX)
    }

    /// Prints the next measurement, with this expected duration.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn next(&mut self, what: &str, weight: f64) -> Outcome<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("stopped by a signal".into());
        }
        let rest = self.real((self.weight - self.weight_done).max(0.0));
        let most = self.budget.saturating_sub(self.begin.elapsed());
        let left = (self.done > 0).then(|| rest.min(most));
        self.done += 1;
        self.weight_done += weight;
        let count = match self.total {
            Some(total) => format!("{}/{total}", self.done),
            None => self.done.to_string(),
        };
        let line = format!("[{count}] {what}{}", shown(left));
        if stderr().is_terminal() {
            eprint!("\r\x1b[K{line}");
        } else {
            eprintln!("{line}");
        }
        Ok(())
    }

    /// Clears the line.
    pub fn end(&self) {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

fn shown(left: Option<Duration>) -> String {
    let Some(seconds) = left.map(|left| left.as_secs()) else {
        return String::new();
    };
    format!("; {}:{:02} min left", seconds / 60, seconds % 60)
}
