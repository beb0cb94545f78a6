//! Warnings that clients can cause: each kind is logged at most once a second, and all are counted.

use crate::common::{Evserve, Program, on_every_model};
use rustix::process::Signal;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

/// The number before `text` in a line.
fn number_before(line: &str, text: &str) -> Option<usize> {
    let before = line.split(text).next().filter(|before| *before != line)?;
    before.rsplit(['(', ' ']).next()?.parse().ok()
}

#[test]
fn panics_are_logged_once_a_second_and_all_are_counted() {
    // More than a ring has buffers.
    const PANICS: usize = 80;
    on_every_model(|model| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let stderr = Stdio::from(file.reopen().expect("once more"));
        let mut server = Program::example("faulty").arg(model).stderr(stderr).start();
        let begin = Instant::now();
        for _ in 0..PANICS {
            let mut client = server.connect();
            client.send("panic now");
            client.wait_for_close();
        }
        let seconds = begin.elapsed().as_secs() as usize;
        server.signal(Signal::TERM);
        assert!(server.status().success(), "{model}");
        let log = std::fs::read_to_string(file.path()).expect("text");
        let mut counted = 0;
        for kind in ["panicked at ", "a session panicked: being faulty"] {
            let logged = log.matches(kind).count();
            assert!((1..=seconds + 1).contains(&logged), "{model}: {log}");
            counted += logged;
        }
        for line in log.lines() {
            counted += number_before(line, " more of this kind were not logged").unwrap_or(0);
            counted += number_before(line, " more warnings were not logged").unwrap_or(0);
        }
        assert_eq!(counted, 2 * PANICS, "{model}: {log}");
    });
}

/// The beginning of a browser's TLS handshake. No byte of it ends a line.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x55\xa1\x12";

#[test]
fn a_tls_client_is_refused_at_once_and_logged() {
    on_every_model(|model| {
        let evserve = Evserve::http(model, Path::new("docs/site"), &[]);
        let begin = Instant::now();
        for split in [0, 1, 2, 5] {
            let mut client = evserve.connect();
            client.send(&CLIENT_HELLO[..split]);
            client.send(&CLIENT_HELLO[split..]);
            assert_eq!(client.response().status, 400, "{model}");
        }
        let seconds = begin.elapsed().as_secs() as usize;
        let log = evserve.stop().log;
        let hints = log
            .matches("a TLS client connected to a plain http port")
            .count();
        assert!((1..=seconds + 1).contains(&hints), "{model}: {log}");
    });
}

/// Other malformed requests get no hint about TLS.
#[test]
fn bytes_that_resemble_tls_are_not_reported_as_tls() {
    let evserve = Evserve::http("epoll", Path::new("docs/site"), &[]);
    for bytes in [&b"\x16GET / HTTP/1.1\r\n\r\n"[..], b"\x15\x03\x01\r\n\r\n"] {
        let mut client = evserve.connect();
        client.send(bytes);
        assert_eq!(client.response().status, 400);
    }
    assert!(!evserve.stop().log.contains("TLS"));
}
