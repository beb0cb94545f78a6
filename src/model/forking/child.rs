//! A process that serves one connection and then ends.

use super::messages::{self, Reports, SignalFlags, catch_signals};
use crate::config::Timeouts;
use crate::model::blocking;
use crate::model::connection_control::{ConnectionControl, SharedFlags};
use crate::model::runner::Runner;
use crate::observe::{LogFile, discard_pending_standard_error, finish_standard_error};
use crate::recording;
use crate::session::NewSession;
use crate::sys::Pid;
use crate::trace;
use parking_lot::Mutex;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a child waits for a slow reader of a log. It counts towards `--max-children` meanwhile.
const LAST_WAIT: Duration = Duration::from_millis(20);

/// What a child inherits from its parent.
pub struct Inheritance {
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The access log.
    pub log: Arc<Mutex<LogFile>>,
    /// Set when the log's file is to be reopened.
    pub reopen: Arc<AtomicBool>,
    /// The flags for its connection.
    pub flags: SharedFlags,
}

/// Serves a connection in a process that has just started, and ends the process. Its signals are
/// [blocked](messages::block_signals) at first.
pub fn serve(
    inheritance: &Inheritance,
    reports: &Reports,
    parent: Pid,
    (socket, start): (OwnedFd, NewSession),
) -> ! {
    recording::forked();
    discard_pending_standard_error();
    let control = ConnectionControl::default();
    let flags = &inheritance.flags;
    let signal_flags = SignalFlags {
        stopping: &flags.stopping,
        cut_off: &control.cut_off,
        crowded: &flags.crowded,
        reopen: &inheritance.reopen,
    };
    if catch_signals(&signal_flags, parent).is_ok() && messages::unblock_signals().is_ok() {
        trace::note(|| format!("a process of its own serves fd {}", socket.as_raw_fd()));
        let mut runner = Runner::new(&inheritance.timeouts, &inheritance.log, flags);
        blocking::serve(&mut runner, &socket, start, &control);
        drop(socket);
        // exit(3) runs no destructors.
        inheritance.log.lock().finish(LAST_WAIT);
        trace::note(|| "exit(0) closes its descriptors".into());
        reports.send(&runner.worker.counters);
    }
    recording::release();
    finish_standard_error(LAST_WAIT);
    std::process::exit(0)
}
