//! One thread waits for all clients in select(2).

use super::client::answer;
use nix::sys::select::{FdSet, select};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut clients: Vec<TcpStream> = Vec::new();
    loop {
        let mut set = FdSet::new();
        set.insert(listener.as_fd());
        clients.iter().for_each(|client| set.insert(client.as_fd()));
        select(None, &mut set, None, None, None)?; // Waits for all of them.
        let ready: Vec<_> = set.fds(None).map(|fd| fd.as_raw_fd()).collect();
        clients.retain(|client| !ready.contains(&client.as_raw_fd()) || answer(client));
        if ready.contains(&listener.as_raw_fd()) {
            clients.push(listener.accept()?.0);
        }
    }
}
