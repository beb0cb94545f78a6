//! The programs of the course: the minimal loops, and the answers to the exercises.

use crate::common::{Client, Evserve, Program, on_every_model};
use std::io::ErrorKind::WouldBlock;
use std::io::Read;

/// The models of `docs/io-models/minimal`.
const MINIMAL: &[&str] = &[
    "blocking",
    "forking",
    "threaded",
    "pool",
    "select",
    "poll",
    "epoll",
    "io-uring",
    #[cfg(feature = "tokio")]
    "tokio",
];

fn minimal(model: &str) -> Evserve {
    let program = Program::example("minimal");
    program.args([model, "127.0.0.1:0"]).start()
}

fn exercise(name: &str, model: &str) -> Evserve {
    let program = Program::example("exercises");
    program.args([name, "127.0.0.1:0", model]).start()
}

fn exchange(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.read(text.len()), text.as_bytes());
}

/// True if there is anything to receive now.
fn has_input(client: &Client) -> bool {
    let mut stream = client.stream();
    stream.set_nonblocking(true).expect("a socket");
    let result = stream.read(&mut [0; 64]).map_err(|error| error.kind());
    stream.set_nonblocking(false).expect("a socket");
    result != Err(WouldBlock)
}

#[test]
fn minimal_loops_echo() {
    for model in MINIMAL {
        let server = minimal(model);
        for _ in 0..3 {
            let mut client = server.connect();
            exchange(&mut client, "hello");
            exchange(&mut client, &"x".repeat(4096));
            client.shutdown_write();
            assert_eq!(client.rest(), b"", "{model}");
        }
    }
}

/// Three clients, one of them silent. Only `blocking` lets the second one wait for it.
#[test]
fn a_silent_client_holds_up_the_blocking_loop_alone() {
    for model in MINIMAL {
        let server = minimal(model);
        let mut silent = server.connect();
        exchange(&mut silent, "and now I am silent");
        if *model == "blocking" {
            let mut second = server.connect();
            second.send("hello");
            (0..100).for_each(|_| exchange(&mut silent, "again"));
            assert!(!has_input(&second), "it is served beside the first one");
            drop(silent);
            assert_eq!(second.read(5), b"hello");
        } else {
            let (mut second, mut third) = (server.connect(), server.connect());
            exchange(&mut second, "hello");
            exchange(&mut third, "hello");
        }
    }
}

/// The edge-triggered minimal loop reads one buffer and forgets the rest, until more comes: then it
/// reads one more. Level-triggered, the same loop is told again. The answer to the exercise reads all.
#[test]
fn an_edge_triggered_loop_reads_all_or_forgets_the_rest() {
    let text = "y".repeat(3 * 4096);
    let server = minimal("edge");
    let (mut client, mut other) = (server.connect(), server.connect());
    exchange(&mut client, "hello");
    exchange(&mut other, "hello");
    client.send(&text);
    client.read(4096);
    for _ in 0..2 {
        // Had the first one had another event, it would have come before these.
        (0..100).for_each(|_| exchange(&mut other, "again"));
        assert!(!has_input(&client), "it had another event");
        client.send("z");
        assert_eq!(client.read(4096), &text.as_bytes()[..4096]);
    }
    (0..100).for_each(|_| exchange(&mut other, "again"));
    assert!(!has_input(&client), "two bytes are left");
    let server = minimal("epoll");
    exchange(&mut server.connect(), &text);
    let server = exercise("edge", "");
    exchange(&mut server.connect(), &text);
}

#[test]
fn exercises_echo() {
    for name in [
        "limited",
        "buffered",
        "edge",
        "chained",
        #[cfg(feature = "tokio")]
        "task-size",
    ] {
        let server = exercise(name, "");
        let mut clients = [server.connect(), server.connect(), server.connect()];
        for client in &mut clients {
            exchange(client, "hello");
        }
        let mut client = clients.into_iter().next().expect("three");
        client.shutdown_write();
        assert_eq!(client.rest(), b"", "{name}");
    }
}

/// The descriptors of this server begin just below the end of a set.
#[test]
fn the_limited_loop_refuses_a_descriptor_that_has_no_bit() {
    let program = Program::example("exercises").args(["limited", "127.0.0.1:0"]);
    let fill =
        "ulimit -n 2048; for fd in {3..1021}; do eval \"exec $fd</dev/null\"; done; exec \"$@\"";
    let server = program.in_shell(fill).start();
    let mut first = server.connect();
    exchange(&mut first, "hello");
    assert_eq!(server.connect().rest(), b"", "it is closed");
    exchange(&mut first, "hello");
}

/// A client that does not read delays no other client.
#[test]
fn buffered_loops_do_not_wait_for_a_reader() {
    for name in ["buffered", "edge"] {
        let server = exercise(name, "");
        let slow = server.connect();
        let mut stream = slow.stream();
        stream.set_nonblocking(true).expect("a socket");
        let mut other = server.connect();
        // Until the server has stopped reading, and no buffer has room.
        let mut refused = 0;
        while refused < 100 {
            match std::io::Write::write(&mut stream, &[b'z'; 65536]) {
                Ok(_) => refused = 0,
                Err(error) if error.kind() == WouldBlock => refused += 1,
                Err(error) => panic!("{name}: {error}"),
            }
            exchange(&mut other, "hello");
        }
    }
}

#[test]
fn goodbye_to_a_silent_client() {
    on_every_model(|model| {
        let server = exercise("goodbye", model);
        let mut client = server.connect();
        assert_eq!(client.rest(), b"You were silent for too long. Goodbye.\n");
        drop(client);
        server.stop();
    });
}

#[test]
fn visitors_are_counted_where_memory_is_shared() {
    on_every_model(|model| {
        if model == "forking" {
            let program = Program::example("exercises");
            let refused = program.args(["visitors", "127.0.0.1:0", model]).fails(1);
            assert!(refused.contains("forking"), "{refused}");
            return;
        }
        let server = exercise("visitors", model);
        for number in 1..=3 {
            let expected = format!("You are visitor {number}.\n");
            assert_eq!(server.connect().rest(), expected.as_bytes(), "{model}");
        }
        server.stop();
    });
}

#[test]
fn primes_and_slices() {
    on_every_model(|model| {
        for name in ["primes", "slices"] {
            let server = exercise(name, model);
            let mut client = server.connect();
            client.send("1\n100\n2\n10000\n");
            let expected = "2\n541\n3\n104729\n";
            assert_eq!(
                client.read(expected.len()),
                expected.as_bytes(),
                "{name}, {model}"
            );
            client.send("0\n");
            assert!(client.read(5).is_ascii());
            drop(client);
            server.stop();
        }
    });
}

#[test]
fn chargen_has_no_end() {
    on_every_model(|model| {
        let server = exercise("chargen", model);
        let mut client = server.connect();
        let text = client.read(74 * 10_000);
        assert!(text.chunks(74).all(|line| line == &text[..74]), "{model}");
        assert!(text[..74].ends_with(b"abcdefgh\r\n"));
        drop(client);
        server.stop();
    });
}

#[test]
fn a_relay_reaches_all() {
    for model in ["threaded", "pool", "select", "poll", "epoll"] {
        let server = exercise("relay", model);
        let mut clients = Vec::new();
        for _ in 0..3 {
            // A client is a member once its own line comes back.
            let mut client = server.connect();
            exchange(&mut client, "1");
            clients.push(client);
        }
        clients[0].read(2);
        clients[1].read(1);
        clients[2].send("hello");
        for client in &mut clients {
            assert_eq!(client.read(5), b"hello", "{model}");
        }
    }
    let refused = Program::example("exercises").args(["relay", "127.0.0.1:0", "forking"]);
    refused.fails(1);
}
