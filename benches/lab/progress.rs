//! Says on the standard error what is being measured and what remains, and hears when the user has had enough.

use super::Outcome;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How far the benchmark is.
pub struct Progress {
    begin: Instant,
    done: usize,
    total: usize,
    /// What each measurement is expected to take, in any unit: what the done ones were, and all are.
    weight_done: f64,
    weight: f64,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// For so many measurements, which together weigh as much as this. From here on SIGINT and SIGTERM end the benchmark after the current one, so that no
    /// server stays behind.
    ///
    /// # Errors
    /// Those of sigaction(2).
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

    /// Says that the next measurement begins, and which one it is; it weighs as much as this.
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

    /// Leaves the line to others.
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
