//! Unix sockets with a path.

use crate::common::{Evserve, Program, on_every_model, pattern};
use rustix::fs::{FlockOperation, flock};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

fn start(model: &str, mode: &str, path: &Path, options: &[&str]) -> Evserve {
    let listen = format!("unix:{}", path.display());
    let all = [&["--mode", mode, "--listen", &listen, "docs/site"], options].concat();
    Evserve::start(model, &all)
}

/// Sends `said` and reads until the server closes.
fn exchange(path: &Path, said: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).expect("a listener");
    let mut writer = stream.try_clone().expect("a socket");
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(said).expect("sent");
            writer.shutdown(Shutdown::Write).expect("open");
        });
        stream.read_to_end(&mut heard).expect("received");
    });
    heard
}

#[test]
fn services_work_on_a_unix_socket() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let evserve = start(model, "http", &path, &[]);
        let get = b"GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";
        let heard = exchange(&path, get);
        let file = fs::read("docs/site/style.css").expect("it exists");
        assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"), "{model}");
        assert!(heard.ends_with(&file), "{model}");
        let log = evserve.stop().access_log;
        assert!(log.starts_with("- - - ["), "{log}");

        let _evserve = start(model, "echo", &path, &[]);
        let said = pattern(300_000);
        assert!(exchange(&path, &said) == said, "{model}");
    });
}

#[test]
fn the_socket_file_has_its_mode_and_is_removed() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        for (options, mode) in [(&[][..], 0o660), (&["--unix-mode", "0600"], 0o600)] {
            let evserve = start(model, "echo", &path, options);
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.permissions().mode() & 0o777, mode);
            assert_eq!(exchange(&path, b"x"), b"x");
            evserve.stop();
            assert!(!path.exists(), "{model} did not remove the socket");
        }
        let evserve = start(model, "echo", &path, &[]);
        fs::remove_file(&path).expect("it exists");
        fs::write(&path, "another's").expect("written");
        evserve.stop();
        assert_eq!(fs::read(&path).expect("still there"), b"another's");
    });
}

#[test]
fn several_loops_share_a_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let evserve = start("epoll", "echo", &path, &["--workers", "3"]);
    for _ in 0..100 {
        assert_eq!(exchange(&path, b"x"), b"x");
    }
    evserve.stop();
    assert!(!path.exists());
}

/// A server of echo at a path.
fn echo(path: &Path) -> Program {
    Program::evserve("--mode echo --listen").arg(format!("unix:{}", path.display()))
}

/// The message of a server that cannot start.
fn refusal(path: &Path) -> String {
    echo(path).fails(1)
}

#[test]
fn a_socket_or_file_in_the_way_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let first = start("epoll", "echo", &path, &[]);
    let before = fs::symlink_metadata(&path).expect("it exists").ino();
    let said = refusal(&path);
    let who = format!("evserve (process {}) uses it", first.id());
    assert!(said.contains(&who), "{said}");
    assert_eq!(
        fs::symlink_metadata(&path).expect("it exists").ino(),
        before
    );
    assert_eq!(exchange(&path, b"x"), b"x");
    first.stop();

    fs::write(&path, "precious").expect("written");
    assert!(refusal(&path).contains("exists and is not a socket"));
    assert_eq!(fs::read(&path).expect("it exists"), b"precious");
    let nowhere = directory.path().join("no/socket");
    assert!(refusal(&nowhere).contains("No such file or directory"));
}

#[test]
fn a_stale_socket_is_replaced() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "a listener of std leaves its file behind");
        let evserve = start(model, "echo", &path, &[]);
        assert_eq!(exchange(&path, b"x"), b"x");
        evserve.stop();
    });
}

/// Locks a directory, as any user may who can read it.
fn lock(directory: &Path) -> fs::File {
    let directory = fs::File::open(directory).expect("opened");
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    flock(&directory, exclusive).expect("the last reference");
    directory
}

#[test]
fn a_locked_directory_delays_neither_start_nor_end() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        // A stale socket is replaced nevertheless.
        drop(UnixListener::bind(&path).expect("bound"));
        let lock = lock(directory.path());
        let evserve = start(model, "echo", &path, &[]);
        assert_eq!(exchange(&path, b"x"), b"x");
        let log = evserve.stop().log;
        assert!(log.contains("has locked "), "{log}");
        assert!(!path.exists(), "{model} did not remove the socket");
        drop(lock);
    });
}

#[test]
fn sigterm_ends_a_server_that_waits_for_the_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let _lock = lock(directory.path());
    for _ in 0..5 {
        let mut evserve = echo(&path).spawn();
        evserve.terminate();
        evserve.wait();
    }
}

#[test]
fn one_of_several_concurrent_starts_gets_the_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    drop(UnixListener::bind(&path).expect("bound"));
    let all: Vec<_> = (0..6).map(|_| echo(&path).spawn()).collect();
    let mut running = Vec::new();
    for mut evserve in all {
        if evserve.wait_for_log("socket").contains("  unix:") {
            running.push(evserve);
        }
    }
    assert_eq!(running.len(), 1);
    assert_eq!(exchange(&path, b"x"), b"x");
    running.remove(0).stop();
}
