//! The system calls that move bytes on a connection.

use super::untraced::ready_now;
use crate::trace::{self, first_line};
use nix::sys::socket::SetSockOpt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use rustix::event::PollFlags;
use rustix::io::{Errno, IoSlice, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};
use rustix::net::{acceptfrom_with, recv, sendmsg, shutdown};
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

/// accept4(2): a connection and the address of its peer, if that is one of IP. It is closed on exec; `flags` say whether
/// it blocks.
///
/// # Errors
/// Those of accept4(2), which also reports what befell the waiting connection.
pub fn accept(
    listener: impl AsFd,
    flags: SocketFlags,
) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
    let call = trace::call();
    let result = acceptfrom_with(&listener, flags | SocketFlags::CLOEXEC);
    let result = result.map(|(socket, peer)| {
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        (socket, peer)
    });
    let came = |(socket, peer): &(OwnedFd, Option<SocketAddr>)| {
        let peer = peer.map_or("somebody".into(), |peer| peer.to_string());
        let fd = socket.as_raw_fd();
        format!("{fd}, so fd {fd} is {peer}")
    };
    call.returned(&result, || format!("accept4({})", number(&listener)), came);
    result
}

/// TCP_DEFER_ACCEPT (tcp(7)): the kernel keeps each connection to itself until its first bytes have come, or for a second.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_defer_accept(listener: impl AsFd) -> Result<(), Errno> {
    let set = DeferAccept.set(&listener, &1);
    set.map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

/// FIONBIO (ioctl(2)): whether calls on the socket wait.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_nonblocking(socket: impl AsFd, nonblocking: bool) -> Result<(), Errno> {
    let call = trace::call();
    let result = ioctl_fionbio(&socket, nonblocking);
    let called = || {
        let (fd, value) = (number(&socket), u8::from(nonblocking));
        format!("ioctl({fd}, FIONBIO, {value})")
    };
    call.returned(&result, called, |()| "0".into());
    result
}

/// The process at the other end of a Unix socket (SO_PEERCRED, unix(7)).
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_process(socket: impl AsFd) -> Result<i32, Errno> {
    let peer = rustix::net::sockopt::socket_peercred(&socket)?;
    Ok(peer.pid.as_raw_pid())
}

/// Sends as much as the kernel takes of `bytes` and then of `then`, with one call, and says how much that was. With
/// `more` the kernel may wait with a last packet that is not full (MSG_MORE).
///
/// # Errors
/// Those of send(2). No SIGPIPE is raised.
pub fn send(socket: impl AsFd, bytes: &[u8], then: &[u8], more: bool) -> Result<usize, Errno> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    let call = trace::call();
    let result = if then.is_empty() {
        rustix::net::send(&socket, bytes, flags)
    } else {
        let both = [IoSlice::new(bytes), IoSlice::new(then)];
        sendmsg(&socket, &both, &mut SendAncillaryBuffer::default(), flags)
    };
    let called = || {
        let name = if then.is_empty() { "send" } else { "sendmsg" };
        let more = if more { ", MSG_MORE" } else { "" };
        let (fd, length) = (number(&socket), bytes.len() + then.len());
        format!("{name}({fd}, {length} bytes: {}{more})", first_line(bytes))
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// Sends as much as the kernel takes of `count` bytes of a file from `offset` on, and returns how much that was. 0 means
/// that the file ends before that.
///
/// # Errors
/// [`SENDFILE_REFUSED`] where sendfile(2) cannot do it but pread(2) and send(2) may; otherwise those of sendfile(2). That
/// has no flag against SIGPIPE: the process must ignore it, as Rust programs do.
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

/// A file system, a kernel or a filter does not do sendfile(2). send(2) says this of no socket for connections.
pub const SENDFILE_REFUSED: Errno = Errno::OPNOTSUPP;

/// False once the kernel, or a filter in front of it, has said that there is no sendfile(2).
static HAS_SENDFILE: AtomicBool = AtomicBool::new(true);

/// True for what sendfile(2) says where read(2) and write(2) may still do: the file system has no such operation, or a
/// filter forbids the call. None of these can be said of the socket's state.
fn is_refused(errno: Errno) -> bool {
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
    let (call, from) = (trace::call(), offset);
    let result = rustix::fs::sendfile(socket, file, Some(&mut offset), count);
    let called = || {
        let (to, file) = (number(socket), number(file));
        format!("sendfile({to}, {count} bytes of {file} from {from} on)")
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// Receives into the front of `buffer` and says how much that was; 0 is the end of input.
///
/// # Errors
/// Those of recv(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    receive_with(socket, buffer, RecvFlags::empty())
}

/// The same on a blocking socket without waiting.
///
/// # Errors
/// EAGAIN if nothing is there, and those of recv(2).
pub fn receive_now(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    receive_with(socket, buffer, RecvFlags::DONTWAIT)
}

/// True if bytes wait that have not been received. It takes one of them away.
pub fn has_unread(socket: impl AsFd) -> bool {
    receive_now(socket, &mut [0]).is_ok_and(|count| count > 0)
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
    let call = trace::call();
    let result = recv(&socket, &mut *buffer, flags).map(|(count, _)| count);
    let now = [", MSG_DONTWAIT", ""][usize::from(flags.is_empty())];
    let came = |count: &usize| match *count {
        0 => "0, the end of input".into(),
        count => format!("{count} {}", first_line(&buffer[..count])),
    };
    call.returned(&result, || format!("recv({}{now})", number(&socket)), came);
    result
}

/// True if the peer has reset the connection, or neither sends nor receives any more: nothing can reach it. A TCP peer
/// that has closed only counts once it has answered something with a reset; until then it may just be done with sending.
pub fn is_gone(socket: impl AsFd) -> bool {
    let call = trace::call();
    let result = ready_now(&socket, PollFlags::empty());
    let called = || format!("poll({}, not at all)", number(&socket));
    call.returned(&result, called, |ready| {
        u8::from(!ready.is_empty()).to_string()
    });
    result.is_ok_and(|ready| ready.intersects(PollFlags::HUP | PollFlags::ERR))
}

/// Tells the peer that nothing more will come.
///
/// # Errors
/// Those of shutdown(2): ENOTCONN if the peer has reset the connection.
pub fn shutdown_write(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Write)
}

/// Makes whoever waits in a call that receives get what is there, or else the end of input.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_read(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Read)
}

/// Makes whoever waits in any call on the socket return.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_both(socket: impl AsFd) -> Result<(), Errno> {
    shut_down(socket, Shutdown::Both)
}

/// How long a blocking call that receives may take (SO_RCVTIMEO); it then fails with EAGAIN.
///
/// # Errors
/// Those of setsockopt(2); `time` must not be zero.
pub fn set_receive_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_timeout(socket, Timeout::Recv, time)
}

/// How long a blocking call that sends may go without the peer taking anything (SO_SNDTIMEO).
///
/// # Errors
/// Those of setsockopt(2); `time` must not be zero.
pub fn set_send_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_timeout(socket, Timeout::Send, time)
}

fn shut_down(socket: impl AsFd, how: Shutdown) -> Result<(), Errno> {
    let call = trace::call();
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
    let call = trace::call();
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
