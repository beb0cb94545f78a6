//! The minimal loop of epoll, edge-triggered: after an event it goes on until a call would block.

use super::buffered::Client;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{self, ErrorKind::WouldBlock};
use std::net::TcpListener;
use std::os::fd::AsRawFd;

/// No descriptor of a client.
const LISTENER: u64 = u64::MAX;

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    let mut clients: HashMap<u64, Client> = HashMap::new();
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                let client = Client::accept(listener)?;
                let key = client.stream.as_raw_fd() as u64;
                epoll::add(&epoll, &client.stream, EventData::new_u64(key), both)?;
                clients.insert(key, client);
            } else if let Some(client) = clients.get_mut(&key)
                && advance_until_blocked(client).is_err()
            {
                clients.remove(&key);
            }
        }
    }
}

/// An event is reported once, so nothing may be left that could be done now.
fn advance_until_blocked(client: &mut Client) -> io::Result<()> {
    loop {
        match client.advance() {
            Err(error) if error.kind() == WouldBlock => return Ok(()),
            result => result?,
        }
    }
}
