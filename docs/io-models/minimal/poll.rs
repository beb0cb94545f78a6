//! One thread waits for all clients in poll(2).

use super::client::answer;
use rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::net::{TcpListener, TcpStream};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut clients: Vec<TcpStream> = Vec::new();
    let is_ready = |entry: &PollFd<'_>| !entry.revents().is_empty();
    loop {
        let watch = |client| PollFd::new(client, PollFlags::IN);
        let mut list = vec![PollFd::new(listener, PollFlags::IN)];
        list.extend(clients.iter().map(watch));
        poll(&mut list, None)?; // Waits for all of them.
        let ready: Vec<bool> = list.iter().map(is_ready).collect();
        let mut ready_clients = ready[1..].iter();
        clients.retain(|client| ready_clients.next() == Some(&false) || answer(client));
        if ready[0] {
            clients.push(listener.accept()?.0);
        }
    }
}
