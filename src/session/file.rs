//! Open files to send from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open regular file. Any call on a [remote](File::remote) one may wait for another process or
/// machine, so a loop leaves such calls to a thread.
#[derive(Debug)]
pub struct File {
    /// `None` only during `drop`.
    file: Option<OwnedFd>,
    remote: Option<Remote>,
}

/// The mount of a remote file.
#[derive(Clone, Copy, Debug)]
struct Remote {
    mount: u64,
    close: fn(u64, OwnedFd),
}

/// Work that may wait for a file system: see [`Session::job`](super::Session::job).
pub struct Job {
    /// A number that identifies the mount it may wait for.
    pub mount: u64,
    /// The work. It passes its result to the session by itself.
    pub work: Box<dyn FnOnce() + Send>,
}

impl File {
    /// A file on a local file system.
    pub fn local(file: impl Into<OwnedFd>) -> File {
        File {
            file: Some(file.into()),
            remote: None,
        }
    }

    /// A file on a mount that can hang. `close` is called with the descriptor in the end, and must
    /// not wait.
    pub fn remote(file: impl Into<OwnedFd>, mount: u64, close: fn(u64, OwnedFd)) -> File {
        File {
            file: Some(file.into()),
            remote: Some(Remote { mount, close }),
        }
    }

    /// A number that identifies the file's mount, if that can hang.
    pub fn mount(&self) -> Option<u64> {
        self.remote.map(|remote| remote.mount)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let file = self.file.as_ref();
        file.expect("it is taken only by drop").as_fd()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let (Some(file), Some(remote)) = (self.file.take(), self.remote) {
            (remote.close)(remote.mount, file);
        }
    }
}
