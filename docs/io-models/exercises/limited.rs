//! The minimal loop of select, which refuses a client for whom a set has no bit.

use nix::sys::select::{FD_SETSIZE, FdSet, select};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut clients: Vec<TcpStream> = Vec::new();
    loop {
        let mut set = FdSet::new();
        set.insert(listener.as_fd());
        clients.iter().for_each(|client| set.insert(client.as_fd()));
        select(None, &mut set, None, None, None)?;
        let ready: Vec<_> = set.fds(None).map(|fd| fd.as_raw_fd()).collect();
        clients.retain(|client| !ready.contains(&client.as_raw_fd()) || answer(client));
        if ready.contains(&listener.as_raw_fd()) {
            let (client, address) = listener.accept()?;
            match client.as_raw_fd() as usize {
                0..FD_SETSIZE => clients.push(client),
                fd => eprintln!("{address} is refused: there is no bit for descriptor {fd}"),
            }
        }
    }
}

/// Sends back what one read brings. Returns false when the client is gone.
fn answer(mut client: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match client.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => client.write_all(&buffer[..count]).is_ok(),
    }
}
