//! System calls that make connections.

use crate::recording::Syscall;
use crate::trace;
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// socket(2) and setsockopt(2): a TCP socket for a connection to `address`, with TCP_NODELAY. The
/// descriptor is closed on exec; `flags` tell whether it blocks.
///
/// # Errors
/// Those of socket(2).
pub fn tcp_socket(address: &SocketAddr, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let (family, name) = match address {
        SocketAddr::V4(_) => (AddressFamily::INET, "AF_INET"),
        SocketAddr::V6(_) => (AddressFamily::INET6, "AF_INET6"),
    };
    let call = trace::call(Syscall::Socket, -1);
    let flags = flags | SocketFlags::CLOEXEC;
    let result = socket_with(family, SocketType::STREAM, flags, None);
    let came = |socket: &OwnedFd| socket.as_raw_fd().to_string();
    call.returned(&result, || format!("socket({name}, SOCK_STREAM)"), came);
    let socket = result?;
    // Saves time only, so a failure does not matter.
    let _ = set_tcp_nodelay(&socket, true);
    Ok(socket)
}

/// connect(2): begins a connection, or makes it if the socket blocks.
///
/// # Errors
/// Those of connect(2). EINPROGRESS is none: the connection is under way. The socket becomes
/// writable when it is made or has failed; then [`take_error`] tells which. On a blocking socket,
/// EINPROGRESS means that the time of [`set_send_timeout`](super::set_send_timeout) has passed.
pub fn connect(socket: impl AsFd, address: &SocketAddr) -> Result<(), Errno> {
    let call = trace::call(Syscall::Connect, socket.as_fd().as_raw_fd());
    let result = rustix::net::connect(&socket, address);
    let called = || format!("connect({}, {address})", socket.as_fd().as_raw_fd());
    call.returned(&result, called, |()| "0".into());
    result
}

/// getsockopt(2) with SO_ERROR: takes the error of a call that went on after it had returned, such
/// as connect(2). Ok if there is none. The kernel forgets it, so the next call returns Ok.
///
/// # Errors
/// The error, and those of getsockopt(2).
pub fn take_error(socket: impl AsFd) -> Result<(), Errno> {
    let call = trace::call(Syscall::Getsockopt, socket.as_fd().as_raw_fd());
    let result = socket_error(&socket).and_then(|taken| taken);
    let called = || format!("getsockopt({}, SO_ERROR)", socket.as_fd().as_raw_fd());
    call.returned(&result, called, |()| "0".into());
    result
}
