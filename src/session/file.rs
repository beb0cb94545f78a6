//! An open file to send from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open regular file. Some are on a file system that can hang ([`File::remote`]): whatever is asked of them may wait
/// for another process or machine, so a loop asks nothing of them itself.
#[derive(Debug)]
pub struct File {
    /// Taken when it is dropped.
    file: Option<OwnedFd>,
    remote: Option<Remote>,
}

/// Where a file is that can hang.
#[derive(Clone, Copy, Debug)]
struct Remote {
    mount: u64,
    close: fn(u64, OwnedFd),
}

/// What may wait for a file system, and so is done where that is allowed: see [`Session::job`](super::Session::job).
pub struct Job {
    /// A number for the mount that it may wait for.
    pub mount: u64,
    /// The work. What it finds out it leaves for its session itself.
    pub work: Box<dyn FnOnce() + Send>,
}

impl File {
    /// A file on a file system that answers by itself.
    pub fn local(file: impl Into<OwnedFd>) -> File {
        File {
            file: Some(file.into()),
            remote: None,
        }
    }

    /// A file on a mount that can hang. `close` is given it in the end, and must not wait.
    pub fn remote(file: impl Into<OwnedFd>, mount: u64, close: fn(u64, OwnedFd)) -> File {
        File {
            file: Some(file.into()),
            remote: Some(Remote { mount, close }),
        }
    }

    /// A number for the mount that the file is on, if that can hang.
    pub fn mount(&self) -> Option<u64> {
        self.remote.map(|remote| remote.mount)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let file = self.file.as_ref();
        file.expect("it is there until it is dropped").as_fd()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let (Some(file), Some(remote)) = (self.file.take(), self.remote) {
            (remote.close)(remote.mount, file);
        }
    }
}
