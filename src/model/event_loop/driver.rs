//! How a loop performs the operations of its connections: by readiness, where a poller reports that
//! a call would not block, or by completions, where the kernel performs the operation itself.
//!
//! Everything else in a loop is the same.

use super::accepts::{Accepted, accept};
use crate::config::Uring;
use crate::model::connections::Slot;
use crate::net::{AcceptError, Listener};
use crate::poller::{Poller, ReadySet};
use crate::session::{Counters, Piece, Worker};
use crate::sys::Errno;
use crate::uring::Completion;
use std::io;
use std::os::fd::OwnedFd;

/// A connection of this loop.
pub(super) type LoopConnection<D> = Slot<SocketState<D>>;

/// A socket and what the loop knows of it.
pub(super) struct SocketState<D: Driver> {
    /// The socket.
    pub socket: OwnedFd,
    /// What the socket is believed to be ready for. Cleared by a call that would block or a short
    /// read.
    pub ready: ReadySet,
    /// The poller has reported an event since the connection last acted.
    pub event: bool,
    /// Refresh the worker before the session sees input: the peer may have sent it after the turn
    /// began.
    pub needs_refresh: bool,
    pub is_tcp: bool,
    /// How many of the next bytes of the file being sent are known to be in memory.
    pub in_memory: u32,
    /// What the driver knows of it.
    pub driver: D::State,
}

impl<D: Driver> SocketState<D> {
    /// A socket that was just accepted.
    pub(super) fn new(socket: OwnedFd, is_tcp: bool) -> SocketState<D> {
        SocketState {
            socket,
            ready: D::FIRST_READY,
            event: false,
            // Over TCP, its first bytes usually arrive before it is accepted.
            needs_refresh: !is_tcp,
            is_tcp,
            in_memory: 0,
            driver: D::State::default(),
        }
    }
}

/// Performs the operations of connections.
pub(super) trait Driver: Sized {
    /// Watches all other descriptors: listeners, signals, the wake queue.
    type Poller: Poller;

    /// What this driver knows of a socket.
    type State: Default;

    /// True if operations [complete](Driver::next_completion).
    const COMPLETES: bool = false;

    /// What a new socket is assumed to be ready for.
    const FIRST_READY: ReadySet;

    /// Creates a driver for a loop in which one wait returns at most `capacity` events, for at most
    /// `max_connections` connections.
    ///
    /// # Errors
    /// Those of creating its poller.
    fn new(capacity: usize, max_connections: usize, settings: &Uring) -> io::Result<Self>;

    /// The poller.
    fn poller(&mut self) -> &mut Self::Poller;

    /// Notes that the poller has reported an event of a socket.
    fn reported(_: &mut Self::State) {}

    /// How many connections the kernel may accept by itself before the loop takes them, at all
    /// listeners together. `None`: it accepts only when the loop asks.
    fn accepts_ahead(&mut self) -> Option<usize> {
        None
    }

    /// Has the kernel accept connections from a listener by itself, or cancels that.
    ///
    /// # Errors
    /// Those of the poller.
    fn accept_ahead(&mut self, _index: usize, _: &Listener, _wanted: bool) -> io::Result<()> {
        Ok(())
    }

    /// Notes a result of accepting ahead.
    fn accepted(&mut self, _: Completion) {}

    /// Accepts a connection, or takes one that the kernel has accepted.
    ///
    /// # Errors
    /// [`AcceptError`].
    fn accept(
        &mut self,
        _index: usize,
        listener: &Listener,
        counters: &mut Counters,
    ) -> Result<Accepted, AcceptError> {
        accept(listener, counters)
    }

    /// The completed operations.
    fn completions(&self) -> impl ExactSizeIterator<Item = &Completion> {
        std::iter::empty()
    }

    /// Describes a completed operation, for the trace.
    fn describe(&self, _: &Completion) -> String {
        String::new()
    }

    /// Takes the next completed operation.
    fn next_completion(&mut self) -> Option<Completion> {
        None
    }

    /// Calls `note` with the name of each operation that is under way for a socket.
    fn in_flight(_: &Self::State, _note: &mut dyn FnMut(&'static str)) {}

    /// Notes at its socket that an operation has completed.
    fn complete(
        &mut self,
        _: &mut LoopConnection<Self>,
        _: Completion,
        _: &mut Counters,
    ) -> Completed {
        Completed::Last
    }

    /// Hands over the bytes that an operation has received or loaded, and reports those of a file
    /// that were moved. Returns true if the session has asked for input and more of it waits: then
    /// [receive](Driver::receive), whatever the next action is.
    fn deliver(&mut self, _slot: &mut LoopConnection<Self>, _worker: &mut Worker) -> bool {
        false
    }

    /// True if files are sent from memory, and the driver loads them: it waits for the disk where
    /// it delays no other connection.
    fn loads_files(&self) -> bool {
        false
    }

    /// True if the driver moves the file that the connection sends next, once that is
    /// [arranged](Driver::arrange), and [reports](Driver::deliver) what was sent.
    fn moves_file(&mut self, _: &mut LoopConnection<Self>) -> bool {
        false
    }

    /// True if [`send`](Driver::send) is worth a try.
    fn may_send(&self, io: &SocketState<Self>, is_file: bool) -> bool;

    /// True if [`receive`](Driver::receive) is worth a try.
    fn may_receive(&self, io: &SocketState<Self>) -> bool;

    /// True if unread input may wait at the socket of a connection that is to close.
    fn has_unread(&self, io: &SocketState<Self>) -> bool;

    /// Sends a piece, or of a file at most `most` bytes.
    ///
    /// # Errors
    /// Those of sendmsg(2) and sendfile(2). AGAIN means that the connection must wait.
    fn send(
        &mut self,
        io: &mut SocketState<Self>,
        piece: &Piece<'_>,
        most: usize,
        counters: &mut Counters,
    ) -> Result<usize, Errno>;

    /// Receives into a buffer.
    ///
    /// # Errors
    /// Those of recv(2). AGAIN means that the connection must wait.
    fn receive(
        &mut self,
        io: &mut SocketState<Self>,
        into: &mut [u8],
        counters: &mut Counters,
    ) -> Result<usize, Errno>;

    /// Arranges that a blocked connection continues when it can. Returns true if that is at once.
    /// `source` is the key of its socket at the poller.
    ///
    /// # Errors
    /// Those of the poller.
    fn arrange(
        &mut self,
        slot: &mut LoopConnection<Self>,
        key: usize,
        source: usize,
        worker: &mut Worker,
    ) -> io::Result<bool>;

    /// Call this when the deadline has passed: what came in time still counts.
    fn retry(&mut self, io: &mut SocketState<Self>);

    /// Cancels the operation for which the connection waits. Returns true if there is one, or if it
    /// would succeed at once; the connection is then queued again.
    ///
    /// # Errors
    /// Those of the poller.
    fn cancel(&mut self, _slot: &mut LoopConnection<Self>, _key: usize) -> io::Result<bool> {
        Ok(false)
    }

    /// Call this when the connection closes. Cancels the operations under way, and returns true if
    /// there are any.
    ///
    /// # Errors
    /// Those of the poller.
    fn forget(
        &mut self,
        io: &mut SocketState<Self>,
        key: usize,
        source: usize,
        worker: &mut Worker,
    ) -> io::Result<bool>;
}

/// What follows from the end of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completed {
    /// Nothing more is under way for the connection.
    Last,
    /// Another operation is still under way.
    OthersUnderWay,
    /// The operation was cancelled because of a deadline, and the connection still waits for it.
    Expired,
}
