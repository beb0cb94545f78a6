//! Datagram sockets, and replies to the senders of datagrams.

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

/// The size of a socket's receive buffer in bytes: enough for a burst of thousands of small
/// datagrams, or a hundred large ones. The kernel caps it at net.core.rmem_max.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A nonblocking datagram socket.
#[derive(Debug)]
pub struct DatagramSocket {
    /// Dropping this removes the file. Declared first: the file goes before the socket closes.
    file: Option<SocketFile>,
    socket: OwnedFd,
    bound: BoundAddress,
    /// The number of lost datagrams already reported, shared by all handles of the socket.
    reported_lost: Arc<AtomicU32>,
}

/// The sender of a datagram, and the route back.
#[derive(Clone, Debug)]
pub struct DatagramSender(Origin);

#[derive(Clone, Debug)]
enum Origin {
    Udp {
        address: SocketAddr,
        route: Route,
    },
    Unix(SocketAddrUnix),
    /// A Unix socket without a name. Nothing can be sent to it.
    Unnamed,
}

/// Why no datagram was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// No datagram is waiting.
    WouldBlock,
    /// A signal, or an error about an earlier datagram, such as an ICMP port unreachable. Try
    /// again.
    Transient,
    /// The socket is unusable.
    Broken(io::Error),
}

impl DatagramSocket {
    /// Binds datagram sockets at an address: one for each endpoint, or one with a file of mode
    /// `unix_mode`. Returns `count` of each. For UDP, these are several sockets on one port, among
    /// which the kernel spreads the senders (SO_REUSEPORT). For others, they are several handles of
    /// one socket.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2). Endpoints that this kernel or machine does not support are
    /// left out, unless it supports none of them.
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
                // The socket and its file belong to the process that created it. Only the reporting
                // of routes is changed.
                let socket = Socket::from(socket.try_clone()?);
                socket.set_nonblocking(true)?;
                DatagramSocket::new(socket, bound.clone(), None)?
            }
            AddressKind::Tcp(_) | AddressKind::Unix(_) | AddressKind::Inherited(..) => {
                let text = "this address takes connections, not datagrams";
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

    /// True if the socket receives IPv6 only, although it is bound to all addresses.
    pub fn is_only_v6(&self) -> bool {
        SockRef::from(&self.socket).only_v6().unwrap_or(false)
    }

    fn new(
        socket: Socket,
        bound: BoundAddress,
        file: Option<SocketFile>,
    ) -> io::Result<DatagramSocket> {
        if let BoundAddress::Udp(address) = bound {
            // A reply must leave from the address that its datagram came to, and with a smaller hop
            // limit. A socket bound to all addresses knows neither otherwise.
            sys::report_routes(&socket, address.is_ipv6())?;
            // May get less, or fail: the default size does too, except in bursts.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        let socket = DatagramSocket {
            file,
            socket: socket.into(),
            bound,
            reported_lost: Arc::default(),
        };
        // An inherited socket may have lost datagrams before.
        socket.lost();
        Ok(socket)
    }

    /// The address of the socket.
    pub fn bound(&self) -> &BoundAddress {
        &self.bound
    }

    /// How many datagrams the kernel dropped for lack of room since the last call; the first call
    /// counts from the socket's creation. 0 where the kernel does not tell.
    pub fn lost(&self) -> u64 {
        let Ok(total) = sys::lost_datagrams(&self.socket) else {
            return 0;
        };
        u64::from(total.wrapping_sub(self.reported_lost.swap(total, SeqCst)))
    }

    /// Receives one datagram. Returns its full length. If that exceeds the buffer, the rest is
    /// lost.
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

    /// True if the socket was shut down (shutdown(2)). It is then always ready, but will never
    /// receive anything.
    pub fn is_shut_down(&self) -> bool {
        sys::untraced::ready_now(&self.socket, PollFlags::RDHUP).is_ok_and(|now| !now.is_empty())
    }

    /// Sends a reply to the sender of a datagram. It leaves from the address that the datagram came
    /// to, with a hop limit smaller by one.
    ///
    /// # Errors
    /// Those of sendmsg(2), such as EAGAIN if there is no room. EHOSTUNREACH if the sender [cannot
    /// be answered](DatagramSender::can_be_answered).
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

    /// The socket's file, if this process created one.
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
    /// The UDP port.
    pub fn port(&self) -> Option<u16> {
        match &self.0 {
            Origin::Udp { address, .. } => Some(address.port()),
            Origin::Unix(_) | Origin::Unnamed => None,
        }
    }

    /// True if a reply can reach the sender and only the sender. The sender must have a name, the
    /// datagram must have been sent to this machine alone, and its hop limit must allow one more
    /// hop.
    pub fn can_be_answered(&self) -> bool {
        match &self.0 {
            Origin::Udp { route, .. } => reply_route(route).is_some(),
            Origin::Unix(_) => true,
            Origin::Unnamed => false,
        }
    }
}

/// The route of a reply, or `None` if the datagram must not be answered.
///
/// A reply gets one hop less than the datagram had left. So two servers that answer each other,
/// because of a forged sender address, stop as routers in a loop do (RFC 791 section 3.2).
///
/// Datagrams to many machines (broadcast, multicast) are not answered, just as a broadcast ping is
/// not (RFC 1122 section 3.2.2.6). Every receiver would answer, and all to one address, which may
/// be forged.
fn reply_route(route: &Route) -> Option<Route> {
    let one_less = |left: i32| (left > 1).then(|| left - 1);
    let mut back = Route::default();
    match (route.ttl, route.hop_limit) {
        (Some(ttl), _) => back.ttl = Some(one_less(ttl)?),
        (_, Some(limit)) => back.hop_limit = Some(one_less(limit)?),
        _ => return None,
    }
    if let Some(mut info) = route.ipv4 {
        // For a unicast datagram, both addresses are equal.
        if info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr {
            return None;
        }
        // Let the routing table choose the interface.
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
    // Do not set SO_REUSEADDR: it would let two programs bind the same port, and one of them would
    // receive nothing (socket(7)).
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
            // A signal, out of memory, or an error about a datagram sent earlier, which is reported
            // once.
            _ => ReceiveError::Transient,
        }
    }
}
