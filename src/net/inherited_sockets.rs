//! Listening sockets that whoever started the program has made, as systemd does: sd_listen_fds(3).

use super::Address;
use listenfd::ListenFd;
use std::io;
use std::os::fd::OwnedFd;

/// A socket that was there when the program began.
#[derive(Debug)]
pub struct InheritedSocket {
    /// What it is called, if it has a name (`FileDescriptorName=` of a systemd socket unit).
    pub name: Option<String>,
    /// Where it listens.
    pub address: Address,
}

/// All of them. They can be taken once: the variables that tell of them are removed from the environment.
///
/// # Errors
/// If one of them is neither a listening stream socket nor a datagram socket.
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = ListenFd::from_env();
    (0..sockets.len())
        .map(|index| {
            // What systemd calls a socket without a name.
            let name = names.next().filter(|name| !["", "unknown"].contains(name));
            let socket = take(&mut sockets, index)?.ok_or(io::ErrorKind::NotFound)?;
            Ok(InheritedSocket {
                name: name.map(str::to_owned),
                address: Address::inherited(socket)?,
            })
        })
        .collect()
}

/// A socket of whichever kind it is: what is of another kind stays where it is.
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
