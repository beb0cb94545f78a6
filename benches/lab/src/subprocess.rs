//! Subprocesses: the benchmark's own program, started again on the load's core. An argument holds
//! its orders as JSON. It prints lines, and ends when its standard input ends, so it also ends when
//! the benchmark dies.

use crate::Outcome;
use crate::cores::spawn_on;
use crate::late::Late;
use crate::server::ended_within;
use serde::Serialize;
use std::env::current_exe;
use std::io::{BufRead, BufReader, Read, stdin};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a subprocess may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// A running subprocess. Dropping it ends it.
pub struct Subprocess {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Subprocess {
    /// Starts a subprocess. It prints its errors to the standard error.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(core: usize, name: &'static str, orders: &impl Serialize) -> Outcome<Subprocess> {
        let mut command = Command::new(current_exe()?);
        command
            .arg(name)
            .arg(serde_json::to_string(orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn_on(core, &mut command)?;
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        // The thread ends with the process, because the pipe ends.
        thread::spawn(move || {
            let lines = said.lines().map_while(Result::ok);
            lines
                .take_while(|line| sender.send(line.clone()).is_ok())
                .for_each(drop);
        });
        Ok(Subprocess { name, child, lines })
    }

    /// Returns the next line that it prints.
    ///
    /// # Errors
    /// It prints nothing in time, or has ended.
    pub fn line(&mut self, limit: Duration) -> Outcome<String> {
        self.lines
            .recv_timeout(limit)
            .map_err(|_| match self.child.try_wait() {
                Ok(Some(status)) => format!("{} ended, {status}", self.name).into(),
                _ => Late(format!("{} printed nothing in time", self.name)).into(),
            })
    }

    /// Asks it to end, and returns the line that it prints then.
    ///
    /// # Errors
    /// It prints nothing in time, or has ended before.
    pub fn end(mut self, limit: Duration) -> Outcome<String> {
        drop(self.child.stdin.take());
        self.line(limit)
    }
}

impl Drop for Subprocess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !matches!(ended_within(&mut self.child, END_LIMIT), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until the parent has closed the standard input, or is gone.
///
/// # Errors
/// Those of read(2).
pub fn wait_for_end() -> Outcome<()> {
    stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
