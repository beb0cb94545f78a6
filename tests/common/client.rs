//! A client that sends given bytes and expects given bytes.

use super::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A TCP connection to evserve, perhaps encrypted.
pub struct Client {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    tls: Option<rustls::ClientConnection>,
    /// Received, not yet consumed.
    pending: Vec<u8>,
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a socket");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("a socket");
        }
        Client {
            stream,
            #[cfg(feature = "tls")]
            tls: None,
            pending: Vec::new(),
        }
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::from(TcpStream::connect(address).expect("evserve listens"))
    }

    /// Connects and encrypts the connection. The handshake begins with the first bytes.
    #[cfg(feature = "tls")]
    pub fn encrypted(address: SocketAddr, tls: rustls::ClientConnection) -> Client {
        Client {
            tls: Some(tls),
            ..Client::connect(address)
        }
    }

    /// The client's side of the encryption.
    #[cfg(feature = "tls")]
    pub fn tls(&mut self) -> &mut rustls::ClientConnection {
        self.tls.as_mut().expect("it is encrypted")
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return rustls::Stream::new(tls, &mut self.stream).write_all(bytes);
        }
        self.stream.write_all(bytes)
    }

    /// Reads what there is. An encrypted connection must not end without the server's word for it.
    fn read_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return rustls::Stream::new(tls, &mut self.stream).read(buffer);
        }
        self.stream.read(buffer)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends to a server that may have closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.write_all(bytes.as_ref());
    }

    /// Ends the client's output, and says so if it is encrypted.
    pub fn shutdown_write(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let mut stream = rustls::Stream::new(tls, &mut self.stream);
            stream.flush().expect("a handshake");
            tls.send_close_notify();
            let _ = tls.complete_io(&mut self.stream);
        }
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// Reads the next response and its body, whose length the head gives. Not for HEAD.
    pub fn response(&mut self) -> Response {
        let head = self.head();
        let length = head
            .field("Content-Length")
            .expect("a length")
            .parse()
            .expect("a number");
        let body = self.read(length);
        Response { body, ..head }
    }

    /// Reads the head of the next response.
    pub fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill();
        };
        let head: Vec<u8> = self.pending.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head is ASCII");
        let status = head[9..12].parse().expect("a status line");
        let body = Vec::new();
        Response { status, head, body }
    }

    /// Reads exactly `length` bytes.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        while self.pending.len() < length {
            self.fill();
        }
        self.pending.drain(..length).collect()
    }

    /// Reads a line. Returns it without CRLF.
    pub fn line(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.pending.windows(2).position(|w| w == b"\r\n") {
                break at + 2;
            }
            self.fill();
        };
        let line: Vec<u8> = self.pending.drain(..end).collect();
        String::from_utf8(line[..end - 2].to_vec()).expect("a line is UTF-8")
    }

    /// Reads a line. Returns `None` if the server closes first.
    pub fn try_line(&mut self) -> Option<String> {
        let mut buffer = [0; 65536];
        while !self.pending.windows(2).any(|w| w == b"\r\n") {
            match self.read_some(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
        Some(self.line())
    }

    /// Reads until the server closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.pending);
        let mut buffer = [0; 65536];
        loop {
            match self.read_some(&mut buffer) {
                Ok(0) => return rest,
                Ok(count) => rest.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("not a clean end: {error}"),
            }
        }
    }

    /// Waits until the server has closed or reset the connection.
    pub fn wait_for_close(&mut self) {
        let count = self.read_some(&mut [0]);
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&count, Ok(0)) || count.as_ref().is_err_and(reset),
            "{count:?}"
        );
    }

    fn fill(&mut self) {
        let mut buffer = [0; 65536];
        let count = loop {
            match self.read_some(&mut buffer) {
                // The kernel does not restart a call that has a timeout (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("received in time"),
            }
        };
        assert!(
            count > 0,
            "the server closed; unread: {:?}",
            String::from_utf8_lossy(&self.pending)
        );
        self.pending.extend_from_slice(&buffer[..count]);
    }
}
