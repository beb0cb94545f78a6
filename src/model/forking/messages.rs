//! Messages between the parent and its children: signals to the children, and a report from each
//! child.

use crate::session::Counters;
use crate::sys::untraced::{getppid, recv, send, set_parent_process_death_signal};
use crate::sys::{self, Errno, Pid, RecvFlags, SendFlags, Signal, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The server is stopping: end when the peer has nothing under way.
pub const STOP: Signal = Signal::TERM;

/// End at once.
pub const CUT_OFF: Signal = Signal::USR2;

/// Clients wait for a process: end after the next response.
///
/// SIGUSR1 is the user's: it writes a recording. This one is ignored where it is not caught.
pub const MAKE_ROOM: Signal = Signal::URG;

/// Reopen the access log's file.
pub const REOPEN: Signal = Signal::HUP;

/// Flags in a child, set by the parent's signals.
pub struct SignalFlags<'a> {
    /// [`STOP`].
    pub stopping: &'a Arc<AtomicBool>,
    /// [`CUT_OFF`].
    pub cut_off: &'a Arc<AtomicBool>,
    /// [`MAKE_ROOM`].
    pub crowded: &'a Arc<AtomicBool>,
    /// [`REOPEN`].
    pub reopen: &'a Arc<AtomicBool>,
}

/// The signals that a parent or a child catches.
const CAUGHT: [Signal; 7] = [
    Signal::INT,
    Signal::TERM,
    Signal::CHILD,
    Signal::USR1,
    Signal::USR2,
    Signal::HUP,
    Signal::URG,
];

/// Blocks signals until a new process has its own handlers. The inherited handlers would report its
/// signals to the parent.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn block_signals() -> Result<(), Errno> {
    sys::block_signals(&CAUGHT)
}

/// Unblocks the signals again.
///
/// # Errors
/// Those of pthread_sigmask(3).
pub fn unblock_signals() -> Result<(), Errno> {
    sys::unblock_signals(&CAUGHT)
}

/// In a child: catches the parent's signals, each of which sets a flag. If the parent ends, the
/// kernel sends [`STOP`], so that a restarted server does not run beside the children of its
/// predecessor.
///
/// # Errors
/// Those of sigaction(2) and prctl(2).
pub fn catch_signals(flags: &SignalFlags<'_>, parent: Pid) -> io::Result<()> {
    for (signal, flag) in [
        (STOP, flags.stopping),
        (CUT_OFF, flags.cut_off),
        (MAKE_ROOM, flags.crowded),
        (REOPEN, flags.reopen),
    ] {
        signal_hook::flag::register(signal.as_raw(), flag.clone())?;
    }
    set_parent_process_death_signal(Some(STOP))?;
    if getppid() != Some(parent) {
        flags.stopping.store(true, SeqCst);
    }
    Ok(())
}

/// The counters of children: each sends one message before it ends.
pub struct Reports {
    receiver: OwnedFd,
    sender: OwnedFd,
}

impl Reports {
    /// No reports yet.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<Reports> {
        let (receiver, sender) = sys::message_pair()?;
        Ok(Reports { receiver, sender })
    }

    /// In a child: sends its counters. An error is ignored: if the parent is gone, nothing needs
    /// the report.
    pub fn send(&self, counters: &Counters) {
        let numbers = counters.to_array().into_iter();
        let report: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
        let _ = retry_on_intr(|| send(&self.sender, &report, SendFlags::NOSIGNAL));
    }

    /// In the parent: takes the next report, if there is one.
    pub fn take(&self) -> Option<Counters> {
        let mut report = [0; Counters::COUNT * 8];
        let size = report.len();
        let result = retry_on_intr(|| recv(&self.receiver, &mut report, RecvFlags::DONTWAIT));
        let (numbers, _) = report.as_chunks::<8>();
        let numbers = std::array::from_fn(|index| u64::from_ne_bytes(numbers[index]));
        (result == Ok((size, size))).then(|| Counters::from_array(numbers))
    }
}

/// Readable while reports wait.
impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_whole_and_in_order() {
        let reports = Reports::new().expect("two descriptors");
        assert!(reports.take().is_none());
        for requests in [3, 5] {
            reports.send(&Counters {
                requests,
                ..Counters::default()
            });
        }
        for requests in [3, 5] {
            assert_eq!(reports.take().expect("a report").requests, requests);
        }
        assert!(reports.take().is_none());
    }
}
