//! Sends that give a result only if not all of their bytes were sent (IOSQE_CQE_SKIP_SUCCESS).
//!
//! A send completes while it is handed over. So when the kernel has taken all requests and shown all
//! results, those sends that gave none have sent everything.

use super::operation::{Completion, Operation};
use std::collections::VecDeque;

/// The place of a quiet send's number in its user data. The first one has number 1: other
/// operations have 0.
const NUMBER_SHIFT: u32 = 32;

/// Numbers have the bits between the key and the kind.
const NUMBERS: u64 = 0x00ff_ffff;

/// The quiet sends whose end is not known yet, in the order of their numbers.
#[derive(Default)]
pub(super) struct QuietSends(Vec<QuietSend>);

struct QuietSend {
    key: usize,
    length: u32,
    has_result: bool,
}

impl QuietSends {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one of `length` bytes. Returns its user data.
    pub fn add(&mut self, key: usize, length: u32) -> u64 {
        self.0.push(QuietSend {
            key,
            length,
            has_result: false,
        });
        let number = self.0.len() as u64;
        assert!(number <= NUMBERS, "more sends than fit into a queue");
        number << NUMBER_SHIFT | Operation::Send.user_data(key)
    }

    /// Call this with the user data of each result.
    pub fn note_result(&mut self, user_data: u64) {
        let number = (user_data >> NUMBER_SHIFT & NUMBERS) as usize;
        if Operation::of(user_data) == Some(Operation::Send) && number > 0 {
            self.0[number - 1].has_result = true;
        }
    }

    /// Completes the sends that gave no result. Call this when the kernel has taken all requests and
    /// has shown all results.
    pub fn complete(&mut self, completions: &mut VecDeque<Completion>) {
        let ended = self.0.drain(..).filter(|send| !send.has_result);
        completions.extend(ended.map(|send| Completion {
            key: send.key,
            operation: Operation::Send,
            result: Ok(send.length),
            buffer: None,
            socket: None,
            more: false,
            copied: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_without_a_result_have_sent_everything() {
        let mut sends = QuietSends::default();
        let mut completions = VecDeque::new();
        let users = [(7, 10), (8, 20), (7, 30)].map(|(key, length)| sends.add(key, length));
        sends.note_result(users[1]);
        for other in [Operation::Send, Operation::Receive] {
            sends.note_result(other.user_data(7));
        }
        sends.complete(&mut completions);
        let ended = completions.iter().map(|one| (one.key, one.result));
        assert_eq!(ended.collect::<Vec<_>>(), [(7, Ok(10)), (7, Ok(30))]);
        assert!(sends.is_empty());
    }
}
