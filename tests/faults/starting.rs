//! A call that fails while the server starts: it says so in a sentence and ends with 1, or it does without.

use crate::common::{PATIENCE, pattern};
use crate::play::{self, Fate};
use crate::rows::{CLONE_THREAD, EPOLL_CREATE, EVENTFD, INOTIFY_INIT, Kind};
use crate::tracer::{Arguments, Fault, Tracer};
use crate::{has_ended, until};
use nix::errno::Errno::{self, *};
use nix::libc;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

/// A kind of call, which of them count, and what it may say.
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
    ("inotify_init", INOTIFY_INIT, all, &[EMFILE, ENFILE, ENOMEM]),
    (
        "openat2",
        &[libc::SYS_openat2],
        all,
        &[EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM, EIO, ENOSYS],
    ),
    // Not those of the loader, which opens the libraries.
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

/// The server in the place of a shell that waits until it is traced.
fn start_in_a_shell(model: &str, root: &str) -> Child {
    Command::new("sh")
        .args(["-c", "read go; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_evserve"))
        .args(["--model", model, "--listen", "127.0.0.1:0", root])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell starts")
}

/// One start. `None` if no call failed, else whether it serves all the same.
fn start(model: &str, root: &str, fault: Fault) -> Option<bool> {
    let mut child = start_in_a_shell(model, root);
    let tracer = Tracer::attach(child.id(), fault, true);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"go\n").expect("it reads");
    let (sender, lines) = channel();
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut said = String::new();
    let mut serves = false;
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let address = line.split(" at http://").nth(1).map(|rest| rest.trim_end());
                let address = address.and_then(|rest| rest.split('/').next()?.parse().ok());
                said += &line;
                said += "\n";
                if let Some(address) = address {
                    serves = is_served(address);
                    if serves {
                        let id = Pid::from_child(&child);
                        kill_process(id, Signal::TERM).expect("it runs");
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: {said}"),
        }
    }
    until("it ends", || has_ended(child.id()));
    let status = child.wait().expect("it is our child");
    let struck = tracer.end();
    assert!(!said.contains("panicked"), "{said}");
    if serves {
        assert_eq!(status.code(), Some(0), "{said}");
    } else {
        assert!(struck, "{said}");
        assert_eq!(status.code(), Some(1), "{said}");
        let sentence = said.lines().last().unwrap_or_default();
        assert!(
            sentence.starts_with("evserve: ") && sentence.len() > 30,
            "{said}"
        );
    }
    struck.then_some(serves)
}

/// The fault may still come, and may then be that of the first client.
fn is_served(address: SocketAddr) -> bool {
    (0..2).any(|_| {
        play::connect(address).is_some() && play::ask_for_everything(address) == Fate::Whole
    })
}

#[test]
fn what_fails_at_the_start_is_said_or_survived() {
    let root = tempfile::tempdir().expect("a directory");
    for length in play::FILES {
        let path = root.path().join(length.to_string());
        std::fs::write(path, pattern(length)).expect("written");
    }
    let root = root.path().to_str().expect("UTF-8");
    for model in ["epoll", "threaded", "forking"] {
        for (name, calls, counts, errors) in ROWS {
            for errno in *errors {
                for nth in 1..=2 {
                    let fault = Fault {
                        calls,
                        counts: *counts,
                        errno: *errno,
                        nth,
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
    }
}
