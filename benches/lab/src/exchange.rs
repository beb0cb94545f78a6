//! A plain client: it sends bytes and reads whole responses, so that every byte can be compared.

use crate::Outcome;
use crate::tls::{TlsClient, TlsStream};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The timeout for a connection and for the next bytes.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest head. A longer one is an error.
const HEAD_LIMIT_BYTES: u64 = 64 * 1024;

/// One response.
pub struct Response {
    pub status: u16,
    /// With the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field, whatever the case of its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (its, value) = line.split_once(':')?;
            its.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Its length on the wire, in bytes.
    pub fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// One connection.
pub struct Client(BufReader<Stream>);

/// A socket, encrypted or not.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

impl Client {
    /// # Errors
    /// Errors of connect(2).
    pub fn connect(address: SocketAddr) -> Outcome<Client> {
        Client::connect_with(address, LIMIT)
    }

    /// Connects with this timeout.
    ///
    /// # Errors
    /// Errors of connect(2).
    pub fn connect_with(address: SocketAddr, limit: Duration) -> Outcome<Client> {
        let stream = connect(address, limit)?;
        Ok(Client(BufReader::new(Stream::Plain(stream))))
    }

    /// Connects with TLS, or without if `tls` is `None`.
    ///
    /// # Errors
    /// Errors of connect(2) and of the handshake.
    pub fn connect_by(address: SocketAddr, tls: Option<&TlsClient>) -> Outcome<Client> {
        let Some(tls) = tls else {
            return Client::connect(address);
        };
        let stream = tls.wrap(connect(address, LIMIT)?)?;
        Ok(Client(BufReader::new(Stream::Tls(Box::new(stream)))))
    }

    /// Sets TCP_NODELAY. Without it, small parts wait until what was sent is acknowledged.
    ///
    /// # Errors
    /// Errors of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self.0.get_ref() {
            Stream::Plain(stream) => stream.set_nodelay(nodelay),
            Stream::Tls(stream) => stream.sock.set_nodelay(nodelay),
        }
    }

    /// # Errors
    /// Errors of send(2).
    pub fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }

    /// Reads the next response. Set `to_head` for the response to a HEAD request: it has no body,
    /// whatever its length field says.
    ///
    /// # Errors
    /// The connection ended, nothing came in time, or the response has no Content-Length.
    pub fn receive(&mut self, to_head: bool) -> Outcome<Response> {
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
                    format!("the connection ended in the head of a response: {head:?}").into(),
                );
            }
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut response = Response {
            status: status.ok_or_else(|| format!("not a response: {head:?}"))?,
            head,
            body: Vec::new(),
        };
        if !to_head && response.status != 304 {
            let length = response
                .field("Content-Length")
                .and_then(|value| value.parse().ok());
            let length: usize = length.ok_or_else(|| format!("no length: {:?}", response.head))?;
            response.body.resize(length, 0);
            self.0.read_exact(&mut response.body)?;
        }
        Ok(response)
    }

    /// Returns whether the connection is open, as far as known.
    pub fn is_open(&self) -> bool {
        let stream = match self.0.get_ref() {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        };
        let peeked = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until the server closes.
    ///
    /// # Errors
    /// The server sent more, or did not close in time.
    pub fn end(&mut self) -> Outcome<()> {
        match self.0.fill_buf()? {
            [] => Ok(()),
            more => Err(format!("{} bytes too many", more.len()).into()),
        }
    }
}

fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}
