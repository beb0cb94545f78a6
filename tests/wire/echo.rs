//! Echo (RFC 862).

use crate::common::{Evserve, on_every_model, pattern};
use std::io::Write;
use std::thread;
use std::time::Duration;

#[test]
fn every_byte_comes_back_in_order() {
    on_every_model(|model| {
        let evserve = Evserve::echo(model, &[]);
        let mut client = evserve.connect();
        client.send("hello");
        assert_eq!(client.read(5), b"hello");
        let bytes = pattern(10_000_000);
        let stream = client.stream().try_clone().expect("a socket");
        thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&bytes).expect("sent"));
            assert!(client.read(bytes.len()) == bytes, "it differs");
        });
        client.send("last");
        client.shutdown_write();
        assert_eq!(client.rest(), b"last", "what was sent before the end");
    });
}

/// Echo may be silent and go on, so a first reply does not end a connection, even while clients
/// wait.
#[test]
fn an_active_connection_stays_open_while_others_wait() {
    for (model, options) in [("blocking", &[] as &[&str]), ("pool", &["--threads", "1"])] {
        let mut evserve = Evserve::echo(model, options);
        let mut first = evserve.connect();
        first.send("first");
        assert_eq!(first.read(5), b"first", "{model}");
        let mut next = evserve.connect();
        next.send("next");
        for _ in 0..3 {
            // Longer than an idle connection is kept while clients wait.
            thread::sleep(Duration::from_millis(200));
            first.send("again");
            assert_eq!(first.read(5), b"again", "{model}");
        }
        drop(first);
        assert_eq!(next.read(4), b"next", "{model}");
        // The connection ends with the server and does not delay it.
        evserve.terminate();
        assert_eq!(next.rest(), b"", "{model}");
        let ended = evserve.wait();
        assert!(!ended.log.contains("cut off"), "{model}: {}", ended.log);
    }
}

#[test]
fn many_small_messages_come_back() {
    on_every_model(|model| {
        let evserve = Evserve::echo(model, &[]);
        let mut client = evserve.connect();
        for number in 0..2000_u32 {
            client.send(number.to_be_bytes());
            assert_eq!(client.read(4), number.to_be_bytes());
        }
    });
}

/// TCP stops a client that writes and never reads; the server's memory does not grow.
#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    on_every_model(|model| {
        let evserve = Evserve::echo(model, &[]);
        let mut client = evserve.connect();
        client.send("warm up");
        client.read(7);
        let mut stream = client.stream();
        stream.set_nonblocking(true).expect("a socket");
        let before = evserve.proc_status("VmRSS");
        let mut sent = 0;
        let mut refused = 0;
        while refused < 50 && sent < 100_000_000 {
            match stream.write(&[0; 65536]) {
                Ok(count) => {
                    sent += count;
                    refused = 0;
                }
                // No event says that the peer will take no more, only that it takes none now.
                Err(_) => {
                    refused += 1;
                    thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        }
        assert!(sent < 100_000_000, "the server read everything");
        let grown = evserve.proc_status("VmRSS").saturating_sub(before);
        assert!(grown < 4096, "memory grew by {grown} KiB");
    });
}
