//! epoll(7), through mio, which is edge-triggered. The only file that knows mio.

use super::{Poller, Ready};
use crate::sys::Errno;
use crate::trace;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// A poller that reports each change once, and whose cost does not grow with the number of descriptors.
pub struct Epoll {
    poll: Poll,
    events: Events,
}

impl Poller for Epoll {
    const CALL: &'static str = "epoll_wait";
    const EDGE_TRIGGERED: bool = true;
    const IN_ORDER: bool = true;
    const CHANGE_IS_CALL: bool = true;
    const FORGETS_CLOSED: bool = true;

    fn new(capacity: usize) -> io::Result<Epoll> {
        Ok(Epoll {
            poll: Poll::new()?,
            events: Events::with_capacity(capacity),
        })
    }

    fn change(&mut self, fd: BorrowedFd<'_>, key: usize, old: Ready, new: Ready) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let mut source = SourceFd(&fd);
        let registry = self.poll.registry();
        let call = trace::call();
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
        found: &mut Vec<(usize, Ready)>,
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

fn interest(wanted: Ready) -> Option<Interest> {
    match (wanted.has(Ready::READABLE), wanted.has(Ready::WRITABLE)) {
        (false, false) => None,
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
    }
}

fn ready(event: &Event) -> Ready {
    let mut ready = Ready::NONE;
    let end = event.is_read_closed() || event.is_error();
    if end {
        ready |= Ready::END;
    }
    if event.is_readable() || end {
        ready |= Ready::READABLE;
    }
    if event.is_writable() || event.is_write_closed() || event.is_error() {
        ready |= Ready::WRITABLE;
    }
    ready
}
