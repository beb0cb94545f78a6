//! Sockets that take datagrams, and the way back to those who sent them.

use super::bound_address::BoundAddress;
use super::endpoint::{BindAddress, bind_each, bind_several};
use super::socket_owner;
use super::unix::{self, SocketFile};
use super::{Address, AddressKind};
use crate::sys::{self, Errno, PollFlags, Route, SocketAddrUnix};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// How much may wait in a socket, in bytes: a burst of thousands of small datagrams, or of a hundred large ones. The
/// kernel caps it at net.core.rmem_max.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A socket that takes datagrams, and never waits.
#[derive(Debug)]
pub struct DatagramSocket {
    /// Removed with the socket, before it closes.
    file: Option<SocketFile>,
    socket: OwnedFd,
    bound: BoundAddress,
    /// How many lost datagrams have been told of, over all hands on the same socket.
    reported_lost: Arc<AtomicU32>,
}

/// Where a datagram came from, and the way back.
#[derive(Clone, Debug)]
pub struct DatagramSender(Origin);

#[derive(Clone, Debug)]
enum Origin {
    Udp {
        address: SocketAddr,
        route: Route,
    },
    Unix(SocketAddrUnix),
    /// A Unix socket without a name, which nothing can be sent to.
    Unnamed,
}

/// Why no datagram was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// None waits.
    WouldBlock,
    /// The kernel tells of something that happened to an earlier one, such as that nobody took it (ICMP). The next call
    /// may bring a datagram.
    Transient,
    /// The socket is of no more use.
    Broken(io::Error),
}

impl DatagramSocket {
    /// Takes the datagrams that come to an address: to each of its endpoints, or to a socket file that has this mode. Each
    /// of them `count` times: several sockets on one port, among which the kernel spreads the senders (SO_REUSEPORT), or
    /// several hands on the one socket that there is.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2). Endpoints that this kernel or machine does not have are left out, unless it has
    /// none of them.
    pub fn bind_several(
        address: &Address,
        unix_mode: u32,
        count: usize,
    ) -> io::Result<Vec<Vec<DatagramSocket>>> {
        let first = match address.kind() {
            AddressKind::Udp(endpoints) => {
                return bind_each(endpoints, |one| bind_several(one, count, bind));
            }
            AddressKind::Covered => return Ok(Vec::new()),
            AddressKind::UnixDatagram(path) => {
                let (socket, file) = unix::bind_datagram(path, unix_mode)?;
                DatagramSocket::new(socket, BoundAddress::UnixDatagram(path.clone()), Some(file))?
            }
            AddressKind::Inherited(socket, bound) if bound.is_datagram() => {
                // Whoever made it keeps it, and its file; all that is changed is what is told of each datagram.
                let socket = Socket::from(socket.try_clone()?);
                socket.set_nonblocking(true)?;
                DatagramSocket::new(socket, bound.clone(), None)?
            }
            AddressKind::Tcp(_) | AddressKind::Unix(_) | AddressKind::Inherited(..) => {
                let text = "connections come there, and no datagrams";
                return Err(io::Error::other(text));
            }
        };
        let mut all = vec![first];
        for _ in 1..count {
            all.push(DatagramSocket {
                socket: all[0].socket.try_clone()?,
                bound: all[0].bound.clone(),
                reported_lost: all[0].reported_lost.clone(),
                file: None,
            });
        }
        Ok(vec![all])
    }

    /// True if it hears IPv6 alone, though at all addresses.
    pub fn is_only_v6(&self) -> bool {
        SockRef::from(&self.socket).only_v6().unwrap_or(false)
    }

    fn new(
        socket: Socket,
        bound: BoundAddress,
        file: Option<SocketFile>,
    ) -> io::Result<DatagramSocket> {
        if let BoundAddress::Udp(address) = bound {
            // A reply leaves from the address to which its datagram came, which a socket for all addresses does not
            // know otherwise, and with a shorter life than that had.
            sys::report_routes(&socket, address.is_ipv6())?;
            // The kernel gives what it may; the default does too, for all but bursts.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        let socket = DatagramSocket {
            file,
            socket: socket.into(),
            bound,
            reported_lost: Arc::default(),
        };
        // An inherited socket may have lost some before.
        socket.lost();
        Ok(socket)
    }

    /// Where it takes datagrams.
    pub fn bound(&self) -> &BoundAddress {
        &self.bound
    }

    /// How many datagrams the kernel had no room for since the last call: since the socket was made, at the first one.
    /// 0 where the kernel does not say.
    pub fn lost(&self) -> u64 {
        let Ok(total) = sys::lost_datagrams(&self.socket) else {
            return 0;
        };
        u64::from(total.wrapping_sub(self.reported_lost.swap(total, SeqCst)))
    }

    /// Receives one datagram into the front of `buffer`. Says how long it was: if that is more than the buffer holds,
    /// the rest is gone.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive(&self, buffer: &mut [u8]) -> Result<(usize, DatagramSender), ReceiveError> {
        let BoundAddress::Udp(address) = self.bound else {
            let (length, sender) = sys::receive_unix(&self.socket, buffer)?;
            let named = sender.filter(|sender| !sender.is_unnamed());
            return Ok((
                length,
                DatagramSender(named.map_or(Origin::Unnamed, Origin::Unix)),
            ));
        };
        let (length, sender, route) = sys::receive_udp(&self.socket, address.is_ipv6(), buffer)?;
        let origin = match sender {
            Some(address) => Origin::Udp { address, route },
            None => Origin::Unnamed,
        };
        Ok((length, DatagramSender(origin)))
    }

    /// True if somebody has shut it down (shutdown(2)): it is ready then, and yet there will never be anything again.
    pub fn is_shut_down(&self) -> bool {
        sys::untraced::ready_now(&self.socket, PollFlags::RDHUP).is_ok_and(|now| !now.is_empty())
    }

    /// Sends one datagram back to where another one came from: from the address to which that came, and with a time to
    /// live that is one shorter.
    ///
    /// # Errors
    /// Those of sendmsg(2), such as EAGAIN if there is no room for it; EHOSTUNREACH if there is no
    /// [way back](DatagramSender::can_be_answered).
    pub fn reply(&self, bytes: &[u8], sender: &DatagramSender) -> io::Result<()> {
        let no_way = || Err(Errno::HOSTUNREACH.into());
        match &sender.0 {
            Origin::Unnamed => no_way(),
            Origin::Unix(address) => Ok(sys::send_unix(&self.socket, bytes, address)?),
            Origin::Udp { address, route } => match reply_route(route) {
                Some(route) => Ok(sys::send_udp(&self.socket, bytes, &route, *address)?),
                None => no_way(),
            },
        }
    }

    /// Its file, if it has made one.
    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl DatagramSender {
    /// Its UDP port.
    pub fn port(&self) -> Option<u16> {
        match &self.0 {
            Origin::Udp { address, .. } => Some(address.port()),
            Origin::Unix(_) | Origin::Unnamed => None,
        }
    }

    /// True if a reply could reach it and nobody else: it has a name, and what it sent came to this machine alone and
    /// has a hop left to live.
    pub fn can_be_answered(&self) -> bool {
        match &self.0 {
            Origin::Udp { route, .. } => reply_route(route).is_some(),
            Origin::Unix(_) => true,
            Origin::Unnamed => false,
        }
    }
}

/// The way of a reply, if there shall be one.
///
/// Its life is one hop shorter than what is left of the datagram's. So two servers that answer each other, because
/// somebody has forged a sender's address, come to an end as routers in a circle do (RFC 791 section 3.2).
///
/// What came to many (broadcast, multicast) is not answered, as a broadcast ping is not (RFC 1122 section 3.2.2.6):
/// each of them would answer, and all to one who may not even have asked.
fn reply_route(route: &Route) -> Option<Route> {
    let one_less = |left: i32| (left > 1).then(|| left - 1);
    let mut back = Route::default();
    match (route.ttl, route.hop_limit) {
        (Some(ttl), _) => back.ttl = Some(one_less(ttl)?),
        (_, Some(limit)) => back.hop_limit = Some(one_less(limit)?),
        _ => return None,
    }
    if let Some(mut info) = route.ipv4 {
        // What came to one machine alone came to the address that the kernel would answer from.
        if info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr {
            return None;
        }
        // The routes choose the interface.
        info.ipi_ifindex = 0;
        back.ipv4 = Some(info);
    }
    if let Some(mut info) = route.ipv6 {
        let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        if local.is_multicast() {
            return None;
        }
        if !local.is_unicast_link_local() {
            info.ipi6_ifindex = 0;
        }
        back.ipv6 = Some(info);
    }
    Some(back)
}

fn bind(bind_address: BindAddress, share_port: bool) -> io::Result<(SocketAddr, DatagramSocket)> {
    let BindAddress { address, only_v6 } = bind_address;
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // SO_REUSEADDR would let two programs have the same port, and one of them hear nothing (socket(7)).
    socket.set_reuse_port(share_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    let bound = socket.bind(&address.into());
    bound.map_err(|error| socket_owner::with_owner(error, Type::DGRAM, address))?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::Unsupported)?;
    let socket = DatagramSocket::new(socket, BoundAddress::Udp(address), None)?;
    Ok((address, socket))
}

impl From<Errno> for ReceiveError {
    fn from(errno: Errno) -> ReceiveError {
        match errno {
            Errno::AGAIN => ReceiveError::WouldBlock,
            Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT => {
                ReceiveError::Broken(errno.into())
            }
            // A signal, a want of memory, or the fate of something sent before, which is told of once.
            _ => ReceiveError::Transient,
        }
    }
}
