//! The messages of a room, each kept once until every member has received it.
//!
//! Each member has a position in the backlog. So a message takes its bytes once, and the memory of
//! a room does not grow with the number of members that do not read.

use std::collections::VecDeque;

/// The most that a room keeps, in bytes, with [`OVERHEAD`] added for each message. A member that
/// falls farther behind has missed a message and is dropped.
pub(super) const BACKLOG_SIZE: u64 = 1024 * 1024;

/// What a message costs in addition to its bytes: more than its entry and what the allocator
/// wastes. Without it, lines of one byte would cost many times what is counted.
pub(super) const OVERHEAD: u64 = 64;

/// Messages in the order in which all members receive them.
#[derive(Default)]
pub(super) struct Backlog {
    messages: VecDeque<Message>,
    /// The position after the last message.
    end: u64,
}

/// A message and its position.
pub(super) struct Message {
    /// The author, who does not receive it.
    pub from: u64,
    /// The bytes that the others receive.
    pub text: Box<[u8]>,
    position: u64,
}

impl Message {
    /// The position after it.
    pub fn end(&self) -> u64 {
        self.position + cost(self.text.len())
    }
}

/// The cost of a message of `length` bytes.
pub(super) fn cost(length: usize) -> u64 {
    length as u64 + OVERHEAD
}

impl Backlog {
    /// Adds a message, and drops the oldest ones until it fits.
    pub fn push(&mut self, from: u64, text: String) {
        let message = Message {
            from,
            text: text.into_bytes().into(),
            position: self.end,
        };
        self.end = message.end();
        self.messages.push_back(message);
        while self.end - self.start() > BACKLOG_SIZE {
            self.messages.pop_front();
        }
    }

    /// The position of the oldest message.
    pub fn start(&self) -> u64 {
        self.messages
            .front()
            .map_or(self.end, |first| first.position)
    }

    /// The position after the last message, where members are that have received everything.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The message at a position; `None` at the end.
    pub fn at(&self, position: u64) -> Option<&Message> {
        let index = self.messages.partition_point(|one| one.position < position);
        self.messages.get(index)
    }

    /// Drops the messages before a position, which all members have received.
    pub fn drop_before(&mut self, position: u64) {
        while self.start() < position {
            self.messages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_exceeds_its_size() {
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
    fn positions_lead_from_one_message_to_the_next() {
        let mut backlog = Backlog::default();
        let first = backlog.end();
        for (from, text) in [(1, "one"), (2, "two"), (3, "three")] {
            backlog.push(from, text.into());
        }
        let mut position = first;
        let mut heard = Vec::new();
        while let Some(message) = backlog.at(position) {
            heard.push((message.from, message.text.to_vec()));
            position = message.end();
        }
        assert_eq!(position, backlog.end());
        assert_eq!(heard.len(), 3);
        assert_eq!(heard[2], (3, b"three".to_vec()));
        let second = backlog.at(first).map(Message::end).expect("the first");
        backlog.drop_before(second);
        assert_eq!(backlog.start(), second);
        backlog.drop_before(position);
        assert_eq!((backlog.start(), backlog.messages.len()), (position, 0));
    }
}
