//! Sockets inherited from another process, as systemd passes them (sd_listen_fds(3)).

use crate::common::{Client, Program, on_every_model};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// evserve with a named socket as its descriptor 3.
fn program(socket: impl Into<OwnedFd>, name: &str, arguments: &[&str]) -> Program {
    let program = Program::evserve("").args(arguments);
    program.inherits(socket).env("LISTEN_FDNAMES", name)
}

#[test]
fn an_inherited_port_is_served() {
    on_every_model(|model| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let arguments = ["--model", model, "docs/site"];
        let evserve = program(listener, "http", &arguments).start();
        assert_eq!(evserve.address(), address, "nowhere else");
        assert_eq!(evserve.get("/").status, 200);
        evserve.stop();
    });
}

/// The process that opened the port keeps the socket and passes it to the next server.
#[test]
fn the_socket_outlives_the_server() {
    on_every_model(|model| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        for _ in 0..2 {
            let socket = listener.try_clone().expect("a socket");
            let arguments = ["--model", model, "docs/site"];
            let evserve = program(socket, "http", &arguments).start();
            assert_eq!(evserve.get("/").status, 200, "{model}");
            evserve.stop();
        }
    });
}

#[test]
fn the_name_of_the_socket_chooses_the_mode() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    let evserve = program(listener, "echo", &[]).start();
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"back").expect("sent");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("received");
    assert_eq!(heard, b"back");
    evserve.stop();
    assert!(path.exists(), "an inherited socket is not removed");
}

#[test]
fn several_loops_share_the_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let arguments = ["--mode", "daytime", "--workers", "2"];
    let evserve = program(listener, "", &arguments).start();
    for _ in 0..50 {
        assert!(Client::connect(address).rest().ends_with(b" GMT\r\n"));
    }
    evserve.stop();
}

#[test]
fn unusable_sockets_are_reported() {
    let socket = |name: &str, arguments: &[&str]| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        program(listener, name, arguments)
    };
    let file = std::fs::File::open("Cargo.toml").expect("it exists");
    let modes = ["--mode", "http", "--mode", "echo"];
    let cases = [
        (program(file, "http", &[]), 1, "cannot be used"),
        (
            socket("other", &modes),
            2,
            "is called other; expected a mode: http, echo",
        ),
        (socket("", &modes), 2, "is called nothing"),
    ];
    for (program, code, expected) in cases {
        let said = program.fails(code);
        assert!(said.contains(expected), "{said}");
    }
}
