//! System calls that always fail: the server has a fallback, or pauses.
//!
//! strace(1) makes them fail. For calls that fail once see tests/faults.

use crate::common::{Evserve, Program, is_missing, on_every_model, pattern, with_threads};
use std::fs::write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Too long for memory, and for the kernel to buffer at once.
const LENGTH: usize = 3 << 20;

/// Serves `root` under strace with a fault. Returns `None` if strace is missing.
fn start(model: &str, root: &Path, inject: &str) -> Option<Evserve> {
    if is_missing("strace") {
        return None;
    }
    // strace counts the calls of each thread separately.
    let one = with_threads(model, 1);
    // With few permits, io-uring accepts connections one by one, with accept4(2).
    let few = match model {
        "io-uring" => "--max-connections 1000",
        _ => "",
    };
    let program = Program::model(model, "--listen 127.0.0.1:0")
        .args(one)
        .options(few)
        .arg(root);
    Some(program.run_by(injecting(inject)).start())
}

/// The command line of strace that makes calls fail.
fn injecting(fault: &str) -> [String; 7] {
    let inject = format!("inject={fault}");
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject].map(String::from)
}

#[test]
fn files_arrive_whole_without_sendfile() {
    let root = tempfile::tempdir().expect("a directory");
    let content = pattern(LENGTH);
    write(root.path().join("large"), &content).expect("written");
    on_every_model(|model| {
        // From the first call on, and from the third: bytes that were sent before are not sent
        // again.
        for fault in [
            "sendfile:error=EINVAL",
            "sendfile:error=ENOSYS",
            "sendfile:error=EOPNOTSUPP:when=3+",
            "sendfile:error=EPERM",
            "sendfile:error=EACCES:when=2+2",
        ] {
            let Some(mut evserve) = start(model, root.path(), fault) else {
                return;
            };
            let got = evserve.get("/large");
            assert!(got.body == content, "{fault}: {} bytes", got.body.len());
            let mut client = evserve.connect();
            client.send("GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes=1-900000,2000000-\r\n\r\n");
            let parts = client.response();
            assert_eq!(parts.status, 206, "{fault}");
            for part in [&content[1..=900_000], &content[2_000_000..]] {
                assert!(
                    parts.body.windows(part.len()).any(|window| window == part),
                    "{fault}"
                );
            }
            evserve.terminate_traced();
            assert!(evserve.wait().status.success());
        }
    });
}

/// A file that has shrunk ends the connection; it is not padded.
#[test]
fn a_file_that_shrinks_without_sendfile_ends_the_connection() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("large");
    on_every_model(|model| {
        let content = pattern(20 << 20);
        write(&path, &content).expect("written");
        let Some(mut evserve) = start(model, root.path(), "sendfile:error=EINVAL") else {
            return;
        };
        let mut client = evserve.connect();
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        client.head();
        let file = std::fs::File::options().write(true).open(&path);
        file.expect("open").set_len(15 << 20).expect("cut");
        let got = client.rest();
        assert!(got == content[..15 << 20], "{} bytes", got.len());
        evserve.terminate_traced();
        assert!(evserve.wait().status.success());
    });
}

/// A refused accept4(2) would fail again at once, so it is retried once a second and logged once.
#[test]
fn a_refused_accept_is_retried_once_a_second() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("a"), "abc").expect("written");
    on_every_model(|model| {
        let default = evserve::config::Config::default().model;
        let error = if model == default { "ENOSYS" } else { "EPERM" };
        let fault = format!("accept4:error={error}:when=1..2");
        let Some(mut evserve) = start(model, root.path(), &fault) else {
            return;
        };
        let begin = Instant::now();
        assert_eq!(evserve.get("/a").body, b"abc");
        // Two pauses of a second, the first of which may have begun a little earlier.
        let waited = begin.elapsed();
        assert!(waited > Duration::from_millis(1500), "{waited:?}");
        evserve.terminate_traced();
        let ended = evserve.wait();
        assert!(ended.status.success());
        let said = ended.log.matches("cannot accept connections at").count();
        assert_eq!(said, 1, "{}", ended.log);
    });
}

#[test]
fn a_server_that_may_not_accept_still_stops() {
    let root = tempfile::tempdir().expect("a directory");
    on_every_model(|model| {
        let Some(mut evserve) = start(model, root.path(), "accept4:error=EPERM") else {
            return;
        };
        let _client = evserve.connect();
        evserve.wait_for_log("cannot accept connections at");
        evserve.terminate_traced();
        assert!(evserve.wait().status.success());
    });
}

#[test]
fn a_missing_openat2_is_explained() {
    let root = tempfile::tempdir().expect("a directory");
    for (error, expected) in [
        ("EPERM", "a seccomp filter forbids openat2(2)"),
        ("ENOSYS", "Linux 5.6 or later"),
        ("EACCES", "name a directory or a file that can be read"),
    ] {
        let fault = format!("openat2:error={error}");
        if is_missing("strace") {
            return;
        }
        let program = Program::evserve("--listen 127.0.0.1:0").arg(root.path());
        let said = program.run_by(injecting(&fault)).fails(1);
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.contains("name a directory"), error == "EACCES");
    }
}
