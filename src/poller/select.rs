//! select(2): each wait passes sets of bits to the kernel, and then searches them. The sets have a
//! fixed size, so large descriptors do not fit.

use super::watched::without_lifetime;
use super::{Poller, ReadySet};
use crate::recording::Syscall;
use crate::sys::{self, FdSet, select};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// A set holds descriptors below this number. The bit of a larger one would be outside the set's
/// memory.
const FD_SETSIZE: RawFd = sys::FD_SETSIZE as RawFd;

/// A level-triggered poller. The cost of a wait grows with the largest descriptor, and descriptors
/// from 1,024 on cannot be watched.
pub struct Select {
    readable: FdSet<'static>,
    writable: FdSet<'static>,
    /// The watched descriptors and their keys, by descriptor number.
    keys: Vec<Option<(BorrowedFd<'static>, usize)>>,
}

impl Poller for Select {
    const CALL: Syscall = Syscall::Select;
    const EDGE_TRIGGERED: bool = false;
    const IN_ORDER: bool = false;
    const CHANGE_IS_SYSCALL: bool = false;
    const CLOSE_UNWATCHES: bool = false;
    const FD_LIMIT: Option<RawFd> = Some(FD_SETSIZE);

    fn new(_capacity: usize) -> io::Result<Select> {
        Ok(Select {
            readable: FdSet::new(),
            writable: FdSet::new(),
            keys: Vec::new(),
        })
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()> {
        if fd.as_raw_fd() >= FD_SETSIZE {
            return Err(io::Error::other(
                "the descriptor is too large for select(2)",
            ));
        }
        trace::note(|| format!("the sets for select: fd {}, {old} -> {new}", fd.as_raw_fd()));
        let fd = without_lifetime(fd);
        let number = fd.as_raw_fd() as usize;
        if number >= self.keys.len() {
            self.keys.resize(number + 1, None);
        }
        self.keys[number] = (new != ReadySet::NONE).then_some((fd, key));
        while self.keys.last().is_some_and(Option::is_none) {
            self.keys.pop();
        }
        for (set, wanted) in [
            (&mut self.readable, ReadySet::READABLE),
            (&mut self.writable, ReadySet::WRITABLE),
        ] {
            if new.has(wanted) {
                set.insert(fd);
            } else {
                set.remove(fd);
            }
        }
        Ok(())
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()> {
        let (mut readable, mut writable) = (self.readable, self.writable);
        let limit = self.keys.len() as RawFd;
        if select(limit, &mut readable, &mut writable, timeout)? == 0 {
            return Ok(());
        }
        for (fd, key) in self.keys.iter().flatten() {
            let mut ready = ReadySet::NONE;
            if readable.contains(*fd) {
                ready |= ReadySet::READABLE;
            }
            if writable.contains(*fd) {
                ready |= ReadySet::WRITABLE;
            }
            if ready != ReadySet::NONE {
                found.push((*key, ready));
            }
        }
        Ok(())
    }
}
