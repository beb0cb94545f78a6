//! Sockets: addresses, listeners, and datagrams.
//!
//! This module knows no protocol, and nothing of how connections wait.

mod address;
mod bound;
mod datagram;
mod endpoint;
mod holder;
mod inherited;
mod interfaces;
mod listener;
mod overlap;
mod unix;

pub use address::{Address, Place};
pub use bound::Bound;
pub use datagram::{DatagramSocket, ReceiveError, Sender};
pub use endpoint::Endpoint;
pub use inherited::{Inherited, inherited};
pub use interfaces::{reachable_from_elsewhere, with_zone};
pub use listener::{AcceptError, Listener};
pub use overlap::{Request, reconcile};
pub use unix::SocketFile;
