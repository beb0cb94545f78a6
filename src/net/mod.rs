//! Sockets: addresses, listeners, and the system calls on connections.
//!
//! This room knows no protocol, and nothing of who waits how.

mod address;
mod listener;
mod transfer;

pub use address::Address;
pub use listener::{AcceptError, Listener};
pub use transfer::{receive, send, send_file, shutdown_write};
