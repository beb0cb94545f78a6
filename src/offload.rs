//! Threads for work that may wait for a file system, so that no loop waits.
//!
//! A file system on another machine or in another process (FUSE, NFS, SMB) may answer late or
//! never, and a call to it cannot be cancelled. So this module bounds how many threads such calls
//! can occupy, and how much work waits behind them. One set of threads serves the whole process; no
//! thread exists before it is needed.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// The most threads over all mounts: [`PER_MOUNT`] for each of eight.
pub const MAX_THREADS: usize = 16;

/// The most threads that work for one mount: a mount that hangs must leave threads for the others.
pub const PER_MOUNT: usize = 2;

/// The most pieces of work that wait for one mount, and for all together. Each keeps a request in
/// memory.
pub const MAX_WAITING: usize = 256;
const MAX_WAITING_TOTAL: usize = 1024;

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// The stack of a thread, in bytes. Reading a directory and writing its page takes a tenth of it.
const STACK: usize = 256 * 1024;

/// The number for work that waits for no mount: passwords to check. Mounts have smaller ones.
pub const PASSWORDS: u64 = u64::MAX;

/// The number for work that lasts as long as a short recording.
pub const RECORDINGS: u64 = u64::MAX - 1;

/// A piece of work.
pub type Work = Box<dyn FnOnce() + Send>;

/// The waiting work of all mounts, and the number of threads.
struct Queues {
    mounts: VecDeque<Queue>,
    threads: usize,
    /// How many threads wait for work, including those already woken.
    idle: usize,
}

/// The waiting work of one mount.
struct Queue {
    mount: u64,
    waiting: VecDeque<Work>,
    /// How many threads work for this mount.
    running: usize,
}

static QUEUES: Mutex<Queues> = Mutex::new(Queues {
    mounts: VecDeque::new(),
    threads: 0,
    idle: 0,
});

static HAS_WORK: Condvar = Condvar::new();

/// Runs `work` on a thread. `mount` is a number that identifies the mount it may wait for. Returns
/// false, and drops the work, if too much work is waiting.
pub fn run(mount: u64, work: Work) -> bool {
    let mut queues = queues();
    let (waiting, total) = (queues.waiting(mount), queues.waiting_total());
    if waiting >= MAX_WAITING || total >= MAX_WAITING_TOTAL {
        // Drop the work without holding the lock.
        drop(queues);
        drop(work);
        return false;
    }
    let left = queues.push(mount, work);
    drop(queues);
    left.is_none()
}

/// Closes a file on a thread: on FUSE, close(2) waits for the file system. Never refused: the limit
/// of open descriptors bounds the queue.
pub fn close(mount: u64, file: OwnedFd) {
    // If no thread can be started, this thread closes the file.
    let left = queues().push(mount, Box::new(move || drop(file)));
    drop(left);
}

fn queues() -> MutexGuard<'static, Queues> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    fn waiting(&self, mount: u64) -> usize {
        let mut mounts = self.mounts.iter();
        let queue = mounts.find(|queue| queue.mount == mount);
        queue.map_or(0, |queue| queue.waiting.len())
    }

    fn waiting_total(&self) -> usize {
        self.mounts.iter().map(|queue| queue.waiting.len()).sum()
    }

    /// How many more threads could start work now.
    fn wanted(&self) -> usize {
        let wanted = |queue: &Queue| queue.waiting.len().min(PER_MOUNT - queue.running);
        self.mounts.iter().map(wanted).sum()
    }

    /// Queues work, and starts a thread if all are busy. If no thread can be started, returns all
    /// waiting work: drop it without holding the lock, since it may close files.
    #[must_use]
    fn push(&mut self, mount: u64, work: Work) -> Option<VecDeque<Queue>> {
        let known = self.mounts.iter().position(|queue| queue.mount == mount);
        let index = known.unwrap_or_else(|| {
            self.mounts.push_back(Queue {
                mount,
                waiting: VecDeque::new(),
                running: 0,
            });
            self.mounts.len() - 1
        });
        self.mounts[index].waiting.push_back(work);
        if self.wanted() > self.idle && self.threads < MAX_THREADS {
            match Builder::new()
                .name("files".into())
                .stack_size(STACK)
                .spawn(run_queued)
            {
                Ok(_) => self.threads += 1,
                Err(error) if self.threads == 0 => {
                    log::warn!("cannot start a thread to wait for a file system: {error}");
                    return Some(std::mem::take(&mut self.mounts));
                }
                Err(_) => {}
            }
        }
        HAS_WORK.notify_one();
        None
    }

    /// Takes the next work and its mount. The mounts take turns.
    fn take(&mut self) -> Option<(u64, Work)> {
        let can_begin = |queue: &Queue| queue.running < PER_MOUNT && !queue.waiting.is_empty();
        let index = self.mounts.iter().position(can_begin)?;
        let mut queue = self.mounts.remove(index)?;
        let work = queue.waiting.pop_front()?;
        queue.running += 1;
        let mount = queue.mount;
        self.mounts.push_back(queue);
        Some((mount, work))
    }

    fn done(&mut self, mount: u64) {
        if let Some(queue) = self.mounts.iter_mut().find(|queue| queue.mount == mount) {
            queue.running -= 1;
        }
        self.mounts
            .retain(|queue| queue.running > 0 || !queue.waiting.is_empty());
    }
}

/// The loop of each thread.
fn run_queued() {
    let mut queues = queues();
    loop {
        if let Some((mount, work)) = queues.take() {
            drop(queues);
            // A panic ends only this piece of work. The panic hook has logged it.
            let _ = catch_unwind(AssertUnwindSafe(work));
            queues = self::queues();
            queues.done(mount);
            continue;
        }
        queues.idle += 1;
        let waited = HAS_WORK.wait_timeout(queues, IDLE);
        let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        queues = again;
        queues.idle -= 1;
        if timeout.timed_out() && queues.wanted() == 0 {
            queues.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(30);

    /// Work that hangs until the returned sender is dropped. It sends to `begun` when it begins.
    fn hanging(begun: &Sender<()>) -> (Work, Sender<()>) {
        let (release, released) = channel::<()>();
        let begun = begun.clone();
        let work = move || {
            let _ = begun.send(());
            let _ = released.recv();
        };
        (Box::new(work), release)
    }

    fn signal() -> (Work, Receiver<()>) {
        let (sender, receiver) = channel();
        let work = move || {
            let _ = sender.send(());
        };
        (Box::new(work), receiver)
    }

    #[test]
    fn a_mount_that_hangs_holds_two_threads_and_a_bounded_queue() {
        let (begun, has_begun) = channel();
        let mut releases = Vec::new();
        for _ in 0..PER_MOUNT {
            let (work, release) = hanging(&begun);
            assert!(run(1, work));
            releases.push(release);
            has_begun.recv_timeout(LONG).expect("it begins");
        }
        let (last, done) = signal();
        assert!(run(1, last));
        for _ in 1..MAX_WAITING {
            assert!(run(1, Box::new(|| ())));
        }
        assert!(!run(1, Box::new(|| ())), "the queue is full");
        let (other, other_done) = signal();
        assert!(run(2, other), "another mount has its own queue");
        other_done.recv_timeout(LONG).expect("its work is done");
        assert!(done.try_recv().is_err());
        // Closing a file is never refused.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        close(1, writer.into());
        drop(releases);
        done.recv_timeout(LONG).expect("the waiting work is done");
        let end = std::io::read_to_string(reader).expect("read");
        assert_eq!(end, "", "the file is closed");
        assert!(run(3, Box::new(|| panic!("a fault"))));
        let (after, after_done) = signal();
        assert!(run(3, after));
        after_done
            .recv_timeout(LONG)
            .expect("the thread continues after a panic");
    }
}
