//! Sockets in the file system (unix(7)): whom the file belongs to, and when it goes.

use super::bound_address::BACKLOG;
use super::socket_owner;
use crate::sys::untraced::{
    chmod, chownat, fchmod, flock, fstat, lstat, open, openat, statat, unlink, unlinkat,
};
use crate::sys::{
    AtFlags, Errno, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid, peer_process, sleep,
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the start waits for the lock of a directory. Servers like this one hold it for milliseconds; any user who may
/// read the directory can hold it without end (flock(2)).
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The same for the end.
const LAST_LOCK_WAIT: Duration = Duration::from_millis(50);

/// How often the lock is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How long a server without the lock looks twice whether a socket is dead: it may belong to one that is about to listen.
const RECHECK_DELAY: Duration = Duration::from_millis(200);

/// The file of a socket that is bound. Dropping this removes it, unless something else has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Where it is. Open from the beginning, for a confined process can open nothing at its end.
    directory: OwnedFd,
    name: OsString,
    identity: (u64, u64),
    /// A forked process has a copy of this, and must leave the file alone.
    owner: u32,
}

/// Makes a socket at `path` and listens, without waiting when it accepts. A file that a server has left behind, so that
/// nobody answers there, is replaced.
///
/// # Errors
/// Those of bind(2) and listen(2). If somebody answers there it is said who.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let (socket, file) = bind(path, mode, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    unlock(&file.directory);
    Ok((socket, file))
}

/// The same for a socket that takes datagrams.
///
/// # Errors
/// Those of bind(2). If somebody answers there it is said who, if that is known.
pub(super) fn bind_datagram(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let (socket, file) = bind(path, mode, Type::DGRAM)?;
    unlock(&file.directory);
    Ok((socket, file))
}

/// Leaves the directory locked, for it is not over yet.
fn bind(path: &Path, mode: u32, kind: Type) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    // The file begins with the socket's mode, less the umask: nobody slips in before it has the one that is wanted.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    let directory = open_directory(path)?;
    let is_locked = lock(&directory, LOCK_WAIT);
    if !is_locked {
        let path = path.parent().unwrap_or(path).display();
        log::warn!(
            "another process locks {path} (flock): going on without the lock; do not start a second server for the \
             same socket now"
        );
    }
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address, kind, is_locked)?;
            socket.bind(&address)?;
        }
        result => result?,
    }
    let file = SocketFile {
        identity: identity(&lstat(path)?),
        owner: std::process::id(),
        name: name.into(),
        path: path.into(),
        directory,
    };
    chmod(path, Mode::from_raw_mode(mode))?;
    Ok((socket, file))
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    // One that can be written to but not read cannot be locked either.
    let read = open(directory, flags | OFlags::RDONLY, Mode::empty());
    Ok(read.or_else(|_| open(directory, flags | OFlags::PATH, Mode::empty()))?)
}

/// Keeps other servers like this one away from a directory: between its making and its listening, a socket looks as if a
/// dead server had left it. Where there can be no lock, we go without. False if another process has it and does not give
/// it back in that time.
fn lock(directory: &OwnedFd, time: Duration) -> bool {
    let tries = time.as_millis() / LOCK_PAUSE.as_millis();
    for _ in 0..tries {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => sleep(LOCK_PAUSE),
            _ => return true,
        }
    }
    false
}

fn unlock(directory: &OwnedFd) {
    let _ = flock(directory, FlockOperation::Unlock);
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn remove_stale(path: &Path, address: &SockAddr, kind: Type, is_locked: bool) -> io::Result<()> {
    if FileType::from_raw_mode(lstat(path)?.st_mode) != FileType::Socket {
        let text = "there is a file of that name, and it is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    let refused = |result: &io::Result<()>| matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    let mut result = probe.connect(address);
    if refused(&result) && !is_locked {
        sleep(RECHECK_DELAY);
        result = probe.connect(address);
    }
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(unlink(path)?),
        // It takes what is sent to it; or somebody has it whose backlog is full, or whose socket is of another kind.
        result => {
            let who = match (&result, kind) {
                (Ok(()), Type::STREAM) => peer_name(&probe),
                _ => socket_owner::owner_of_path(path),
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
    socket_owner::process_name(peer_process(socket).ok()?)
}

impl SocketFile {
    /// The directory that it is in, and in which it is removed.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Lets a user and a group own it.
    ///
    /// # Errors
    /// Those of chown(2).
    pub fn chown(&self, uid: u32, gid: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, &self.name, flags, Mode::empty())?;
        // What has taken its place must not be given away.
        if identity(&fstat(&file)?) == self.identity {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            chownat(&file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    /// Removes it, unless something else has taken its place.
    pub fn remove(&self) {
        lock(&self.directory, LAST_LOCK_WAIT);
        if let Err(errno) = self.unlink() {
            let path = self.path.display();
            log::warn!("{path} stays behind: {errno}");
        }
        // Not left to its closing, since forked processes may have copies for a moment yet.
        unlock(&self.directory);
    }

    fn unlink(&self) -> Result<(), Errno> {
        match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if identity(&stat) == self.identity => {
                unlinkat(&self.directory, &self.name, AtFlags::empty())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            self.remove();
        }
    }
}
