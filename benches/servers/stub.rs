//! The stub: the least that a server on epoll must do. It receives, counts the ends of request
//! heads, and sends as many copies of one constant response, with one call if they fit. It does not
//! read the requests, opens no file and has no deadlines.

use evserve_lab::Outcome;
use evserve_lab::program::copy_of;
use evserve_lab::root::content;
use memchr::memmem;
use nix::libc::{IPPROTO_TCP, TCP_DEFER_ACCEPT, c_int, setsockopt, socklen_t};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use slab::Slab;
use socket2::{Domain, Socket, Type};
use std::env::current_exe;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

/// With this as its first argument, the benchmark is the stub.
pub const ARGUMENT: &str = "stub";

const LISTENER: u64 = u64::MAX;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The number of copies of a small response in the block, so that one call can send several.
const BLOCK_BYTES: usize = 64 * 1024;

/// The one response of the stub.
pub struct Constant {
    pub status: u16,
    pub head_bytes: usize,
    pub body_bytes: usize,
    /// Closes after each response.
    pub closes: bool,
}

impl Constant {
    /// The command that starts a stub.
    ///
    /// # Errors
    /// The path of the benchmark is unknown, or its copy cannot be written.
    pub fn command(&self, address: SocketAddr, beside: &Path) -> Outcome<Command> {
        let figures = [
            usize::from(self.status),
            self.head_bytes,
            self.body_bytes,
            usize::from(self.closes),
        ];
        let mut command = Command::new(copy_of(&current_exe()?, beside)?);
        command
            .arg(ARGUMENT)
            .arg(address.to_string())
            .args(figures.map(|figure| figure.to_string()));
        Ok(command)
    }

    /// Returns the response. Its head has a validator for conditional requests.
    fn response(&self) -> Vec<u8> {
        let length = if self.status == 304 {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", self.body_bytes)
        };
        let connection = if self.closes {
            "Connection: close\r\n"
        } else {
            ""
        };
        let status = self.status;
        let begin = format!(
            "HTTP/1.1 {status} Constant\r\nETag: \"constant\"\r\n{length}{connection}Padding: "
        );
        let padding = self.head_bytes.saturating_sub(begin.len() + HEAD_END.len());
        let head = begin + &"x".repeat(padding) + "\r\n\r\n";
        [head.into_bytes(), content(self.body_bytes)].concat()
    }
}

/// Runs the stub with the arguments of [`Constant::command`], until it is killed.
///
/// # Errors
/// It cannot listen or wait.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let [address, figures @ ..] = arguments else {
        return Err("no address".into());
    };
    let figures: Vec<usize> = figures
        .iter()
        .map(|figure| figure.parse())
        .collect::<Result<_, _>>()?;
    let [status, head_bytes, body_bytes, closes] = figures[..] else {
        return Err("no response".into());
    };
    let constant = Constant {
        status: status as u16,
        head_bytes,
        body_bytes,
        closes: closes != 0,
    };
    Stub::new(address.parse()?, &constant)?.run()
}

struct Stub {
    listener: OwnedFd,
    epoll: OwnedFd,
    peers: Slab<Peer>,
    /// The response, several times in a row if it is small.
    block: Vec<u8>,
    response_bytes: usize,
    closes: bool,
    input: Vec<u8>,
}

struct Peer {
    socket: OwnedFd,
    /// How many bytes are left to send, and the position in the block.
    left: usize,
    at: usize,
    /// The last bytes that may begin the end of a head, and their number.
    tail: [u8; 3],
    tail_bytes: usize,
}

/// Whether to keep a connection.
enum Turn {
    Wait,
    Close,
}

impl Stub {
    fn new(address: SocketAddr, constant: &Constant) -> Outcome<Stub> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = OwnedFd::from(socket);
        defer_accept(&listener)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        let response = constant.response();
        Ok(Stub {
            listener,
            epoll,
            peers: Slab::new(),
            block: response.repeat((BLOCK_BYTES / response.len()).max(1)),
            response_bytes: response.len(),
            closes: constant.closes,
            input: vec![0; 32 * 1024],
        })
    }

    fn run(&mut self) -> Outcome<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                if data.u64() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let ending =
                    flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                let key = data.u64() as usize;
                if matches!(self.serve(key, ending), Turn::Close) {
                    self.peers.remove(key);
                }
            }
        }
    }

    /// Accepts all connections in the backlog. Serves a request that is already there before it
    /// registers the connection.
    fn accept(&mut self) -> Outcome<()> {
        while let Ok(socket) =
            accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            let key = self.peers.insert(Peer {
                socket,
                left: 0,
                at: 0,
                tail: [0; 3],
                tail_bytes: 0,
            });
            match self.serve(key, false) {
                Turn::Close => drop(self.peers.remove(key)),
                Turn::Wait => {
                    let both =
                        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(
                        &self.epoll,
                        &self.peers[key].socket,
                        EventData::new_u64(key as u64),
                        both,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Receives and sends until a call would block. A short read ends it too, unless epoll has
    /// reported the end of the input, which it would not report again.
    fn serve(&mut self, key: usize, ending: bool) -> Turn {
        let peer = &mut self.peers[key];
        let mut drained = false;
        loop {
            while peer.left > 0 {
                let end = self.block.len().min(peer.at + peer.left);
                match send(&peer.socket, &self.block[peer.at..end], SendFlags::NOSIGNAL) {
                    Ok(count) => {
                        peer.left -= count;
                        peer.at = (peer.at + count) % self.response_bytes;
                    }
                    Err(Errno::AGAIN) => return Turn::Wait,
                    Err(_) => return Turn::Close,
                }
                if self.closes && peer.left == 0 {
                    return Turn::Close;
                }
            }
            if drained {
                return Turn::Wait;
            }
            let kept = peer.tail_bytes;
            self.input[..kept].copy_from_slice(&peer.tail[..kept]);
            match recv(&peer.socket, &mut self.input[kept..], RecvFlags::empty()) {
                Ok((0, _)) => return Turn::Close,
                Ok((count, _)) => {
                    drained = kept + count < self.input.len() && !ending;
                    peer.left = peer.take(&self.input[..kept + count]) * self.response_bytes;
                }
                Err(Errno::AGAIN) => return Turn::Wait,
                Err(_) => return Turn::Close,
            }
        }
    }
}

/// Lets the kernel hold back a connection until its request arrives (tcp(7), TCP_DEFER_ACCEPT).
/// That saves the stub a third of its time when each connection carries one request.
#[allow(unsafe_code)]
fn defer_accept(listener: &OwnedFd) -> std::io::Result<()> {
    let seconds: c_int = 1;
    let (value, length) = ((&raw const seconds).cast(), size_of::<c_int>() as socklen_t);
    // SAFETY: the kernel reads `length` bytes of an integer that outlives the call. No crate at
    // hand wraps this option.
    let result = unsafe {
        setsockopt(
            listener.as_raw_fd(),
            IPPROTO_TCP,
            TCP_DEFER_ACCEPT,
            value,
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

impl Peer {
    /// Counts the requests that end in these bytes, and remembers a partial end.
    fn take(&mut self, input: &[u8]) -> usize {
        let mut after = 0;
        let mut count = 0;
        for at in memmem::find_iter(input, HEAD_END) {
            after = at + HEAD_END.len();
            count += 1;
        }
        let rest = &input[after..];
        let tail = &rest[rest.len().saturating_sub(self.tail.len())..];
        self.tail[..tail.len()].copy_from_slice(tail);
        self.tail_bytes = tail.len();
        count
    }
}
