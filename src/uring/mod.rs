//! io_uring(7): requests go to the kernel through one queue, and their results come back through
//! another one. Both are in memory that the kernel and this program share.
//!
//! One system call per turn hands over all requests that were queued since the last one, and waits
//! for results. There are two kinds of requests: watches, which make a ring a
//! [`Poller`](crate::poller::Poller) like any other, and operations on sockets, which
//! the kernel performs itself.
//!
//! This module knows descriptors and keys. It knows neither connections nor protocols.

mod availability;
mod buffers;
mod description;
mod files;
mod messages;
mod multishot;
mod operation;
mod poller;
mod quiet_sends;
mod registered;
mod requests;
mod restrictions;
mod ring;
mod sockets;
mod splices;
#[cfg(test)]
mod tests;
mod watches;

pub use availability::check;
pub use operation::{Completion, Operation, SendKind};
pub use restrictions::Uses;
pub use ring::Ring;
pub use splices::Pipe;
