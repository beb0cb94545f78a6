//! Sockets in the file system (unix(7)): whom the file belongs to, and when it goes.

use super::holder;
use super::listener::BACKLOG;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{chmod, fchmod, flock, lstat, open, unlink};
use rustix::process::{Pid, getpid};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The file of a socket that is bound. Dropping this removes it, unless something else has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// A forked process has a copy of this, and must leave the file alone.
    owner: Pid,
}

/// Makes a socket at `path` and listens, without waiting when it accepts. A file that a server has left behind, so that
/// nobody answers there, is replaced.
///
/// # Errors
/// Those of bind(2) and listen(2). If somebody answers there it is said who.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let _locked = lock_directory(path);
    let (socket, file) = bind(path, mode, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// The same for a socket that takes datagrams.
///
/// # Errors
/// Those of bind(2). If somebody answers there it is said who, if that is known.
pub(super) fn bind_datagram(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let _locked = lock_directory(path);
    bind(path, mode, Type::DGRAM)
}

fn bind(path: &Path, mode: u32, kind: Type) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    // The file begins with the socket's mode, less the umask: nobody slips in before it has the one that is wanted.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address, kind)?;
            socket.bind(&address)?;
        }
        result => result?,
    }
    let stat = lstat(path)?;
    let file = SocketFile {
        path: path.into(),
        identity: (stat.st_dev, stat.st_ino),
        owner: getpid(),
    };
    chmod(path, Mode::from_raw_mode(mode))?;
    Ok((socket, file))
}

/// Keeps other servers like this one away from the directory of a path: between its making and its listening, a socket
/// looks as if a dead server had left it. Where there can be no lock, we go without.
fn lock_directory(path: &Path) -> Option<OwnedFd> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory.unwrap_or(Path::new(".")), flags, Mode::empty()).ok()?;
    flock(&directory, FlockOperation::LockExclusive).ok()?;
    Some(directory)
}

fn remove_stale(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    if FileType::from_raw_mode(lstat(path)?.st_mode) != FileType::Socket {
        let text = "there is a file of that name, and it is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(unlink(path)?),
        // It takes what is sent to it; or somebody has it whose backlog is full, or whose socket is of another kind.
        result => {
            let who = match (&result, kind) {
                (Ok(()), Type::STREAM) => peer_name(&probe),
                _ => holder::of_path(path),
            };
            let who = who.unwrap_or_else(|| "another program".into());
            let text = match result {
                Ok(()) => format!("{who} answers there"),
                Err(error) => format!("{who} has it: {error}"),
            };
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

/// The program at the other end, such as `evserve (process 4711)`.
fn peer_name(socket: &Socket) -> Option<String> {
    let id = rustix::net::sockopt::socket_peercred(socket).ok()?.pid;
    holder::process_name(id.as_raw_pid())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if getpid() != self.owner {
            return;
        }
        let _locked = lock_directory(&self.path);
        let is_ours = || {
            let stat = lstat(&self.path).ok();
            stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == self.identity)
        };
        if is_ours()
            && let Err(errno) = unlink(&self.path)
        {
            let path = self.path.display();
            log::warn!("{path} stays behind: {errno}");
        }
    }
}
