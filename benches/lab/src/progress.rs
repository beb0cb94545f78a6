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
    total: usize,
    /// The expected durations in any unit: of the measurements made, and of all.
    weight_done: f64,
    weight: f64,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// For this many measurements with this total duration. From now on SIGINT and SIGTERM end the
    /// benchmark after the current measurement, so that no server is left behind.
    ///
    /// # Errors
    /// Errors of sigaction(2).
    pub fn new(total: usize, weight: f64) -> Outcome<Progress> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            register(signal, Arc::clone(&stop))?;
        }
        Ok(Progress {
            begin: Instant::now(),
            done: 0,
            total,
            weight_done: 0.0,
            weight,
            stop,
        })
    }

    /// Prints the next measurement, with this expected duration.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn next(&mut self, what: &str, weight: f64) -> Outcome<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("stopped by a signal".into());
        }
        let rest = (self.weight - self.weight_done).max(0.0);
        let left = (self.done > 0).then(|| self.begin.elapsed().mul_f64(rest / self.weight_done));
        self.done += 1;
        self.weight_done += weight;
        let (done, total) = (self.done, self.total);
        let line = format!("[{done}/{total}] {what}{}", shown(left));
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
