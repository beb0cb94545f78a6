//! `--uring multishot`, the default: the kernel receives whether or not a session asks for input.

use crate::common::{Evserve, Program, pattern};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

/// More than the kernel buffers for a connection, the ring has buffers, and a backlog holds.
const MUCH: usize = 32 * 1024 * 1024;

fn start(options: &str) -> Evserve {
    let program = Program::evserve("--model io-uring --uring multishot --listen 127.0.0.1:0");
    program.options(options).start()
}

#[test]
fn bytes_keep_their_order_while_output_is_pending() {
    let evserve = start("--mode echo");
    let bytes = pattern(MUCH);
    let client = evserve.connect();
    let mut stream = client.stream();
    let mut writer = stream.try_clone().expect("a socket");
    let expected = bytes.clone();
    let sending = thread::spawn(move || writer.write_all(&bytes).expect("it is read"));
    let mut got = vec![0; MUCH];
    stream.read_exact(&mut got).expect("an echo");
    sending.join().expect("no panic");
    assert!(got == expected, "the bytes came in another order");
    drop(client);
    let log = evserve.stop().log;
    assert!(log.contains(" paused"), "no receive was paused: {log}");
}

/// While a file is sent, nobody takes the next requests: they wait, and only so many that the server
/// keeps its memory.
#[test]
fn requests_wait_while_a_file_is_sent() {
    const REQUESTS: usize = 2000;
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("large"), pattern(MUCH)).expect("written");
    std::fs::write(root.path().join("small"), "small").expect("written");
    let evserve = {
        let program = Program::evserve("--model io-uring --uring multishot --listen 127.0.0.1:0");
        program.arg(root.path()).start()
    };
    let mut client = evserve.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    client.send("GET /small HTTP/1.1\r\nHost: h\r\n\r\n".repeat(REQUESTS));
    // Another client is served meanwhile.
    assert_eq!(evserve.get("/small").body, b"small");
    assert!(client.response().body == pattern(MUCH));
    for number in 0..REQUESTS {
        assert_eq!(client.response().body, b"small", "response {number}");
    }
    drop(client);
    let log = evserve.stop().log;
    assert!(log.contains(" paused"), "no receive was paused: {log}");
}

/// All clients send while the server is stopped. When it goes on, it finds more input than the
/// ring's buffers hold.
#[test]
fn every_client_is_served_when_the_buffers_run_out() {
    const CLIENTS: usize = 60;
    let bytes = pattern(100_000);
    let evserve = start("--mode echo");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| evserve.connect()).collect();
    for client in &mut clients {
        // The server has accepted it, and receives.
        client.send("x");
        assert_eq!(client.read(1), b"x");
    }
    evserve.signal(Signal::STOP);
    for client in &mut clients {
        client.send(&bytes);
    }
    evserve.signal(Signal::CONT);
    for client in &mut clients {
        assert!(client.read(bytes.len()) == bytes);
    }
    drop(clients);
    // Without a buffer, it receives by a call.
    let log = evserve.stop().log;
    assert!(
        !log.contains(" 0 receives"),
        "the buffers did not run out: {log}"
    );
}

/// With few permits, the loop accepts connections one by one; with many, the kernel does so ahead.
#[test]
fn clients_beyond_the_permits_wait_and_are_served() {
    for (limit, call) in [(2, "accept4("), (3000, "queued for the ring: accept fd ")] {
        let options = format!("--mode echo --max-connections {limit} --trace-requests 9");
        let evserve = start(&options);
        for round in 0..20_u8 {
            let mut clients: Vec<_> = (0..20).map(|_| evserve.connect()).collect();
            for (client, number) in clients.iter_mut().zip(0_u8..) {
                client.send([round, number]);
            }
            for (mut client, number) in clients.into_iter().zip(0_u8..) {
                assert_eq!(client.read(2), [round, number]);
            }
        }
        let log = evserve.stop().log;
        assert!(log.contains(call), "{log}");
    }
}

/// Bytes and the end of input arrive together.
#[test]
fn the_end_of_a_unix_sockets_input_is_not_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let program = Program::evserve("--model io-uring --uring multishot --mode echo");
    let listen = format!("unix:{}", path.display());
    let evserve = program.args(["--listen", &listen]).start();
    for _ in 0..300 {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.write_all(b"text").expect("sent");
        stream.shutdown(Shutdown::Write).expect("open");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("an echo");
        assert_eq!(got, b"text");
    }
    assert!(evserve.stop().status.success());
}

#[test]
fn clients_that_leave_at_any_time_do_no_harm() {
    let evserve = start("--mode echo");
    for round in 0..200_usize {
        let mut client = evserve.connect();
        client.send(pattern(1 << (round % 20)));
        match round % 3 {
            0 => {}
            1 => client.shutdown_write(),
            _ => drop(client.read(1)),
        }
    }
    let mut client = evserve.connect();
    client.send("still here");
    assert_eq!(client.read(10), b"still here");
    drop(client);
    assert!(evserve.stop().status.success());
}
