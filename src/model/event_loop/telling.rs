//! What a loop does, for those who read along.

use super::entry::{Entry, Stop};
use super::{EventLoop, FIRST_LISTENER_KEY, HANGUPS_KEY, SIGNALS_KEY, WAKE_KEY};
use crate::poller::Poller;
use crate::session::{Action, Timeout};
use crate::trace;
use std::os::fd::{AsFd, AsRawFd};

impl<P: Poller> EventLoop<P> {
    /// How many events the wait has brought, and for whom.
    pub(super) fn shown_events(&self) -> String {
        let each = self.found.iter();
        let each = each.map(|(key, ready)| format!("{} {ready}", self.shown_key(*key)));
        let all: Vec<_> = each.collect();
        match all.len() {
            0 => "0".into(),
            count => format!("{count}: {}", all.join(", ")),
        }
    }

    /// Whose key that is.
    fn shown_key(&self, key: usize) -> String {
        let number = |fd: &dyn AsFd| fd.as_fd().as_raw_fd();
        let from = |first| key.checked_sub(first);
        if let Some(key) = from(self.first_connection_key) {
            let entry = self.entries.get(key);
            return entry.map_or("one that has closed".into(), |entry| {
                format!("fd {}", number(&entry.socket))
            });
        }
        match key {
            SIGNALS_KEY => "signals".into(),
            WAKE_KEY => "wake queue".into(),
            HANGUPS_KEY => "SIGHUP".into(),
            _ if key >= self.first_post_key => "datagrams".into(),
            _ if key >= self.first_service_key => "file changes".into(),
            _ => {
                let slot = self.listening.get(key - FIRST_LISTENER_KEY);
                let fd = slot.map(|slot| number(&slot.fd()));
                format!("listener fd {}", fd.unwrap_or(-1))
            }
        }
    }
}

/// A connection acts.
pub(super) fn tell_turn(entry: &Entry) {
    let fd = entry.socket.as_raw_fd();
    trace::note(|| format!("turn of fd {fd}: {}", entry.connection.state()));
}

/// It has acted.
pub(super) fn tell_stop(entry: &Entry, stop: Stop) {
    let why = || match (stop, entry.connection.next()) {
        (Stop::Blocked, Action::Send) => "must wait before it can send",
        (Stop::Blocked, Action::Wait) if entry.connection.waiting().0 == Timeout::Pause => {
            "must wait for other connections"
        }
        (Stop::Blocked, Action::Wait) => "must wait for a thread that asks a file system",
        (Stop::Blocked, _) => "must wait before it can receive",
        (Stop::ShareUsed, _) => "goes on when others have had their turn",
        (Stop::WorkIsDone, _) => "works when others have had their turn",
        (Stop::NotInMemory, _) => "must wait for a thread that reads its file",
        (Stop::HasJob, _) => "has a thread ask a file system",
        (Stop::MayHang, _) => "has a thread send its file",
        (Stop::Closed, _) => "is over",
    };
    trace::note(|| format!("fd {} {}", entry.socket.as_raw_fd(), why()));
}
