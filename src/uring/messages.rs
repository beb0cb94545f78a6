//! What send operations that gather two parts point at.

#![allow(unsafe_code)]

use crate::sys::{iovec, msghdr};

/// The messages of send operations that gather two parts (sendmsg(2)). Each must stay in place
/// until the kernel has taken the request.
pub(super) struct Messages(Vec<Message>);

struct Message {
    parts: [iovec; 2],
    header: msghdr,
}

impl Messages {
    /// Room for `count` messages; there is never more.
    pub fn with_capacity(count: usize) -> Messages {
        Messages(Vec::with_capacity(count))
    }

    /// Call this when the kernel has taken all requests.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// True if there is room for no more.
    pub fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }

    /// Adds a message of two parts. Returns its place.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push(&mut self, bytes: &[u8], then: &[u8]) -> *const msghdr {
        assert!(!self.is_full(), "a message would move");
        // SAFETY: zeros are a message without parts.
        let header = unsafe { std::mem::zeroed() };
        let parts = [bytes, then].map(|part| iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        self.0.push(Message { parts, header });
        let message = self.0.last_mut().expect("it was pushed");
        message.header.msg_iov = message.parts.as_mut_ptr();
        message.header.msg_iovlen = message.parts.len();
        &raw const message.header
    }
}
