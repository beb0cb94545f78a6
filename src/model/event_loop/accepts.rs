//! Connections that the kernel accepts before the loop takes them.

use crate::net::{AcceptError, Listener};
use crate::session::Counters;
use crate::sys::{Errno, SocketFlags};
use crate::uring::{Completion, Operation, Ring};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

/// What an accept brings: a socket and, unless it is unnamed, the peer's address.
pub(super) type Accepted = (OwnedFd, Option<SocketAddr>);

/// The accepted connections that wait for the loop, by listener.
///
/// The kernel accepts as long as clients come. So it may begin only while the loop has permits for as
/// many as one wait can bring: see [`most`](Accepts::most).
#[derive(Default)]
pub(super) struct Accepts(Vec<ListenerAccepts>);

#[derive(Default)]
struct ListenerAccepts {
    /// The kernel should accept.
    wanted: bool,
    /// The operation has not ended.
    under_way: bool,
    /// Accepted sockets, and why the operation has ended.
    waiting: VecDeque<Result<OwnedFd, Errno>>,
}

impl Accepts {
    /// How many connections may wait for the loop after the next wait, at all listeners together.
    pub fn most(&self, ring: &mut Ring) -> usize {
        let waiting: usize = self.0.iter().map(|one| one.waiting.len()).sum();
        waiting + ring.max_results()
    }

    /// Has the kernel accept connections from a listener, or cancels that.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn set_wanted(
        &mut self,
        index: usize,
        listener: &Listener,
        wanted: bool,
        ring: &mut Ring,
    ) -> io::Result<()> {
        if index >= self.0.len() {
            self.0.resize_with(index + 1, ListenerAccepts::default);
        }
        let one = &mut self.0[index];
        if wanted && !one.under_way {
            ring.accept_repeatedly(listener.as_fd(), index)?;
            one.under_way = true;
        }
        if !wanted && one.wanted && one.under_way {
            ring.cancel_operation(Operation::Accept, listener.as_fd(), index)?;
        }
        one.wanted = wanted;
        Ok(())
    }

    /// Notes a result.
    pub fn add(&mut self, completion: Completion) {
        // Without this listener the loop has stopped.
        let Some(one) = self.0.get_mut(completion.key) else {
            return;
        };
        one.under_way = completion.more;
        match (completion.socket, completion.result) {
            (Some(socket), _) => one.waiting.push_back(Ok(socket)),
            (None, Ok(_) | Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR)) => {}
            (None, Err(errno)) => one.waiting.push_back(Err(errno)),
        }
    }

    /// Takes a connection that the kernel has accepted. If it should not accept by itself, accepts
    /// one.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn take(
        &mut self,
        index: usize,
        listener: &Listener,
        counters: &mut Counters,
    ) -> Result<Accepted, AcceptError> {
        let one = self.0.get_mut(index);
        let is_wanted = one.as_ref().is_some_and(|one| one.wanted);
        match one.and_then(|one| one.waiting.pop_front()) {
            Some(accepted) => {
                counters.other_calls += u64::from(listener.is_tcp());
                listener.identify(accepted?)
            }
            None if is_wanted => Err(AcceptError::WouldBlock),
            None => accept(listener, counters),
        }
    }
}

/// Accepts a connection.
///
/// # Errors
/// [`AcceptError`].
pub(super) fn accept(
    listener: &Listener,
    counters: &mut Counters,
) -> Result<Accepted, AcceptError> {
    counters.accept_calls += 1;
    let result = listener.accept(SocketFlags::NONBLOCK);
    counters.would_blocks += u64::from(matches!(result, Err(AcceptError::WouldBlock)));
    result
}
