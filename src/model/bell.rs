//! How a thread that waits for descriptors is told that something has come from elsewhere: from another thread, or from
//! itself a moment ago.
//!
//! Ringing costs a system call only if somebody waits, and only the first time.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Rung with the key of what has something to do.
#[derive(Debug)]
pub(super) struct Bell {
    keys: Mutex<Vec<usize>>,
    /// Its owner waits, or is about to; taken back by the first who rings.
    waiting: AtomicBool,
    /// Readable when it was rung while its owner waited.
    event: OwnedFd,
}

/// Rings for one key.
struct Cord {
    bell: Arc<Bell>,
    key: usize,
}

impl Bell {
    /// A bell that nobody has rung.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn new() -> io::Result<Arc<Bell>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Arc::new(Bell {
            keys: Mutex::default(),
            waiting: AtomicBool::new(false),
            event: eventfd(0, flags)?,
        }))
    }

    /// What rings it with this key.
    pub fn waker(self: &Arc<Bell>, key: usize) -> Waker {
        Waker::from(Arc::new(Cord {
            bell: self.clone(),
            key,
        }))
    }

    /// Its owner is about to wait for the bell, among others. False if it has been rung, so that there is no need.
    ///
    /// The owner says this before it looks, and who rings leaves the key before looking here: one of them sees the
    /// other.
    pub fn begin_wait(&self) -> bool {
        self.waiting.store(true, SeqCst);
        self.keys().is_empty()
    }

    /// The descriptor has become readable; it need not be any longer.
    pub fn silence(&self) {
        // It was readable, or nothing is lost.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }

    /// Its owner waits no longer. Moves the keys that were rung to `keys`. Who rang may be about to make the descriptor
    /// readable, which then ends the next wait in vain.
    pub fn end_wait(&self, keys: &mut Vec<usize>) {
        self.waiting.store(false, SeqCst);
        keys.append(&mut self.keys());
    }

    fn keys(&self) -> MutexGuard<'_, Vec<usize>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Wake for Cord {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.keys().push(self.key);
        if self.bell.waiting.swap(false, SeqCst) {
            // The counter cannot overflow: each wait adds one at most, and ends with setting it back.
            let _ = rustix::io::write(&self.bell.event, &1_u64.to_ne_bytes());
        }
    }
}
