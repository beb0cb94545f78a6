//! The settings of the model `io-uring`: each gives the same responses, and does what it says.

use crate::common::{Client, Evserve, Program, Response, pattern, skip};
use crate::models::{run_script, script, tree};
use std::path::Path;

/// Each setting alone, and those that meet in one operation.
const SETTINGS: &[&str] = &[
    "--uring poll",
    "--uring single",
    "--uring-file read",
    "--uring-file splice",
    "--uring-send zc",
    "--uring-fds ring",
    "--uring-sqpoll 1ms",
    "--uring-fds ring --uring single --uring-file splice --uring-send zc",
    "--uring-fds ring --uring single --uring-sqpoll 1ms",
];

/// False, and notes it, if the kernel lacks what a setting needs.
pub fn is_there(setting: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let is_there = !setting.contains("--uring-fds ring") || version >= (6, 15);
    if !is_there {
        skip("Linux 6.15", "older kernels keep registered sockets open");
    }
    is_there
}

/// A server of files with these settings of its ring.
fn with(settings: &str, options: &str, root: &Path) -> Evserve {
    let program = Program::evserve("--model io-uring --listen 127.0.0.1:0 --access-log off");
    program.options(settings).options(options).arg(root).start()
}

/// The responses to a part of the script.
fn answers(evserve: &Evserve) -> Vec<Response> {
    let requests = script();
    let mut answers = Vec::new();
    for step in [usize::MAX, 3, 50, 1000, usize::MAX] {
        let left = &requests[answers.len()..];
        answers.extend(run_script(evserve.address(), &left[..20], step));
    }
    answers
}

#[test]
fn each_setting_gives_the_same_responses() {
    let root = tree();
    for options in ["", "--cache-bytes 0 --cache-files 0"] {
        let expected = answers(&with("", options, root.path()));
        for setting in SETTINGS.iter().filter(|setting| is_there(setting)) {
            let evserve = with(setting, options, root.path());
            assert_eq!(answers(&evserve), expected, "{setting} {options}");
            let ended = evserve.stop();
            assert!(!ended.log.contains("panicked"), "{}", ended.log);
        }
    }
}

/// A file that is larger than a pipe and no multiple of a page.
const LARGE: usize = 1_500_123;

/// Requests 500,000 bytes of the large file.
fn ask_for_part(client: &mut Client, from: usize) {
    let last = from + 499_999;
    client.send(format!(
        "GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes={from}-{last}\r\n\r\n"
    ));
}

/// Clients that have not read anything keep their pipes, and there are more clients than pipes. Of
/// some of the others a pipe holds bytes when they leave.
#[test]
fn no_byte_in_a_pipe_reaches_another_client() {
    const CLIENTS: usize = 80;
    let root = tempfile::tempdir().expect("a directory");
    let large = pattern(LARGE);
    std::fs::write(root.path().join("large"), &large).expect("written");
    let options = "--workers 1 --trace-requests 1 --idle-timeout 1h";
    let mut evserve = with("--uring-file splice", options, root.path());
    let mut first = evserve.connect();
    ask_for_part(&mut first, 0);
    assert_eq!(first.response().body, &large[..500_000]);
    evserve.wait_for_log("fill a pipe from");
    for round in 0..3 {
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| evserve.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            ask_for_part(client, 1000 * number + round);
        }
        let mut staying = Vec::new();
        for (number, mut client) in clients.into_iter().enumerate() {
            // Its response has begun.
            assert_eq!(client.head().status, 206);
            if number % 4 != 0 {
                staying.push((number, client));
            }
        }
        for (number, mut client) in staying {
            let from = 1000 * number + round;
            let body = client.read(500_000);
            assert!(body == large[from..from + 500_000], "client {number}");
        }
    }
    let ended = evserve.stop();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn a_file_that_shrinks_ends_its_spliced_transfer() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("large");
    let sparse = std::fs::File::create(&path).expect("made");
    sparse.set_len(64 << 20).expect("set");
    let evserve = with("--uring-file splice", "", root.path());
    let mut client = evserve.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    sparse.set_len(1 << 20).expect("set");
    let body = client.rest();
    assert!(body.len() < 64 << 20, "{} bytes", body.len());
    assert_eq!(evserve.get("/large").body.len(), 1 << 20);
    evserve.stop();
}

/// The server closes each of them, and the client sees that although others are idle.
#[test]
fn registered_sockets_close_with_their_connections() {
    if !is_there("--uring-fds ring") {
        return;
    }
    let root = tree();
    // More clients than places.
    let options = "--idle-timeout 1s --max-connections 6";
    let evserve = with("--uring-fds ring", options, root.path());
    for round in 0..3 {
        let mut clients: Vec<_> = (0..8).map(|_| evserve.connect()).collect();
        for client in &mut clients {
            client.send("GET /1024 HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().body, pattern(1024), "round {round}");
        }
        for client in &mut clients {
            client.wait_for_close();
        }
    }
    for _ in 0..50 {
        let mut client = evserve.connect();
        client.send("GET /40000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().body, pattern(40_000));
        client.wait_for_close();
    }
    evserve.stop();
}
