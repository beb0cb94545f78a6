//! Signals as bytes on a descriptor, so that a thread that waits for descriptors need not wait for anything else.

use super::process::set_alarm_at;
use crate::sys::untraced::{read, ready_now, send};
use crate::sys::{Errno, PollFlags, SendFlags, is_controlling_terminal, retry_on_intr};
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Signals of one meaning: those that ask for an end, that report children, or that report a hang-up.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
    actions: Vec<SigId>,
}

/// Does what a signal does, without one.
#[derive(Debug)]
pub struct SignalSender(UnixStream);

impl SignalSender {
    /// Reports a signal to the thread that waits for signals.
    pub fn send(&self) {
        // If there is no room, there are signals enough; if nobody listens any more, all is over.
        let _ = send(&self.0, b"x", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl Signals {
    /// Reports no signals yet.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<Signals> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        Ok(Signals {
            receiver,
            sender,
            actions: Vec::new(),
        })
    }

    /// Catches SIGINT and SIGTERM from now on. With `set_alarm` they also limit the time until the process ends, see
    /// [`limit_shutdown`](super::limit_shutdown): only one of all that report them sets it.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch(&mut self, set_alarm: bool) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            if set_alarm {
                self.actions.push(set_alarm_at(signal)?);
            }
            self.catch_one(signal)?;
        }
        Ok(())
    }

    /// Catches SIGCHLD from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub(super) fn of_children() -> io::Result<Signals> {
        let mut signals = Signals::new()?;
        signals.catch_one(SIGCHLD)?;
        Ok(signals)
    }

    fn catch_one(&mut self, signal: i32) -> io::Result<()> {
        let sender = self.sender.try_clone()?;
        self.actions.push(pipe::register(signal, sender)?);
        Ok(())
    }

    /// What does the same as one of the signals.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn sender(&self) -> io::Result<SignalSender> {
        Ok(SignalSender(self.sender.try_clone()?))
    }

    /// How many have come since the last call.
    pub fn take(&self) -> usize {
        let mut bytes = [0; 16];
        // An edge-triggered poller reports them once: an interrupted read must not leave them.
        match retry_on_intr(|| read(&self.receiver, &mut bytes)) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            // The other end lives as long as the process; should it ever fail, an end is the safe reading.
            Err(_) => 1,
        }
    }

    /// Catches them no more, and ignores them from then on. A child process does this: what it inherits would report
    /// the child's signals to its parent.
    pub(super) fn ignore(&self) {
        for action in &self.actions {
            signal_hook::low_level::unregister(*action);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ignore();
    }
}

/// Readable while signals wait to be taken.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// SIGHUP. It asks for the access log's file to be reopened; or else it says that the terminal has gone, and then the
/// server ends as any program does that was started there.
#[derive(Debug)]
pub struct HangupSignals {
    signals: Signals,
    /// The standard error is the terminal that controls this process.
    has_terminal: bool,
    /// The end has been asked for.
    has_ended: AtomicBool,
}

impl HangupSignals {
    /// Reports none yet: SIGHUP still ends the process.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<HangupSignals> {
        Ok(HangupSignals {
            signals: Signals::new()?,
            // Not so with setsid(1), nohup(1) and under a supervisor. A terminal that has gone says nothing, so it is
            // asked now.
            has_terminal: is_controlling_terminal(io::stderr()),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Catches SIGHUP from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch(&mut self) -> io::Result<()> {
        self.signals.catch_one(SIGHUP)
    }

    /// Takes those that have come. True if the access log's file is to be reopened. If the terminal has gone, has
    /// `signals` report an end instead, once.
    pub fn take(&self, signals: &Signals) -> bool {
        if self.signals.take() == 0 {
            return false;
        }
        if !self.has_terminal || !has_hung_up(io::stderr()) {
            return true;
        }
        if !self.has_ended.swap(true, SeqCst)
            && let Ok(sender) = signals.sender()
        {
            sender.send();
        }
        false
    }

    /// See [`Signals::ignore`].
    pub(super) fn ignore(&self) {
        self.signals.ignore();
    }
}

impl AsFd for HangupSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

fn has_hung_up(terminal: impl AsFd) -> bool {
    let now = ready_now(&terminal, PollFlags::empty());
    now.is_ok_and(|now| now.contains(PollFlags::HUP))
}
