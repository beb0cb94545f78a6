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

/// The idle time after which the kernel probes whether the peer still exists (tcp(7),
/// TCP_KEEPIDLE). Without it, a protocol without timeouts would keep the connections of vanished
/// peers forever.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// A listening socket. Nonblocking, unless [`set_blocking`](Listener::set_blocking) is called.
#[derive(Debug)]
pub struct Listener {
    /// Dropping this removes the file. Declared first, so that the file goes before the socket
    /// closes: a new server must not find the file of a dead one.
    file: Option<SocketFile>,
    socket: OwnedFd,
    bound: BoundAddress,
    is_inherited: bool,
}

/// Why no connection was accepted.
#[derive(Debug)]
pub enum AcceptError {
    /// No connection is waiting.
    WouldBlock,
    /// The waiting connection has failed. The next one may not have (accept(2)).
    Gone,
    /// Out of descriptors or memory. The connection is still waiting.
    Exhausted(io::Error),
    /// This process may not accept, or the listener is broken, so retrying at once is useless.
    /// Connections may be waiting.
    Refused(io::Error),
}

impl Listener {
    /// Listens at an address: with one socket for each endpoint, or one with a file of mode
    /// `unix_mode`. Returns `count` listeners of each. For TCP, these are several sockets on one
    /// port, among which the kernel spreads the connections (SO_REUSEPORT), unless `one_socket` is
    /// true. Otherwise they are several handles of one socket.
    ///
    /// Accepted TCP sockets inherit TCP_NODELAY and SO_KEEPALIVE, so no connection costs a system
    /// call for them.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and listen(2). If a port is in use, the error names the program
    /// that uses it, where that is known. Endpoints that this kernel or machine does not support
    /// are left out, unless it supports none of them.
    pub fn bind_several(
        address: &Address,
        unix_mode: u32,
        count: usize,
        one_socket: bool,
    ) -> io::Result<Vec<Vec<Listener>>> {
        let sockets = if one_socket { 1 } else { count };
        let first = match address.kind() {
            AddressKind::Tcp(endpoints) => {
                let each = bind_each(endpoints, |one| listen(one, sockets))?.into_iter();
                return each.map(|all| with_handles(all, count)).collect();
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
                let text = "this address takes datagrams, not connections";
                return Err(io::Error::other(text));
            }
        };
        Ok(vec![with_handles(vec![first], count)?])
    }

    /// True if the socket receives IPv6 only, although it is bound to all addresses.
    pub fn is_only_v6(&self) -> bool {
        SockRef::from(&self.socket).only_v6().unwrap_or(false)
    }

    /// Keeps each connection in the kernel until its first bytes have come, or for a second
    /// (TCP_DEFER_ACCEPT). The first receive then succeeds. For protocols in which the client sends
    /// first.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn defer_accept(&self) -> io::Result<()> {
        match self.bound {
            BoundAddress::Tcp(_) => Ok(sys::set_defer_accept(&self.socket)?),
            // Only TCP has this option.
            _ => Ok(()),
        }
    }

    /// True if it accepts TCP connections.
    pub fn is_tcp(&self) -> bool {
        matches!(self.bound, BoundAddress::Tcp(_))
    }

    /// Sets whether [`accept`](Listener::accept) waits for a connection.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn set_blocking(&self, waits: bool) -> io::Result<()> {
        Ok(sys::untraced::ioctl_fionbio(&self.socket, !waits)?)
    }

    /// True if another process created the socket and may still use it. Do not shut it down or make
    /// it blocking.
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// The address of the socket.
    pub fn bound(&self) -> &BoundAddress {
        &self.bound
    }

    /// The socket's file, if this process created one.
    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Limits the unsent bytes that the kernel buffers for each accepted TCP connection,
    /// approximately.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn limit_send_buffers(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.socket).set_send_buffer_size(bytes)
    }

    /// Accepts one connection. Its descriptor is closed on exec; `flags` tell whether it blocks.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn accept(&self, flags: SocketFlags) -> Result<(OwnedFd, Option<SocketAddr>), AcceptError> {
        loop {
            match sys::accept(&self.socket, flags) {
                Ok(accepted) => return Ok(accepted),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Adds the peer's address to a socket that was accepted without it.
    ///
    /// # Errors
    /// [`AcceptError::Gone`].
    pub fn identify(&self, socket: OwnedFd) -> Result<(OwnedFd, Option<SocketAddr>), AcceptError> {
        let peer = match self.bound {
            BoundAddress::Tcp(_) => {
                Some(sys::peer_address(&socket).map_err(|_| AcceptError::Gone)?)
            }
            _ => None,
        };
        Ok((socket, peer))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Adds handles of the first listener's socket until there are `count`.
fn with_handles(mut all: Vec<Listener>, count: usize) -> io::Result<Vec<Listener>> {
    while all.len() < count {
        all.push(Listener {
            socket: all[0].socket.try_clone()?,
            bound: all[0].bound.clone(),
            is_inherited: all[0].is_inherited,
            file: None,
        });
    }
    Ok(all)
}

/// Listens with `count` sockets at one address, and returns the actual address. If the port is in
/// use, the error names the program that uses it.
fn listen(bind_address: BindAddress, count: usize) -> io::Result<(SocketAddr, Vec<Listener>)> {
    let listen = || {
        // All are bound before the first one listens: closing a listening socket resets the
        // connections that wait in its backlog.
        let (address, sockets) = bind_several(bind_address, count, bind)?;
        let each = sockets.into_iter().map(|socket| {
            socket.listen(BACKLOG.into())?;
            Ok(Listener {
                socket: socket.into(),
                bound: BoundAddress::Tcp(address),
                is_inherited: false,
                file: None,
            })
        });
        Ok((address, each.collect::<io::Result<_>>()?))
    };
    listen().map_err(|error| with_owner(error, Type::STREAM, bind_address.address))
}

fn bind(bind_address: BindAddress, share_port: bool) -> io::Result<(SocketAddr, Socket)> {
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
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::Unsupported)?;
    Ok((address, socket))
}

/// Uses a socket that another process created. Its file, if any, is not removed.
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

/// Sets options that accepted sockets inherit.
fn set_inherited_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Errors of accept4(2).
impl From<Errno> for AcceptError {
    fn from(errno: Errno) -> AcceptError {
        match errno {
            Errno::AGAIN => AcceptError::WouldBlock,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
                AcceptError::Exhausted(errno.into())
            }
            // Errors of the waiting connection, which accept(2) on Linux returns.
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
            // A seccomp filter that does not know or allow accept4(2).
            Errno::PERM | Errno::ACCESS | Errno::NOSYS => AcceptError::Refused(io::Error::other(
                format!("{errno}: a seccomp filter may forbid accept4(2)"),
            )),
            // For any other error, retrying at once would only keep the processor busy.
            _ => AcceptError::Refused(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::mpsc::channel;
    use std::thread;

    /// A client that connects while several sockets are made is not reset.
    #[test]
    fn a_client_may_connect_at_once() {
        for _ in 0..1000 {
            let port = free_port();
            let (refused, was_refused) = channel();
            let client = thread::spawn(move || {
                loop {
                    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                        Ok(client) => return client,
                        Err(_) => drop(refused.send(())),
                    }
                }
            });
            was_refused.recv().expect("it tries");
            let address = format!("127.0.0.1:{port}").parse().expect("an address");
            let _listeners = Listener::bind_several(&address, 0o600, 2, false).expect("listens");
            let client = client.join().expect("it connects");
            client.set_nonblocking(true).expect("a socket");
            let error = client.peek(&mut [0]).expect_err("nothing was sent");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        }
    }

    fn free_port() -> u16 {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        free.local_addr().expect("an address").port()
    }

    /// Only errors of a single connection are retried at once.
    #[test]
    fn accept_errors_are_classified() {
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
            let error = format!("{:?}", AcceptError::from(errno));
            assert!(error.starts_with(expected), "{errno}: {error}");
        }
    }
}
