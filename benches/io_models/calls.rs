//! The system calls that a tree of processes makes, counted by perf(1).

use super::lab::Outcome;
use super::lab::server::ended_within;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{read_to_string, remove_file};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Until perf has found all threads.
const ATTACH: Duration = Duration::from_millis(250);

const END_LIMIT: Duration = Duration::from_secs(3);

/// perf at work. It is ended when this is dropped.
pub struct Calls {
    child: Child,
    file: PathBuf,
}

impl Calls {
    /// Counts from now on; `None` where there is no perf, or it may not.
    ///
    /// # Errors
    /// Those of the file system and of waitpid(2).
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

    /// How many there were; `None` if perf does not say.
    ///
    /// # Errors
    /// Those of waitpid(2).
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
