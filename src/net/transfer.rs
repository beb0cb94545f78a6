//! The system calls that move bytes on a connection.

use rustix::io::{Errno, IoSlice, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg};
use std::os::fd::AsFd;

/// Sends as much as the kernel takes of `bytes` and then of `then`, with one call, and says how much that was. With
/// `more` the kernel may wait with a last packet that is not full (MSG_MORE).
///
/// # Errors
/// Those of send(2); EINTR is tried again. No SIGPIPE is raised.
pub fn send(socket: impl AsFd, bytes: &[u8], then: &[u8], more: bool) -> Result<usize, Errno> {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    retry_on_intr(|| {
        if then.is_empty() {
            rustix::net::send(&socket, bytes, flags)
        } else {
            let both = [IoSlice::new(bytes), IoSlice::new(then)];
            sendmsg(&socket, &both, &mut SendAncillaryBuffer::default(), flags)
        }
    })
}

/// Sends as much as the kernel takes of `count` bytes of a file from `offset` on, and says how much that was. 0 means
/// that the file ends before that.
///
/// # Errors
/// Those of sendfile(2); EINTR is tried again. The call knows no flag against SIGPIPE: the process must ignore it, as
/// Rust programs do.
pub fn send_file(
    socket: impl AsFd,
    file: impl AsFd,
    offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::fs::sendfile(&socket, &file, Some(&mut offset.clone()), count))
}

/// Receives into the front of `buffer` and says how much that was; 0 is the end of input.
///
/// # Errors
/// Those of recv(2); EINTR is tried again.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| recv(&socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count))
}

/// Tells the peer that nothing more will come.
///
/// # Errors
/// Those of shutdown(2): ENOTCONN if the peer has reset the connection.
pub fn shutdown_write(socket: impl AsFd) -> Result<(), Errno> {
    rustix::net::shutdown(socket, Shutdown::Write)
}
