//! Work that can wait for a file system, done by threads of its own, so that no loop waits with it.
//!
//! A file system that is answered by another process or machine (FUSE, NFS, SMB) may answer late or never, and no call to
//! it can be taken back. So what is to be bounded is how many threads it can hold, and how much waits behind them. There is
//! one set of threads for the whole process. None exists before it is needed.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// How many threads there may be, over all mounts: as many as [`PER_MOUNT`] for eight of them.
pub const MAX_THREADS: usize = 16;

/// How many threads may be at work for one mount: one that hangs must not hold those that others need.
pub const PER_MOUNT: usize = 2;

/// How many pieces of work may wait for one mount, and for all of them: each keeps a request in memory.
pub const MAX_WAITING: usize = 256;
const MAX_WAITING_IN_ALL: usize = 1024;

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// The stack of a thread, in bytes: reading a directory and writing its page takes a tenth of it.
const STACK: usize = 256 * 1024;

/// What is to be done.
pub type Work = Box<dyn FnOnce() + Send>;

/// The work that waits, and the threads.
struct Queues {
    mounts: VecDeque<Queue>,
    threads: usize,
    /// How many threads wait for work, those among them that have been woken already.
    idle: usize,
}

/// The work of one mount.
struct Queue {
    mount: u64,
    waiting: VecDeque<Work>,
    /// How many threads are at work for it.
    running: usize,
}

static QUEUES: Mutex<Queues> = Mutex::new(Queues {
    mounts: VecDeque::new(),
    threads: 0,
    idle: 0,
});

static HAS_WORK: Condvar = Condvar::new();

/// Has a thread do this work. `mount` is any number that stands for the mount that it may wait for. Returns false, and
/// drops the work, if too much waits already.
pub fn run(mount: u64, work: Work) -> bool {
    let mut queues = queues();
    let (waiting, in_all) = (queues.waiting(mount), queues.waiting_in_all());
    if waiting >= MAX_WAITING || in_all >= MAX_WAITING_IN_ALL {
        // Dropped without the lock.
        drop(queues);
        drop(work);
        return false;
    }
    let left = queues.push(mount, work);
    drop(queues);
    left.is_none()
}

/// Closes a file: on FUSE that waits for the file system. This is never refused; the descriptors that are open bound it.
pub fn close(mount: u64, file: OwnedFd) {
    // Where there can be no thread, this thread closes it.
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

    fn waiting_in_all(&self) -> usize {
        self.mounts.iter().map(|queue| queue.waiting.len()).sum()
    }

    /// How many threads could begin something now.
    fn wanted(&self) -> usize {
        let wanted = |queue: &Queue| queue.waiting.len().min(PER_MOUNT - queue.running);
        self.mounts.iter().map(wanted).sum()
    }

    /// Queues work and sees to it that a thread does it. Returns all that waits if there can be none: to be dropped without
    /// the lock, for it may have files to close.
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
                .spawn(serve)
            {
                Ok(_) => self.threads += 1,
                Err(error) if self.threads == 0 => {
                    log::warn!("no thread to wait for a file system with: {error}");
                    return Some(std::mem::take(&mut self.mounts));
                }
                Err(_) => {}
            }
        }
        HAS_WORK.notify_one();
        None
    }

    /// The next work, and the mount that it is for. The mounts take turns.
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

/// What each thread does.
fn serve() {
    let mut queues = queues();
    loop {
        if let Some((mount, work)) = queues.take() {
            drop(queues);
            // A fault of one piece of work concerns no other; the panic itself has been logged.
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

    /// Work that hangs until the sender is dropped, and says that it has begun.
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
        assert!(!run(1, Box::new(|| ())), "no more can wait");
        let (other, other_done) = signal();
        assert!(run(2, other), "another mount is another matter");
        other_done.recv_timeout(LONG).expect("and its work is done");
        assert!(done.try_recv().is_err());
        // A close is never refused.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        close(1, writer.into());
        drop(releases);
        done.recv_timeout(LONG).expect("what waited is done");
        let end = std::io::read_to_string(reader).expect("read");
        assert_eq!(end, "", "it is closed");
        assert!(run(3, Box::new(|| panic!("a fault"))));
        let (after, after_done) = signal();
        assert!(run(3, after));
        after_done.recv_timeout(LONG).expect("others go on");
    }
}
