//! Sends that need not copy: the kernel refers to the bytes until the client has acknowledged them.
//!
//! Such a send gives two results: how many bytes are sent, and later a notification that they are
//! not needed any more. The connection learns of both at the second, since it may reuse the bytes
//! when they are sent. So a connection has no more under way than [`MAX_UNCONFIRMED`], and what it
//! sends counts as sent only when it has arrived.

use crate::config::UringSend;
use crate::session::Counters;
use crate::sys::{self, Errno};
use crate::uring::{Completion, Operation, SendKind};
use std::os::fd::AsFd;

/// The most bytes that one zero-copy send hands over. A client must acknowledge them within
/// `--send-timeout`.
const MAX_UNCONFIRMED: usize = 64 * 1024;

/// The zero-copy send of a connection.
#[derive(Default)]
pub(super) struct ZeroCopySend {
    /// The result of a send whose bytes may still be needed.
    unconfirmed: Option<Result<u32, Errno>>,
    /// The socket refuses zero-copy sends.
    is_refused: bool,
}

impl ZeroCopySend {
    /// True if bytes may still be needed although they are sent.
    pub fn is_unconfirmed(&self) -> bool {
        self.unconfirmed.is_some()
    }

    /// Keeps the first result of a zero-copy send until its notification comes. Returns the results
    /// of other operations, and then that one, as they are.
    pub fn await_notification(
        &mut self,
        completion: Completion,
        counters: &mut Counters,
    ) -> Option<Completion> {
        if completion.operation != Operation::Send {
            return Some(completion);
        }
        if completion.more {
            self.unconfirmed = Some(completion.result);
            return None;
        }
        let Some(copied) = completion.copied else {
            return Some(completion);
        };
        let result = match self.unconfirmed.take() {
            // Unix sockets always copy. It is sent again, plainly.
            Some(Err(Errno::OPNOTSUPP)) => {
                self.is_refused = true;
                Err(Errno::CANCELED)
            }
            result => result.unwrap_or(Err(Errno::CANCELED)),
        };
        if result.is_ok() {
            counters.zero_copy_sends += 1;
            counters.zero_copies_in_vain += u64::from(copied);
        }
        Some(Completion {
            result,
            ..completion
        })
    }

    /// How to send bytes, and which of them at once. The last result is true if those are all.
    pub fn limited<'a>(
        &self,
        setting: UringSend,
        bytes: &'a [u8],
        then: &'a [u8],
        more: bool,
    ) -> (SendKind, &'a [u8], &'a [u8], bool) {
        match setting {
            // The kernel would hold them back until a file follows, and a file follows when they
            // are acknowledged.
            _ if more => (SendKind::More, bytes, then, true),
            UringSend::Zc if !self.is_refused => {
                let first = &bytes[..bytes.len().min(MAX_UNCONFIRMED)];
                let second = &then[..then.len().min(MAX_UNCONFIRMED - first.len())];
                let is_whole = first.len() + second.len() == bytes.len() + then.len();
                (SendKind::ZeroCopy, first, second, is_whole)
            }
            _ => (SendKind::Plain, bytes, then, true),
        }
    }
}

/// Resets a connection, so that the kernel forgets what the client has not acknowledged. Otherwise
/// it might keep the bytes for as long as it sends them again, which takes many minutes.
pub(super) fn reset(socket: impl AsFd) {
    // Fails if the client has closed already.
    let _ = sys::disconnect(socket);
}
