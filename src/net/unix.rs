//! Unix sockets in the file system (unix(7)): creating, owning and removing the file.

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

/// How long to wait at the start for the lock of a directory. Servers like this one hold it for
/// milliseconds, but any user who may read the directory can hold it forever (flock(2)).
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How long to wait for the lock at the end.
const LAST_LOCK_WAIT: Duration = Duration::from_millis(50);

/// How often to try the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The delay before checking again whether a socket is dead, without the lock. The socket may
/// belong to a server that is about to listen.
const RECHECK_DELAY: Duration = Duration::from_millis(200);

/// The file of a bound socket. Dropping this removes the file, unless another file has taken its
/// place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Opened at the start, because a confined process cannot open it at the end.
    directory: OwnedFd,
    name: OsString,
    identity: (u64, u64),
    /// The process that created the file. Its forked children have a copy of this value and must
    /// not remove the file.
    owner: u32,
}

/// Creates a nonblocking socket at `path` and listens. Replaces a file left by a dead server, on
/// which no process listens.
///
/// # Errors
/// Those of bind(2) and listen(2). If the socket is in use, the error names the program that uses
/// it.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let (socket, file) = bind(path, mode, Type::STREAM)?;
    socket.listen(BACKLOG.into())?;
    unlock(&file.directory);
    Ok((socket, file))
}

/// Creates a datagram socket at `path`.
///
/// # Errors
/// Those of bind(2). If the socket is in use, the error names the program that uses it, where that
/// is known.
pub(super) fn bind_datagram(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let (socket, file) = bind(path, mode, Type::DGRAM)?;
    unlock(&file.directory);
    Ok((socket, file))
}

/// Leaves the directory locked: the caller unlocks it when the socket listens.
fn bind(path: &Path, mode: u32, kind: Type) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    // The file gets the socket's mode, less the umask. So no client can connect before the file has
    // its final mode.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    let directory = open_directory(path)?;
    let is_locked = lock(&directory, LOCK_WAIT);
    if !is_locked {
        let path = path.parent().unwrap_or(path).display();
        log::warn!(
            "another process has locked {path} (flock); continuing without the lock. Do not start a \
             second server for this socket now"
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
    // A directory that is writable but not readable cannot be locked.
    let read = open(directory, flags | OFlags::RDONLY, Mode::empty());
    Ok(read.or_else(|_| open(directory, flags | OFlags::PATH, Mode::empty()))?)
}

/// Locks a directory against other servers like this one. Between bind(2) and listen(2), a socket
/// looks as if a dead server had left it. Returns false if another process keeps the lock for this
/// long, and true where locks do not work.
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
        let text = "a file with this name exists and is not a socket";
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
        // The socket is in use. An error means that its backlog is full, or that it is of another
        // kind.
        result => {
            let who = match (&result, kind) {
                (Ok(()), Type::STREAM) => peer_name(&probe),
                _ => socket_owner::owner_of_path(path),
            };
            let who = who.unwrap_or_else(|| "another program".into());
            let text = match result {
                Ok(()) => format!("{who} uses it"),
                Err(error) => format!("{who} uses it: {error}"),
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
    /// The directory of the file.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Changes the owner of the file.
    ///
    /// # Errors
    /// Those of chown(2).
    pub fn chown(&self, uid: u32, gid: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, &self.name, flags, Mode::empty())?;
        // Another file may have taken its place. Leave that alone.
        if identity(&fstat(&file)?) == self.identity {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            chownat(&file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    /// Removes the file, unless another file has taken its place.
    pub fn remove(&self) {
        lock(&self.directory, LAST_LOCK_WAIT);
        if let Err(errno) = self.unlink() {
            let path = self.path.display();
            log::warn!("cannot remove {path}: {errno}");
        }
        // Unlocks now, because forked children may keep copies of the descriptor for a moment.
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
