//! A client: one connection at a time, one question at a time.

use super::script::{Answer, Script};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// What became of a client's doings.
pub enum Outcome {
    /// Its answer is not complete.
    Waits,
    /// It has its answer to the question that was to be asked at this time.
    Answered(Instant),
    /// Its connection ended before its answer did.
    Broken,
}

/// One client.
pub struct Client {
    token: Token,
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// When the question that is under way was to be asked.
    asked: Option<Instant>,
    /// How much of that question has gone.
    sent: usize,
    answer: Answer,
}

impl Client {
    pub fn new(token: Token, address: SocketAddr) -> Client {
        Client {
            token,
            address,
            stream: None,
            asked: None,
            sent: 0,
            answer: Answer::default(),
        }
    }

    /// When the question that is under way was to be asked.
    pub fn asked(&self) -> Option<Instant> {
        self.asked
    }

    /// Begins to ask.
    ///
    /// # Errors
    /// No connection can be made.
    pub fn ask(
        &mut self,
        at: Instant,
        script: &Script,
        registry: &Registry,
    ) -> std::io::Result<()> {
        self.asked = Some(at);
        self.sent = 0;
        self.answer.clear();
        if self.stream.is_none() {
            let mut stream = TcpStream::connect(self.address)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, self.token, both)?;
            // Writing may fail until the connection is made; then an event says so.
            self.stream = Some(stream);
        }
        self.write(script);
        Ok(())
    }

    /// Does what can be done now. `ended` if the connection is known to have its end behind what can be read.
    ///
    /// # Errors
    /// The answer is wrong.
    pub fn advance(
        &mut self,
        script: &Script,
        scratch: &mut [u8],
        ended: bool,
    ) -> Result<Outcome, String> {
        self.write(script);
        while let Some(stream) = &mut self.stream {
            match stream.read(scratch) {
                Ok(0) => return Ok(self.lose()),
                Ok(_) if self.asked.is_none() => return Err("an answer to nothing".to_owned()),
                Ok(count) => {
                    if script.take(&mut self.answer, &scratch[..count])? {
                        return Ok(self.finish(ended));
                    }
                    // A short read has emptied the socket: an event will tell of more.
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
        let (Some(stream), Some(_)) = (&mut self.stream, self.asked) else {
            return;
        };
        while self.sent < script.question.len() {
            match stream.write(&script.question[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // If the connection is broken, reading says so.
                Err(_) => return,
            }
        }
    }

    fn finish(&mut self, ended: bool) -> Outcome {
        if self.answer.closes || ended {
            self.stream = None;
        }
        self.asked.take().map_or(Outcome::Waits, Outcome::Answered)
    }

    /// A server may close a connection on which nothing is under way.
    fn lose(&mut self) -> Outcome {
        self.stream = None;
        match self.asked {
            Some(_) => Outcome::Broken,
            None => Outcome::Waits,
        }
    }
}
