//! Where a socket listens, and how many may wait there.

use super::interfaces::with_zone;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How many connections may wait to be accepted: std's and mio's 128 resets bursts. The kernel caps it at
/// net.core.somaxconn.
pub(super) const BACKLOG: i32 = 4096;

/// Where a socket listens or takes datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundAddress {
    /// A TCP address, with the port that the kernel chose if that was left to it.
    Tcp(SocketAddr),
    /// The path of a stream socket.
    Unix(PathBuf),
    /// A UDP address, with the port that the kernel chose if that was left to it.
    Udp(SocketAddr),
    /// The path of a datagram socket.
    UnixDatagram(PathBuf),
}

impl BoundAddress {
    /// True if datagrams come there, and no connections.
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
