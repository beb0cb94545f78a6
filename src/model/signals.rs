//! Signals as bytes on a descriptor (the self-pipe trick), so that a thread can wait for them and
//! for sockets in the same call.

use super::process::set_alarm_at;
use crate::sys::untraced::{read, ready_now, send};
use crate::sys::{Errno, EventFd, PollFlags, SendFlags, is_controlling_terminal, retry_on_intr};
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// One kind of signals: those that stop the server, that report children, that ask for a recording,
/// or SIGHUP.
#[derive(Debug)]
pub struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
    actions: Vec<SigId>,
}

/// Stops the server as a signal does.
#[derive(Debug)]
pub struct SignalSender(UnixStream);

impl SignalSender {
    /// Has the same effect as a signal.
    pub fn send(&self) {
        // A full buffer holds enough signals. A closed receiver means that the server has ended.
        let _ = send(&self.0, b"x", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl Signals {
    /// Creates the descriptor. No signal is caught yet.
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

    /// Catches SIGINT and SIGTERM from now on. With `set_alarm`, a signal also starts the alarm of
    /// [`limit_shutdown`](super::limit_shutdown). Only one `Signals` of the process may do this.
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

    /// Catches SIGUSR1 from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn of_recording() -> io::Result<Signals> {
        let mut signals = Signals::new()?;
        signals.catch_one(SIGUSR1)?;
        Ok(signals)
    }

    fn catch_one(&mut self, signal: i32) -> io::Result<()> {
        let sender = self.sender.try_clone()?;
        self.actions.push(pipe::register(signal, sender)?);
        Ok(())
    }

    /// Returns a sender that has the same effect as a signal.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn sender(&self) -> io::Result<SignalSender> {
        Ok(SignalSender(self.sender.try_clone()?))
    }

    /// Returns how many signals have come since the last call.
    pub fn take(&self) -> usize {
        let mut bytes = [0; 16];
        // Retried after EINTR: an edge-triggered poller does not report these bytes again.
        match retry_on_intr(|| read(&self.receiver, &mut bytes)) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            // Cannot happen, since this process holds the other end. If it does, stopping is the
            // safe choice.
            Err(_) => 1,
        }
    }

    /// Stops catching the signals, and ignores them from now on. A child process calls this:
    /// otherwise it would report its own signals to its parent, whose descriptor it has inherited.
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

/// SIGHUP. It asks for files to be opened again: the access log's, certificates
/// and passwords. If it comes because the terminal was
/// closed, the server stops instead, like any program started there.
#[derive(Debug)]
pub struct HangupSignals {
    signals: Signals,
    /// Standard error is the controlling terminal of this process.
    has_terminal: bool,
    /// The stop was requested already.
    has_ended: AtomicBool,
    /// What else is to be opened again.
    forwarded: Vec<Arc<EventFd>>,
}

impl HangupSignals {
    /// Creates the descriptor. SIGHUP is not caught yet, and ends the process.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<HangupSignals> {
        Ok(HangupSignals {
            signals: Signals::new()?,
            // False under setsid(1), nohup(1) and a supervisor. Determined now, since a closed
            // terminal cannot be asked.
            has_terminal: is_controlling_terminal(io::stderr()),
            has_ended: AtomicBool::new(false),
            forwarded: Vec::new(),
        })
    }

    /// Sets this too when files are to be opened again.
    pub fn forward_to(&mut self, request: Arc<EventFd>) {
        self.forwarded.push(request);
    }

    /// Catches SIGHUP from now on.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn catch(&mut self) -> io::Result<()> {
        self.signals.catch_one(SIGHUP)
    }

    /// Takes the signals that have come. Returns true if the access log's file is to be reopened.
    /// If the terminal was closed, requests a stop from `signals` instead, once.
    pub fn take(&self, signals: &Signals) -> bool {
        if self.signals.take() == 0 {
            return false;
        }
        if !self.has_terminal || !has_hung_up(io::stderr()) {
            self.forwarded.iter().for_each(|request| request.set());
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
