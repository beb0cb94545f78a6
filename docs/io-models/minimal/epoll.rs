//! One thread waits in epoll_wait(2). The kernel keeps the list of clients.

use super::client::answer;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// The listener's key. A client's key is its descriptor.
const LISTENER: u64 = u64::MAX;

/// Echoes. `flags` says how clients are watched: `IN` for input, level-triggered; `IN | ET`
/// edge-triggered, and then this loop forgets input.
pub fn serve(listener: &TcpListener, flags: EventFlags) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut clients: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?; // Waits for all of them.
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                let (client, _) = listener.accept()?;
                let key = client.as_raw_fd() as u64;
                epoll::add(&epoll, &client, EventData::new_u64(key), flags)?;
                clients.insert(key, client);
            } else if !answer(&clients[&key]) {
                clients.remove(&key); // Closing it ends the watch.
            }
        }
    }
}
