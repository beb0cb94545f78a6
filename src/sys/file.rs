//! System calls on files, made for requests.

use crate::recording::Syscall;
use crate::trace;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, IoSliceMut, ReadWriteFlags, pread, preadv2};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// openat2(2): opens `path` from `directory`, restricted by `resolve`. The descriptor is closed on
/// exec.
///
/// # Errors
/// Those of openat2(2).
pub fn open_beneath(
    directory: impl AsFd,
    path: &CStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    let call = trace::call(Syscall::Openat2, number(&directory));
    let result = rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve);
    let called = || {
        let kind = match flags.contains(OFlags::PATH) {
            true => ", O_PATH",
            false => "",
        };
        let from = number(&directory);
        format!("openat2({from}, {path:?}{kind}, RESOLVE_BENEATH)")
    };
    call.returned(&result, called, |fd| fd.as_raw_fd().to_string());
    result
}

/// openat2(2) with RESOLVE_CACHED: opens a directory with O_PATH.
///
/// # Errors
/// EAGAIN if the kernel does not have the whole path in its cache, and those of openat2(2).
pub fn open_if_in_memory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let call = trace::call(Syscall::Openat2, -1);
    let result = rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED);
    let called = || format!("openat2({path:?}, O_PATH, RESOLVE_CACHED)");
    call.returned(&result, called, |fd| fd.as_raw_fd().to_string());
    result
}

/// fstat(2).
///
/// # Errors
/// Those of fstat(2).
pub fn fstat(fd: impl AsFd) -> Result<Stat, Errno> {
    let call = trace::call(Syscall::Fstat, number(&fd));
    let result = rustix::fs::fstat(&fd);
    let came = |stat: &Stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        format!("{kind:?}, {} bytes", stat.st_size)
    };
    call.returned(&result, || format!("fstat({})", number(&fd)), came);
    result
}

/// readlinkat(2): the target of a symbolic link opened with O_PATH.
///
/// # Errors
/// ENOENT if it is not a link, and those of readlinkat(2).
pub fn read_link(link: impl AsFd) -> Result<CString, Errno> {
    let call = trace::call(Syscall::Readlinkat, number(&link));
    let result = rustix::fs::readlinkat(&link, c"", Vec::new());
    let called = || format!("readlinkat({}, \"\")", number(&link));
    call.returned(&result, called, |target| format!("{target:?}"));
    result
}

/// read(2).
///
/// # Errors
/// Those of read(2).
pub fn read(file: impl AsFd, into: &mut [u8]) -> Result<usize, Errno> {
    let call = trace::call(Syscall::Read, number(&file));
    let result = rustix::io::read(&file, into);
    let called = || format!("read({})", number(&file));
    call.returned(&result, called, usize::to_string);
    result
}

/// pread(2).
///
/// # Errors
/// Those of pread(2).
pub fn read_at(file: impl AsFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let call = trace::call(Syscall::Pread, number(&file));
    let result = pread(&file, &mut *into, offset);
    let called = || {
        let (file, count) = (number(&file), into.len());
        format!("pread({file}, {count} bytes at {offset})")
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// preadv2(2) with RWF_NOWAIT: never waits for a disk. Falls back to pread(2), which can wait, on
/// file systems without RWF_NOWAIT.
///
/// # Errors
/// EAGAIN if it would wait, and those of preadv2(2).
pub fn read_now(file: impl AsFd, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let call = trace::call(Syscall::Preadv2, number(&file));
    let mut pieces = [IoSliceMut::new(into)];
    let result = match preadv2(&file, &mut pieces, offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => pread(&file, &mut *into, offset),
        result => result,
    };
    let called = || {
        let (fd, length) = (number(&file), into.len());
        format!("preadv2({fd}, {length} bytes at {offset}, RWF_NOWAIT)")
    };
    call.returned(&result, called, usize::to_string);
    result
}

/// True if the byte at `offset` can be read without waiting for a disk, or if that is unknown
/// (preadv2(2) with RWF_NOWAIT). Not traced, because it is called for several places of a file.
pub fn is_in_memory(file: impl AsFd, offset: u64) -> bool {
    let mut byte = [0];
    let mut pieces = [IoSliceMut::new(&mut byte)];
    preadv2(&file, &mut pieces, offset, ReadWriteFlags::NOWAIT) != Err(Errno::AGAIN)
}

/// inotify_add_watch(2).
///
/// # Errors
/// Those of inotify_add_watch(2).
pub fn add_watch(inotify: impl AsFd, path: &str, flags: WatchFlags) -> Result<i32, Errno> {
    let call = trace::call(Syscall::InotifyAddWatch, number(&inotify));
    let result = inotify::add_watch(&inotify, path, flags);
    let called = || format!("inotify_add_watch({}, {path:?})", number(&inotify));
    call.returned(&result, called, i32::to_string);
    result
}

/// close(2), with a line in the trace.
pub fn close(fd: OwnedFd) {
    trace::note_close(&fd);
    drop(fd);
}

/// fcntl(2) with F_SETLK: locks or unlocks one byte of a file for this process. Does not wait.
/// Returns false if another process has locked it.
pub fn lock_byte(file: impl AsFd, offset: usize, locked: bool) -> bool {
    let kind = if locked { libc::F_WRLCK } else { libc::F_UNLCK };
    fcntl(file, FcntlArg::F_SETLK(&byte_lock(offset, kind))).is_ok()
}

/// fcntl(2) with F_SETLKW: locks one byte of a file for this process. Waits for other processes.
pub fn wait_for_byte(file: impl AsFd, offset: usize) {
    let lock = byte_lock(offset, libc::F_WRLCK);
    while fcntl(&file, FcntlArg::F_SETLKW(&lock)) == Err(nix::errno::Errno::EINTR) {}
}

fn byte_lock(offset: usize, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

fn number(fd: &impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}

/// pipe2(2), and fcntl(2) with F_SETPIPE_SZ: a pipe for `size` bytes, or for fewer if the user has
/// many in pipes already. Returns its end to read from, its end to write to, and its size.
///
/// # Errors
/// Those of pipe2(2).
pub fn pipe(size: usize) -> Result<(OwnedFd, OwnedFd, usize), Errno> {
    let call = trace::call(Syscall::Pipe2, -1);
    let result = pipe_with(PipeFlags::CLOEXEC);
    let ends = |(output, input): &(OwnedFd, OwnedFd)| {
        format!("{} and {}", output.as_raw_fd(), input.as_raw_fd())
    };
    call.returned(&result, || "pipe2()".into(), ends);
    let (output, input) = result?;
    let size = fcntl_setpipe_size(&input, size).or_else(|_| fcntl_getpipe_size(&input))?;
    Ok((output, input, size))
}
