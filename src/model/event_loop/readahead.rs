//! Files that are not in memory. sendfile(2) waits for the disk even on a non-blocking socket, and all connections of the
//! loop would wait with it. So the loop samples a stretch of a file before it sends it. If it is not in memory, a thread
//! reads it first and then wakes the loop.

use super::EventLoop;
use crate::model::connections::SlotFlags;
use crate::observe::throttled;
use crate::poller::Poller;
use crate::session::{File, Piece};
use crate::sys::untraced::pread;
use crate::sys::{self, Errno};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::Builder;

/// How much is looked at, fetched and then sent at once, in bytes.
pub(super) const READAHEAD: u64 = 1024 * 1024;

/// How far apart the sampled bytes are. What the kernel has read ahead it usually drops together.
const STEP: u64 = 256 * 1024;

/// True if a stretch of a file can be sent without waiting for a disk, as far as a few samples tell.
pub(super) fn is_in_memory(file: &File, offset: u64, count: u64) -> bool {
    let last = offset + count - 1;
    let samples = (offset..last).step_by(STEP as usize).skip(1);
    samples
        .chain([last])
        .all(|sample| sys::is_in_memory(file, sample))
}

/// A thread that fetches, if it has been needed.
#[derive(Default)]
pub(super) struct Readahead {
    line: Option<(Sender<Job>, Receiver<usize>)>,
}

/// A stretch of a file to fetch.
struct Job {
    /// Whose job it is.
    key: usize,
    /// Gone if the connection is, and then nobody needs its content.
    file: Weak<File>,
    offset: u64,
    count: u64,
    /// Makes the loop look at what has been fetched.
    waker: Waker,
}

impl Job {
    /// To fetch a stretch of a file for connection `key`, and then to wake its loop.
    fn new(key: usize, file: &Arc<File>, offset: u64, count: u64, waker: Waker) -> Job {
        Job {
            key,
            file: Arc::downgrade(file),
            offset,
            count,
            waker,
        }
    }
}

impl Readahead {
    /// Begins a job. False if there can be no thread for it.
    fn fetch(&mut self, job: Job) -> bool {
        if self.line.is_none() {
            self.line = start();
        }
        self.line
            .as_ref()
            .is_some_and(|(jobs, _)| jobs.send(job).is_ok())
    }

    /// The connections whose stretch has been fetched.
    fn take_done(&mut self) -> Vec<usize> {
        let line = self.line.iter();
        line.flat_map(|(_, done)| done.try_iter()).collect()
    }
}

fn start() -> Option<(Sender<Job>, Receiver<usize>)> {
    let (jobs, next_job) = channel::<Job>();
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
    // It ends with the fetcher, when there are no more jobs.
    let thread = Builder::new().name("fetch".into()).spawn(run);
    if let Err(error) = &thread {
        throttled!(
            Warn,
            "no thread to read from disk with, so all wait for it: {error}"
        );
    }
    thread.is_ok().then_some((jobs, done))
}

impl<P: Poller> EventLoop<P> {
    /// Has the stretch of a file read that a connection is to send next.
    pub(super) fn read_ahead(&mut self, key: usize) {
        let slot = &mut self.connections[key];
        let Piece::File {
            file,
            offset,
            count,
        } = slot.connection.front()
        else {
            return;
        };
        let stretch = count.min(READAHEAD);
        self.worker.counters.readaheads += 1;
        let waker = self.sources.wake_queue.waker(key);
        let job = Job::new(key, file, offset, stretch, waker);
        if self.readahead.fetch(job) {
            slot.flags.insert(SlotFlags::OFFLOADED);
        } else {
            slot.io.in_memory = stretch as u32;
            self.connections.enqueue(key);
        }
    }

    /// Queues the connections whose stretch of a file has been read.
    pub(super) fn resume_after_read(&mut self) {
        for key in self.readahead.take_done() {
            let Some(slot) = self.connections.enqueue(key) else {
                continue;
            };
            if slot.take_flag(SlotFlags::OFFLOADED)
                && let Piece::File { count, .. } = slot.connection.front()
            {
                // It is not checked again: the stretch may have been evicted already, and would be read without end.
                slot.io.in_memory = count.min(READAHEAD) as u32;
            }
        }
    }
}

impl Job {
    /// Reads the stretch, which brings it into memory. A fault shows when it is sent.
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
