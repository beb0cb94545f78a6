//! What others leave for a connection, until it has room for it among its output.

use super::Context;
use super::buffer::BUFFER_SIZE;
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

/// Messages for one connection, wherever they are kept. A connection takes them out as its peer reads.
pub trait Inbox {
    /// Registers what is woken when there is a message, at once if there is one already. A model promises to call
    /// [`Connection::woken`](super::Connection::woken) then.
    fn set_waker(&self, waker: Waker);

    /// Puts out the messages that there is room for, whole ones only: what the session puts out itself must not end up
    /// in the midst of one.
    fn take(&self, cx: &mut Context<'_>) -> InboxState;
}

/// What is to be expected of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// More.
    Open,
    /// Nothing, and what there was has been taken.
    Ended,
    /// Nothing: there was no room for it.
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
        if content.messages.len() <= 1 {
            content.wake();
        }
        !content.overflowed
    }

    /// True if all that was left has been taken.
    pub fn is_empty(&self) -> bool {
        self.content().messages.is_empty()
    }

    /// Says that there will be no more messages: once those that are there have been sent, the connection ends.
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
        let has_news = content.overflowed || content.ended || !content.messages.is_empty();
        content.waker = Some(waker);
        if has_news {
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
    fn who_waits_is_woken_once_for_many_messages_and_gets_whole_ones_in_order() {
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
        assert_eq!(count.0.load(SeqCst), 2, "it had been emptied");
        mailbox.end();
        assert_eq!(take(&mailbox, &mut output, &mut worker), InboxState::Ended);
        assert_eq!(output.bytes(), b"1234567x", "what was there before the end");
    }

    #[test]
    fn a_full_mailbox_is_over_and_holds_nothing() {
        let mailbox = Mailbox::default();
        let message: Arc<[u8]> = vec![b'x'; 1024].into();
        let count = (0..).take_while(|_| mailbox.put(&message)).count();
        assert_eq!(count, MAILBOX_SIZE / (1024 + OVERHEAD));
        assert_eq!(Arc::strong_count(&message), 1, "the messages are gone");
        assert!(!mailbox.put(&b"x".as_slice().into()), "never again");
        let mail = take(&mailbox, &mut Output::default(), &mut worker());
        assert_eq!(mail, InboxState::Overflowed);
    }
}
