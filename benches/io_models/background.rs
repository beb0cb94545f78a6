//! Background clients, beside the busy ones. Idle clients have had a response and stay connected.
//! Silent clients have never sent anything. Slow readers have requested a large file and read a
//! little of it at a time. They run in a process of their own, because together with the load they
//! may need more descriptors than one process has.

use evserve_lab::Outcome;
use evserve_lab::exchange::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// With this as its first argument, the benchmark runs the background clients.
pub const ARGUMENT: &str = "background-clients";

/// How much a slow reader reads at a time, and the pause after it.
const SLOW_READ_BYTES: usize = 4 * 1024;
const SLOW_READ_PAUSE: Duration = Duration::from_millis(100);

/// How many idle clients connect at once.
const GROUP: usize = 256;

/// The receive buffer of a slow reader: small, so that the kernel does not read in its place.
const SLOW_BUFFER_BYTES: usize = 8 * 1024;

/// The clients to connect.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct BackgroundClients {
    pub address: Option<SocketAddr>,
    pub idle: usize,
    pub silent: usize,
    pub slow: usize,
    /// The path that idle clients request.
    pub small: String,
    /// The path that slow readers request.
    pub large: String,
}

/// The clients that have connected.
#[derive(Debug, Serialize, Deserialize)]
pub struct Connected {
    /// How many idle clients have had their response and are still connected.
    pub idle: usize,
    /// The reason if not all have.
    pub why: Option<String>,
}

/// Connects the clients, prints how many there are, and keeps them until the parent closes the
/// standard input.
///
/// # Errors
/// The arguments are invalid, or a connection fails.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let clients: BackgroundClients = serde_json::from_str(arguments.first().ok_or("no orders")?)?;
    let address = clients.address.ok_or("no address")?;
    raise_limit()?;
    let mut slow = Vec::new();
    for _ in 0..clients.slow {
        slow.push(slow_reader(address, &clients.large)?);
    }
    let mut silent = Vec::new();
    for _ in 0..clients.silent {
        silent.push(TcpStream::connect(address)?);
    }
    let (idle, why) = idle_clients(address, &clients);
    let connected = Connected {
        idle: idle.iter().filter(|client| client.is_open()).count(),
        why,
    };
    writeln!(stdout(), "{}", serde_json::to_string(&connected)?)?;
    stdout().flush()?;
    while !parent_has_gone(SLOW_READ_PAUSE)? {
        for reader in &mut slow {
            match reader.read(&mut [0; SLOW_READ_BYTES]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Connects idle clients, as many as possible. They connect in groups: under some models each turn
/// becomes slower with each of them, and a group shares a turn.
fn idle_clients(address: SocketAddr, clients: &BackgroundClients) -> (Vec<Client>, Option<String>) {
    let request = format!("HEAD {} HTTP/1.1\r\nHost: {address}\r\n\r\n", clients.small);
    let mut idle = Vec::new();
    while idle.len() < clients.idle {
        let count = GROUP.min(clients.idle - idle.len());
        if let Err(fault) = come_together(address, &request, count, &mut idle) {
            return (idle, Some(fault.to_string()));
        }
    }
    (idle, None)
}

fn come_together(
    address: SocketAddr,
    request: &str,
    count: usize,
    idle: &mut Vec<Client>,
) -> Outcome<()> {
    let mut group = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(address)?;
        client.send(request.as_bytes())?;
        group.push(client);
    }
    for mut client in group {
        client.receive(true)?;
        idle.push(client);
    }
    Ok(())
}

fn slow_reader(address: SocketAddr, path: &str) -> Outcome<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Before it connects, because TCP then negotiates the window.
    socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Raises the limit of descriptors as far as allowed.
///
/// # Errors
/// Errors of setrlimit(2).
fn raise_limit() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Returns whether the parent has closed the standard input, after a pause at most.
fn parent_has_gone(pause: Duration) -> Outcome<bool> {
    let stdin = stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    let pause = Timespec::try_from(pause)?;
    Ok(poll(&mut watched, Some(&pause))? > 0)
}
