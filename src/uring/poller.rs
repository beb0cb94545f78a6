//! A ring as a readiness back end: it reports when a descriptor is ready.

use super::description::note_queued;
use super::ring::Ring;
use crate::poller::{Poller, QueueTraffic, ReadySet};
use crate::recording::{RingOperation, Syscall};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

impl Poller for Ring {
    const CALL: Syscall = Syscall::UringEnter;
    const EDGE_TRIGGERED: bool = true;
    const IN_ORDER: bool = true;
    const CHANGE_IS_SYSCALL: bool = false;
    const CLOSE_UNWATCHES: bool = false;

    fn new(capacity: usize) -> io::Result<Ring> {
        Ring::with_capacity(capacity)
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()> {
        note_queued((RingOperation::Watch, 0), "watch", fd, || {
            format!(", {old} -> {new}")
        });
        let (cancelled, request) = self.watches.change(fd.as_raw_fd(), key, old, new);
        if let Some(cancelled) = cancelled {
            // IORING_OP_POLL_REMOVE would fail with EALREADY while an event is being reported, and
            // the watch would go on.
            self.cancel(cancelled)?;
        }
        match request {
            Some(request) => self.push(&[request]),
            None => Ok(()),
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()> {
        self.enter(timeout)?;
        self.sort_results()?;
        self.watches.take_found(found);
        Ok(())
    }

    fn wait_limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        self.wanted(timeout).1
    }

    fn take_traffic(&mut self) -> QueueTraffic {
        std::mem::take(&mut self.traffic)
    }
}
