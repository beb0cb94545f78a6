//! A client: one connection at a time, one request at a time.

use super::script::{Response, Script};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

/// The progress of a client.
pub enum Outcome {
    /// Its response is incomplete.
    Waits,
    /// It has the response to the request that was due at this time, in nanoseconds since the start.
    Answered(u64),
    /// Its connection ended before its response did.
    Broken,
}

/// One client.
pub struct Client {
    token: Token,
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// When the current request was due.
    asked_ns: Option<u64>,
    /// How many bytes of it have been sent.
    sent: usize,
    response: Response,
    /// How many bytes have been received in all.
    received: u64,
}

impl Client {
    pub fn new(token: Token, address: SocketAddr) -> Client {
        Client {
            token,
            address,
            stream: None,
            asked_ns: None,
            sent: 0,
            response: Response::default(),
            received: 0,
        }
    }

    /// When the current request was due.
    pub fn asked_ns(&self) -> Option<u64> {
        self.asked_ns
    }

    /// How many bytes it has received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Starts a request.
    ///
    /// # Errors
    /// The connection fails.
    pub fn ask(
        &mut self,
        due_ns: u64,
        script: &Script,
        registry: &Registry,
    ) -> std::io::Result<()> {
        self.asked_ns = Some(due_ns);
        self.sent = 0;
        self.response.clear();
        if self.stream.is_none() {
            let mut stream = TcpStream::connect(self.address)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, self.token, both)?;
            // Writing may fail until the connection is established. Then an event comes.
            self.stream = Some(stream);
        }
        self.write(script);
        Ok(())
    }

    /// Does what can be done now. Set `ended` if the end of the connection follows the readable
    /// bytes.
    ///
    /// # Errors
    /// The response is wrong.
    pub fn advance(
        &mut self,
        script: &mut Script,
        scratch: &mut [u8],
        ended: bool,
    ) -> Result<Outcome, String> {
        self.write(script);
        while let Some(stream) = &mut self.stream {
            match stream.read(scratch) {
                Ok(0) => return Ok(self.lose()),
                Ok(_) if self.asked_ns.is_none() => {
                    return Err("a response without a request".to_owned());
                }
                Ok(count) => {
                    self.received += count as u64;
                    if script.take(&mut self.response, &scratch[..count])? {
                        return Ok(self.finish(ended));
                    }
                    // A short read has emptied the socket. An event reports more.
                    if count < scratch.len() && !ended {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(self.lose()),
            }
        }
        Ok(Outcome::Waits)
    }

    fn write(&mut self, script: &Script) {
        let (Some(stream), Some(_)) = (&mut self.stream, self.asked_ns) else {
            return;
        };
        while self.sent < script.request.len() {
            match stream.write(&script.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // If the connection is broken, reading reports it.
                Err(_) => return,
            }
        }
    }

    fn finish(&mut self, ended: bool) -> Outcome {
        if self.response.closes || ended {
            self.stream = None;
        }
        self.asked_ns
            .take()
            .map_or(Outcome::Waits, Outcome::Answered)
    }

    /// A server may close an idle connection.
    fn lose(&mut self) -> Outcome {
        self.stream = None;
        match self.asked_ns {
            Some(_) => Outcome::Broken,
            None => Outcome::Waits,
        }
    }
}
