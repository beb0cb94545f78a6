//! `--trigger`: each kind of triggering gives the same responses, and costs what it must.

use crate::common::{Evserve, Program, Response};
use crate::models::{run_script, script, tree};
use std::io::{ErrorKind::WouldBlock, Write};
use std::path::Path;

const TRIGGERS: [&str; 3] = ["edge", "level", "oneshot"];

fn with(trigger: &str, options: &str) -> Program {
    let program = Program::evserve("--model epoll --listen 127.0.0.1:0 --access-log off");
    program.args(["--trigger", trigger]).options(options)
}

/// The responses to a part of the script, whose bytes come in pieces of several lengths.
fn answers(trigger: &str, root: &Path) -> Vec<Response> {
    let evserve = with(trigger, "").arg(root).start();
    let requests = script();
    let mut answers = Vec::new();
    for step in [usize::MAX, 3, 50, 1000, usize::MAX] {
        let left = &requests[answers.len()..];
        answers.extend(run_script(evserve.address(), &left[..20], step));
    }
    evserve.stop();
    answers
}

#[test]
fn each_trigger_gives_the_same_responses() {
    let root = tree();
    let [edge, level, oneshot] = TRIGGERS.map(|trigger| answers(trigger, root.path()));
    assert_eq!(edge, level);
    assert_eq!(edge, oneshot);
}

/// The number before ` {what}` in the summary at the end.
fn figure(log: &str, what: &str) -> u64 {
    let (before, _) = log.split_once(&format!(" {what}")).expect(log);
    let digits = before.rsplit(' ').next().map(|n| n.replace(',', ""));
    digits.and_then(|digits| digits.parse().ok()).expect(log)
}

/// Sends to an echo server until it reads no more. Other clients are served meanwhile, by turns of
/// the loop which show that it has finished with this one.
fn fill(evserve: &Evserve, mut stream: &std::net::TcpStream) {
    stream.set_nonblocking(true).expect("a socket");
    let mut other = evserve.connect();
    let mut refused = 0;
    while refused < 100 {
        match stream.write(&[b'z'; 65536]) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        other.send("hello");
        assert_eq!(other.read(5), b"hello");
    }
}

/// Input waits at the connection of a client that does not read, and it must not be watched for:
/// level-triggered, each wait would report it.
#[test]
fn a_client_that_does_not_read_causes_no_events() {
    for trigger in TRIGGERS {
        let evserve = with(trigger, "--mode echo").start();
        let slow = evserve.connect();
        fill(&evserve, slow.stream());
        let mut other = evserve.connect();
        for _ in 0..1000 {
            other.send("hello");
            assert_eq!(other.read(5), b"hello");
        }
        drop(other);
        drop(slow);
        let log = evserve.stop().log;
        let spurious = figure(&log, "of them spurious");
        assert!(spurious < 100, "{trigger}: {log}");
    }
}

/// The line of the first epoll_ctl(2) for a connection names its trigger.
#[test]
fn the_trace_names_the_trigger() {
    for (trigger, call) in [
        ("edge", "nothing -> readable+writable, edge-triggered"),
        ("level", "nothing -> readable, level-triggered"),
        ("oneshot", "nothing -> readable+once, one-shot"),
    ] {
        let mut evserve = with(trigger, "--mode echo --trace-requests 100").start();
        let mut client = evserve.connect();
        client.send("hello");
        assert_eq!(client.read(5), b"hello");
        evserve.wait_for_log(call);
        drop(client);
        evserve.stop();
    }
}
