//! The buffers into which the kernel receives. It takes one when data has arrived, so an idle
//! connection holds none.
//!
//! The kernel and this program share a ring of free buffers (io_uring_register_buf_ring(3)). The
//! kernel takes them from its head, and this file adds them at its tail.

#![allow(unsafe_code)]

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering::Release};

/// The ring must begin at a page.
const PAGE: usize = 4096;

/// The only group of buffers.
const GROUP: u16 = 0;

/// Buffers of one size, registered with a ring.
///
/// The kernel may write into them as long as the ring exists, so they are never freed. A loop keeps
/// them until the process ends.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    /// All buffers, one behind the other.
    memory: NonNull<u8>,
    /// How many there are; a power of two.
    count: u16,
    size: usize,
    /// How many were added so far, modulo 2^16.
    tail: u16,
}

impl Buffers {
    /// Registers `count` buffers, a power of two, of `size` bytes each.
    ///
    /// # Errors
    /// Those of io_uring_register(2).
    pub fn register(submitter: &Submitter<'_>, count: u16, size: usize) -> io::Result<Buffers> {
        let mut buffers = Buffers {
            entries: allocate(size_of::<BufRingEntry>() * usize::from(count)).cast(),
            memory: allocate(size * usize::from(count)),
            count,
            size,
            tail: 0,
        };
        let entries = buffers.entries.as_ptr() as u64;
        // SAFETY: the memory is long enough and never freed.
        unsafe { submitter.register_buf_ring_with_flags(entries, count, GROUP, 0)? };
        (0..count).for_each(|id| buffers.put_back(id));
        Ok(buffers)
    }

    /// How many bytes one buffer holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The group that receive operations name.
    pub fn group(&self) -> u16 {
        GROUP
    }

    /// The first `length` bytes of a buffer that came with a completion and was not put back.
    pub fn filled(&self, id: u16, length: usize) -> &[u8] {
        let in_range = id < self.count && length <= self.size;
        assert!(in_range, "not a buffer of this ring");
        // SAFETY: they are within the memory, which was zeroed. The kernel does not write into a
        // buffer that it has handed over.
        unsafe {
            let begin = self.memory.add(usize::from(id) * self.size);
            std::slice::from_raw_parts(begin.as_ptr(), length)
        }
    }

    /// Returns a buffer to the kernel.
    pub fn put_back(&mut self, id: u16) {
        assert!(id < self.count, "not a buffer of this ring");
        let index = usize::from(self.tail % self.count);
        // SAFETY: the entry is within the ring, and the kernel does not read it before the tail is
        // stored. The tail lies within the first entry, in a field that entries do not use.
        unsafe {
            let entry = &mut *self.entries.add(index).as_ptr();
            entry.set_addr(self.memory.add(usize::from(id) * self.size).as_ptr() as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Release);
        }
    }
}

fn allocate(length: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(length, PAGE).expect("a size below 2^63");
    // SAFETY: the length is not 0.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}
