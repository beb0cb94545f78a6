//! Runs the demos of the course (`tests/demo`) with short timeouts and few clients: each shows what
//! its chapter claims.

use crate::common::{PATIENCE, is_missing};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A part of each demo's output, without figures.
const CONCLUSIONS: [(&str, &str); 11] = [
    (
        "blocking",
        "One silent client stopped the blocking server for",
    ),
    ("forking", "3 silent clients held all 3 processes"),
    ("threaded", "50 more idle connections took 50 threads"),
    (
        "pool",
        "Two silent clients stopped the pool of two threads for",
    ),
    ("select", "of 1,100 clients were refused"),
    ("poll", "a request costs"),
    ("epoll", "a request costs"),
    ("edge", "100 requests, 100 responses"),
    (
        "backpressure",
        "A client that did not read was not read from",
    ),
    ("chat", "bob reads:   alice: good morning"),
    ("io-uring", "of epoll's system calls per request"),
];

fn demo(name: &str) -> Command {
    let mut command = Command::new("tests/demo");
    command
        .arg("--short")
        .args(Some(name).filter(|name| !name.is_empty()));
    command.env("EVSERVE", env!("CARGO_BIN_EXE_evserve"));
    command
}

#[test]
fn every_demo_shows_what_it_claims() {
    if is_missing("python3") {
        return;
    }
    let list = demo("").output().expect("it starts").stdout;
    let list = String::from_utf8(list).expect("text");
    let names = list.lines().filter_map(|line| line.strip_prefix("  "));
    let names: Vec<_> = names.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, CONCLUSIONS.map(|(name, _)| name), "{list}");
    for (name, conclusion) in CONCLUSIONS {
        let output = demo(name).output().expect("it starts");
        let shown = String::from_utf8(output.stdout).expect("text");
        let errors = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{name}: {errors}{shown}");
        assert!(shown.contains(conclusion), "{name}: {shown}");
    }
}

#[test]
fn an_interrupted_demo_ends_its_server() {
    if is_missing("python3") {
        return;
    }
    let mut child = demo("blocking")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("text");
    let mut line = next();
    while !line.contains("listens on port ") {
        line = next();
    }
    let port = line.rsplit(' ').next().and_then(|port| port.parse().ok());
    let address = ("127.0.0.1", port.expect("a port"));
    while !line.contains("client 2 requests") {
        line = next();
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "the server still listens");
    }
}
