//! Those who are there beside the busy clients: idle ones, which have had an answer and stay; silent ones, which have
//! never said anything; and slow readers, which have asked for a large file and take little of it at a time. They live
//! in a process of their own, for there may be more of them than one process has descriptors to spare.

use super::lab::Outcome;
use super::lab::exchange::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What this benchmark's program is called with to be the company.
pub const ARGUMENT: &str = "keep-company";

/// How much a slow reader takes, and how often.
const SIP_BYTES: usize = 4 * 1024;
const SIP_PAUSE: Duration = Duration::from_millis(100);

/// How many idle clients come at once.
const GROUP: usize = 256;

/// The receive buffer that a slow reader asks for, so that the kernel does not read in its place.
const SLOW_BUFFER_BYTES: usize = 8 * 1024;

/// Who is to be there.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Company {
    pub address: Option<SocketAddr>,
    pub idle: usize,
    pub silent: usize,
    pub slow: usize,
    /// What idle clients ask for.
    pub small: String,
    /// What slow readers ask for.
    pub large: String,
}

/// Who has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct Present {
    /// How many idle clients have had their answer, and are still connected.
    pub idle: usize,
    /// Why not all.
    pub why: Option<String>,
}

/// Its whole life: it comes, says who is there, and stays until the parent closes the standard input.
///
/// # Errors
/// Orders that are none, or a connection that cannot be made.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let company: Company = serde_json::from_str(arguments.first().ok_or("no orders")?)?;
    let address = company.address.ok_or("no address")?;
    raise_limit()?;
    let mut slow = Vec::new();
    for _ in 0..company.slow {
        slow.push(slow_reader(address, &company.large)?);
    }
    let mut silent = Vec::new();
    for _ in 0..company.silent {
        silent.push(TcpStream::connect(address)?);
    }
    let (idle, why) = idlers(address, &company);
    let present = Present {
        idle: idle.iter().filter(|client| client.is_open()).count(),
        why,
    };
    writeln!(stdout(), "{}", serde_json::to_string(&present)?)?;
    stdout().flush()?;
    while !parent_has_gone(SIP_PAUSE)? {
        for reader in &mut slow {
            match reader.read(&mut [0; SIP_BYTES]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Those who have had an answer, as many as can be. They come in groups: where each turn of a server costs the more the
/// more of them are there, it is not to be paid for each.
fn idlers(address: SocketAddr, company: &Company) -> (Vec<Client>, Option<String>) {
    let request = format!("HEAD {} HTTP/1.1\r\nHost: {address}\r\n\r\n", company.small);
    let mut idle = Vec::new();
    while idle.len() < company.idle {
        let count = GROUP.min(company.idle - idle.len());
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
    // Before it connects, for the window is agreed on then.
    socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// As many descriptors as are allowed.
///
/// # Errors
/// Those of setrlimit(2).
fn raise_limit() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Whether the parent has closed the standard input, after a pause at most.
fn parent_has_gone(pause: Duration) -> Outcome<bool> {
    let stdin = stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    let pause = Timespec::try_from(pause)?;
    Ok(poll(&mut watched, Some(&pause))? > 0)
}
