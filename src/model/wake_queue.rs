//! Wakes a thread that waits for descriptors when there is work that no descriptor announces, such
//! as a message from another connection.
//!
//! Waking is free while the thread runs. While it waits, the first wake costs one write(2) to an
//! eventfd; later ones cost nothing.

use crate::session::Wakers;
use crate::sys::EventFd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// A queue of keys, and a descriptor that becomes readable when a key is queued while the thread
/// waits.
#[derive(Debug)]
pub struct WakeQueue {
    keys: Mutex<Vec<usize>>,
    /// The thread waits, or is about to. The first waker clears this, and writes to the eventfd.
    waiting: AtomicBool,
    event: EventFd,
}

/// Queues one key.
struct KeyWaker {
    queue: Arc<WakeQueue>,
    key: usize,
}

impl WakeQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<Arc<WakeQueue>> {
        Ok(Arc::new(WakeQueue {
            keys: Mutex::default(),
            waiting: AtomicBool::new(false),
            event: EventFd::new()?,
        }))
    }

    /// Returns a waker that queues `key`.
    pub fn waker(self: &Arc<WakeQueue>, key: usize) -> Waker {
        Waker::from(Arc::new(KeyWaker {
            queue: self.clone(),
            key,
        }))
    }

    /// Call this before waiting. Returns false if a key is already queued: then do not wait.
    ///
    /// No wake is lost: the thread sets `waiting` before it checks the queue, and a waker queues
    /// its key before it checks `waiting`. Whatever the order, one of them sees the other.
    pub fn prepare_to_wait(&self) -> bool {
        self.waiting.store(true, SeqCst);
        self.keys().is_empty()
    }

    /// Resets the eventfd. Call this when it has become readable.
    pub fn clear(&self) {
        self.event.clear();
    }

    /// Call this after waiting. Appends the queued keys to `keys`. A waker may still be about to
    /// write to the eventfd; the next wait then returns early and finds nothing.
    pub fn take_woken(&self, keys: &mut Vec<usize>) {
        self.waiting.store(false, SeqCst);
        keys.append(&mut self.keys());
    }

    fn keys(&self) -> MutexGuard<'_, Vec<usize>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers for Arc<WakeQueue> {
    fn waker(&self, key: usize) -> io::Result<Waker> {
        Ok(WakeQueue::waker(self, key))
    }
}

impl AsFd for WakeQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Wake for KeyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.keys().push(self.key);
        if self.queue.waiting.swap(false, SeqCst) {
            self.queue.event.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::is_readable;

    #[test]
    fn a_key_queued_before_the_wait_prevents_it() {
        let queue = WakeQueue::new().expect("a queue");
        assert!(queue.prepare_to_wait());
        queue.take_woken(&mut Vec::new());
        queue.waker(7).wake();
        assert!(
            !is_readable(&*queue),
            "the thread does not wait, so nothing is written"
        );
        assert!(!queue.prepare_to_wait());
        let mut keys = vec![3];
        queue.take_woken(&mut keys);
        assert_eq!(keys, [3, 7]);
    }

    #[test]
    fn the_first_wake_during_a_wait_ends_it() {
        let queue = WakeQueue::new().expect("a queue");
        assert!(queue.prepare_to_wait());
        queue.waker(1).wake();
        queue.waker(2).wake();
        assert!(is_readable(&*queue));
        queue.clear();
        assert!(!is_readable(&*queue));
        let mut keys = Vec::new();
        queue.take_woken(&mut keys);
        assert_eq!(keys, [1, 2]);
    }
}
