//! Files that the kernel reads into memory, a buffer at a time, to be sent from there.
//!
//! If a file is not in the page cache, the kernel waits for the disk without this thread.

#![allow(unsafe_code)]

use crate::session::{Buffer, Connection, Piece, Worker};
use crate::sys::Errno;
use crate::uring::Ring;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

/// What is read for a connection.
#[derive(Default)]
pub(super) struct FileRead {
    /// Lent by the worker's pool. The kernel writes into it until the read has completed.
    buffer: Option<Buffer>,
    /// The result of a completed read: how many bytes are in the free part of the buffer.
    result: Option<Result<u32, Errno>>,
}

impl FileRead {
    /// Notes the result of a read.
    pub fn ended(&mut self, result: Result<u32, Errno>) {
        self.result = Some(result);
    }

    /// Hands over the bytes of a completed read.
    pub fn deliver(&mut self, connection: &mut Connection, worker: &mut Worker) {
        let Some(result) = self.result.take() else {
            return;
        };
        let mut buffer = self.buffer.take().expect("a read has a buffer");
        match result {
            Ok(count) => {
                buffer.append_with(|free| *free = &mut std::mem::take(free)[count as usize..]);
                connection.loaded_buffer(buffer, worker);
            }
            Err(errno) => {
                worker.pool.take_back(buffer);
                // It is read again.
                if errno != Errno::AGAIN {
                    connection.abort();
                }
            }
        }
    }

    /// Returns the buffer. Call this when no read is under way.
    pub fn release(&mut self, worker: &mut Worker) {
        self.result = None;
        if let Some(buffer) = self.buffer.take() {
            worker.pool.take_back(buffer);
        }
    }

    /// Queues a read of the file that a connection sends next. Call this when none is under way.
    /// Returns false if it sends no file.
    ///
    /// # Errors
    /// Those of [`Ring::read`].
    pub fn queue(
        &mut self,
        connection: &Connection,
        key: usize,
        ring: &mut Ring,
        worker: &mut Worker,
    ) -> io::Result<bool> {
        let Piece::File {
            file,
            offset,
            count,
        } = connection.front()
        else {
            return Ok(false);
        };
        let buffer = self.buffer.get_or_insert_with(|| worker.pool.lend());
        let into = buffer.append_with(|free| NonNull::from(&mut **free));
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(into.len());
        // SAFETY: the file stays open and the buffer stays here, untouched, until the operation has
        // completed. If the connection closes before, that is when it is released.
        unsafe { ring.read(file.as_fd(), key, into.cast(), count, offset)? };
        Ok(true)
    }
}
