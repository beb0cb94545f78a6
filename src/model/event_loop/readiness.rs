//! Calls that don't block, made when a poller reports that they would succeed.

use super::driver::{Driver, LoopConnection, SocketState};
use super::file_senders::{FileSender, FileSenders};
use crate::config::Uring;
use crate::model::connections::SlotFlags;
use crate::model::send;
use crate::poller::{Poller, ReadySet};
use crate::session::{Action, Counters, Piece, Worker};
use crate::sys::{self, Errno};
use std::io;
use std::os::fd::AsFd;

/// Tries calls that don't block, and waits for readiness if they would have.
pub(super) struct Readiness<P> {
    poller: P,
    file_senders: FileSenders,
}

/// What the loop knows of a socket that it has tried.
#[derive(Default)]
pub(super) struct Tried {
    /// What the poller has been told to watch for.
    watched: ReadySet,
    file_sender: FileSender,
}

impl<P: Poller> Driver for Readiness<P> {
    type Poller = P;
    type State = Tried;

    /// Try first, wait second: a client's request often comes with its handshake.
    const FIRST_READY: ReadySet = ReadySet::BOTH;

    fn new(capacity: usize, _: usize, _: &Uring) -> io::Result<Readiness<P>> {
        Ok(Readiness {
            poller: P::new(capacity)?,
            file_senders: FileSenders::default(),
        })
    }

    fn poller(&mut self) -> &mut P {
        &mut self.poller
    }

    #[inline]
    fn reported(state: &mut Tried) {
        if P::ONE_SHOT {
            state.watched = ReadySet::ONCE;
        }
    }

    #[inline]
    fn may_send(&self, io: &SocketState<Self>, _is_file: bool) -> bool {
        io.ready.has(ReadySet::WRITABLE)
    }

    #[inline]
    fn may_receive(&self, io: &SocketState<Self>) -> bool {
        io.ready.has(ReadySet::READABLE)
    }

    /// Knows this from the last event. A level-triggered poller does not watch for input while output
    /// waits, so input that came meanwhile is missed.
    fn has_unread(&self, io: &SocketState<Self>) -> bool {
        io.ready.has(ReadySet::READABLE)
    }

    #[inline]
    fn send(
        &mut self,
        io: &mut SocketState<Self>,
        piece: &Piece<'_>,
        most: usize,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        try_send(io, piece, most, counters)
    }

    #[inline]
    fn receive(
        &mut self,
        io: &mut SocketState<Self>,
        into: &mut [u8],
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        counters.receive_calls += 1;
        let result = sys::receive(&io.socket, into);
        match result {
            // A short read has emptied the socket, unless the end of input waits behind it, which an
            // edge-triggered poller has reported already.
            Ok(count) if count < into.len() && !io.ready.has(ReadySet::END) => {
                io.ready = io.ready.without(ReadySet::READABLE);
            }
            Err(Errno::AGAIN) => {
                counters.would_blocks += 1;
                io.ready = io.ready.without(ReadySet::READABLE | ReadySet::END);
            }
            Ok(_) | Err(_) => {}
        }
        result
    }

    fn arrange(
        &mut self,
        slot: &mut LoopConnection<Self>,
        _key: usize,
        source: usize,
        worker: &mut Worker,
    ) -> io::Result<bool> {
        let (sender, socket) = (&mut slot.io.driver.file_sender, &slot.io.socket);
        self.file_senders
            .waits(sender, &slot.connection, socket, &mut worker.counters);
        let (wanted, watched) = (interest::<P>(slot), slot.io.driver.watched);
        // After its event, a one-shot watch costs nothing.
        let rests = P::ONE_SHOT && wanted == ReadySet::NONE && watched == ReadySet::ONCE;
        if wanted != watched && !rests {
            let fd = slot.io.socket.as_fd();
            self.poller.change(fd, source, watched, wanted)?;
            slot.io.driver.watched = wanted;
            worker.counters.interest_change_calls += u64::from(P::CHANGE_IS_SYSCALL);
        }
        Ok(false)
    }

    fn retry(&mut self, io: &mut SocketState<Self>) {
        io.ready |= ReadySet::BOTH;
    }

    fn forget(
        &mut self,
        io: &mut SocketState<Self>,
        _key: usize,
        source: usize,
        _worker: &mut Worker,
    ) -> io::Result<bool> {
        self.file_senders.closes(&mut io.driver.file_sender);
        let watched = io.driver.watched;
        if !P::CLOSE_UNWATCHES && watched != ReadySet::NONE {
            let fd = io.socket.as_fd();
            self.poller.change(fd, source, watched, ReadySet::NONE)?;
        }
        Ok(false)
    }
}

/// What the poller must watch a blocked connection for. An edge-triggered poller watches for both
/// directions all the time. Any other watches for what the connection needs now, or the loop would
/// spin: a socket is nearly always writable.
fn interest<P: Poller>(slot: &LoopConnection<Readiness<P>>) -> ReadySet {
    if P::EDGE_TRIGGERED && !P::ONE_SHOT {
        return ReadySet::BOTH;
    }
    let once = match P::ONE_SHOT {
        true => ReadySet::ONCE,
        false => ReadySet::NONE,
    };
    match slot.connection.next() {
        // Nothing that could happen to the socket would help.
        _ if slot.flags.contains(SlotFlags::OFFLOADED) => ReadySet::NONE,
        Action::Send => ReadySet::WRITABLE | once,
        Action::Receive => ReadySet::READABLE | once,
        Action::Load
        | Action::Proceed
        | Action::Run
        | Action::Wait
        | Action::ShutdownWrite
        | Action::Close { .. } => ReadySet::NONE,
    }
}

/// Tries to send without blocking.
#[inline]
pub(super) fn try_send<D: Driver>(
    io: &mut SocketState<D>,
    piece: &Piece<'_>,
    most: usize,
    counters: &mut Counters,
) -> Result<usize, Errno> {
    counters.send_calls += 1;
    let result = send(&io.socket, piece, most);
    if result == Err(Errno::AGAIN) {
        counters.would_blocks += 1;
        io.ready = io.ready.without(ReadySet::WRITABLE);
    }
    result
}
