//! Listening sockets.

use super::bound_address::{BACKLOG, BoundAddress};
use super::endpoint::{BindAddress, bind_each, bind_several};
use super::socket_owner::with_owner;
use super::unix::{self, SocketFile};
use super::{Address, AddressKind};
use crate::sys::{self, Errno, SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// After how much silence the kernel asks whether the peer is still there (tcp(7), TCP_KEEPIDLE). A protocol that lets
/// its peers be silent would otherwise keep those that have vanished for ever.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// A socket that accepts connections; without waiting for one, unless it is told to.
#[derive(Debug)]
pub struct Listener {
    /// Removed with the listener, before it closes: a new server must not find the file of a dead one.
    file: Option<SocketFile>,
    socket: OwnedFd,
    bound: BoundAddress,
    is_inherited: bool,
}

/// Why no connection was accepted.
#[derive(Debug)]
pub enum AcceptError {
    /// None waits.
    WouldBlock,
    /// The one that waited is gone; the next one may be fine (accept(2)).
    Gone,
    /// No descriptor or memory is free. The connection still waits.
    Exhausted(io::Error),
    /// This process is not allowed to accept, or the listener is broken: the next call would say the same. Connections
    /// may still wait.
    Refused(io::Error),
}

impl Listener {
    /// Listens at an address: at each of its endpoints, or with a socket file that has this mode. Each of them `count`
    /// times: several listeners on one port, among which the kernel spreads the connections (SO_REUSEPORT), or several
    /// hands on the one socket that there is.
    ///
    /// Accepted TCP sockets inherit TCP_NODELAY and SO_KEEPALIVE from it, so that no connection costs a call for them.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and listen(2). It is said who has a port that is in use, as far as that is known.
    /// Endpoints that this kernel or machine does not have are left out, unless it has none of them.
    pub fn bind_several(
        address: &Address,
        unix_mode: u32,
        count: usize,
    ) -> io::Result<Vec<Vec<Listener>>> {
        let first = match address.kind() {
            AddressKind::Tcp(endpoints) => {
                return bind_each(endpoints, |one| {
                    bind_several(one, count, listen_or_name_owner)
                });
            }
            AddressKind::Covered => return Ok(Vec::new()),
            AddressKind::Inherited(socket, bound) if !bound.is_datagram() => {
                take_over(socket, bound)?
            }
            AddressKind::Unix(path) => {
                let (socket, file) = unix::listen(path, unix_mode)?;
                Listener {
                    socket: socket.into(),
                    bound: BoundAddress::Unix(path.clone()),
                    is_inherited: false,
                    file: Some(file),
                }
            }
            AddressKind::Udp(_) | AddressKind::UnixDatagram(_) | AddressKind::Inherited(..) => {
                let text = "datagrams come there, and no connections";
                return Err(io::Error::other(text));
            }
        };
        let mut all = vec![first];
        for _ in 1..count {
            all.push(Listener {
                socket: all[0].socket.try_clone()?,
                bound: all[0].bound.clone(),
                is_inherited: all[0].is_inherited,
                file: None,
            });
        }
        Ok(vec![all])
    }

    /// True if it hears IPv6 alone, though at all addresses.
    pub fn is_only_v6(&self) -> bool {
        SockRef::from(&self.socket).only_v6().unwrap_or(false)
    }

    /// Leaves a connection to the kernel until its first bytes have come, or a second has passed: then it can be
    /// received from at once. For protocols in which the client speaks first.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn defer_accept(&self) -> io::Result<()> {
        match self.bound {
            BoundAddress::Tcp(_) => Ok(sys::set_defer_accept(&self.socket)?),
            // There is no such thing; a connection comes when it comes.
            _ => Ok(()),
        }
    }

    /// True if a connection's first bytes are there when it is accepted, as a rule.
    pub fn defers_accept(&self) -> bool {
        matches!(self.bound, BoundAddress::Tcp(_))
    }

    /// Lets [`accept`](Listener::accept) wait for a connection.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn set_blocking(&self) -> io::Result<()> {
        Ok(sys::untraced::ioctl_fionbio(&self.socket, false)?)
    }

    /// True if somebody else has made the socket and may go on using it: it must not be shut down, nor be made to wait.
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// Where it listens.
    pub fn bound(&self) -> &BoundAddress {
        &self.bound
    }

    /// Its file, if it has made one.
    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Has the kernel keep only about so many unsent bytes for each TCP connection that is accepted here.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn limit_send_buffers(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.socket).set_send_buffer_size(bytes)
    }

    /// Accepts one connection. Its socket is closed on exec; `flags` say whether it blocks.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn accept(&self, flags: SocketFlags) -> Result<(OwnedFd, Option<SocketAddr>), AcceptError> {
        loop {
            match sys::accept(&self.socket, flags) {
                Ok(accepted) => return Ok(accepted),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(classify(errno)),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The same as [`listen`]; the error says which program has a port that is in use.
fn listen_or_name_owner(
    bind_address: BindAddress,
    share_port: bool,
) -> io::Result<(SocketAddr, Listener)> {
    listen(bind_address, share_port)
        .map_err(|error| with_owner(error, Type::STREAM, bind_address.address))
}

fn listen(bind_address: BindAddress, share_port: bool) -> io::Result<(SocketAddr, Listener)> {
    let BindAddress { address, only_v6 } = bind_address;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    set_inherited_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::Unsupported)?;
    let listener = Listener {
        socket: socket.into(),
        bound: BoundAddress::Tcp(address),
        is_inherited: false,
        file: None,
    };
    Ok((address, listener))
}

/// A socket that somebody else has made is used as if we had. Its file, if it has one, is not ours to remove.
fn take_over(socket: &OwnedFd, bound: &BoundAddress) -> io::Result<Listener> {
    let socket = Socket::from(socket.try_clone()?);
    socket.set_nonblocking(true)?;
    if let BoundAddress::Tcp(_) = bound {
        set_inherited_options(&socket)?;
    }
    Ok(Listener {
        socket: socket.into(),
        bound: bound.clone(),
        is_inherited: true,
        file: None,
    })
}

/// What accepted sockets inherit, so that no connection costs a call for it.
fn set_inherited_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

fn classify(errno: Errno) -> AcceptError {
    match errno {
        Errno::AGAIN => AcceptError::WouldBlock,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
            AcceptError::Exhausted(errno.into())
        }
        // The waiting connection's own trouble, which accept(2) on Linux returns as the call's.
        Errno::CONNABORTED
        | Errno::CONNRESET
        | Errno::PROTO
        | Errno::NOPROTOOPT
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NONET
        | Errno::TIMEDOUT => AcceptError::Gone,
        // A filter (seccomp) that does not know accept4(2), or does not allow it.
        Errno::PERM | Errno::ACCESS | Errno::NOSYS => AcceptError::Refused(io::Error::other(
            format!("{errno}: a filter, as of a container or a unit, may forbid accept4(2)"),
        )),
        // Whatever else is said, asking again at once would only keep a processor busy.
        _ => AcceptError::Refused(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what concerns one connection is tried again at once.
    #[test]
    fn what_cannot_be_accepted() {
        for (errno, expected) in [
            (Errno::AGAIN, "WouldBlock"),
            (Errno::CONNABORTED, "Gone"),
            (Errno::PROTO, "Gone"),
            (Errno::MFILE, "Exhausted"),
            (Errno::NOMEM, "Exhausted"),
            (Errno::PERM, "Refused"),
            (Errno::ACCESS, "Refused"),
            (Errno::NOSYS, "Refused"),
            (Errno::INVAL, "Refused"),
            (Errno::BADF, "Refused"),
            (Errno::IO, "Refused"),
        ] {
            let error = format!("{:?}", classify(errno));
            assert!(error.starts_with(expected), "{errno}: {error}");
        }
    }
}
