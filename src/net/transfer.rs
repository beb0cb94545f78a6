//! The system calls that move bytes on a connection.

use rustix::io::{Errno, IoSlice};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use rustix::net::{recv, sendmsg, shutdown};
use std::os::fd::AsFd;
use std::time::Duration;

/// Sends as much as the kernel takes of `bytes` and then of `then`, with one call, and says how much that was. With
/// `more` the kernel may wait with a last packet that is not full (MSG_MORE).
///
/// # Errors
/// Those of send(2). No SIGPIPE is raised.
pub fn send(socket: impl AsFd, bytes: &[u8], then: &[u8], more: bool) -> Result<usize, Errno> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    if then.is_empty() {
        rustix::net::send(&socket, bytes, flags)
    } else {
        let both = [IoSlice::new(bytes), IoSlice::new(then)];
        sendmsg(&socket, &both, &mut SendAncillaryBuffer::default(), flags)
    }
}

/// Sends as much as the kernel takes of `count` bytes of a file from `offset` on, and says how much that was. 0 means
/// that the file ends before that.
///
/// # Errors
/// Those of sendfile(2). The call knows no flag against SIGPIPE: the process must ignore it, as Rust programs do.
pub fn send_file(
    socket: impl AsFd,
    file: impl AsFd,
    mut offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    rustix::fs::sendfile(&socket, &file, Some(&mut offset), count)
}

/// Receives into the front of `buffer` and says how much that was; 0 is the end of input.
///
/// # Errors
/// Those of recv(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(&socket, buffer, RecvFlags::empty()).map(|(count, _)| count)
}

/// The same on a blocking socket without waiting.
///
/// # Errors
/// EAGAIN if nothing is there, and those of recv(2).
pub fn receive_now(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(&socket, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
}

/// Tells the peer that nothing more will come.
///
/// # Errors
/// Those of shutdown(2): ENOTCONN if the peer has reset the connection.
pub fn shutdown_write(socket: impl AsFd) -> Result<(), Errno> {
    shutdown(socket, Shutdown::Write)
}

/// Makes whoever waits in a call that receives get what is there, or else the end of input.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_read(socket: impl AsFd) -> Result<(), Errno> {
    shutdown(socket, Shutdown::Read)
}

/// Makes whoever waits in any call on the socket return.
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown_both(socket: impl AsFd) -> Result<(), Errno> {
    shutdown(socket, Shutdown::Both)
}

/// How long a blocking call that receives may take (SO_RCVTIMEO); it then fails with EAGAIN.
///
/// # Errors
/// Those of setsockopt(2); `time` must not be zero.
pub fn set_receive_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_socket_timeout(socket, Timeout::Recv, Some(time))
}

/// How long a blocking call that sends may go without the peer taking anything (SO_SNDTIMEO).
///
/// # Errors
/// Those of setsockopt(2); `time` must not be zero.
pub fn set_send_timeout(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_socket_timeout(socket, Timeout::Send, Some(time))
}
