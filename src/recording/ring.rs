//! Memory for events, shared by all threads and by forked processes.
//!
//! It is divided into chunks. A thread takes a chunk, fills it alone, and takes another: the oldest
//! that no thread holds. So the latest events of all threads together are kept, whichever thread has
//! many. Adding one takes no lock. A chunk that is taken again is lost; its events are counted.
//!
//! A reader copies a chunk and then checks that it was not taken meanwhile (a sequence lock).
//!
//! Recordings follow each other in the same memory. Each has a number, and so has each chunk, so
//! none has events of an earlier one.

#![allow(unsafe_code)]

use super::format::EVENT_SIZE;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::{io, slice};

/// The events of a chunk. An idle thread holds a chunk, so it must be small.
pub const CHUNK: usize = 64;

/// The most names of states that are kept, and the bytes of each.
pub const NAMES: usize = 128;
const NAME_BYTES: usize = 48;

/// How many chunks a thread tries to take before it gives up and loses an event.
const TRIES: usize = 16;

/// The words of the memory: first these, then the names, the chunks' headers, and the events.
const NEXT_TICKET: usize = 0;
const LOST: usize = 1;
const COMPLETE_SINCE: usize = 2;
const CONNECTIONS: usize = 3;
/// In a cache line that is hardly ever written, since each event reads it.
const RECORDING: usize = 8;
const BEGAN: usize = 9;
const FIRST_NAME: usize = 16;
const NAME_WORDS: usize = 2 + NAME_BYTES / 8;
const FIRST_HEADER: usize = FIRST_NAME + NAMES * NAME_WORDS;
/// A cache line, since each event changes the header of its thread's chunk.
const HEADER_WORDS: usize = 8;
const EVENT_WORDS: usize = EVENT_SIZE / 8;

/// The memory.
pub struct Ring {
    words: &'static [AtomicU64],
    headers: &'static [[AtomicU64; HEADER_WORDS]],
    /// The events of each chunk.
    events: &'static [[[AtomicU64; EVENT_WORDS]; CHUNK]],
}

/// A chunk's header.
struct Header<'a> {
    /// The number of the ticket it was taken with, from 1; 0 while it is being taken.
    ticket: &'a AtomicU64,
    /// The process and the thread whose events it has.
    owner: &'a AtomicU64,
    /// How many events it has.
    count: &'a AtomicU64,
    /// 1 while a thread may add to it.
    held: &'a AtomicU64,
    /// The recording whose events it has.
    recording: &'a AtomicU64,
}

/// What a chunk has: when it was taken, by which process and thread, and the events.
pub struct Copied {
    pub ticket: u64,
    pub owner: u64,
    pub events: Vec<[u64; 4]>,
}

impl Ring {
    /// Takes memory for this many events, rounded up to whole chunks. The kernel gives it when it is
    /// used.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(events: usize) -> io::Result<Ring> {
        let chunks = events.div_ceil(CHUNK).max(2);
        let words = FIRST_HEADER + chunks * (HEADER_WORDS + CHUNK * EVENT_WORDS);
        let (protection, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::NORESERVE,
        );
        // SAFETY: a new mapping touches no other memory.
        let memory = unsafe { mmap_anonymous(null_mut(), words * 8, protection, flags) }?;
        // SAFETY: the mapping has this length, is aligned to a page, filled with zeros, which are
        // valid, and never unmapped. All access is atomic, also that of forked processes.
        let words = unsafe { slice::from_raw_parts(memory.cast::<AtomicU64>(), words) };
        let (words, rest) = words.split_at(FIRST_HEADER);
        let (headers, events) = rest.split_at(chunks * HEADER_WORDS);
        Ok(Ring {
            words,
            headers: headers.as_chunks().0,
            events: events.as_chunks().0.as_chunks().0,
        })
    }

    #[inline]
    fn header(&self, chunk: usize) -> Header<'_> {
        let [ticket, owner, count, held, recording, ..] = &self.headers[chunk];
        Header {
            ticket,
            owner,
            count,
            held,
            recording,
        }
    }

    /// Begins a recording. Its number is odd. `None` if one is under way.
    pub fn begin(&self, now: u64) -> Option<u64> {
        let last = self.recording();
        if last & 1 == 1 {
            return None;
        }
        self.words[LOST].store(0, Relaxed);
        self.words[COMPLETE_SINCE].store(now, Relaxed);
        self.words[BEGAN].store(now, Relaxed);
        let begun = self.words[RECORDING].compare_exchange(last, last + 1, Release, Relaxed);
        begun.is_ok().then_some(last + 1)
    }

    /// Ends the recording.
    pub fn end(&self) {
        let number = self.recording();
        if number & 1 == 1 {
            let _ = self.words[RECORDING].compare_exchange(number, number + 1, Release, Relaxed);
        }
    }

    /// The number of the recording that is under way; an even one if none is.
    #[inline]
    pub fn recording(&self) -> u64 {
        self.words[RECORDING].load(Acquire)
    }

    /// When the last recording began.
    #[inline]
    pub fn began(&self) -> u64 {
        self.words[BEGAN].load(Relaxed)
    }

    /// Takes a chunk for a recording. `None` if threads hold all that were tried: then the event is
    /// [lost](Ring::lose).
    pub fn take(&self, owner: u64, recording: u64) -> Option<usize> {
        for _ in 0..TRIES {
            let ticket = self.words[NEXT_TICKET].fetch_add(1, Relaxed);
            let chunk = (ticket % self.headers.len() as u64) as usize;
            let header = self.header(chunk);
            if header
                .held
                .compare_exchange(0, 1, Acquire, Relaxed)
                .is_err()
            {
                continue;
            }
            if let Some(last) = header.count.load(Relaxed).checked_sub(1)
                && header.recording.load(Relaxed) == recording
            {
                let last_at = self.events[chunk][last as usize % CHUNK][0].load(Relaxed);
                self.lose(last + 1, last_at);
            }
            header.ticket.store(0, Relaxed);
            fence(Release);
            header.count.store(0, Relaxed);
            header.owner.store(owner, Relaxed);
            header.recording.store(recording, Relaxed);
            header.ticket.store(ticket + 1, Release);
            return Some(chunk);
        }
        None
    }

    /// Lets others take the chunk. Its events stay until then.
    pub fn release(&self, chunk: usize) {
        self.header(chunk).held.store(0, Release);
    }

    /// Releases the chunks of a process that has ended.
    pub fn release_process(&self, process: u32) {
        for chunk in 0..self.headers.len() {
            let header = self.header(chunk);
            let is_its = header.owner.load(Relaxed) >> 32 == u64::from(process);
            if is_its && header.held.load(Relaxed) == 1 {
                self.release(chunk);
            }
        }
    }

    /// Adds an event to a chunk that the caller holds and that has `index` events, fewer than
    /// [`CHUNK`].
    #[inline]
    pub fn put(&self, chunk: usize, index: usize, event: [u64; 4]) {
        let words = self.events[chunk][index].iter().zip(event);
        words.for_each(|(word, value)| word.store(value, Relaxed));
        self.header(chunk).count.store(index as u64 + 1, Release);
    }

    /// Counts events that were lost, the last of them at this time.
    pub fn lose(&self, events: u64, last_at: u64) {
        self.words[LOST].fetch_add(events, Relaxed);
        self.words[COMPLETE_SINCE].fetch_max(last_at + 1, Relaxed);
    }

    /// How many events were lost, and the time from which on none are missing.
    pub fn lost(&self) -> (u64, u64) {
        let [lost, since] = [LOST, COMPLETE_SINCE].map(|at| self.words[at].load(Relaxed));
        (lost, since)
    }

    /// Returns the number of the next connection, from 1.
    pub fn next_connection(&self) -> u64 {
        self.words[CONNECTIONS].fetch_add(1, Relaxed) + 1
    }

    /// The chunks of the last recording, in the order in which they were taken.
    pub fn copy(&self) -> Vec<Copied> {
        let number = self.recording();
        let last = number - u64::from(number & 1 == 0 && number > 0);
        let mut all: Vec<_> = (0..self.headers.len())
            .filter_map(|chunk| self.copy_chunk(chunk, last))
            .collect();
        all.sort_by_key(|copied| copied.ticket);
        all
    }

    /// `None` if it has no events of this recording, or was taken again meanwhile.
    fn copy_chunk(&self, chunk: usize, recording: u64) -> Option<Copied> {
        let header = self.header(chunk);
        let ticket = header.ticket.load(Acquire);
        let count = header.count.load(Acquire).min(CHUNK as u64) as usize;
        let owner = header.owner.load(Relaxed);
        if ticket == 0 || count == 0 || header.recording.load(Relaxed) != recording {
            return None;
        }
        let event =
            |words: &[AtomicU64; EVENT_WORDS]| words.each_ref().map(|word| word.load(Relaxed));
        let events = self.events[chunk][..count].iter().map(event).collect();
        fence(Acquire);
        let is_same = header.ticket.load(Relaxed) == ticket;
        is_same.then_some(Copied {
            ticket,
            owner,
            events,
        })
    }

    /// The number of a name, from 1; 0 if there are too many. Names are told apart by their address,
    /// which forked processes share.
    #[inline]
    pub fn name_number(&self, name: &'static str) -> u8 {
        let address = name.as_ptr() as u64;
        // Constants lie close to each other.
        let mut slot = (address ^ address >> 7) as usize % NAMES;
        for _ in 0..NAMES {
            let words = self.name(slot);
            match words[0].load(Relaxed) {
                0 => match words[0].compare_exchange(0, address, Relaxed, Relaxed) {
                    Ok(_) => {
                        self.put_name(slot, name);
                        return slot as u8 + 1;
                    }
                    Err(other) if other == address => return slot as u8 + 1,
                    Err(_) => {}
                },
                known if known == address => return slot as u8 + 1,
                _ => {}
            }
            slot = (slot + 1) % NAMES;
        }
        0
    }

    fn name(&self, slot: usize) -> &[AtomicU64] {
        let at = FIRST_NAME + slot * NAME_WORDS;
        &self.words[at..at + NAME_WORDS]
    }

    #[cold]
    fn put_name(&self, slot: usize, name: &str) {
        let bytes = &name.as_bytes()[..name.len().min(NAME_BYTES)];
        let words = self.name(slot);
        for (piece, word) in bytes.chunks(8).zip(&words[2..]) {
            let mut eight = [0; 8];
            eight[..piece.len()].copy_from_slice(piece);
            word.store(u64::from_le_bytes(eight), Relaxed);
        }
        words[1].store(bytes.len() as u64, Release);
    }

    /// The names with their numbers.
    pub fn names(&self) -> Vec<(u8, String)> {
        let mut all = Vec::new();
        for slot in 0..NAMES {
            let words = self.name(slot);
            let length = words[1].load(Acquire) as usize;
            if length > 0 {
                let bytes = words[2..].iter();
                let bytes: Vec<_> = bytes
                    .flat_map(|word| word.load(Relaxed).to_le_bytes())
                    .take(length)
                    .collect();
                let name = String::from_utf8_lossy(&bytes).into_owned();
                all.push((slot as u8 + 1, name));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(ring: &Ring, chunk: usize, first: u64) {
        for index in 0..CHUNK {
            ring.put(chunk, index, [first + index as u64, 17, 0, 0]);
        }
    }

    #[test]
    fn the_oldest_chunk_that_nobody_holds_is_taken_and_its_events_are_counted() {
        let ring = Ring::new(3 * CHUNK).expect("memory");
        assert_eq!(ring.begin(0), Some(1));
        let owners = [5_u64 << 32 | 6, 5 << 32 | 7];
        let held = ring.take(owners[0], 1).expect("the first");
        fill(&ring, held, 100);
        for first in [200, 300, 400] {
            let chunk = ring.take(owners[1], 1).expect("one of the others");
            assert_ne!(chunk, held);
            fill(&ring, chunk, first);
            ring.release(chunk);
        }
        assert_eq!(ring.lost(), (CHUNK as u64, 200 + CHUNK as u64));
        let copied = ring.copy();
        let shown = copied
            .iter()
            .map(|one| (one.owner, one.events[0][0], one.events.len()));
        let shown: Vec<_> = shown.collect();
        let expected = [
            (owners[0], 100, CHUNK),
            (owners[1], 300, CHUNK),
            (owners[1], 400, CHUNK),
        ];
        assert_eq!(shown, expected);
        let _ = [ring.take(owners[1], 1), ring.take(owners[1], 1)];
        assert_eq!(ring.take(owners[1], 1), None, "all are held");
        ring.release_process(4);
        assert_eq!(ring.take(owners[1], 1), None);
        ring.release_process(5);
        assert!(ring.take(owners[1], 1).is_some());
    }

    #[test]
    fn a_recording_has_nothing_of_the_one_before() {
        let ring = Ring::new(2 * CHUNK).expect("memory");
        assert_eq!(ring.begin(10), Some(1));
        assert_eq!(ring.begin(11), None, "one is under way");
        for first in [100, 200] {
            let chunk = ring.take(5, 1).expect("a chunk");
            fill(&ring, chunk, first);
            ring.release(chunk);
        }
        ring.end();
        assert_eq!(ring.copy().len(), 2, "the last one is kept");
        assert_eq!(ring.begin(300), Some(3));
        assert!(ring.copy().is_empty());
        let chunk = ring.take(5, 3).expect("a chunk");
        fill(&ring, chunk, 300);
        let copied = ring.copy();
        assert_eq!((copied.len(), copied[0].events[0][0]), (1, 300));
        assert_eq!(ring.lost(), (0, 300), "what is dropped was of the first");
    }

    #[test]
    fn names_are_numbered_by_their_place_and_cut_off() {
        let ring = Ring::new(1).expect("memory");
        let names = [
            "reading request",
            "writing head",
            "reading request of a name that is very long indeed",
        ];
        let numbers = names.map(|name| ring.name_number(name));
        assert_eq!(names.map(|name| ring.name_number(name)), numbers);
        assert!(numbers.iter().all(|number| *number > 0) && numbers[0] != numbers[1]);
        let known = ring.names();
        for (number, name) in numbers.into_iter().zip(names) {
            let cut_off = name[..name.len().min(48)].to_owned();
            assert!(known.contains(&(number, cut_off)));
        }
    }
}
