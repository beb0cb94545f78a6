//! epoll(7) through mio, which makes it edge-triggered. Only this file knows mio.

use super::{Poller, ReadySet};
use crate::recording::Syscall;
use crate::sys::Errno;
use crate::trace;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// A poller that reports each change once. The cost of a wait does not grow with the number of
/// descriptors.
pub struct Epoll {
    poll: Poll,
    events: Events,
}

impl Poller for Epoll {
    const CALL: Syscall = Syscall::EpollWait;
    const EDGE_TRIGGERED: bool = true;
    const IN_ORDER: bool = true;
    const CHANGE_IS_SYSCALL: bool = true;
    const CLOSE_UNWATCHES: bool = true;

    fn new(capacity: usize) -> io::Result<Epoll> {
        Ok(Epoll {
            poll: Poll::new()?,
            events: Events::with_capacity(capacity),
        })
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let mut source = SourceFd(&fd);
        let registry = self.poll.registry();
        let call = trace::call(Syscall::EpollCtl, fd);
        let result = match (interest(old), interest(new)) {
            (None, None) => Ok(()),
            (None, Some(new)) => registry.register(&mut source, Token(key), new),
            (Some(_), Some(new)) => registry.reregister(&mut source, Token(key), new),
            (Some(_), None) => registry.deregister(&mut source),
        };
        let called = || format!("epoll_ctl(fd {fd}: {old} -> {new}, edge-triggered)");
        let errno = |error| Errno::from_io_error(error).unwrap_or(Errno::INVAL);
        let seen = result.as_ref().map_err(errno);
        call.returned(&seen, called, |_| "0".into());
        result
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let events = self.events.iter();
        found.extend(events.map(|event| (event.token().0, ready(event))));
        Ok(())
    }
}

fn interest(wanted: ReadySet) -> Option<Interest> {
    match (
        wanted.has(ReadySet::READABLE),
        wanted.has(ReadySet::WRITABLE),
    ) {
        (false, false) => None,
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
    }
}

fn ready(event: &Event) -> ReadySet {
    let mut ready = ReadySet::NONE;
    let end = event.is_read_closed() || event.is_error();
    if end {
        ready |= ReadySet::END;
    }
    if event.is_readable() || end {
        ready |= ReadySet::READABLE;
    }
    if event.is_writable() || event.is_write_closed() || event.is_error() {
        ready |= ReadySet::WRITABLE;
    }
    ready
}
