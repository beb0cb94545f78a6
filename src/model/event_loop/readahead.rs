//! Reading files from disk before they are sent.
//!
//! sendfile(2) waits for the disk even on a non-blocking socket, and the whole loop would wait with
//! it. So before the loop sends a range of a file, it checks whether samples of it are in memory.
//! If one is not, a thread reads the range first and then wakes the loop.

use super::EventLoop;
use super::driver::Driver;
use crate::model::connections::SlotFlags;
use crate::observe::throttled;
use crate::session::{File, Piece};
use crate::sys::untraced::pread;
use crate::sys::{self, Errno};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::Builder;

/// How many bytes are checked, read and then sent at a time.
pub(super) const READAHEAD: u64 = 1024 * 1024;

/// The distance between two samples, in bytes. The kernel usually evicts together what it has read
/// together, so one byte stands for those around it.
const STEP: u64 = 256 * 1024;

/// True if a range of a file can be sent without waiting for a disk, as far as a few samples show.
pub(super) fn is_in_memory(file: &File, offset: u64, count: u64) -> bool {
    let last = offset + count - 1;
    let samples = (offset..last).step_by(STEP as usize).skip(1);
    samples
        .chain([last])
        .all(|sample| sys::is_in_memory(file, sample))
}

/// The thread that reads files. It is started when it is first needed.
#[derive(Default)]
pub(super) struct Readahead {
    channels: Option<(Sender<ReadJob>, Receiver<usize>)>,
}

/// A range of a file to read.
struct ReadJob {
    /// The connection's key.
    key: usize,
    /// Weak, so that nothing is read once the connection has closed.
    file: Weak<File>,
    offset: u64,
    count: u64,
    /// Wakes the loop when the range has been read.
    waker: Waker,
}

impl ReadJob {
    /// A job to read a range of a file for connection `key`, and then to wake its loop.
    fn new(key: usize, file: &Arc<File>, offset: u64, count: u64, waker: Waker) -> ReadJob {
        ReadJob {
            key,
            file: Arc::downgrade(file),
            offset,
            count,
            waker,
        }
    }
}

impl Readahead {
    /// Hands a job to the thread. Returns false if no thread can be started.
    fn start(&mut self, job: ReadJob) -> bool {
        if self.channels.is_none() {
            self.channels = start_thread();
        }
        self.channels
            .as_ref()
            .is_some_and(|(jobs, _)| jobs.send(job).is_ok())
    }

    /// The keys of connections whose range has been read.
    fn take_done(&mut self) -> Vec<usize> {
        let channels = self.channels.iter();
        channels.flat_map(|(_, done)| done.try_iter()).collect()
    }
}

fn start_thread() -> Option<(Sender<ReadJob>, Receiver<usize>)> {
    let (jobs, next_job) = channel::<ReadJob>();
    let (finished, done) = channel();
    let run = move || {
        let mut scratch = vec![0; STEP as usize];
        for job in next_job {
            job.run(&mut scratch);
            if finished.send(job.key).is_err() {
                return;
            }
            job.waker.wake();
        }
    };
    // The thread ends when the loop drops its channels.
    let thread = Builder::new().name("readahead".into()).spawn(run);
    if let Err(error) = &thread {
        throttled!(
            Warn,
            "cannot start a thread to read from disk, so the loop waits for the disk: {error}"
        );
    }
    thread.is_ok().then_some((jobs, done))
}

impl<D: Driver> EventLoop<D> {
    /// Has a thread read the file range that a connection sends next.
    pub(super) fn read_ahead(&mut self, key: usize) {
        let slot = &mut self.connections[key];
        let Piece::File { file, offset, .. } = slot.connection.front() else {
            return;
        };
        let range = slot.connection.file_left().min(READAHEAD);
        self.worker.counters.readaheads += 1;
        let waker = self.sources.wake_queue.waker(key);
        let job = ReadJob::new(key, file, offset, range, waker);
        if self.readahead.start(job) {
            slot.flags.insert(SlotFlags::OFFLOADED);
        } else {
            slot.io.in_memory = range as u32;
            self.connections.enqueue(key);
        }
    }

    /// Queues the connections whose file range has been read.
    pub(super) fn resume_after_read(&mut self) {
        for key in self.readahead.take_done() {
            let Some(slot) = self.connections.enqueue(key) else {
                continue;
            };
            if slot.take_flag(SlotFlags::OFFLOADED) {
                // Not checked again: the kernel may have evicted the range already, and the thread
                // would read it again and again.
                slot.io.in_memory = slot.connection.file_left().min(READAHEAD) as u32;
            }
        }
    }
}

impl ReadJob {
    /// Reads the range, which brings it into memory. Errors are ignored here: sending the range
    /// reports them.
    fn run(&self, scratch: &mut [u8]) {
        let Some(file) = self.file.upgrade() else {
            return;
        };
        let (mut at, end) = (self.offset, self.offset + self.count);
        while at < end {
            let room = scratch.len().min((end - at) as usize);
            match pread(&file, &mut scratch[..room], at) {
                Ok(0) => return,
                Ok(count) => at += count as u64,
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
