//! Sockets that take datagrams, and the way back to those who sent them.

use super::endpoint::{Candidate, bind_each, bind_several};
use super::holder;
use super::listener::Bound;
use super::unix::{self, SocketFile};
use super::{Address, Place};
use nix::sys::socket::sockopt::{
    Ipv4PacketInfo, Ipv4RecvTtl, Ipv6RecvHopLimit, Ipv6RecvPacketInfo,
};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, GetSockOpt, MsgFlags, SetSockOpt, SockaddrIn, SockaddrIn6,
    SockaddrLike, cmsg_space, recvmsg, sendmsg,
};
use nix::{getsockopt_impl, libc, sockopt_impl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, recvfrom, sendto};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// How much may wait in a socket, in bytes: a burst of thousands of small datagrams, or of a hundred large ones. The
/// kernel caps it at net.core.rmem_max.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Room for what comes beside a datagram, in bytes. It is more than what is asked for here: whoever made an inherited
/// socket may have asked for more.
const CONTROL_SIZE: usize = 256;
const _: () = assert!(
    CONTROL_SIZE >= 2 * (cmsg_space::<libc::in6_pktinfo>() + cmsg_space::<libc::c_int>()),
    "addresses and hop limits of both families"
);

/// Control messages must be aligned as the kernel's headers are (cmsg(3)).
#[repr(align(8))]
struct Control([u8; CONTROL_SIZE]);

sockopt_impl!(
    /// SO_MEMINFO: what a socket's buffers hold, and as the last of these numbers how many datagrams it had no room
    /// for (linux/sock_diag.h, SK_MEMINFO_DROPS).
    MemoryInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9]
);

/// A socket that takes datagrams, and never waits.
#[derive(Debug)]
pub struct DatagramSocket {
    /// Removed with the socket, before it closes.
    file: Option<SocketFile>,
    socket: OwnedFd,
    bound: Bound,
    /// How many lost datagrams have been told of, over all hands on the same socket.
    told: Arc<AtomicU32>,
}

/// Where a datagram came from, and the way back.
#[derive(Clone, Debug)]
pub struct Sender(Origin);

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

/// What the kernel says of the way that a datagram has come.
#[derive(Clone, Copy, Debug, Default)]
struct Route {
    ipv4: Option<libc::in_pktinfo>,
    ipv6: Option<libc::in6_pktinfo>,
    ttl: Option<libc::c_int>,
    hop_limit: Option<libc::c_int>,
}

/// Why no datagram was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// None waits.
    WouldBlock,
    /// The kernel tells of something that happened to an earlier one, such as that nobody took it (ICMP). The next call
    /// may bring a datagram.
    Passing,
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
        let first = match address.place() {
            Place::Udp(endpoints) => {
                return bind_each(endpoints, |one| bind_several(one, count, bind));
            }
            Place::Covered => return Ok(Vec::new()),
            Place::UnixDatagram(path) => {
                let (socket, file) = unix::bind_datagram(path, unix_mode)?;
                DatagramSocket::new(socket, Bound::UnixDatagram(path.clone()), Some(file))?
            }
            Place::Inherited(socket, bound) if bound.is_datagram() => {
                // Whoever made it keeps it, and its file; all that is changed is what is told of each datagram.
                let socket = Socket::from(socket.try_clone()?);
                socket.set_nonblocking(true)?;
                DatagramSocket::new(socket, bound.clone(), None)?
            }
            Place::Tcp(_) | Place::Unix(_) | Place::Inherited(..) => {
                let text = "connections come there, and no datagrams";
                return Err(io::Error::other(text));
            }
        };
        let mut all = vec![first];
        for _ in 1..count {
            all.push(DatagramSocket {
                socket: all[0].socket.try_clone()?,
                bound: all[0].bound.clone(),
                told: all[0].told.clone(),
                file: None,
            });
        }
        Ok(vec![all])
    }

    /// True if it hears IPv6 alone, though at all addresses.
    pub fn is_only_v6(&self) -> bool {
        SockRef::from(&self.socket).only_v6().unwrap_or(false)
    }

    fn new(socket: Socket, bound: Bound, file: Option<SocketFile>) -> io::Result<DatagramSocket> {
        if let Bound::Udp(address) = bound {
            // A reply leaves from the address to which its datagram came, which a socket for all addresses does not
            // know otherwise, and with a shorter life than that had.
            Ipv4PacketInfo.set(&socket, &true)?;
            Ipv4RecvTtl.set(&socket, &true)?;
            if address.is_ipv6() {
                Ipv6RecvPacketInfo.set(&socket, &true)?;
                Ipv6RecvHopLimit.set(&socket, &true)?;
            }
            // The kernel gives what it may; the default does too, for all but bursts.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        let socket = DatagramSocket {
            file,
            socket: socket.into(),
            bound,
            told: Arc::default(),
        };
        // An inherited socket may have lost some before.
        socket.lost();
        Ok(socket)
    }

    /// Where it takes datagrams.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// How many datagrams the kernel had no room for since the last call: since the socket was made, at the first one.
    /// 0 where the kernel does not say.
    pub fn lost(&self) -> u64 {
        let Ok(numbers) = MemoryInfo.get(&self.socket) else {
            return 0;
        };
        let total = numbers[numbers.len() - 1];
        u64::from(total.wrapping_sub(self.told.swap(total, SeqCst)))
    }

    /// Receives one datagram into the front of `buffer`. Says how long it was: if that is more than the buffer holds,
    /// the rest is gone.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive(&self, buffer: &mut [u8]) -> Result<(usize, Sender), ReceiveError> {
        match self.bound {
            Bound::Udp(SocketAddr::V4(_)) => self.receive_udp::<SockaddrIn>(buffer),
            Bound::Udp(SocketAddr::V6(_)) => self.receive_udp::<SockaddrIn6>(buffer),
            _ => self.receive_unix(buffer),
        }
    }

    /// True if somebody has shut it down (shutdown(2)): it is ready then, and yet there will never be anything again.
    pub fn is_shut_down(&self) -> bool {
        let mut watched = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        poll(&mut watched, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    fn receive_udp<S>(&self, buffer: &mut [u8]) -> Result<(usize, Sender), ReceiveError>
    where
        S: SockaddrLike + Copy,
        SocketAddr: From<S>,
    {
        let mut control = Control([0; CONTROL_SIZE]);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<S>(fd, &mut parts, Some(&mut control.0), flags).map_err(errno)?;
        let mut route = Route::default();
        // If they did not fit there is no way back; the datagram counts all the same.
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => route.ipv4 = Some(info),
                ControlMessageOwned::Ipv6PacketInfo(info) => route.ipv6 = Some(info),
                ControlMessageOwned::Ipv4Ttl(ttl) => route.ttl = Some(ttl),
                ControlMessageOwned::Ipv6HopLimit(limit) => route.hop_limit = Some(limit),
                _ => {}
            }
        }
        let origin = match message.address {
            Some(address) => Origin::Udp {
                address: address.into(),
                route,
            },
            None => Origin::Unnamed,
        };
        Ok((message.bytes, Sender(origin)))
    }

    fn receive_unix(&self, buffer: &mut [u8]) -> Result<(usize, Sender), ReceiveError> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, length, sender) = recvfrom(&self.socket, buffer, flags)?;
        let sender = sender.and_then(|sender| SocketAddrUnix::try_from(sender).ok());
        let origin = match sender {
            Some(address) if !address.is_unnamed() => Origin::Unix(address),
            _ => Origin::Unnamed,
        };
        Ok((length, Sender(origin)))
    }

    /// Sends one datagram back to where another one came from: from the address to which that came, and with a time to
    /// live that is one shorter.
    ///
    /// # Errors
    /// Those of sendmsg(2), such as EAGAIN if there is no room for it; EHOSTUNREACH if there is no
    /// [way back](Sender::has_way_back).
    pub fn reply(&self, bytes: &[u8], sender: &Sender) -> io::Result<()> {
        let no_way = || Err(Errno::HOSTUNREACH.into());
        match &sender.0 {
            Origin::Unnamed => no_way(),
            Origin::Unix(address) => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                sendto(&self.socket, bytes, flags, address)?;
                Ok(())
            }
            Origin::Udp { address, route } => {
                let Some(back) = route.back() else {
                    return no_way();
                };
                match *address {
                    SocketAddr::V4(to) => self.send(bytes, &back, &SockaddrIn::from(to)),
                    SocketAddr::V6(to) => self.send(bytes, &back, &SockaddrIn6::from(to)),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8], back: &Route, to: &impl SockaddrLike) -> io::Result<()> {
        let controls = [
            back.ipv4.as_ref().map(ControlMessage::Ipv4PacketInfo),
            back.ipv6.as_ref().map(ControlMessage::Ipv6PacketInfo),
            back.ttl.as_ref().map(ControlMessage::Ipv4Ttl),
            back.hop_limit.as_ref().map(ControlMessage::Ipv6HopLimit),
        ];
        let controls: arrayvec::ArrayVec<_, 4> = controls.into_iter().flatten().collect();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let fd = self.socket.as_raw_fd();
        sendmsg(fd, &[IoSlice::new(bytes)], &controls, flags, Some(to))?;
        Ok(())
    }
}

impl DatagramSocket {
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

impl Sender {
    /// Its UDP port.
    pub fn port(&self) -> Option<u16> {
        match &self.0 {
            Origin::Udp { address, .. } => Some(address.port()),
            Origin::Unix(_) | Origin::Unnamed => None,
        }
    }

    /// True if a reply could reach it and nobody else: it has a name, and what it sent came to this machine alone and
    /// has a hop left to live.
    pub fn has_way_back(&self) -> bool {
        match &self.0 {
            Origin::Udp { route, .. } => route.back().is_some(),
            Origin::Unix(_) => true,
            Origin::Unnamed => false,
        }
    }
}

impl Route {
    /// The way of a reply, if there shall be one.
    ///
    /// Its life is one hop shorter than what is left of the datagram's. So two servers that answer each other, because
    /// somebody has forged a sender's address, come to an end as routers in a circle do (RFC 791 section 3.2).
    ///
    /// What came to many (broadcast, multicast) is not answered, as a broadcast ping is not (RFC 1122 section 3.2.2.6):
    /// each of them would answer, and all to one who may not even have asked.
    fn back(&self) -> Option<Route> {
        let one_less = |left: libc::c_int| (left > 1).then(|| left - 1);
        let mut back = Route::default();
        match (self.ttl, self.hop_limit) {
            (Some(ttl), _) => back.ttl = Some(one_less(ttl)?),
            (_, Some(limit)) => back.hop_limit = Some(one_less(limit)?),
            _ => return None,
        }
        if let Some(info) = self.ipv4 {
            // What came to one machine alone came to the address that the kernel would answer from.
            if info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr {
                return None;
            }
            // The routes choose the interface.
            back.ipv4 = Some(libc::in_pktinfo {
                ipi_ifindex: 0,
                ..info
            });
        }
        if let Some(mut info) = self.ipv6 {
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
}

fn bind(candidate: Candidate, share_port: bool) -> io::Result<(SocketAddr, DatagramSocket)> {
    let Candidate { address, only_v6 } = candidate;
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // SO_REUSEADDR would let two programs have the same port, and one of them hear nothing (socket(7)).
    socket.set_reuse_port(share_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    let bound = socket.bind(&address.into());
    bound.map_err(|error| holder::say_who(error, Type::DGRAM, address))?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::Unsupported)?;
    let socket = DatagramSocket::new(socket, Bound::Udp(address), None)?;
    Ok((address, socket))
}

fn errno(errno: nix::Error) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

impl From<Errno> for ReceiveError {
    fn from(errno: Errno) -> ReceiveError {
        match errno {
            Errno::AGAIN => ReceiveError::WouldBlock,
            Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT => {
                ReceiveError::Broken(errno.into())
            }
            // A signal, a want of memory, or the fate of something sent before, which is told of once.
            _ => ReceiveError::Passing,
        }
    }
}
