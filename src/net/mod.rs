//! Sockets: addresses, listeners and datagrams.
//!
//! This module knows no protocol, and not how the models wait.

mod address;
mod bound_address;
mod datagram;
mod endpoint;
mod inherited_sockets;
mod interfaces;
mod listener;
mod overlap;
mod socket_owner;
mod unix;

pub use address::{Address, AddressKind};
pub use bound_address::{BACKLOG, BoundAddress};
pub use datagram::{DatagramSender, DatagramSocket, ReceiveError};
pub use endpoint::Endpoint;
pub use inherited_sockets::{InheritedSocket, inherited_sockets};
pub use interfaces::{external_addresses, with_zone};
pub use listener::{AcceptError, Listener};
pub use overlap::{ListenRequest, reconcile};
pub use unix::SocketFile;
