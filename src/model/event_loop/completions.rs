//! Operations that the kernel performs itself, by io_uring(7).
//!
//! A connection that would block has its next operation queued here. The system call of the next
//! turn hands all of them over. When an operation completes, its result is noted at the socket and
//! the connection is queued. The connection takes the result when it acts.

#![allow(unsafe_code)]

mod backlog;
mod reads;
mod receives;
mod splice;
mod zero_copy;

use super::accepts::{Accepted, Accepts, accept};
use super::driver::{Completed, Driver, LoopConnection, SocketState};
use super::file_senders::{FileSender, FileSenders};
use super::readiness::try_send;
use crate::config::{Uring, UringFds, UringFile, UringOperations, UringSend};
use crate::model::connections::SlotFlags;
use crate::net::{AcceptError, Listener};
use crate::poller::ReadySet;
use crate::session::{Action, Counters, Moment, Piece, Worker};
use crate::sys::{self, Errno};
use crate::uring::{Completion, Operation, Ring, Uses};
use backlog::Backlog;
use bitflags::bitflags;
use reads::FileRead;
pub use splice::MAX_PIPES;
use splice::{FileSplice, Pipes};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use zero_copy::{ZeroCopySend, reset};

/// The driver.
pub(super) struct Completions {
    ring: Ring,
    /// How files are sent.
    file: UringFile,
    pipes: Pipes,
    file_senders: FileSenders,
    /// How bytes are sent.
    send: UringSend,
    /// A receive goes on until it is cancelled.
    repeats: bool,
    /// Connections are accepted ahead.
    accepts: Option<Accepts>,
}

bitflags! {
    /// Which operations are under way for a socket, and what else is known of them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct UnderWay: u16 {
        const RECEIVE = 1;
        const SEND = 2;
        const AWAIT_WRITABLE = 4;
        const READ = 8;
        /// Not an operation: the session has asked for input that it has not got yet.
        const WANTED = 16;
        /// Not an operation: the session has sent more after a send, although it has asked for input
        /// behind it.
        const SENDS_MORE = 32;
        /// Not an operation: the receive was cancelled because the backlog is full.
        const PAUSED = 64;
        const FILL = 128;
        const DRAIN = 256;
        /// Not an operation: a receive was cancelled although input had come, or no buffer was free.
        /// It is received without the ring.
        const HAS_UNREAD = 512;
        const SPLICE = Self::FILL.bits() | Self::DRAIN.bits();
        /// They may wait for a disk, or for a thread of the kernel.
        const OF_FILES = Self::READ.bits() | Self::SPLICE.bits();
    }
}

/// What the ring does for a socket, and what it has done.
#[derive(Default)]
pub(super) struct Operations {
    under_way: UnderWay,
    /// What was cancelled because of its deadline, and when the connection began to wait for it.
    cancelled: Option<(UnderWay, Moment)>,
    /// The result of the last send.
    sent: Option<Result<u32, Errno>>,
    zero_copy: ZeroCopySend,
    /// Received bytes that are asked for: their buffer and their number.
    received: Option<(u16, u32)>,
    /// Received bytes that nobody has asked for yet.
    backlog: Backlog,
    /// The input has ended, or no more can be received.
    input_end: Option<Result<(), Errno>>,
    read: FileRead,
    splice: FileSplice,
    file_sender: FileSender,
}

type Socket = SocketState<Completions>;

impl UnderWay {
    fn of(operation: Operation) -> UnderWay {
        match operation {
            Operation::Receive => UnderWay::RECEIVE,
            Operation::Send => UnderWay::SEND,
            Operation::AwaitWritable => UnderWay::AWAIT_WRITABLE,
            Operation::Read => UnderWay::READ,
            Operation::Fill => UnderWay::FILL,
            Operation::Drain => UnderWay::DRAIN,
            Operation::Accept => unreachable!("a listener is no connection"),
        }
    }
}

/// All operations.
const ALL: UnderWay = UnderWay::RECEIVE
    .union(UnderWay::SEND)
    .union(UnderWay::AWAIT_WRITABLE)
    .union(UnderWay::OF_FILES);

impl Driver for Completions {
    type Poller = Ring;
    type State = Operations;

    const COMPLETES: bool = true;
    const FIRST_READY: ReadySet = ReadySet::WRITABLE;

    fn new(capacity: usize, max_connections: usize, settings: &Uring) -> io::Result<Completions> {
        let (uses, sqpoll) = (uring_uses(settings), settings.sqpoll);
        let repeats = settings.operations == UringOperations::Multishot;
        let buffers = Completions::buffers(repeats);
        Ok(Completions {
            ring: Ring::with_buffers(capacity, buffers, uses, max_connections, sqpoll)?,
            file: settings.file,
            pipes: Pipes::default(),
            file_senders: FileSenders::default(),
            send: settings.send,
            repeats,
            // A thread of the kernel could accept when the loop has stopped.
            accepts: (repeats && sqpoll.is_none()).then(Accepts::default),
        })
    }

    fn poller(&mut self) -> &mut Ring {
        &mut self.ring
    }

    fn accepts_ahead(&mut self) -> Option<usize> {
        let accepts = self.accepts.as_ref()?;
        Some(accepts.most(&mut self.ring))
    }

    fn accept_ahead(&mut self, index: usize, from: &Listener, wanted: bool) -> io::Result<()> {
        match &mut self.accepts {
            Some(accepts) => accepts.set_wanted(index, from, wanted, &mut self.ring),
            None => Ok(()),
        }
    }

    fn accepted(&mut self, completion: Completion) {
        if let Some(accepts) = &mut self.accepts {
            accepts.add(completion);
        }
    }

    fn accept(
        &mut self,
        index: usize,
        listener: &Listener,
        counters: &mut Counters,
    ) -> Result<Accepted, AcceptError> {
        match &mut self.accepts {
            Some(accepts) => accepts.take(index, listener, counters),
            None => accept(listener, counters),
        }
    }

    fn completions(&self) -> impl ExactSizeIterator<Item = &Completion> {
        self.ring.completions().iter()
    }

    fn describe(&self, completion: &Completion) -> String {
        self.ring.describe(completion)
    }

    fn next_completion(&mut self) -> Option<Completion> {
        self.ring.next_completion()
    }

    fn in_flight(state: &Operations, note: &mut dyn FnMut(&'static str)) {
        Operation::ALL
            .into_iter()
            .filter(|operation| state.under_way.contains(UnderWay::of(*operation)))
            .for_each(|operation| note(operation.name()));
    }

    fn complete(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        completion: Completion,
        counters: &mut Counters,
    ) -> Completed {
        let (connection, io) = (&slot.connection, &mut slot.io);
        let state = &mut io.driver;
        let Some(completion) = state.zero_copy.await_notification(completion, counters) else {
            return Completed::OthersUnderWay;
        };
        let Completion {
            operation, result, ..
        } = completion;
        let under_way = UnderWay::of(operation);
        let is_last = !completion.more;
        if is_last {
            state.under_way.remove(under_way);
        }
        let cancelled = state
            .cancelled
            .take_if(|(which, _)| is_last && which.contains(under_way));
        let mut is_over = cancelled.is_some_and(|(_, since)| {
            result == Err(Errno::CANCELED) && connection.waiting().1 == since
        });
        // Input that came in time may have been on its way when the receive was cancelled.
        if is_over && operation == Operation::Receive && sys::is_readable(&io.socket) {
            state.under_way.insert(UnderWay::HAS_UNREAD);
            is_over = false;
        }
        match (operation, result) {
            (Operation::Receive, _) => self.complete_receive(slot, &completion, counters),
            (Operation::Fill | Operation::Drain, _) => {
                // The only result of both.
                state.under_way.remove(UnderWay::SPLICE);
                if !state.splice.ended(operation, result) {
                    io.ready = io.ready.without(ReadySet::WRITABLE);
                }
            }
            // Nothing was done. It is asked for again.
            (_, Err(Errno::CANCELED | Errno::INTR)) => {}
            (Operation::Send, result) => state.sent = Some(result),
            (Operation::Read, result) => state.read.ended(result),
            (Operation::AwaitWritable, _) => io.ready |= ReadySet::WRITABLE,
            (Operation::Accept, _) => unreachable!("a listener is no connection"),
        }
        match (slot.io.driver.under_way & ALL).is_empty() {
            _ if is_over => Completed::Expired,
            true => Completed::Last,
            false => Completed::OthersUnderWay,
        }
    }

    fn deliver(&mut self, slot: &mut LoopConnection<Completions>, worker: &mut Worker) -> bool {
        let state = &mut slot.io.driver;
        let receives = state.under_way.contains(UnderWay::WANTED) && state.has_input();
        // The send was handed over first. A session that learns so takes the input at once.
        if (receives || state.received.is_some())
            && let Some(Ok(sent)) = state.sent
        {
            state.sent = None;
            worker.counters.sent_bytes += u64::from(sent);
            slot.connection.sent(sent as usize, worker);
        }
        if let Some((buffer, count)) = state.received {
            worker.counters.received_bytes += u64::from(count);
            let bytes = self.ring.received(buffer, count as usize);
            slot.connection.received(bytes, worker);
            // Forgotten only now: if the session panics, `forget` puts the buffer back.
            slot.io.driver.received = None;
            self.ring.put_back(buffer);
        }
        let state = &mut slot.io.driver;
        state.read.deliver(&mut slot.connection, worker);
        if !state.under_way.intersects(UnderWay::SPLICE) {
            let pipes = &mut self.pipes;
            state.splice.deliver(&mut slot.connection, worker, pipes);
        }
        if receives {
            state.under_way.remove(UnderWay::WANTED);
        }
        receives
    }

    fn loads_files(&self) -> bool {
        self.file == UringFile::Read
    }

    fn moves_file(&mut self, slot: &mut LoopConnection<Completions>) -> bool {
        self.file == UringFile::Splice && slot.io.driver.splice.take_pipe(&mut self.pipes)
    }

    fn may_send(&self, io: &Socket, is_file: bool) -> bool {
        match is_file {
            true => io.ready.has(ReadySet::WRITABLE),
            false => io.driver.sent.is_some(),
        }
    }

    /// Bytes that were asked for are [delivered](Driver::deliver).
    fn may_receive(&self, io: &Socket) -> bool {
        io.driver.has_input() || io.driver.input_end.is_some()
    }

    fn has_unread(&self, io: &Socket) -> bool {
        !io.driver.backlog.is_empty() || sys::is_readable(&io.socket)
    }

    fn send(
        &mut self,
        io: &mut Socket,
        piece: &Piece<'_>,
        most: usize,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if let Piece::File { .. } = piece {
            return try_send(io, piece, most, counters);
        }
        let result = io.driver.sent.take().unwrap_or(Err(Errno::AGAIN));
        if result == Err(Errno::AGAIN) {
            io.ready = io.ready.without(ReadySet::WRITABLE);
        }
        result.map(|count| count as usize)
    }

    fn receive(
        &mut self,
        io: &mut Socket,
        into: &mut [u8],
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if let Some(count) = io.driver.backlog.take(into) {
            return Ok(count);
        }
        if io.driver.under_way.contains(UnderWay::HAS_UNREAD) {
            io.driver.under_way.remove(UnderWay::HAS_UNREAD);
            counters.receive_calls += 1;
            return sys::receive(&io.socket, into);
        }
        let end = io.driver.input_end.take();
        end.unwrap_or(Err(Errno::AGAIN)).map(|()| 0)
    }

    fn arrange(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        key: usize,
        _source: usize,
        worker: &mut Worker,
    ) -> io::Result<bool> {
        let (sender, socket) = (&mut slot.io.driver.file_sender, &slot.io.socket);
        self.file_senders
            .waits(sender, &slot.connection, socket, &mut worker.counters);
        if slot.flags.contains(SlotFlags::OFFLOADED) {
            return Ok(false);
        }
        match slot.connection.next() {
            Action::Receive => return self.queue_receive(slot, key),
            Action::Send if !slot.io.ready.has(ReadySet::WRITABLE) => {
                self.queue_await_writable(&mut slot.io, key)?;
            }
            Action::Send if slot.io.driver.splice.has_pipe() => self.queue_splice(slot, key)?,
            Action::Send => return self.queue_send(slot, key),
            Action::Load => {
                let state = &mut slot.io.driver;
                if !state.under_way.contains(UnderWay::READ)
                    && state
                        .read
                        .queue(&slot.connection, key, &mut self.ring, worker)?
                {
                    state.under_way.insert(UnderWay::READ);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    fn retry(&mut self, _io: &mut Socket) {}

    fn cancel(&mut self, slot: &mut LoopConnection<Completions>, key: usize) -> io::Result<bool> {
        let waits_for = match slot.connection.next() {
            Action::Receive => UnderWay::RECEIVE,
            Action::Send => UnderWay::SEND | UnderWay::AWAIT_WRITABLE,
            _ => return Ok(false),
        };
        let state = &mut slot.io.driver;
        let cannot_end =
            state.zero_copy.is_unconfirmed() || state.under_way.intersects(UnderWay::SPLICE);
        if waits_for.contains(UnderWay::SEND) && cannot_end {
            // Only the end of the connection ends it.
            return Ok(false);
        }
        let is_under_way = state.under_way.intersects(waits_for);
        if !is_under_way && waits_for == UnderWay::RECEIVE && sys::is_readable(&slot.io.socket) {
            // The receive would have been queued now: such as that of a new connection.
            state.under_way.insert(UnderWay::HAS_UNREAD);
            slot.io.needs_refresh = true;
            return Ok(true);
        }
        if is_under_way && state.cancelled.is_none() {
            let which = state.under_way & waits_for;
            state.cancelled = Some((which, slot.connection.waiting().1));
            self.cancel_all(which, slot.io.socket.as_fd(), key)?;
        }
        Ok(is_under_way)
    }

    fn forget(
        &mut self,
        io: &mut Socket,
        key: usize,
        _source: usize,
        worker: &mut Worker,
    ) -> io::Result<bool> {
        if let Some((buffer, _)) = io.driver.received.take() {
            self.ring.put_back(buffer);
        }
        io.driver.backlog.clear();
        io.driver.cancelled = None;
        self.file_senders.closes(&mut io.driver.file_sender);
        let under_way = io.driver.under_way & ALL;
        match under_way.intersects(UnderWay::OF_FILES) {
            // It may wait for its disk: the client need not.
            true => {
                worker.counters.other_calls += 1;
                // Fails if the client has closed already.
                let _ = sys::shutdown_both(&io.socket);
            }
            false => {
                io.driver.read.release(worker);
                io.driver.splice.release(&mut self.pipes);
            }
        }
        if io.driver.zero_copy.is_unconfirmed() {
            worker.counters.other_calls += 1;
            reset(&io.socket);
        }
        let fd = io.socket.as_fd();
        match under_way.is_empty() {
            true => self.ring.unregister(fd, key)?,
            false => self.cancel_all(under_way, fd, key)?,
        }
        Ok(!under_way.is_empty())
    }
}

/// What a ring is used for with these settings.
pub(super) fn uring_uses(settings: &Uring) -> Uses {
    if settings.operations == UringOperations::Poll {
        return Uses::WATCH;
    }
    let mut uses = Uses::WATCH | Uses::TRANSFER;
    uses.set(Uses::READ, settings.file == UringFile::Read);
    uses.set(Uses::SPLICE, settings.file == UringFile::Splice);
    uses.set(Uses::ZERO_COPY, settings.send == UringSend::Zc);
    let is_multishot = settings.operations == UringOperations::Multishot;
    uses.set(Uses::ACCEPT, is_multishot);
    uses.set(Uses::REGISTERED, settings.fds == UringFds::Ring);
    uses
}

impl Completions {
    /// Queues a send for a connection, unless one is under way, and where possible a receive.
    /// Returns true if input waits that the session takes.
    fn queue_send(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        key: usize,
    ) -> io::Result<bool> {
        let (connection, io) = (&slot.connection, &mut slot.io);
        let Piece::Bytes { bytes, then, more } = connection.front() else {
            return Ok(false);
        };
        let under_way = &mut io.driver.under_way;
        if under_way.contains(UnderWay::SEND) {
            return Ok(false);
        }
        if under_way.contains(UnderWay::WANTED) {
            under_way.insert(UnderWay::SENDS_MORE);
        }
        let zero_copy = &io.driver.zero_copy;
        let (kind, bytes, then, is_whole) = zero_copy.limited(self.send, bytes, then, more);
        let receives_next = is_whole
            && connection.receives_after_front()
            && !under_way.contains(UnderWay::SENDS_MORE);
        let fd = io.socket.as_fd();
        // SAFETY: what `front` points at stays in place, unchanged, until it was sent. If the
        // connection closes before, it stays until `release`, which the loop calls when no
        // operation is under way.
        unsafe {
            match receives_next {
                true => self.ring.send_quietly(fd, key, bytes, then, kind)?,
                false => self.ring.send(fd, key, bytes, then, kind)?,
            }
        }
        under_way.insert(UnderWay::SEND);
        match receives_next || connection.takes_input() {
            true => self.queue_receive(slot, key),
            false => Ok(false),
        }
    }

    /// Queues what moves a file on, unless it is under way.
    fn queue_splice(
        &mut self,
        slot: &mut LoopConnection<Completions>,
        key: usize,
    ) -> io::Result<()> {
        let (connection, state) = (&slot.connection, &mut slot.io.driver);
        if !state.under_way.intersects(UnderWay::SPLICE) {
            let (socket, ring) = (&slot.io.socket, &mut self.ring);
            let queued = state.splice.queue(connection, socket, key, ring)?;
            queued
                .iter()
                .for_each(|one| state.under_way.insert(UnderWay::of(*one)));
        }
        Ok(())
    }

    /// Queues a wait until the socket takes more bytes, unless one is under way.
    fn queue_await_writable(&mut self, io: &mut Socket, key: usize) -> io::Result<()> {
        if !io.driver.under_way.contains(UnderWay::AWAIT_WRITABLE) {
            self.ring.await_writable(io.socket.as_fd(), key)?;
            io.driver.under_way.insert(UnderWay::AWAIT_WRITABLE);
        }
        Ok(())
    }

    fn cancel_all(&mut self, which: UnderWay, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        Operation::ALL
            .into_iter()
            .filter(|operation| which.contains(UnderWay::of(*operation)))
            .try_for_each(|operation| self.ring.cancel_operation(operation, fd, key))
    }
}
