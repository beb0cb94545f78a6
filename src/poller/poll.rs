//! poll(2): each wait passes all descriptors to the kernel, and then searches all results.

use super::watched::without_lifetime;
use super::{Poller, ReadySet};
use crate::recording::Syscall;
use crate::sys::{PollFd, PollFlags, poll_untraced};
use crate::trace;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The index of a key that is not watched.
const NOT_WATCHED: usize = usize::MAX;

/// A level-triggered poller. The cost of a wait grows with the number of descriptors.
#[derive(Default)]
pub struct Poll {
    watched: Vec<PollFd<'static>>,
    /// The key of each watched descriptor.
    keys: Vec<usize>,
    /// The index in `watched`, by key.
    indices: Vec<usize>,
}

impl Poller for Poll {
    const CALL: Syscall = Syscall::Poll;
    const EDGE_TRIGGERED: bool = false;
    const IN_ORDER: bool = false;
    const CHANGE_IS_SYSCALL: bool = false;
    const CLOSE_UNWATCHES: bool = false;

    fn new(_capacity: usize) -> io::Result<Poll> {
        Ok(Poll::default())
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> io::Result<()> {
        if key >= self.indices.len() {
            self.indices.resize(key + 1, NOT_WATCHED);
        }
        trace::note(|| format!("the list for poll: fd {}, {old} -> {new}", fd.as_raw_fd()));
        let entry = PollFd::from_borrowed_fd(without_lifetime(fd), flags(new));
        match (self.indices[key], new) {
            (NOT_WATCHED, ReadySet::NONE) => {}
            (NOT_WATCHED, _) => {
                self.indices[key] = self.watched.len();
                self.watched.push(entry);
                self.keys.push(key);
            }
            (index, ReadySet::NONE) => {
                self.indices[key] = NOT_WATCHED;
                self.watched.swap_remove(index);
                self.keys.swap_remove(index);
                if let Some(moved) = self.keys.get(index) {
                    self.indices[*moved] = index;
                }
            }
            (index, _) => self.watched[index] = entry,
        }
        Ok(())
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<(usize, ReadySet)>,
    ) -> io::Result<()> {
        let mut left = poll_untraced(&mut self.watched, timeout)?;
        for (entry, key) in self.watched.iter().zip(&self.keys) {
            if left == 0 {
                break;
            }
            let ready = ready(entry.revents());
            if ready != ReadySet::NONE {
                found.push((*key, ready));
                left -= 1;
            }
        }
        Ok(())
    }
}

fn flags(wanted: ReadySet) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(
        PollFlags::IN | PollFlags::RDHUP,
        wanted.has(ReadySet::READABLE),
    );
    flags.set(PollFlags::OUT, wanted.has(ReadySet::WRITABLE));
    flags
}

fn ready(found: PollFlags) -> ReadySet {
    let failed = found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    let end = failed || found.contains(PollFlags::RDHUP);
    let mut ready = ReadySet::NONE;
    if found.contains(PollFlags::IN) || end {
        ready |= ReadySet::READABLE;
    }
    if found.contains(PollFlags::OUT) || failed {
        ready |= ReadySet::WRITABLE;
    }
    if end {
        ready |= ReadySet::END;
    }
    ready
}
