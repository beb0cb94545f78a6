//! The system calls that a tree of processes makes, counted by perf(1).

use evserve_lab::Outcome;
use evserve_lab::server::ended_within;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{read_to_string, remove_file};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The time perf needs to find all threads.
const ATTACH: Duration = Duration::from_millis(250);

const END_LIMIT: Duration = Duration::from_secs(3);

/// A running perf. Dropping it ends it.
pub struct Calls {
    child: Child,
    file: PathBuf,
}

impl Calls {
    /// Starts to count. Returns `None` if perf is not installed or has no permission.
    ///
    /// # Errors
    /// Errors of the file system and of waitpid(2).
    pub fn start(process: u32, folder: &Path) -> Outcome<Option<Calls>> {
        let file = folder.join("perf.csv");
        let _ = remove_file(&file);
        let mut command = Command::new("perf");
        command
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"])
            .arg(&file)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            return Ok(None);
        };
        let mut calls = Calls { child, file };
        sleep(ATTACH);
        Ok(calls.child.try_wait()?.is_none().then_some(calls))
    }

    /// Returns the number of calls, or `None` if perf does not print one.
    ///
    /// # Errors
    /// Errors of waitpid(2).
    pub fn end(mut self) -> Outcome<Option<u64>> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        ended_within(&mut self.child, END_LIMIT)?;
        let said = read_to_string(&self.file).unwrap_or_default();
        // `12345,,raw_syscalls:sys_enter,..`, or `<not supported>` in its place.
        let line = said.lines().find(|line| line.contains("sys_enter"));
        Ok(line.and_then(|line| line.split(',').next()?.parse().ok()))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
