//! Received bytes that wait until the session asks for them.
//!
//! A receive that goes on brings bytes whether or not anybody asks. They are copied here, so that no
//! slow reader keeps buffers that others need.

use std::collections::VecDeque;
use std::io::Read;

/// If so many bytes wait, no more should be received. By then the kernel may have received more: all
/// that fits into the buffers of a ring.
const MAX_BACKLOG: usize = 16 * 1024;

/// Received bytes, oldest first.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "an idle connection is small")]
pub(super) struct Backlog(Option<Box<VecDeque<u8>>>);

impl Backlog {
    /// True if no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True if no more should be received before some bytes are taken.
    pub fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|one| one.len() >= MAX_BACKLOG)
    }

    /// Adds bytes behind the others.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.get_or_insert_default().extend(bytes);
    }

    /// Moves the first bytes to `into`. Returns their number; `None` if none wait.
    pub fn take(&mut self, into: &mut [u8]) -> Option<usize> {
        let bytes = self.0.as_mut()?;
        let count = bytes.read(into).expect("memory is read");
        if bytes.is_empty() {
            self.0 = None;
        }
        Some(count)
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_order_and_at_most_as_many_as_asked_for() {
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * MAX_BACKLOG).collect();
        let (mut backlog, mut taken) = (Backlog::default(), Vec::new());
        let mut into = [0; 300];
        let mut waiting = 0;
        for chunk in bytes.chunks(1000) {
            backlog.add(chunk);
            waiting += chunk.len();
            assert_eq!(backlog.is_full(), waiting >= MAX_BACKLOG, "{waiting}");
            let count = backlog.take(&mut into).expect("some wait");
            waiting -= count;
            taken.extend_from_slice(&into[..count]);
        }
        while let Some(count) = backlog.take(&mut into) {
            assert!((1..=into.len()).contains(&count));
            taken.extend_from_slice(&into[..count]);
        }
        assert_eq!(taken, bytes);
        assert!(backlog.is_empty() && !backlog.is_full());
    }
}
