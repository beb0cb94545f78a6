//! What a ring watches, and the requests for it (IORING_OP_POLL_ADD in its repeating form).

use crate::poller::ReadySet;
use crate::sys::PollFlags;
use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};
use std::os::fd::RawFd;

/// What is watched, by key.
#[derive(Default)]
pub(super) struct Watches {
    by_key: Vec<Watch>,
    /// The keys for which this wait has found something.
    found: Vec<usize>,
}

/// What is watched under one key.
#[derive(Clone, Copy)]
struct Watch {
    fd: RawFd,
    wanted: ReadySet,
    /// Changes with each request, to tell a late result of an earlier one from this one's.
    generation: u32,
    /// What this wait has found so far.
    found: ReadySet,
}

const NOT_WATCHED: Watch = Watch {
    fd: -1,
    wanted: ReadySet::NONE,
    generation: 0,
    found: ReadySet::NONE,
};

/// The place of a watch's generation in its user data.
const GENERATION_SHIFT: u32 = 32;

/// Generations have the bits between the key and the kind.
const GENERATIONS: u32 = 0x00ff_ffff;

impl Watches {
    fn user_data(&self, key: usize) -> u64 {
        u64::from(self.by_key[key].generation) << GENERATION_SHIFT | key as u64
    }

    /// The request to report each time what is wanted under a key.
    fn request(&self, key: usize) -> squeue::Entry {
        let watch = &self.by_key[key];
        opcode::PollAdd::new(Fd(watch.fd), poll_flags(watch.wanted))
            .multi(true)
            .build()
            .user_data(self.user_data(key))
    }

    /// Changes what is watched under a key. Returns the user data of the request to cancel, and the
    /// new request.
    pub fn change(
        &mut self,
        fd: RawFd,
        key: usize,
        old: ReadySet,
        new: ReadySet,
    ) -> (Option<u64>, Option<squeue::Entry>) {
        if key >= self.by_key.len() {
            self.by_key.resize(key + 1, NOT_WATCHED);
        }
        let cancelled = (old != ReadySet::NONE).then(|| self.user_data(key));
        let watch = &mut self.by_key[key];
        watch.fd = fd;
        watch.wanted = new;
        watch.generation = watch.generation.wrapping_add(1) & GENERATIONS;
        let request = (new != ReadySet::NONE).then(|| self.request(key));
        (cancelled, request)
    }

    /// Notes an event of a watch. Returns the request to repeat if the watch has ended.
    pub fn take_event(&mut self, key: usize, entry: &cqueue::Entry) -> Option<squeue::Entry> {
        let is_late = self.by_key.get(key).is_none_or(|watch| {
            watch.wanted == ReadySet::NONE || self.user_data(key) != entry.user_data()
        });
        if is_late {
            return None;
        }
        let watch = &mut self.by_key[key];
        let ready = match u16::try_from(entry.result()) {
            Ok(bits) => ready_set(PollFlags::from_bits_retain(bits)),
            // The next call on the descriptor returns the error.
            Err(_) => watch.wanted | ReadySet::END,
        };
        if watch.found == ReadySet::NONE {
            self.found.push(key);
        }
        watch.found |= ready;
        // The kernel ends a watch if it has no room for a result, or no memory.
        (!cqueue::more(entry.flags())).then(|| self.request(key))
    }

    /// Moves what this wait has found.
    pub fn take_found(&mut self, found: &mut Vec<(usize, ReadySet)>) {
        let by_key = &mut self.by_key;
        let take = |key: usize| (key, std::mem::take(&mut by_key[key].found));
        found.extend(self.found.drain(..).map(take));
    }
}

fn poll_flags(wanted: ReadySet) -> u32 {
    let mut flags = PollFlags::empty();
    if wanted.has(ReadySet::READABLE) {
        flags |= PollFlags::IN | PollFlags::RDHUP;
    }
    if wanted.has(ReadySet::WRITABLE) {
        flags |= PollFlags::OUT;
    }
    flags.bits().into()
}

fn ready_set(flags: PollFlags) -> ReadySet {
    let mut ready = ReadySet::NONE;
    if flags.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
        ready |= ReadySet::END | ReadySet::READABLE;
    }
    if flags.intersects(PollFlags::IN) {
        ready |= ReadySet::READABLE;
    }
    if flags.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR) {
        ready |= ReadySet::WRITABLE;
    }
    ready
}
