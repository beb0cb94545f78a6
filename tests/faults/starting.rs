//! A call that fails while the server starts: it reports this in a sentence and exits with 1, or it
//! serves without.

use crate::clients::{self, Fate};
use crate::common::{Ended, Evserve, Program, address_in, on_one_model_of_each_kind, pattern};
use crate::rows::{CLONE_THREAD, EPOLL_CREATE, EVENTFD, INOTIFY_INIT, Kind};
use crate::tracer::{Arguments, Fault, Tracer};
use crate::{has_ended, wait_until};
use nix::errno::Errno::{self, *};
use nix::libc;
use std::net::SocketAddr;
use std::process::Stdio;

/// A kind of call, which of them count, and its errors.
type Row = (&'static str, Kind, fn(&Arguments) -> bool, &'static [Errno]);

fn all(_: &Arguments) -> bool {
    true
}

const ROWS: &[Row] = &[
    (
        "socket",
        &[libc::SYS_socket],
        all,
        &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES],
    ),
    (
        "bind",
        &[libc::SYS_bind],
        all,
        &[EADDRINUSE, EACCES, ENOMEM],
    ),
    ("listen", &[libc::SYS_listen], all, &[EADDRINUSE]),
    (
        "setsockopt",
        &[libc::SYS_setsockopt],
        all,
        &[ENOMEM, ENOPROTOOPT],
    ),
    ("getsockname", &[libc::SYS_getsockname], all, &[ENOBUFS]),
    (
        "socketpair",
        &[libc::SYS_socketpair],
        all,
        &[EMFILE, ENFILE, ENOMEM],
    ),
    ("eventfd", EVENTFD, all, &[EMFILE, ENFILE, ENOMEM]),
    ("epoll_create", EPOLL_CREATE, all, &[EMFILE, ENFILE, ENOMEM]),
    ("epoll_ctl", &[libc::SYS_epoll_ctl], all, &[ENOMEM, ENOSPC]),
    (
        "io_uring_setup",
        &[libc::SYS_io_uring_setup],
        all,
        &[ENOSYS, EPERM, EMFILE, ENFILE, ENOMEM, EINVAL],
    ),
    (
        "io_uring_register",
        &[libc::SYS_io_uring_register],
        all,
        &[ENOMEM, EINVAL, EBUSY, EPERM],
    ),
    (
        "io_uring_enter",
        &[libc::SYS_io_uring_enter],
        all,
        &[
            EINTR, EAGAIN, EBUSY, ENOMEM, EBADF, EBADFD, EFAULT, EINVAL, ENXIO,
        ],
    ),
    ("inotify_init", INOTIFY_INIT, all, &[EMFILE, ENFILE, ENOMEM]),
    (
        "openat2",
        &[libc::SYS_openat2],
        all,
        &[EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM, EIO, ENOSYS],
    ),
    // Not the calls of the dynamic loader, which opens libraries.
    (
        "openat",
        &[libc::SYS_openat],
        |a| a[2] & libc::O_PATH as u64 != 0,
        &[EMFILE, ENFILE, ENOMEM, EIO],
    ),
    ("fstatfs", &[libc::SYS_fstatfs], all, &[EINTR, EIO, ENOSYS]),
    (
        "fcntl",
        &[libc::SYS_fcntl],
        |a| a[1] == libc::F_DUPFD_CLOEXEC as u64,
        &[EMFILE],
    ),
    ("prlimit64", &[libc::SYS_prlimit64], |a| a[2] != 0, &[EPERM]),
    ("clone", CLONE_THREAD, all, &[EAGAIN, ENOMEM]),
];

/// Starts a program that `attach` traces from its beginning.
pub fn traced(program: Program, attach: impl FnOnce(u32) -> Tracer) -> (Evserve, Tracer) {
    // A shell waits until it is traced, and then becomes the program.
    let program = program.in_shell("read go; exec \"$@\"");
    let mut evserve = program.stdin(Stdio::piped()).spawn();
    let tracer = attach(evserve.id());
    evserve.write_stdin(b"go\n");
    (evserve, tracer)
}

/// Starts the server with a fault. Returns `None` if no call failed, else whether it serves
/// nevertheless.
fn start(model: &str, root: &str, fault: Fault) -> Option<bool> {
    let program = Program::model(model, "--listen 127.0.0.1:0").arg(root);
    let program = program.stdout(Stdio::null());
    let (mut evserve, tracer) = traced(program, |id| Tracer::attach(id, fault, true));
    let mut serves = false;
    while let Some(line) = evserve.next_line() {
        let address = address_in(&line);
        let address = address.and_then(|address| address.parse().ok());
        if let Some(address) = address {
            serves = is_served(address);
            if serves {
                evserve.terminate();
            }
        }
    }
    wait_until("it ends", || has_ended(evserve.id()));
    let Ended { status, log, .. } = evserve.wait();
    let struck = tracer.end();
    assert!(!log.contains("panicked"), "{log}");
    if serves {
        assert_eq!(status.code(), Some(0), "{log}");
    } else {
        assert!(struck, "{log}");
        assert_eq!(status.code(), Some(1), "{log}");
        let sentence = log.lines().last().unwrap_or_default();
        assert!(
            sentence.starts_with("evserve: ") && sentence.len() > 30,
            "{log}"
        );
    }
    struck.then_some(serves)
}

/// True if a client is served. The fault may hit the first client instead of the start.
fn is_served(address: SocketAddr) -> bool {
    (0..2).any(|_| {
        clients::connect(address).is_some() && clients::request_everything(address) == Fate::Whole
    })
}

#[test]
fn a_failure_at_startup_is_reported_or_survived() {
    let root = tempfile::tempdir().expect("a directory");
    for length in clients::FILES {
        let path = root.path().join(length.to_string());
        std::fs::write(path, pattern(length)).expect("written");
    }
    let root = root.path().to_str().expect("UTF-8");
    on_one_model_of_each_kind(|model| {
        for (name, calls, counts, errors) in ROWS {
            for errno in *errors {
                for nth in 1..=2 {
                    let fault = Fault {
                        calls,
                        operations: &[],
                        counts: *counts,
                        errno: *errno,
                        nth,
                        times: 1,
                        late: false,
                        and: None,
                    };
                    eprintln!("{model}: {name} {nth} says {errno:?}");
                    if start(model, root, fault).is_none() {
                        break;
                    }
                }
            }
        }
    });
}
