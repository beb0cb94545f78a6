//! Listening sockets passed by the parent process, such as systemd: sd_listen_fds(3).

use super::Address;
use listenfd::ListenFd;
use std::io;
use std::os::fd::OwnedFd;

/// A socket that was open when the program started.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The socket's name, if it has one (`FileDescriptorName=` in a systemd socket unit).
    pub name: Option<String>,
    /// Where it listens.
    pub address: Address,
}

/// Takes all inherited sockets. Only the first call returns them: it removes their variables from
/// the environment.
///
/// # Errors
/// A socket is neither a listening stream socket nor a datagram socket.
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = ListenFd::from_env();
    (0..sockets.len())
        .map(|index| {
            // systemd's name for a socket without a name.
            let name = names.next().filter(|name| !["", "unknown"].contains(name));
            let socket = take(&mut sockets, index)?.ok_or(io::ErrorKind::NotFound)?;
            Ok(InheritedSocket {
                name: name.map(str::to_owned),
                address: Address::inherited(socket)?,
            })
        })
        .collect()
}

/// Tries each kind of socket. A failed try leaves the socket in place.
fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Option<OwnedFd>> {
    if let Ok(socket) = sockets.take_tcp_listener(index) {
        return Ok(socket.map(OwnedFd::from));
    }
    if let Ok(socket) = sockets.take_udp_socket(index) {
        return Ok(socket.map(OwnedFd::from));
    }
    if let Ok(socket) = sockets.take_unix_datagram(index) {
        return Ok(socket.map(OwnedFd::from));
    }
    Ok(sockets.take_unix_listener(index)?.map(OwnedFd::from))
}
