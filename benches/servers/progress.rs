//! Says on the standard error what is being measured and what remains, and hears when the user has had enough.

use super::lab::Outcome;
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
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// For so many measurements. From here on SIGINT and SIGTERM end the benchmark after the current one, so that no
    /// server stays behind.
    ///
    /// # Errors
    /// Those of sigaction(2).
    pub fn new(total: usize) -> Outcome<Progress> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            register(signal, Arc::clone(&stop))?;
        }
        Ok(Progress {
            begin: Instant::now(),
            done: 0,
            total,
            stop,
        })
    }

    /// Says that the next measurement begins.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn next(&mut self, workload: &str, round: u32, server: &str) -> Outcome<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("stopped by a signal".into());
        }
        let each = self.begin.elapsed().checked_div(self.done as u32);
        let left = each.map(|each| each * (self.total - self.done.min(self.total)) as u32);
        self.done += 1;
        let (done, total) = (self.done, self.total);
        let line = format!(
            "[{done}/{total}] {workload}, round {}: {server}{}",
            round + 1,
            shown(left)
        );
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
