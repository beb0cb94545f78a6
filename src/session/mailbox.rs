//! Messages from other connections, kept until the connection has room for them in its output.

use super::Context;
use super::buffer::BUFFER_SIZE;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The most bytes in a mailbox. Each message counts as 64 bytes more than it has. The bytes
/// themselves are shared between all mailboxes that have the message.
pub const MAILBOX_SIZE: usize = 1024 * 1024;

/// What a queued message costs beside its bytes, roughly, in bytes.
const OVERHEAD: usize = 64;

/// Messages to one connection. Any thread may put one in, without waiting. The connection takes
/// them out as its peer reads.
///
/// A peer that reads too slowly ends up with a full mailbox. The mailbox then drops all messages
/// and takes no more, and the connection is closed.
#[derive(Debug, Default)]
pub struct Mailbox(Mutex<Content>);

/// Messages for one connection, wherever they are stored. The connection takes them out as its peer
/// reads.
pub trait Inbox {
    /// Registers the waker to wake when there is a message. Wakes it at once if there is one
    /// already. The model then calls [`Connection::woken`](super::Connection::woken).
    fn set_waker(&self, waker: Waker);

    /// Moves messages to the output as far as there is room. Only whole ones: the session's own
    /// output must not end up inside a message.
    fn take(&self, cx: &mut Context<'_>) -> InboxState;
}

/// What is still to come from an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// More messages may come.
    Open,
    /// No more messages, and all were taken.
    Ended,
    /// The inbox was full, and has dropped its messages.
    Overflowed,
}

#[derive(Debug, Default)]
struct Content {
    messages: VecDeque<Arc<[u8]>>,
    size: usize,
    overflowed: bool,
    ended: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Puts in a message of at most [`BUFFER_SIZE`] bytes. Returns false if it does not fit; the
    /// mailbox is then closed for good.
    pub fn put(&self, message: &Arc<[u8]>) -> bool {
        let mut content = self.content();
        let size = message.len() + OVERHEAD;
        let fits = content.size + size <= MAILBOX_SIZE && message.len() <= BUFFER_SIZE;
        if content.overflowed || !fits {
            content.overflowed = true;
            // The connection closes without sending them.
            content.messages = VecDeque::new();
        } else {
            content.messages.push_back(message.clone());
            content.size += size;
        }
        // The wake for the first message serves for the later ones.
        if content.messages.len() <= 1 {
            content.wake();
        }
        !content.overflowed
    }

    /// True if no message is waiting.
    pub fn is_empty(&self) -> bool {
        self.content().messages.is_empty()
    }

    /// Ends the mailbox: once its messages are sent, the connection closes.
    pub fn end(&self) {
        let mut content = self.content();
        content.ended = true;
        content.wake();
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Mailbox {
    fn set_waker(&self, waker: Waker) {
        let mut content = self.content();
        let must_wake = content.overflowed || content.ended || !content.messages.is_empty();
        content.waker = Some(waker);
        if must_wake {
            content.wake();
        }
    }

    fn take(&self, cx: &mut Context<'_>) -> InboxState {
        let mut content = self.content();
        while let Some(message) = content.messages.front() {
            if message.len() > cx.room() {
                break;
            }
            cx.put(message);
            content.size -= message.len() + OVERHEAD;
            content.messages.pop_front();
        }
        match (content.overflowed, content.ended) {
            (true, _) => InboxState::Overflowed,
            (false, true) if content.messages.is_empty() => InboxState::Ended,
            (false, _) => InboxState::Open,
        }
    }
}

impl Content {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Output, Time, Worker};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;
    use std::time::{Instant, SystemTime};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn worker() -> Worker {
        Worker::new(Time::new(Instant::now(), SystemTime::now()))
    }

    fn take(mailbox: &Mailbox, output: &mut Output, worker: &mut Worker) -> InboxState {
        mailbox.take(&mut Context { output, worker })
    }

    #[test]
    fn one_wake_serves_for_many_messages_which_arrive_whole_and_in_order() {
        let (mailbox, mut output, mut worker) = (Mailbox::default(), Output::default(), worker());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        assert!(mailbox.put(&b"before ".as_slice().into()));
        mailbox.set_waker(count.clone().into());
        assert_eq!(count.0.load(SeqCst), 1, "at once");
        let large: Arc<[u8]> = vec![b'x'; BUFFER_SIZE - 8].into();
        assert!(mailbox.put(&large));
        assert!(mailbox.put(&b"1234567".as_slice().into()));
        assert_eq!(count.0.load(SeqCst), 1);
        assert_eq!(take(&mailbox, &mut output, &mut worker), InboxState::Open);
        assert_eq!(output.bytes().len(), BUFFER_SIZE - 1);
        let sent = output.bytes().len();
        output.consume(sent, &mut worker.pool);
        assert_eq!(take(&mailbox, &mut output, &mut worker), InboxState::Open);
        assert_eq!(output.bytes(), b"1234567", "not cut in two");
        assert!(mailbox.put(&b"x".as_slice().into()));
        assert_eq!(count.0.load(SeqCst), 2, "the mailbox was empty");
        mailbox.end();
        assert_eq!(take(&mailbox, &mut output, &mut worker), InboxState::Ended);
        assert_eq!(output.bytes(), b"1234567x", "messages put before the end");
    }

    #[test]
    fn a_full_mailbox_drops_its_messages_and_takes_no_more() {
        let mailbox = Mailbox::default();
        let message: Arc<[u8]> = vec![b'x'; 1024].into();
        let count = (0..).take_while(|_| mailbox.put(&message)).count();
        assert_eq!(count, MAILBOX_SIZE / (1024 + OVERHEAD));
        assert_eq!(Arc::strong_count(&message), 1, "the messages are dropped");
        assert!(!mailbox.put(&b"x".as_slice().into()), "never again");
        let mail = take(&mailbox, &mut Output::default(), &mut worker());
        assert_eq!(mail, InboxState::Overflowed);
    }
}
