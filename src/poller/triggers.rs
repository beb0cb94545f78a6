//! epoll(7) with each kind of triggering. Connections of the model `epoll` are watched by
//! [`Epoll`](super::Epoll), which is edge-triggered, unless `--trigger` says otherwise.

use super::{Poller, ReadySet};
use crate::recording::Syscall;
use crate::sys::{self, EpollEvent, EpollFlags};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Reports a condition in every wait, as long as it lasts.
pub type LevelEpoll = DirectEpoll<false, false>;

/// Reports an event of a descriptor that is watched with [`ReadySet::ONCE`], and then nothing more
/// of it until its watch is changed (EPOLLONESHOT). Others are edge-triggered.
pub type OneShotEpoll = DirectEpoll<true, true>;

/// Reports a change, once, as [`Epoll`](super::Epoll) does.
pub type EdgeEpoll = DirectEpoll<true, false>;

/// A poller that makes the calls of epoll(7) by itself. With [`ReadySet::EXCLUSIVE`], the kernel
/// wakes only some of the pollers that watch a descriptor.
pub struct DirectEpoll<const EDGE: bool, const ONE_SHOT: bool> {
    /// The kernel's list of watched descriptors.
    list: OwnedFd,
    /// What the last wait returned. Its capacity is the most events that a wait returns.
    events: Vec<EpollEvent>,
}

impl<const EDGE: bool, const ONE_SHOT: bool> Poller for DirectEpoll<EDGE, ONE_SHOT> {
    const CALL: Syscall = Syscall::EpollWait;
    const EDGE_TRIGGERED: bool = EDGE;
    const ONE_SHOT: bool = ONE_SHOT;
    /// After a level-triggered report, a descriptor keeps its place in the kernel's list of ready
    /// ones until the next wait has looked at it. What becomes ready meanwhile is behind it.
    const IN_ORDER: bool = EDGE;
    const CHANGE_IS_SYSCALL: bool = true;
    const CLOSE_UNWATCHES: bool = true;
    const CAN_WATCH_EXCLUSIVELY: bool = true;

    fn new(capacity: usize) -> io::Result<Self> {
        Ok(DirectEpoll {
            list: sys::epoll_create()?,
            events: Vec::with_capacity(capacity),
        })
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()> {
        let call = trace::call(Syscall::EpollCtl, fd.as_raw_fd());
        let (before, after) = (flags::<EDGE>(old), flags::<EDGE>(new));
        let result = sys::epoll_change(&self.list, fd, key as u64, before, after);
        let trigger = match (ONE_SHOT, EDGE) {
            (true, _) if new.has(ReadySet::ONCE) => "one-shot",
            (_, true) => "edge-triggered",
            (_, false) => "level-triggered",
        };
        let fd = fd.as_raw_fd();
        let called = || format!("epoll_ctl(fd {fd}: {old} -> {new}, {trigger})");
        call.returned(&result, called, |()| "0".into());
        Ok(result?)
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()> {
        sys::epoll_wait_untraced(&self.list, &mut self.events, timeout)?;
        let events = self.events.iter();
        found.extend(events.map(|event| (event.data.u64() as usize, ready(event.flags))));
        Ok(())
    }
}

/// What epoll_ctl(2) is told. `None`: it has nothing to watch. [`ReadySet::ONCE`] alone is the rest
/// of a watch that has reported its event.
fn flags<const EDGE: bool>(wanted: ReadySet) -> Option<EpollFlags> {
    let mut flags = EpollFlags::empty();
    let readable = EpollFlags::IN | EpollFlags::RDHUP;
    flags.set(readable, wanted.has(ReadySet::READABLE));
    flags.set(EpollFlags::OUT, wanted.has(ReadySet::WRITABLE));
    flags.set(EpollFlags::ONESHOT, wanted.has(ReadySet::ONCE));
    if wanted.has(ReadySet::EXCLUSIVE) {
        // epoll_ctl(2) refuses EPOLLRDHUP with it. A listener's peer does not shut down.
        flags.remove(EpollFlags::RDHUP);
        flags.insert(EpollFlags::EXCLUSIVE);
    }
    let once = wanted.has(ReadySet::ONCE);
    flags.set(EpollFlags::ET, EDGE && !once && !flags.is_empty());
    (!flags.is_empty()).then_some(flags)
}

fn ready(found: EpollFlags) -> ReadySet {
    let failed = found.intersects(EpollFlags::HUP | EpollFlags::ERR);
    let end = failed || found.contains(EpollFlags::RDHUP);
    let mut ready = ReadySet::NONE;
    if end {
        ready |= ReadySet::END;
    }
    if end || found.contains(EpollFlags::IN) {
        ready |= ReadySet::READABLE;
    }
    if failed || found.contains(EpollFlags::OUT) {
        ready |= ReadySet::WRITABLE;
    }
    ready
}
