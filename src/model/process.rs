//! What concerns the whole process: fork(2), and the alarm that ends a server that hangs. One of the few files with
//! `unsafe`.
//!
//! A model hears SIGTERM as a byte on a descriptor. If its thread waits for a file system or a handler that does not
//! answer, nobody reads that byte. So the signal handler sets an alarm (alarm(2)), and SIGALRM, which nothing catches,
//! ends the process where an orderly end has not come in time. That takes no thread, so the default model has only one.

#![allow(unsafe_code)]

use crate::sys::{Errno, Pid};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{ForkResult, alarm};
use signal_hook::SigId;
use signal_hook::low_level::register;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// How long the last steps may take, once connections are cut off, in seconds: log lines, the reports of child processes,
/// the summary.
const LAST_STEPS_SECONDS: u32 = 3;

/// The same once a second signal has come.
const SECOND_SIGNAL_SECONDS: u32 = 2;

/// When the alarm comes after the first signal, in seconds.
static LIMIT_SECONDS: AtomicU32 = AtomicU32::new(u32::MAX);
/// How many signals have asked for an end.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Sets how long a server may go on after the first signal, before the alarm ends it. It has a second more than that.
pub fn limit_shutdown(time: Duration) {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    LIMIT_SECONDS.store(seconds.saturating_add(2), SeqCst);
    SIGNALS.store(0, SeqCst);
}

/// Has a signal set the alarm from now on: the first one for the limit, the second one for the last steps.
///
/// # Errors
/// Those of sigaction(2).
pub(super) fn set_alarm_at(number: i32) -> io::Result<SigId> {
    // The program that started this one may have blocked it.
    SigSet::from(Signal::SIGALRM).thread_unblock()?;
    let action = || {
        let seconds = match SIGNALS.fetch_add(1, SeqCst) {
            0 => LIMIT_SECONDS.load(SeqCst),
            1 => SECOND_SIGNAL_SECONDS,
            // More signals must not put off the end.
            _ => return,
        };
        // SAFETY: the default action is no handler, so there is none that could be called at the wrong moment.
        let _ = unsafe { signal(Signal::SIGALRM, SigHandler::SigDfl) };
        alarm::set(seconds);
    };
    // SAFETY: what the handler does is async-signal-safe (signal-safety(7)): atomics, sigaction(2) and alarm(2). It
    // neither allocates nor locks.
    unsafe { register(number, action) }
}

/// The drain time is over, and the process is still at work: it has some more time for its last steps.
pub(super) fn begin_last_steps() {
    if SIGNALS.load(SeqCst) == 1 {
        alarm::set(LAST_STEPS_SECONDS);
    }
}

/// The end has come in time.
pub fn cancel_alarm() {
    if SIGNALS.swap(0, SeqCst) > 0 {
        alarm::cancel();
    }
}

/// fork(2), for a process that has only one thread: the child's number in the parent, and `None` in the child.
///
/// # Errors
/// Those of fork(2).
pub(super) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: the model `forking` starts no threads, so no other thread can hold a lock that the child would find locked
    // forever. A program with threads that runs it as a library relies on glibc, which keeps its allocator usable
    // after fork(2), and on `log`'s logger not being in use at this moment.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Pid::from_raw(child.as_raw())),
        Ok(ForkResult::Child) => Ok(None),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}
