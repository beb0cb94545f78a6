//! What others leave for a connection, until it has room for it among its output.

use super::buffer::{BUFFER_SIZE, Pool};
use super::output::Output;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How much may lie in a mailbox, in bytes, each message counted with what keeping it costs (64). The messages themselves
/// are shared with all others who were sent them.
pub const MAILBOX_SIZE: usize = 1024 * 1024;

/// What keeping a message costs beside its bytes, in bytes, roughly.
const OVERHEAD: usize = 64;

/// Messages from others to one connection. Anybody may put one in, from any thread and without waiting; the connection
/// takes them out as its peer reads.
///
/// A peer that does not read, or not as fast as the others write, ends up with a full mailbox. It is then over: nothing
/// more goes in, and its connection is closed.
#[derive(Debug, Default)]
pub struct Mailbox(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    messages: VecDeque<Arc<[u8]>>,
    size: usize,
    overflowed: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Leaves a message of at most [`BUFFER_SIZE`] bytes. False if there is no room for it, now and from then on.
    pub fn put(&self, message: &Arc<[u8]>) -> bool {
        let mut content = self.content();
        let size = message.len() + OVERHEAD;
        let fits = content.size + size <= MAILBOX_SIZE && message.len() <= BUFFER_SIZE;
        if content.overflowed || !fits {
            content.overflowed = true;
            // Nobody will read them.
            content.messages = VecDeque::new();
        } else {
            content.messages.push_back(message.clone());
            content.size += size;
        }
        // Who has been woken for the first message finds the others.
        if content.messages.len() <= 1
            && let Some(waker) = &content.waker
        {
            waker.wake_by_ref();
        }
        !content.overflowed
    }

    /// Has this called when there is something in the mailbox, at once if there is already. A model promises to call
    /// [`Connection::woken`](super::Connection::woken) then.
    pub fn wake_by(&self, waker: Waker) {
        let mut content = self.content();
        if content.overflowed || !content.messages.is_empty() {
            waker.wake_by_ref();
        }
        content.waker = Some(waker);
    }

    /// Moves to the output what it has room for, whole messages only: what the session puts out itself must not end up
    /// in the midst of one. False if the mailbox has overflowed.
    pub(super) fn empty_into(&self, output: &mut Output, pool: &mut Pool) -> bool {
        let mut content = self.content();
        while let Some(message) = content.messages.front() {
            if message.len() > output.room() {
                break;
            }
            output.put(message, pool);
            content.size -= message.len() + OVERHEAD;
            content.messages.pop_front();
        }
        !content.overflowed
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn who_waits_is_woken_once_for_many_messages_and_gets_whole_ones_in_order() {
        let (mailbox, mut output, mut pool) = (Mailbox::default(), Output::default(), Pool::new());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        assert!(mailbox.put(&b"before ".as_slice().into()));
        mailbox.wake_by(count.clone().into());
        assert_eq!(count.0.load(SeqCst), 1, "at once");
        let large: Arc<[u8]> = vec![b'x'; BUFFER_SIZE - 8].into();
        assert!(mailbox.put(&large));
        assert!(mailbox.put(&b"1234567".as_slice().into()));
        assert_eq!(count.0.load(SeqCst), 1);
        assert!(mailbox.empty_into(&mut output, &mut pool));
        assert_eq!(output.bytes().len(), BUFFER_SIZE - 1);
        let sent = output.bytes().len();
        output.consume(sent, &mut pool);
        assert!(mailbox.empty_into(&mut output, &mut pool));
        assert_eq!(output.bytes(), b"1234567", "not cut in two");
        assert!(mailbox.put(&b"x".as_slice().into()));
        assert_eq!(count.0.load(SeqCst), 2, "it had been emptied");
    }

    #[test]
    fn a_full_mailbox_is_over_and_holds_nothing() {
        let mailbox = Mailbox::default();
        let message: Arc<[u8]> = vec![b'x'; 1024].into();
        let count = (0..).take_while(|_| mailbox.put(&message)).count();
        assert_eq!(count, MAILBOX_SIZE / (1024 + OVERHEAD));
        assert_eq!(Arc::strong_count(&message), 1, "the messages are gone");
        assert!(!mailbox.put(&b"x".as_slice().into()), "never again");
        assert!(!mailbox.empty_into(&mut Output::default(), &mut Pool::new()));
    }
}
