//! What was said, kept once for all members until they have heard it.
//!
//! Each member has a place in it. So a message costs the room its bytes, and a member that has not heard it nothing: what
//! a room keeps does not grow with the number of those who do not read.

use std::collections::VecDeque;

/// How much is kept, in bytes, each message counted with [`OVERHEAD`]. A member that is farther behind has lost something
/// and leaves. This is the most that a room keeps, however many members do not read.
pub(super) const BACKLOG_SIZE: u64 = 1024 * 1024;

/// What keeping a message costs beside its bytes, in bytes: more than its entry and what an allocation wastes. Without it
/// lines of one byte would cost many times what they count.
pub(super) const OVERHEAD: u64 = 64;

/// Messages in the order in which all members hear them.
#[derive(Default)]
pub(super) struct Backlog {
    messages: VecDeque<Message>,
    /// The place behind the last message.
    end: u64,
}

/// A message and where it lies.
pub(super) struct Message {
    /// Who does not hear it: its author.
    pub from: u64,
    /// What the others are sent.
    pub text: Box<[u8]>,
    place: u64,
}

impl Message {
    /// The place behind it.
    pub fn end(&self) -> u64 {
        self.place + cost(self.text.len())
    }
}

/// What a message of so many bytes counts.
pub(super) fn cost(length: usize) -> u64 {
    length as u64 + OVERHEAD
}

impl Backlog {
    /// Adds a message, and drops the oldest ones if there is no room for it.
    pub fn push(&mut self, from: u64, text: String) {
        let message = Message {
            from,
            text: text.into_bytes().into(),
            place: self.end,
        };
        self.end = message.end();
        self.messages.push_back(message);
        while self.end - self.start() > BACKLOG_SIZE {
            self.messages.pop_front();
        }
    }

    /// The place of the oldest message that is left.
    pub fn start(&self) -> u64 {
        self.messages.front().map_or(self.end, |first| first.place)
    }

    /// The place behind the last message: where those are who have heard everything.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The message at a place; `None` at the end.
    pub fn at(&self, place: u64) -> Option<&Message> {
        let index = self.messages.partition_point(|one| one.place < place);
        self.messages.get(index)
    }

    /// Drops what lies before a place: everybody has heard it.
    pub fn forget(&mut self, place: u64) {
        while self.start() < place {
            self.messages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may() {
        for length in [1, 100, 4096, 16_000] {
            let mut backlog = Backlog::default();
            for number in 0..40_000 {
                backlog.push(number, "x".repeat(length));
                assert!(backlog.end() - backlog.start() <= BACKLOG_SIZE);
                if number % 1000 != 0 {
                    continue;
                }
                let held: u64 = backlog
                    .messages
                    .iter()
                    .map(|one| cost(one.text.len()))
                    .sum();
                assert_eq!(held, backlog.end() - backlog.start());
                let capacity = backlog.messages.capacity() * size_of::<Message>();
                assert!(
                    capacity as u64 <= BACKLOG_SIZE,
                    "{capacity} bytes of entries"
                );
            }
            assert!(backlog.end() - backlog.start() > BACKLOG_SIZE - cost(length));
        }
    }

    #[test]
    fn places_lead_from_one_message_to_the_next() {
        let mut backlog = Backlog::default();
        let first = backlog.end();
        for (from, text) in [(1, "one"), (2, "two"), (3, "three")] {
            backlog.push(from, text.into());
        }
        let mut place = first;
        let mut heard = Vec::new();
        while let Some(message) = backlog.at(place) {
            heard.push((message.from, message.text.to_vec()));
            place = message.end();
        }
        assert_eq!(place, backlog.end());
        assert_eq!(heard.len(), 3);
        assert_eq!(heard[2], (3, b"three".to_vec()));
        let second = backlog.at(first).map(Message::end).expect("the first");
        backlog.forget(second);
        assert_eq!(backlog.start(), second);
        backlog.forget(place);
        assert_eq!((backlog.start(), backlog.messages.len()), (place, 0));
    }
}
