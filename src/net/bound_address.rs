//! The address of a bound socket, and the length of its backlog.

use super::interfaces::with_zone;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The most connections that wait to be accepted. 128, as in std and mio, resets clients in bursts.
/// The kernel caps the value at net.core.somaxconn.
pub const BACKLOG: u16 = 4096;

/// The address of a bound socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundAddress {
    /// A TCP address. The port is the actual one, also if the kernel chose it.
    Tcp(SocketAddr),
    /// The path of a stream socket.
    Unix(PathBuf),
    /// A UDP address. The port is the actual one, also if the kernel chose it.
    Udp(SocketAddr),
    /// The path of a datagram socket.
    UnixDatagram(PathBuf),
}

impl BoundAddress {
    /// True if the socket takes datagrams, false if it takes connections.
    pub fn is_datagram(&self) -> bool {
        matches!(self, BoundAddress::Udp(_) | BoundAddress::UnixDatagram(_))
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundAddress::Tcp(address) => f.write_str(&with_zone(*address, "%")),
            BoundAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            BoundAddress::Udp(address) => write!(f, "udp:{}", with_zone(*address, "%")),
            BoundAddress::UnixDatagram(path) => write!(f, "unix-dgram:{}", path.display()),
        }
    }
}
