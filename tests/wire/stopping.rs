//! Shutdown, whatever hangs: a handler that does not return, a terminal that is gone.

use crate::common::{
    Client, Evserve, PATIENCE, Program, READY, on_every_loop, on_every_model, row,
    serves_one_at_a_time, with_one_loop,
};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

fn faulty(arguments: &[&str]) -> Evserve {
    let program = Program::example("faulty").args(arguments);
    program.stderr(Stdio::null()).start()
}

/// A hanging thread is left behind and a hanging process killed. A loop on the only thread ends
/// with SIGALRM.
fn has_ended(model: &str, status: ExitStatus) {
    let by_alarm = status.signal() == Some(Signal::ALARM.as_raw());
    let is_loop = crate::common::is_loop(model);
    assert!(
        status.success() || (is_loop && by_alarm),
        "{model}: {status:?}"
    );
}

#[test]
fn a_hanging_handler_does_not_delay_shutdown() {
    on_every_model(|model| {
        let mut server = faulty(&[model]);
        let mut client = server.connect();
        client.send("hang");
        // Other clients are served, unless the hanging thread or process is the only one, or serves
        // many.
        if !row(model).waits_for_many() && !serves_one_at_a_time(model) {
            let mut other = server.connect();
            other.send("x");
            assert_eq!(other.read(1), b"x", "{model}");
        }
        server.signal(Signal::TERM);
        has_ended(model, server.status());
    });
}

#[test]
fn a_hanging_worker_does_not_delay_shutdown() {
    on_every_loop(|model| {
        for hanging in 1..=3 {
            let mut server = faulty(&[model, "127.0.0.1:0", "3"]);
            let clients: Vec<_> = (0..hanging)
                .map(|_| {
                    let mut client = server.connect();
                    client.send("hang");
                    client
                })
                .collect();
            server.signal(Signal::TERM);
            has_ended(model, server.status());
            drop(clients);
        }
    });
}

/// A client that waits to be accepted is connected, as far as it knows. (One that has sent nothing
/// yet is not: see TCP_DEFER_ACCEPT in tcp(7).)
#[test]
fn clients_that_wait_to_be_accepted_are_served_when_the_server_stops() {
    const CLIENTS: usize = 8;
    on_every_model(|model| {
        let options = "--mode echo --mode http --listen echo=127.0.0.1:0 --listen http=127.0.0.1:0";
        let mut evserve = Program::model(model, options).arg("docs/site").start();
        let [echo, http] = evserve.addresses[..] else {
            panic!("two addresses");
        };
        let expected = requested_content(http);
        evserve.signal(Signal::STOP);
        let connect = |address| (0..CLIENTS).map(|_| Client::connect(address)).collect();
        let (mut of_echo, mut of_http): (Vec<_>, Vec<_>) = (connect(echo), connect(http));
        of_echo.iter_mut().for_each(|one| one.send("hello"));
        of_http.iter_mut().for_each(|one| one.send(REQUEST));
        wait_for_backlog(echo, CLIENTS);
        wait_for_backlog(http, CLIENTS);
        evserve.terminate();
        evserve.signal(Signal::CONT);
        for client in &mut of_http {
            assert!(client.rest().ends_with(&expected), "{model}");
        }
        for client in &mut of_echo {
            assert_eq!(client.rest(), b"hello", "{model}");
        }
        let ended = evserve.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        for address in [echo, http] {
            let later = TcpStream::connect(address).map_err(|error| error.kind());
            assert!(
                matches!(later, Err(ErrorKind::ConnectionRefused)),
                "{model}"
            );
        }
    });
}

/// They wait no longer than the drain timeout.
#[test]
fn clients_that_wait_behind_a_transfer_are_cut_off_with_it() {
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("huge")).expect("made");
    file.set_len(1 << 30).expect("sparse");
    on_every_model(|model| {
        // Each loop logs its own connections.
        let program = Program::model(model, "--listen 127.0.0.1:0 --drain-timeout 200ms");
        let program = program.arg(root.path()).args(with_one_loop(model));
        let mut evserve = program.start();
        let mut stuck = evserve.connect();
        stuck.send("GET /huge HTTP/1.0\r\n\r\n");
        stuck.read(9);
        let mut waiting: Vec<_> = (0..3).map(|_| evserve.connect()).collect();
        let request = "GET /huge HTTP/1.0\r\n\r\n";
        waiting.iter_mut().for_each(|client| client.send(request));
        evserve.terminate();
        let ended = evserve.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert!(
            ended.log.contains("cut off 4 connections"),
            "{model}: {}",
            ended.log
        );
    });
}

/// Waits until so many connections wait to be accepted (`/proc/net/tcp` shows them as the queue of a
/// listening socket).
fn wait_for_backlog(address: SocketAddr, count: usize) {
    let listens = format!(":{:04X} 00000000:0000 0A ", address.port());
    let end = Instant::now() + PATIENCE;
    loop {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("a table");
        let listeners = sockets.lines().filter(|line| line.contains(&listens));
        let waiting = listeners.filter_map(|line| {
            let (_, waiting) = line.split_whitespace().nth(4)?.split_once(':')?;
            usize::from_str_radix(waiting, 16).ok()
        });
        if waiting.sum::<usize>() >= count {
            return;
        }
        assert!(Instant::now() < end, "they do not arrive: {sockets}");
        std::thread::yield_now();
    }
}

const REQUEST: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";

/// The content of the file that [`REQUEST`] asks for.
fn requested_content(address: SocketAddr) -> Vec<u8> {
    let mut client = Client::connect(address);
    client.send(REQUEST);
    client.response().body
}

/// The drain timeout is an hour here.
#[test]
fn a_second_signal_ends_a_hanging_server() {
    on_every_model(|model| {
        let mut server = faulty(&[model, "127.0.0.1:0", "1", "3600"]);
        let mut client = server.connect();
        client.send("hang");
        let mut signals = 0;
        while !server.has_ended() {
            server.signal(Signal::TERM);
            signals += 1;
            assert!(signals < 600, "{model} does not end");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let status = server.status();
        let by_alarm = status.signal() == Some(Signal::ALARM.as_raw());
        assert!(status.success() || by_alarm, "{model}: {status:?}");
    });
}

/// Starts a server with a session and a terminal of its own. Returns the other side of the
/// terminal.
fn on_a_terminal(model: &str, stderr_too: bool) -> (std::fs::File, Evserve) {
    let (master, slave) = crate::common::terminal();
    let program = Program::model(model, "--mode echo --listen 127.0.0.1:0");
    let program = program
        .run_by(["setsid", "--ctty", "--wait"])
        .stdout(Stdio::null());
    let evserve = match stderr_too {
        true => {
            let stderr = slave.try_clone().expect("one more");
            program.stdin(slave).stderr(stderr).spawn()
        }
        false => program.stdin(slave).start(),
    };
    (master.into(), evserve)
}

#[test]
fn a_closing_terminal_ends_its_server() {
    on_every_model(|model| {
        let (master, mut evserve) = on_a_terminal(model, true);
        let mut lines = BufReader::new(master);
        let mut line = String::new();
        while !line.contains(READY) {
            line.clear();
            lines.read_line(&mut line).expect("a line");
        }
        drop(lines);
        let status = evserve.status();
        assert!(status.success(), "{model}: {status:?}");
    });
}

/// With its standard error elsewhere, SIGHUP reopens the log as usual.
#[test]
fn a_closing_terminal_spares_a_server_that_logs_elsewhere() {
    on_every_model(|model| {
        let (master, evserve) = on_a_terminal(model, false);
        drop(master);
        let mut client = evserve.connect();
        client.send("x");
        assert_eq!(client.read(1), b"x", "{model}");
        drop(client);
        let log = evserve.stop().log;
        assert!(log.contains("served "), "{log}");
    });
}

/// On a terminal, too, SIGHUP from another process reopens the log.
#[test]
fn sighup_does_not_end_a_server_on_an_open_terminal() {
    let (mut master, mut evserve) = on_a_terminal("epoll", true);
    let mut heard = String::new();
    let mut some = [0; 4096];
    let mut hear_until = |text: &str| {
        while !heard.contains(text) {
            let count = master.read(&mut some).expect("it is open");
            heard += &String::from_utf8_lossy(&some[..count]);
        }
    };
    hear_until(READY);
    evserve.signal(Signal::HUP);
    evserve.terminate();
    hear_until("served ");
    assert!(evserve.status().success());
}
