//! System calls on connections.

use super::untraced::ready_now;
use crate::recording::Syscall;
use crate::trace::{self, first_line};
use nix::sys::socket::SetSockOpt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use rustix::event::PollFlags;
use rustix::io::{Errno, IoSlice, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};
use rustix::net::{acceptfrom_with, getpeername, recv, sendmsg, shutdown};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

sockopt_impl!(
    /// TCP_DEFER_ACCEPT (tcp(7)).
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

sockopt_impl!(
    /// TCP_NOTSENT_LOWAT (tcp(7)).
    NotSentLowat,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_NOTSENT_LOWAT,
    u32
);

/// accept4(2): accepts a connection. Returns its peer's address, if it is an IP address. The
/// descriptor is closed on exec; `flags` tell whether it blocks.
///
/// # Errors
/// Those of accept4(2), which include errors of the waiting connection.
pub fn accept(
    listener: impl AsFd,
    flags: SocketFlags,
) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
    let call = trace::call(Syscall::Accept, number(&listener));
    let result = acceptfrom_with(&listener, flags | SocketFlags::CLOEXEC);
    let result = result.map(|(socket, peer)| {
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        (socket, peer)
    });
    let came = |(socket, peer): &(OwnedFd, Option<SocketAddr>)| {
        let peer = peer.map_or("an unnamed client".into(), |peer| peer.to_string());
        let fd = socket.as_raw_fd();
        format!("{fd}, so fd {fd} is {peer}")
    };
    call.returned(&result, || format!("accept4({})", number(&listener)), came);
    result
}

/// getpeername(2): the address of a TCP socket's peer.
///
/// # Errors
/// Those of getpeername(2); AFNOSUPPORT if the address is of another kind.
pub fn peer_address(socket: impl AsFd) -> Result<SocketAddr, Errno> {
    let call = trace::call(Syscall::Getpeername, number(&socket));
    let peer = getpeername(&socket).and_then(|peer| peer.ok_or(Errno::AFNOSUPPORT));
    let result = peer.and_then(SocketAddr::try_from);
    let name = || format!("getpeername({})", number(&socket));
    let came = |peer: &SocketAddr| format!("0, so fd {} is {peer}", number(&socket));
    call.returned(&result, name, came);
    result
}

/// setsockopt(2) with TCP_DEFER_ACCEPT (tcp(7)): keeps each connection in the kernel until its
/// first bytes have come, or for a second.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_defer_accept(listener: impl AsFd) -> Result<(), Errno> {
    let set = DeferAccept.set(&listener, &1);
    set.map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// setsockopt(2) with TCP_NOTSENT_LOWAT (tcp(7)): limits the bytes that wait in the send buffer
/// until TCP may send them. With `None` only the send buffer limits them.
///
/// # Errors
/// Those of setsockopt(2). Only TCP has this option.
pub fn limit_unsent(socket: impl AsFd, limit: Option<u32>) -> Result<(), Errno> {
    let call = trace::call(Syscall::Setsockopt, number(&socket));
    // 0 stands for the system's setting, which is no limit.
    let bytes = limit.unwrap_or(0);
    let set = NotSentLowat.set(&socket, &bytes);
    let result = set.map_err(|errno| Errno::from_raw_os_error(errno as i32));
    let called = || {
        let fd = number(&socket);
        format!("setsockopt({fd}, TCP_NOTSENT_LOWAT, {bytes})")
    };
    call.returned(&result, called, |()| "0".into());
    result
}

/// ioctl(2) with FIONBIO: sets whether calls on the socket wait.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_nonblocking(socket: impl AsFd, nonblocking: bool) -> Result<(), Errno> {
    let call = trace::call(Syscall::Ioctl, number(&socket));
    let result = ioctl_fionbio(&socket, nonblocking);
    let called = || {
        let (fd, value) = (number(&socket), u8::from(nonblocking));
        format!("ioctl({fd}, FIONBIO, {value})")
    };
    call.returned(&result, called, |()| "0".into());
    result
}

/// getsockopt(2) with SO_PEERCRED (unix(7)): the process at the other end of a Unix socket.
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_process(socket: impl AsFd) -> Result<i32, Errno> {
    let peer = rustix::net::sockopt::socket_peercred(&socket)?;
    Ok(peer.pid.as_raw_pid())
}

/// send(2) or sendmsg(2): sends `bytes` followed by `then` with one call. Returns how many bytes
/// the kernel took. With `more`, the kernel may hold back a last packet that is not full
/// (MSG_MORE).
///
/// # Errors
/// Those of send(2). Raises no SIGPIPE.
pub fn send(socket: impl AsFd, bytes: &[u8], then: &[u8], more: bool) -> Result<usize, Errno> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    let call = trace::call(send_call(then), number(&socket));
    let result = if then.is_empty() {
        rustix::net::send(&socket, bytes, flags)
    } else {
        let both = [IoSlice::new(bytes), IoSlice::new(then)];
        sendmsg(&socket, &both, &mut SendAncillaryBuffer::default(), flags)
    };
    let called = || {
        let name = send_call(then).name();
        let more = if more { ", MSG_MORE" } else { "" };
        let (fd, length) = (number(&socket), bytes.len() + then.len());
        format!("{name}({fd}, {length} bytes: {}{more})", first_line(bytes))
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// The call that sends a piece and what follows it.
fn send_call(then: &[u8]) -> Syscall {
    match then.is_empty() {
        true => Syscall::Send,
        false => Syscall::Sendmsg,
    }
}

/// sendfile(2): sends up to `count` bytes of a file from `offset`. Returns how many bytes the
/// kernel took; 0 means that the file ends before `offset`.
///
/// # Errors
/// [`SENDFILE_REFUSED`] if sendfile(2) is impossible but pread(2) and send(2) may work; otherwise
/// those of sendfile(2). The process must ignore SIGPIPE, as Rust programs do, because sendfile(2)
/// has no flag against it.
pub fn send_file(
    socket: impl AsFd,
    file: impl AsFd,
    offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    if !HAS_SENDFILE.load(Relaxed) {
        return Err(SENDFILE_REFUSED);
    }
    match send_from_file(&socket, &file, offset, count) {
        Err(Errno::NOSYS) => {
            HAS_SENDFILE.store(false, Relaxed);
            Err(SENDFILE_REFUSED)
        }
        Err(errno) if is_refused(errno) => Err(SENDFILE_REFUSED),
        result => result,
    }
}

/// The file system, the kernel or a seccomp filter does not support sendfile(2). send(2) never
/// returns this error for a stream socket.
pub const SENDFILE_REFUSED: Errno = Errno::OPNOTSUPP;

/// False once the kernel, or a seccomp filter, has shown that there is no sendfile(2).
static HAS_SENDFILE: AtomicBool = AtomicBool::new(true);

/// True for errors of sendfile(2) after which read(2) and write(2) may still work. The file system
/// lacks the operation, or a filter forbids the call. None of these errors means that the
/// connection has failed.
pub fn is_refused(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::SPIPE
    )
}

fn send_from_file(
    socket: &impl AsFd,
    file: &impl AsFd,
    mut offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    let (call, from) = (trace::call(Syscall::Sendfile, number(socket)), offset);
    let result = rustix::fs::sendfile(socket, file, Some(&mut offset), count);
    let called = || {
        let (to, file) = (number(socket), number(file));
        format!("sendfile({to}, {file}, {count} bytes at {from})")
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// recv(2): returns the number of bytes received; 0 is the end of input.
///
/// # Errors
/// Those of recv(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    receive_with(socket, buffer, RecvFlags::empty())
}

/// recv(2) without waiting, on a blocking socket.
///
/// # Errors
/// EAGAIN if there are no bytes, and those of recv(2).
pub fn receive_now(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    receive_with(socket, buffer, RecvFlags::DONTWAIT)
}

/// True if there are unread bytes. Consumes one of them, so use this only when closing.
pub fn has_unread(socket: impl AsFd) -> bool {
    receive_now(socket, &mut [0]).is_ok_and(|count| count > 0)
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
    let call = trace::call(Syscall::Recv, number(&socket));
    let result = recv(&socket, &mut *buffer, flags).map(|(count, _)| count);
    let now = [", MSG_DONTWAIT", ""][usize::from(flags.is_empty())];
    let came = |count: &usize| match *count {
        0 => "0, the end of input".into(),
        count => format!("{count} {}", first_line(&buffer[..count])),
    };
    call.returned(&result, || format!("recv({}{now})", number(&socket)), came);
    result
}

/// poll(2): true if the peer has reset the connection or has shut down both directions. No data can
/// reach such a peer.
///
/// A TCP peer that has closed its socket does not count until it has answered a packet with a
/// reset. Before that it may have shut down only its sending side.
pub fn is_gone(socket: impl AsFd) -> bool {
    let call = trace::call(Syscall::Poll, number(&socket));
    let result = ready_now(&socket, PollFlags::empty());
    let called = || format!("poll({}, 0)", number(&socket));
    call.returned(&result, called, |ready| {
        u8::from(!ready.is_empty()).to_string()
    });
    result.is_ok_and(|ready| ready.intersects(PollFlags::HUP | PollFlags::ERR))
}

/// shutdown(2): sends the end of output to the peer.
///
/// # Errors
/// Those of shutdown(2), such as ENOTCONN if the peer has reset the connection.
pub fn shutdown_write(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Write)
}

/// shutdown(2): wakes threads that wait to receive. They get the bytes received so far, then the
/// end of input.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_read(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Read)
}

/// shutdown(2): wakes threads in any call on the socket.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_both(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Both)
}

/// connect(2) with AF_UNSPEC: resets a TCP connection. The kernel drops what the peer has not
/// acknowledged.
///
/// # Errors
/// Those of connect(2).
pub fn disconnect(socket: impl AsFd) -> Result<(), Errno> {
    let call = trace::call(Syscall::Connect, number(&socket));
    let result = rustix::net::connect_unspec(&socket);
    let called = || format!("connect({}, AF_UNSPEC)", number(&socket));
    call.returned(&result, called, |()| "0".into());
    result
}

/// setsockopt(2) with SO_RCVTIMEO: the time after which a blocking receive fails with EAGAIN.
///
/// # Errors
/// Those of setsockopt(2). `time` must not be zero.
pub fn set_receive_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_timeout(socket, Timeout::Recv, time)
}

/// setsockopt(2) with SO_SNDTIMEO: the time after which a blocking send fails with EAGAIN if the
/// peer takes nothing.
///
/// # Errors
/// Those of setsockopt(2). `time` must not be zero.
pub fn set_send_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_timeout(socket, Timeout::Send, time)
}

fn shut_down(socket: impl AsFd, how: Shutdown) -> Result<(), Errno> {
    let call = trace::call(Syscall::Shutdown, number(&socket));
    let result = shutdown(&socket, how);
    let called = || {
        let how = match how {
            Shutdown::Write => "SHUT_WR",
            Shutdown::Read => "SHUT_RD",
            Shutdown::Both => "SHUT_RDWR",
        };
        format!("shutdown({}, {how})", number(&socket))
    };
    call.returned(&result, called, |()| "0".into());
    result
}

fn set_timeout(socket: impl AsFd, which: Timeout, time: Duration) -> Result<(), Errno> {
    let call = trace::call(Syscall::Setsockopt, number(&socket));
    let result = set_socket_timeout(&socket, which, Some(time));
    let called = || {
        let name = match which {
            Timeout::Recv => "SO_RCVTIMEO",
            Timeout::Send => "SO_SNDTIMEO",
        };
        let time = time.as_secs_f64();
        format!("setsockopt({}, {name}, {time:.3} s)", number(&socket))
    };
    call.returned(&result, called, |()| "0".into());
    result
}

fn number(socket: &impl AsFd) -> i32 {
    socket.as_fd().as_raw_fd()
}
