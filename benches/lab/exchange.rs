//! A plain client: it sends bytes and reads answers to the last byte, so that what a server sends can be compared.

use super::Outcome;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long it waits for a connection or for the next bytes.
const LIMIT: Duration = Duration::from_secs(5);

/// Longer heads are a fault.
const HEAD_LIMIT_BYTES: u64 = 64 * 1024;

/// One answer.
pub struct Answer {
    pub status: u16,
    /// With the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, whatever the case of its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (its, value) = line.split_once(':')?;
            its.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// How many bytes it was on the wire.
    pub fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// One connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// # Errors
    /// Those of connect(2).
    pub fn connect(address: SocketAddr) -> Outcome<Client> {
        Client::connect_with(address, LIMIT)
    }

    /// One that waits for nothing longer than this.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_with(address: SocketAddr, limit: Duration) -> Outcome<Client> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// # Errors
    /// Those of send(2).
    pub fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }

    /// Reads the next answer; `to_head` if it answers a HEAD request and so has no body whatever it says.
    ///
    /// # Errors
    /// The connection ended, nothing came in time, or it is no answer with a Content-Length.
    pub fn receive(&mut self, to_head: bool) -> Outcome<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self
                .0
                .by_ref()
                .take(HEAD_LIMIT_BYTES)
                .read_line(&mut head)?
                == 0
            {
                return Err(
                    format!("the connection ended in the head of an answer: {head:?}").into(),
                );
            }
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(|| format!("not an answer: {head:?}"))?,
            head,
            body: Vec::new(),
        };
        if !to_head && answer.status != 304 {
            let length = answer
                .field("Content-Length")
                .and_then(|value| value.parse().ok());
            let length: usize = length.ok_or_else(|| format!("no length: {:?}", answer.head))?;
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Whether the server has not closed, as far as is known by now.
    pub fn is_open(&self) -> bool {
        let stream = self.0.get_ref();
        let peeked = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until the server closes.
    ///
    /// # Errors
    /// It sent something more, or did not close in time.
    pub fn end(&mut self) -> Outcome<()> {
        match self.0.fill_buf()? {
            [] => Ok(()),
            more => Err(format!("{} bytes too many", more.len()).into()),
        }
    }
}
