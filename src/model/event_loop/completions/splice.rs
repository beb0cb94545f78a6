//! Files that the kernel moves to a socket through a pipe, by splice(2).
//!
//! A thread of the kernel fills the pipe and waits for the disk, so the loop never does. A
//! connection has a pipe while bytes of its file are on their way. Of a slow client that may be
//! long. So there are few pipes, and without one a file is sent by sendfile(2).

use crate::session::{Connection, Piece, Worker};
use crate::sys::{self, Errno};
use crate::uring::{Operation, Pipe, Ring};
use std::io;
use std::os::fd::AsFd;

/// The most pipes of a loop. Each may keep a thread of the kernel busy.
pub const MAX_PIPES: usize = 64;

/// How many bytes a pipe holds, if the system allows it (pipe-user-pages-soft).
const PIPE_BYTES: usize = 256 * 1024;

/// The unit in which a pipe holds bytes of files.
const PAGE: usize = 4096;

/// The empty pipes of a loop.
#[derive(Default)]
pub(super) struct Pipes {
    #[expect(
        clippy::vec_box,
        reason = "connections hold boxes: to take one allocates nothing"
    )]
    free: Vec<Box<Splice>>,
    /// How many pipes there are in all.
    made: usize,
}

/// The file that a connection has moved through a pipe.
#[derive(Default)]
pub(super) struct FileSplice(Option<Box<Splice>>);

/// A pipe, and what is on its way through it.
struct Splice {
    pipe: Pipe,
    /// How many bytes were asked for.
    asked: usize,
    /// How many bytes are in the pipe.
    filled: usize,
    /// What the operations have come to. `None` if it was delivered, or they are under way.
    result: Option<Result<usize, Errno>>,
}

impl Pipes {
    /// Takes an empty pipe. `None` if all are in use, or no more can be made.
    fn take(&mut self) -> Option<Box<Splice>> {
        if let Some(splice) = self.free.pop() {
            return Some(splice);
        }
        if self.made == MAX_PIPES {
            return None;
        }
        let (output, input, size) = sys::pipe(PIPE_BYTES).ok()?;
        self.made += 1;
        Some(Box::new(Splice {
            pipe: Pipe {
                input,
                output,
                size,
            },
            asked: 0,
            filled: 0,
            result: None,
        }))
    }

    /// Takes a pipe back. Call this when nothing is under way for it. One that is not empty is
    /// closed: its bytes are for no other client.
    fn put_back(&mut self, mut splice: Box<Splice>) {
        splice.result = None;
        match splice.filled {
            0 => self.free.push(splice),
            _ => self.made -= 1,
        }
    }
}

impl Splice {
    /// Notes the end of a fill that brought less than was asked for, or that failed. The drain
    /// behind it was not begun.
    fn note_fill(&mut self, result: Result<u32, Errno>) {
        match result {
            // The file has become shorter: as if nothing could be sent.
            Ok(0) => self.result = Some(Ok(0)),
            Ok(count) => {
                self.filled = count as usize;
                self.result = Some(Err(Errno::AGAIN));
            }
            Err(Errno::CANCELED | Errno::INTR) => self.result = Some(Err(Errno::AGAIN)),
            Err(errno) if sys::is_refused(errno) => {
                self.result = Some(Err(sys::SENDFILE_REFUSED));
            }
            Err(errno) => self.result = Some(Err(errno)),
        }
    }

    /// Notes the end of a drain. Returns false if the socket takes no more.
    fn note_drain(&mut self, result: Result<u32, Errno>) -> bool {
        if self.filled == 0 {
            // It was begun because the fill brought all.
            self.filled = self.asked;
        }
        let result = match result {
            // An interrupted one is repeated.
            Err(Errno::CANCELED | Errno::INTR) => Err(Errno::AGAIN),
            // A pipe with bytes in it is not at its end.
            Ok(0) => Err(Errno::AGAIN),
            result => result.map(|count| count as usize),
        };
        self.filled -= result.unwrap_or(0);
        self.result = Some(result);
        self.filled == 0
    }
}

impl FileSplice {
    /// True if the connection has a pipe.
    pub fn has_pipe(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a pipe, if there is one. Call this for a connection that sends a file next.
    pub fn take_pipe(&mut self, pipes: &mut Pipes) -> bool {
        if self.0.is_none() {
            self.0 = pipes.take();
        }
        self.has_pipe()
    }

    /// Queues what moves the file on. Call this when nothing is under way. Returns what is then.
    ///
    /// # Errors
    /// Those of [`Ring::fill_then_drain`].
    pub fn queue(
        &mut self,
        connection: &Connection,
        socket: impl AsFd,
        key: usize,
        ring: &mut Ring,
    ) -> io::Result<&'static [Operation]> {
        let front = connection.front();
        let (
            Some(splice),
            Piece::File {
                file,
                offset,
                count,
            },
        ) = (&mut self.0, front)
        else {
            return Ok(&[]);
        };
        let (pipe, socket) = (&splice.pipe, socket.as_fd());
        if splice.filled > 0 {
            ring.drain(pipe, socket, key, splice.filled)?;
            return Ok(&[Operation::Drain]);
        }
        // A part of a page takes as much room as a whole one.
        let most = pipe.size - (offset % PAGE as u64) as usize;
        splice.asked = usize::try_from(count).unwrap_or(usize::MAX).min(most);
        ring.fill_then_drain((file.as_fd(), offset), pipe, socket, key, splice.asked)?;
        Ok(&[Operation::Fill, Operation::Drain])
    }

    /// Notes the only result of what was queued. Returns false if the socket takes no more.
    pub fn ended(&mut self, operation: Operation, result: Result<u32, Errno>) -> bool {
        let splice = self.0.as_mut().expect("it has a pipe");
        match operation {
            Operation::Fill => {
                splice.note_fill(result);
                true
            }
            _ => splice.note_drain(result),
        }
    }

    /// Reports to the connection what was moved, and gives an empty pipe back. Call this when
    /// nothing is under way.
    pub fn deliver(&mut self, connection: &mut Connection, worker: &mut Worker, pipes: &mut Pipes) {
        let Some(splice) = &mut self.0 else {
            return;
        };
        match splice.result.take() {
            None | Some(Err(Errno::AGAIN)) => {}
            Some(Ok(count)) => {
                worker.counters.sent_bytes += count as u64;
                connection.sent(count, worker);
            }
            Some(Err(sys::SENDFILE_REFUSED)) => connection.send_refused(worker),
            Some(Err(_)) => connection.abort(),
        }
        if let Some(splice) = self.0.take_if(|one| one.filled == 0) {
            pipes.put_back(splice);
        }
    }

    /// Gives the pipe back. Call this when nothing is under way.
    pub fn release(&mut self, pipes: &mut Pipes) {
        if let Some(splice) = self.0.take() {
            pipes.put_back(splice);
        }
    }
}
