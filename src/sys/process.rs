//! System calls on processes, threads and signals. fork(2), sigaction(2) and alarm(2) are in
//! `model/process.rs`, because they need `unsafe` code.

use crate::trace;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeValLike;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getsid, kill_process, waitpid};
use rustix::termios::tcgetsid;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// gettid(2): the number of this thread, unique on the machine.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_pid()
}

/// getrusage(2): the CPU time of this process and of its children that have ended.
pub fn cpu_time() -> Duration {
    let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN];
    let times = both.into_iter().filter_map(|who| getrusage(who).ok());
    let times = times.flat_map(|usage| [usage.user_time(), usage.system_time()]);
    let micros: i64 = times.map(|time| time.num_microseconds()).sum();
    Duration::from_micros(micros.unsigned_abs())
}

/// kill(2).
///
/// # Errors
/// ESRCH if the process does not exist, and those of kill(2).
pub fn kill(process: Pid, signal: Signal) -> Result<(), Errno> {
    kill_process(process, signal)
}

/// waitpid(2) without waiting: the status of a child that has ended. The kernel then forgets the
/// child.
///
/// # Errors
/// ECHILD if there is no such child.
pub fn reap(child: Pid) -> Result<Option<WaitStatus>, Errno> {
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::NOHANG))?;
    if ended.is_some() {
        trace::note(|| format!("waitpid({}): ended", child.as_raw_pid()));
    }
    Ok(ended.map(|(_, status)| status))
}

/// socketpair(2): two connected sockets that preserve message boundaries and order
/// (SOCK_SEQPACKET). They are closed on exec.
///
/// # Errors
/// No descriptor is free.
pub fn message_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (domain, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    socketpair(domain, kind, SocketFlags::CLOEXEC, None)
}

/// pthread_sigmask(3): blocks signals in this thread.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn block_signals(signals: &[Signal]) -> Result<(), Errno> {
    set(signals).thread_block().map_err(errno)
}

/// pthread_sigmask(3): unblocks signals in this thread.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn unblock_signals(signals: &[Signal]) -> Result<(), Errno> {
    set(signals).thread_unblock().map_err(errno)
}

fn set(signals: &[Signal]) -> SigSet {
    let signals = signals.iter().map(|signal| signal.as_raw().try_into());
    signals.flatten().collect()
}

/// True if this is the controlling terminal of the process (tcgetsid(3), getsid(2)).
pub fn is_controlling_terminal(terminal: impl AsFd) -> bool {
    tcgetsid(terminal).is_ok_and(|session| getsid(None) == Ok(session))
}

fn errno(errno: nix::Error) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}
