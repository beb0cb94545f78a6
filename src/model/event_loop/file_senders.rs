//! Limits the unsent bytes of sockets while several connections wait to send files.

use super::connection::MAX_BYTES;
use crate::session::{Action, Connection, Counters};
use crate::sys;
use std::os::fd::AsFd;

/// How many bytes of a file may wait in a socket's send buffer before TCP may send them, if
/// [`SEVERAL`] connections wait to send files: as many as one turn sends at most.
const MAX_UNSENT: u32 = MAX_BYTES as u32;

/// How many connections must wait to send files before the unsent bytes of each are limited. Fewer
/// are faster without a limit: with it, the loop and the client wake each other for each piece.
const SEVERAL: usize = 4;

/// How many connections waited to send a file when they last had to wait.
#[derive(Default)]
pub(super) struct FileSenders(usize);

/// What is known of one connection.
#[derive(Default)]
pub(super) struct FileSender {
    /// It waited to send a file when it last had to wait.
    waits: bool,
    /// Its unsent bytes are limited to [`MAX_UNSENT`].
    is_limited: bool,
}

impl FileSenders {
    /// Call this when a connection has to wait. If it waits to send a file, limits the unsent bytes
    /// of its socket while several connections do so, and lifts the limit after that.
    ///
    /// By default the kernel takes megabytes. TCP sends most of them later, when the client's
    /// acknowledgements come: then the sending is done in the middle of the client's work, and
    /// transfers become slower, although the loop does less.
    pub fn waits(
        &mut self,
        sender: &mut FileSender,
        connection: &Connection,
        socket: impl AsFd,
        counters: &mut Counters,
    ) {
        let sends_file = connection.sends_file() && connection.next() == Action::Send;
        self.0 -= usize::from(sender.waits);
        self.0 += usize::from(sends_file);
        sender.waits = sends_file;
        let wanted = self.0 >= SEVERAL;
        if sends_file && wanted != sender.is_limited {
            sender.is_limited = wanted;
            counters.other_calls += 1;
            // Fails on a Unix socket, which is not limited.
            let _ = sys::limit_unsent(socket, wanted.then_some(MAX_UNSENT));
        }
    }

    /// Call this when a connection closes.
    pub fn closes(&mut self, sender: &mut FileSender) {
        self.0 -= usize::from(sender.waits);
        sender.waits = false;
    }
}
