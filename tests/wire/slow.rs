//! Clients that are too slow are dropped, and no other client waits for them.

use crate::common::{Client, Evserve, on_every_model, serves_one_at_a_time};
use std::fs::{File, write};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Short timeouts.
const SHORT: &[&str] = &[
    "--idle-timeout",
    "300ms",
    "--head-timeout",
    "300ms",
    "--body-timeout",
    "300ms",
    "--send-timeout",
    "500ms",
    "--drain-timeout",
    "1h",
];

/// How often a slow client sends or reads a little.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a slow sender sends first, what it repeats, and the response at its end.
const SENDERS: &[(&str, &str, &str)] = &[
    ("", "", ""),
    ("GET / HTTP/1.1\r\nA: ", "b", "HTTP/1.1 408 "),
    ("GET / HTTP/1.1\r\n", "A: b\r\n", "HTTP/1.1 408 "),
    (
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
        "b",
        "HTTP/1.1 408 ",
    ),
    (
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1\r\nb\r\n",
        "HTTP/1.1 408 ",
    ),
];

fn start(model: &str) -> (Evserve, TempDir) {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("one"), "1").expect("written");
    let huge = File::create(root.path().join("huge")).expect("made");
    huge.set_len(1 << 30).expect("sparse");
    (Evserve::http(model, root.path(), SHORT), root)
}

/// Sends a little again and again until the server closes.
fn dribble(mut client: Client, (begin, little, answer): (&str, &str, &str)) {
    client.send(begin);
    let stream = client.stream().try_clone().expect("a socket");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) && (&stream).write_all(little.as_bytes()).is_ok() {
                thread::sleep(INTERVAL);
            }
        });
        if !answer.is_empty() {
            let said = client.response().head;
            assert!(said.starts_with(answer), "{begin:?}: {said}");
        }
        assert_eq!(client.rest(), b"", "{begin:?}");
        over.store(true, Relaxed);
    });
}

#[test]
fn slow_senders_are_dropped_and_delay_no_other() {
    on_every_model(|model| {
        let (evserve, _root) = start(model);
        if serves_one_at_a_time(model) {
            for sender in SENDERS {
                dribble(evserve.connect(), *sender);
            }
            return;
        }
        thread::scope(|scope| {
            let senders = SENDERS.iter().map(|sender| {
                let client = evserve.connect();
                scope.spawn(|| dribble(client, *sender))
            });
            let senders: Vec<_> = senders.collect();
            loop {
                assert_eq!(evserve.get("/one").body, b"1", "{model}");
                if senders.iter().all(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
            }
        });
    });
}

#[test]
fn a_slow_reader_is_dropped_and_delays_no_other() {
    on_every_model(|model| {
        let (mut evserve, _root) = start(model);
        let mut client = evserve.connect();
        client.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200, "{model}");
        if !serves_one_at_a_time(model) {
            assert_eq!(evserve.get("/one").body, b"1", "{model}");
        }
        // While the server shuts down, only the client's own deadline ends the connection.
        evserve.terminate();
        let over = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) && client.read(16).len() == 16 {
                    thread::sleep(INTERVAL);
                }
            });
            let ended = evserve.wait();
            over.store(true, Relaxed);
            ended
        });
        assert!(ended.status.success(), "{model}: {}", ended.log);
        let mut lines = ended.access_log.lines();
        let line = lines.find(|line| line.contains("/huge")).expect("a line");
        let sent = line.split(' ').nth(9).and_then(|sent| sent.parse().ok());
        assert!(sent.is_some_and(|sent: u64| sent < 1 << 30), "{line}");
    });
}
