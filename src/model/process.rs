//! fork(2), and the alarm that ends a server that hangs. One of the few files with `unsafe`.
//!
//! SIGTERM reaches a model as a byte on a descriptor. While a thread waits for a file system or a
//! handler that does not answer, it does not read that byte. So the signal handler also sets an
//! alarm (alarm(2)). SIGALRM is not caught, so it ends the process if the server has not ended in
//! time. This needs no extra thread: the default model has only one.

#![allow(unsafe_code)]

use crate::sys::{Errno, Pid};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{ForkResult, alarm};
use parking_lot::Mutex;
use signal_hook::SigId;
use signal_hook::low_level::register;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// How long the last steps may take after connections were cut off, in seconds: log lines, reports
/// of child processes, the summary.
const LAST_STEPS_SECONDS: u32 = 3;

/// The same after a second signal.
const SECOND_SIGNAL_SECONDS: u32 = 2;

/// When the alarm goes off after the first signal, in seconds.
static LIMIT_SECONDS: AtomicU32 = AtomicU32::new(u32::MAX);
/// How many signals have come.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Sets how long a server may continue after the first signal. The alarm ends it one second after
/// that.
pub fn limit_shutdown(time: Duration) {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    LIMIT_SECONDS.store(seconds.saturating_add(2), SeqCst);
    SIGNALS.store(0, SeqCst);
}

/// Makes a signal set the alarm from now on. The first signal sets it to the limit, the second one
/// to the time for the last steps.
///
/// # Errors
/// Those of sigaction(2).
pub(super) fn set_alarm_at(number: i32) -> io::Result<SigId> {
    // The parent process may have blocked it.
    SigSet::from(Signal::SIGALRM).thread_unblock()?;
    let action = || {
        let seconds = match SIGNALS.fetch_add(1, SeqCst) {
            0 => LIMIT_SECONDS.load(SeqCst),
            1 => SECOND_SIGNAL_SECONDS,
            // Further signals must not delay the end.
            _ => return,
        };
        // SAFETY: this sets the default action, so no handler runs that could do harm.
        let _ = unsafe { signal(Signal::SIGALRM, SigHandler::SigDfl) };
        alarm::set(seconds);
    };
    // SAFETY: what the handler does is async-signal-safe (signal-safety(7)): atomics, sigaction(2)
    // and alarm(2). It neither allocates nor locks.
    unsafe { register(number, action) }
}

/// Gives the process time for its last steps, after the drain timeout.
pub(super) fn begin_last_steps() {
    if SIGNALS.load(SeqCst) == 1 {
        alarm::set(LAST_STEPS_SECONDS);
    }
}

/// Cancels the alarm: the server has ended in time.
pub fn cancel_alarm() {
    if SIGNALS.swap(0, SeqCst) > 0 {
        alarm::cancel();
    }
}

/// Held while a process is made, and while another thread holds locks that it could need.
static FORKS: Mutex<()> = Mutex::new(());

/// Runs this while no process is made by fork(2). A new process has a copy of every lock, and one
/// that another thread held would stay locked forever in it. So a thread beside the model
/// `forking` takes locks only here, and never waits here for anything else.
pub fn without_forks<T>(act: impl FnOnce() -> T) -> T {
    let _guard = FORKS.lock();
    act()
}

/// fork(2), for a process with only one thread, apart from threads that take locks
/// [`without_forks`]. Returns the child's process ID in the parent, and `None` in the child.
///
/// # Errors
/// Those of fork(2).
pub(super) fn fork() -> Result<Option<Pid>, Errno> {
    let guard = FORKS.lock();
    // SAFETY: the model `forking` starts no threads, and the one that the server starts beside it
    // takes locks only without forks, so no other thread can hold a lock that would stay locked in
    // the child. The allocator's are excepted: glibc takes them itself. A program that has threads
    // and runs it as a library relies on glibc, which keeps its allocator usable after fork(2), and
    // on the `log` logger not being in use at this moment.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Pid::from_raw(child.as_raw())),
        Ok(ForkResult::Child) => {
            // Unlocking would wake threads that wait for it, and there are none here.
            std::mem::forget(guard);
            Ok(None)
        }
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}
