//! One thread for work that no request waits for, such as compressing a file.
//!
//! It has the lowest priority, so it takes time that nobody else wants. The thread exists only while
//! there is work. The amount of waiting work is bounded; what does not fit is not done.

use crate::sys::untraced::setpriority_process;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// The most pieces of work that wait. Each may keep a file in memory or open.
pub const MAX_WAITING: usize = 64;

/// The nice value of the thread (setpriority(2)): the least priority there is.
const NICE: i32 = 19;

/// A piece of work.
pub type Work = Box<dyn FnOnce() + Send>;

struct Queue {
    waiting: VecDeque<Work>,
    has_thread: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    has_thread: false,
});

/// Runs `work` on the thread, after what waits already. Returns false, and drops the work, if too
/// much is waiting or no thread can be started.
pub fn run(work: Work) -> bool {
    let mut queue = queue();
    if queue.waiting.len() >= MAX_WAITING {
        drop(queue);
        return false;
    }
    queue.waiting.push_back(work);
    if queue.has_thread {
        return true;
    }
    queue.has_thread = true;
    drop(queue);
    match Builder::new().name("background".into()).spawn(run_queued) {
        Ok(_) => true,
        Err(error) => {
            log::warn!("cannot start a thread to compress files: {error}");
            let mut queue = self::queue();
            queue.has_thread = false;
            let left = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(left);
            false
        }
    }
}

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_queued() {
    // That of this thread only. Without a lower priority it only competes more.
    let _ = setpriority_process(None, NICE);
    loop {
        let mut queue = queue();
        let Some(work) = queue.waiting.pop_front() else {
            queue.has_thread = false;
            return;
        };
        drop(queue);
        // A panic ends only this piece of work. The panic hook has logged it.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_is_bounded_and_survives_a_panic() {
        let (release, released) = channel::<()>();
        let (begun, has_begun) = channel();
        let hanging = move || {
            let _ = begun.send(());
            let _ = released.recv();
            panic!("a piece of work that panics");
        };
        assert!(run(Box::new(hanging)));
        has_begun.recv().expect("it begins");
        let (done, dones) = channel();
        let mut accepted = 0;
        for _ in 0..MAX_WAITING + 8 {
            let done = done.clone();
            accepted += usize::from(run(Box::new(move || {
                let _ = done.send(());
            })));
        }
        assert_eq!(accepted, MAX_WAITING);
        drop((release, done));
        assert_eq!(dones.iter().count(), MAX_WAITING);
        // A thread is started again.
        let (done, dones) = channel();
        assert!(run(Box::new(move || {
            let _ = done.send(());
        })));
        assert_eq!(dones.iter().count(), 1);
    }
}
