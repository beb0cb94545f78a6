//! The minimal loop of poll, which never waits for a client that does not read.

use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind::WouldBlock, Read, Write};
use std::net::{TcpListener, TcpStream};

/// A client with a non-blocking socket, and the bytes that it has not taken yet.
pub struct Client {
    pub stream: TcpStream,
    output: Vec<u8>,
}

impl Client {
    pub fn accept(listener: &TcpListener) -> io::Result<Client> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let output = Vec::new();
        Ok(Client { stream, output })
    }

    /// Sends what is left from before. If nothing is left, receives first. The error `WouldBlock`
    /// means: not now. Any other error ends the connection.
    pub fn advance(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.output.extend(&buffer[..count]),
            }
        }
        let count = self.stream.write(&self.output)?;
        self.output.drain(..count);
        Ok(())
    }

    /// While output is left, nothing is read from the client. So the server keeps at most one
    /// buffer for it.
    fn wanted(&self) -> PollFlags {
        match self.output.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::OUT,
        }
    }
}

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut list = vec![PollFd::new(listener, PollFlags::IN)];
        for client in &clients {
            list.push(PollFd::new(&client.stream, client.wanted()));
        }
        poll(&mut list, None)?;
        let is_ready = |entry: &PollFd<'_>| !entry.revents().is_empty();
        let mut ready = list.iter().map(is_ready).collect::<Vec<_>>().into_iter();
        let has_come = ready.next() == Some(true);
        clients.retain_mut(|client| match ready.next() {
            Some(true) => client
                .advance()
                .map_or_else(|e| e.kind() == WouldBlock, |()| true),
            _ => true,
        });
        if has_come {
            clients.push(Client::accept(listener)?);
        }
    }
}
