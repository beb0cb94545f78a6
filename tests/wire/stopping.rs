//! The end, whatever hangs: a handler that does not answer, a terminal that has gone.

use crate::common::{Faulty, on_every_model, wait_for_end};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

/// The handler's thread is left behind, its process is killed; a loop on the only thread ends with SIGALRM.
fn has_ended(model: &str, status: ExitStatus) {
    let by_alarm = status.signal() == Some(Signal::ALARM.as_raw());
    let is_loop = crate::common::is_loop(model);
    assert!(
        status.success() || (is_loop && by_alarm),
        "{model}: {status:?}"
    );
}

#[test]
fn a_handler_that_hangs_does_not_hold_up_the_end() {
    on_every_model(|model| {
        let mut server = Faulty::start(&[model], Stdio::null());
        let mut client = server.connect();
        client.send("hang");
        // Unless it is the only thread or process that hangs, others are served.
        if !crate::common::is_loop(model) && model != "blocking" {
            let mut other = server.connect();
            other.send("x");
            assert_eq!(other.read(1), b"x", "{model}");
        }
        server.signal(Signal::TERM);
        has_ended(model, server.wait());
    });
}

#[test]
fn a_worker_that_hangs_does_not_hold_up_the_end() {
    for model in ["select", "poll", "epoll"] {
        for hanging in 1..=3 {
            let mut server = Faulty::start(&[model, "127.0.0.1:0", "3"], Stdio::null());
            let clients: Vec<_> = (0..hanging)
                .map(|_| {
                    let mut client = server.connect();
                    client.send("hang");
                    client
                })
                .collect();
            server.signal(Signal::TERM);
            has_ended(model, server.wait());
            drop(clients);
        }
    }
}

/// A second signal ends it without waiting for the drain time, here an hour.
#[test]
fn a_second_signal_ends_what_hangs() {
    on_every_model(|model| {
        let mut server = Faulty::start(&[model, "127.0.0.1:0", "1", "3600"], Stdio::null());
        let mut client = server.connect();
        client.send("hang");
        let mut signals = 0;
        while !server.has_ended() {
            server.signal(Signal::TERM);
            signals += 1;
            assert!(signals < 600, "{model} does not end");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let status = server.wait();
        let by_alarm = status.signal() == Some(Signal::ALARM.as_raw());
        assert!(status.success() || by_alarm, "{model}: {status:?}");
    });
}

/// Starts a server that leads a session of its own, on a terminal, and returns the terminal's other side.
fn on_a_terminal(model: &str, stderr_too: bool) -> (std::fs::File, std::process::Child) {
    let (master, slave) = crate::common::terminal();
    let stderr = match stderr_too {
        true => slave.try_clone().expect("one more").into(),
        false => Stdio::piped(),
    };
    let child = Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_evserve")])
        .args([
            "--model",
            model,
            "--mode",
            "echo",
            "--listen",
            "127.0.0.1:0",
        ])
        .stdin(slave)
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .expect("it starts");
    (master.into(), child)
}

#[test]
fn a_terminal_that_closes_ends_its_server() {
    on_every_model(|model| {
        let (master, mut child) = on_a_terminal(model, true);
        let mut lines = BufReader::new(master);
        let mut line = String::new();
        while !line.contains("limits: ") {
            line.clear();
            lines.read_line(&mut line).expect("a line");
        }
        drop(lines);
        let status = wait_for_end(&mut child);
        assert!(status.success(), "{model}: {status:?}");
    });
}

/// With its standard error elsewhere, SIGHUP is what it always is.
#[test]
fn a_terminal_that_closes_does_not_end_a_server_that_logs_elsewhere() {
    on_every_model(|model| {
        let (master, mut child) = on_a_terminal(model, false);
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut log = String::new();
        while !log.contains("limits: ") {
            lines.read_line(&mut log).expect("a line");
        }
        let address = log.lines().find_map(|line| line.split(" at ").nth(1));
        let address = address.and_then(|rest| rest.split(" (").next());
        let address = address.expect(&log).parse().expect("an address");
        drop(master);
        let mut client = crate::common::Client::connect(address);
        client.send("x");
        assert_eq!(client.read(1), b"x", "{model}");
        drop(client);
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, Signal::TERM).expect("it runs");
        assert!(wait_for_end(&mut child).success(), "{model}");
        lines.read_to_string(&mut log).expect("text");
        assert!(log.contains("served "), "{log}");
    });
}

/// SIGHUP from somebody else means a new log file, on a terminal too.
#[test]
fn sighup_ends_nobody_whose_terminal_is_there() {
    let (mut master, mut child) = on_a_terminal("epoll", true);
    let mut heard = String::new();
    let mut some = [0; 4096];
    let mut hear_until = |text: &str| {
        while !heard.contains(text) {
            let count = master.read(&mut some).expect("it is open");
            heard += &String::from_utf8_lossy(&some[..count]);
        }
    };
    hear_until("limits: ");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, Signal::HUP).expect("it runs");
    rustix::process::kill_process(id, Signal::TERM).expect("it runs");
    hear_until("served ");
    assert!(wait_for_end(&mut child).success());
}
