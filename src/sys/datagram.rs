//! System calls on datagram sockets. None of them waits.

use crate::recording::Syscall;
use crate::trace;
use nix::libc;
use nix::sys::socket::sockopt::{
    Ipv4PacketInfo, Ipv4RecvTtl, Ipv6RecvHopLimit, Ipv6RecvPacketInfo,
};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, GetSockOpt, MsgFlags, SetSockOpt, SockaddrIn, SockaddrIn6,
    SockaddrLike, cmsg_space, recvmsg, sendmsg,
};
use nix::{getsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, recvfrom, sendto};
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// Room for control messages, in bytes. More than [`report_routes`] asks for: the creator of an
/// inherited socket may have asked for more.
const CONTROL_SIZE: usize = 256;
const _: () = assert!(
    CONTROL_SIZE >= 2 * (cmsg_space::<libc::in6_pktinfo>() + cmsg_space::<libc::c_int>()),
    "addresses and hop limits of both families"
);

/// Aligned like the kernel's message headers (cmsg(3)).
#[repr(align(8))]
struct Control([u8; CONTROL_SIZE]);

sockopt_impl!(
    /// SO_MEMINFO: the state of a socket's buffers. The last number counts datagrams dropped for
    /// lack of room (linux/sock_diag.h, SK_MEMINFO_DROPS).
    MemoryInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9]
);

/// The route that a datagram took or is to take (ip(7), ipv6(7)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Route {
    /// IP_PKTINFO: the interface and the destination address.
    pub ipv4: Option<libc::in_pktinfo>,
    /// IPV6_PKTINFO: the same for IPv6.
    pub ipv6: Option<libc::in6_pktinfo>,
    /// IP_TTL: the remaining hops.
    pub ttl: Option<i32>,
    /// IPV6_HOPLIMIT: the remaining hops.
    pub hop_limit: Option<i32>,
}

/// setsockopt(2): makes the kernel report the [`Route`] of each datagram.
///
/// # Errors
/// Those of setsockopt(2).
pub fn report_routes(socket: impl AsFd, is_ipv6: bool) -> Result<(), Errno> {
    Ipv4PacketInfo.set(&socket, &true).map_err(errno)?;
    Ipv4RecvTtl.set(&socket, &true).map_err(errno)?;
    if is_ipv6 {
        Ipv6RecvPacketInfo.set(&socket, &true).map_err(errno)?;
        Ipv6RecvHopLimit.set(&socket, &true).map_err(errno)?;
    }
    Ok(())
}

/// getsockopt(2): how many datagrams the socket has dropped for lack of room since it was created,
/// modulo 2^32.
///
/// # Errors
/// Those of getsockopt(2).
pub fn lost_datagrams(socket: impl AsFd) -> Result<u32, Errno> {
    let numbers = MemoryInfo.get(&socket).map_err(errno)?;
    Ok(numbers[numbers.len() - 1])
}

/// recvmsg(2) on a UDP socket. Returns the datagram's full length, which may exceed the buffer, its
/// sender and its route.
///
/// # Errors
/// EAGAIN if no datagram is waiting, and those of recvmsg(2).
pub fn receive_udp(
    socket: impl AsFd,
    is_ipv6: bool,
    buffer: &mut [u8],
) -> Result<(usize, Option<SocketAddr>, Route), Errno> {
    let call = trace::call(Syscall::Recvmsg, socket.as_fd().as_raw_fd());
    let result = match is_ipv6 {
        false => receive_udp_from::<SockaddrIn>(&socket, buffer),
        true => receive_udp_from::<SockaddrIn6>(&socket, buffer),
    };
    let called = || format!("recvmsg({})", socket.as_fd().as_raw_fd());
    call.returned(&result, called, |(length, ..)| a_datagram(*length));
    result
}

fn receive_udp_from<S>(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<SocketAddr>, Route), Errno>
where
    S: SockaddrLike + Copy,
    SocketAddr: From<S>,
{
    let mut control = Control([0; CONTROL_SIZE]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<S>(fd, &mut parts, Some(&mut control.0), flags).map_err(errno)?;
    let mut route = Route::default();
    // If the control messages did not fit, the datagram is still received but cannot be answered.
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => route.ipv4 = Some(info),
            ControlMessageOwned::Ipv6PacketInfo(info) => route.ipv6 = Some(info),
            ControlMessageOwned::Ipv4Ttl(ttl) => route.ttl = Some(ttl),
            ControlMessageOwned::Ipv6HopLimit(limit) => route.hop_limit = Some(limit),
            _ => {}
        }
    }
    let sender = message.address.map(SocketAddr::from);
    Ok((message.bytes, sender, route))
}

/// recvfrom(2) on a Unix socket. Returns the datagram's full length, which may exceed the buffer,
/// and its sender.
///
/// # Errors
/// EAGAIN if no datagram is waiting, and those of recvfrom(2).
pub fn receive_unix(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<SocketAddrUnix>), Errno> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let call = trace::call(Syscall::Recvfrom, socket.as_fd().as_raw_fd());
    let result = recvfrom(&socket, buffer, flags);
    let called = || format!("recvfrom({})", socket.as_fd().as_raw_fd());
    call.returned(&result, called, |(_, length, _)| a_datagram(*length));
    let (_, length, sender) = result?;
    let sender = sender.and_then(|sender| SocketAddrUnix::try_from(sender).ok());
    Ok((length, sender))
}

/// sendmsg(2) on a UDP socket: sends a datagram along this route.
///
/// # Errors
/// EAGAIN if there is no room, and those of sendmsg(2).
pub fn send_udp(
    socket: impl AsFd,
    bytes: &[u8],
    route: &Route,
    to: SocketAddr,
) -> Result<(), Errno> {
    let call = trace::call(Syscall::Sendmsg, socket.as_fd().as_raw_fd());
    let result = match to {
        SocketAddr::V4(to) => send_udp_to(&socket, bytes, route, &SockaddrIn::from(to)),
        SocketAddr::V6(to) => send_udp_to(&socket, bytes, route, &SockaddrIn6::from(to)),
    };
    let called = || {
        format!(
            "sendmsg({}, {} bytes)",
            socket.as_fd().as_raw_fd(),
            bytes.len()
        )
    };
    call.returned(&result, called, usize::to_string);
    result.map(drop)
}

fn send_udp_to(
    socket: &impl AsFd,
    bytes: &[u8],
    route: &Route,
    to: &impl SockaddrLike,
) -> Result<usize, Errno> {
    let controls = [
        route.ipv4.as_ref().map(ControlMessage::Ipv4PacketInfo),
        route.ipv6.as_ref().map(ControlMessage::Ipv6PacketInfo),
        route.ttl.as_ref().map(ControlMessage::Ipv4Ttl),
        route.hop_limit.as_ref().map(ControlMessage::Ipv6HopLimit),
    ];
    let controls: arrayvec::ArrayVec<_, 4> = controls.into_iter().flatten().collect();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let fd = socket.as_fd().as_raw_fd();
    let sent = sendmsg(fd, &[IoSlice::new(bytes)], &controls, flags, Some(to));
    sent.map_err(errno)
}

/// sendto(2) on a Unix socket.
///
/// # Errors
/// EAGAIN if there is no room, and those of sendto(2).
pub fn send_unix(socket: impl AsFd, bytes: &[u8], to: &SocketAddrUnix) -> Result<(), Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let call = trace::call(Syscall::Sendto, socket.as_fd().as_raw_fd());
    let result = sendto(&socket, bytes, flags, to);
    let called = || {
        format!(
            "sendto({}, {} bytes)",
            socket.as_fd().as_raw_fd(),
            bytes.len()
        )
    };
    call.returned(&result, called, usize::to_string);
    result.map(drop)
}

fn a_datagram(length: usize) -> String {
    format!("{length}, a datagram")
}

fn errno(errno: nix::Error) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}
