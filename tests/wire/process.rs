//! The program as its user sees it: start, options, signals, end.

use crate::common::{Client, Evserve, Program, address_in, on_every_loop, on_every_model};
use rustix::process::Signal;
use std::net::{TcpListener, TcpStream};

#[test]
fn mistaken_options_are_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--mode", "gopher"], 2, &["gopher", "http", "echo"]),
        (&["--model", "magic"], 2, &["magic", "epoll"]),
        (&["--listen", "nonsense"], 2, &["nonsense", "has no port"]),
        (&["--head-timeout", "10"], 2, &["10s"]),
        (&["--frobnicate"], 2, &["--frobnicate"]),
        (&["/no/such/place"], 1, &["/no/such/place", "No such file"]),
        (&["/etc/passwd/x"], 1, &["/etc/passwd/x", "Not a directory"]),
        (
            &["--listen", &taken],
            1,
            &[&taken, "in use", "use another port (0 is any free one)"],
        ),
        (
            &["--listen", "192.0.2.1:0"],
            1,
            &["192.0.2.1", "no such address"],
        ),
    ];
    for (arguments, code, expected) in cases {
        let said = Program::evserve("").args(*arguments).fails(*code);
        for part in *expected {
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
    }
}

/// The first server keeps running, and the second one names it.
#[test]
fn a_port_in_use_is_reported_with_its_owner() {
    for (listen, also) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", ""),
        (":0", "127.0.0.1"),
        ("[::1]:0", "[::1]"),
    ] {
        let first = Evserve::start("epoll", &["--mode", "echo", "--listen", listen]);
        let port = first.address().port();
        let said = Program::evserve(&format!("--mode echo --listen {also}:{port}")).fails(1);
        let who = format!("evserve (process {}) uses this port", first.id());
        assert!(said.contains(&who), "{said}");
        assert!(said.contains("use another port"), "{said}");
        let mut client = first.connect();
        client.send("x");
        assert_eq!(client.read(1), b"x");
        first.stop();
    }
}

#[test]
fn help_lists_models_and_services() {
    let output = Program::evserve("--help").output();
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for row in evserve::model::MODELS {
        assert!(help.contains(row.name), "{help}");
    }
    for row in evserve::service::SERVICES {
        assert!(help.contains(row.name), "{help}");
    }
    assert!(
        Program::evserve("--version")
            .output()
            .stdout
            .starts_with(b"evserve ")
    );
}

#[test]
fn one_thread_runs_two_services() {
    let both = Program::evserve("--mode http --mode echo docs --listen http=127.0.0.1:0");
    let evserve = both
        .options("--listen echo=127.0.0.1:0 --listen echo=[::1]:0")
        .start();
    let mut echo: Vec<_> = evserve.addresses[1..]
        .iter()
        .map(|address| Client::connect(*address))
        .collect();
    for client in &mut echo {
        client.send("ping");
    }
    assert_eq!(evserve.get("/").status, 200);
    for client in &mut echo {
        assert_eq!(client.read(4), b"ping");
    }
    let tasks = std::fs::read_dir(format!("/proc/{}/task", evserve.id())).expect("it runs");
    assert_eq!(tasks.count(), 1);
}

#[test]
fn a_wildcard_listens_on_both_families() {
    for listen in [":0", "[::]:0"] {
        let evserve = Evserve::start("epoll", &["--listen", listen, "docs"]);
        let port = evserve.address().port();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let mut client = Client::connect(address.parse().expect("an address"));
            client.send("GET / HTTP/1.0\r\n\r\n");
            assert_eq!(client.response().status, 200, "{address}");
        }
        let log = evserve.stop().access_log;
        assert!(log.starts_with("127.0.0.1 "), "no mapped address: {log}");
    }
}

#[test]
fn sigterm_closes_idle_connections_and_finishes_busy_ones() {
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("huge")).expect("made");
    file.set_len(200_000_000).expect("sparse");
    on_every_model(|model| {
        for signal in [Signal::TERM, Signal::INT] {
            let mut evserve = Evserve::http(model, root.path(), &[]);
            let mut busy = evserve.connect();
            busy.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(busy.head().status, 200);
            evserve.signal(signal);
            evserve.wait_for_log("stopping");
            assert_eq!(busy.rest().len(), 200_000_000);
            let ended = evserve.wait();
            assert!(ended.status.success(), "{}", ended.log);
            assert!(
                ended.log.contains("served 1 request on 1 connection in"),
                "{}",
                ended.log
            );
            assert!(
                TcpStream::connect(evserve.address()).is_err(),
                "it listens still"
            );
        }
    });
}

#[test]
fn idle_connections_do_not_delay_shutdown() {
    on_every_model(|model| {
        let options = "--drain-timeout 1h --idle-timeout 1h --listen 127.0.0.1:0 docs";
        let evserve = Program::model(model, options).start();
        let mut used = evserve.connect();
        used.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        used.response();
        let mut fresh = evserve.connect();
        evserve.stop();
        assert_eq!(used.rest(), b"");
        // A connection that was not accepted is reset by the kernel, at the latest when the client
        // sends.
        fresh.try_send("x");
        fresh.wait_for_close();
    });
}

#[test]
fn the_drain_timeout_and_a_second_signal_end_open_transfers() {
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("huge")).expect("made");
    file.set_len(1 << 30).expect("sparse");
    on_every_model(|model| {
        for (drain, signals) in [("200ms", 1), ("1h", 2)] {
            let mut evserve = Evserve::http(model, root.path(), &["--drain-timeout", drain]);
            let mut stuck = evserve.connect();
            stuck.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(stuck.head().status, 200);
            evserve.terminate();
            evserve.wait_for_log("stopping");
            if signals == 2 {
                evserve.terminate();
            }
            let ended = evserve.wait();
            assert!(ended.status.success(), "{}", ended.log);
            assert!(ended.log.contains("cut off"), "{}", ended.log);
            assert!(ended.log.contains("served 1 request on"), "{}", ended.log);
            assert_eq!(ended.access_log.lines().count(), 1, "{}", ended.access_log);
        }
    });
}

#[test]
fn out_of_descriptors_every_client_is_served_eventually() {
    on_every_model(|model| {
        let program = Program::model(model, "--listen 127.0.0.1:0 --access-log off docs");
        let evserve = program.in_shell("ulimit -n 40; exec \"$@\"").start();
        let mut clients: Vec<_> = (0..100).map(|_| evserve.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for mut client in clients {
            assert_eq!(client.response().status, 200);
        }
    });
}

/// In a loop, connections that had a response or never sent a request are closed while clients
/// wait. A thread or a process in a blocking call cannot be asked to do that.
#[test]
fn idle_connections_make_room_for_waiting_clients() {
    on_every_loop(|model| {
        let options = "--max-connections 5 --idle-timeout 1h --listen 127.0.0.1:0 docs";
        let evserve = Program::model(model, options).start();
        let mut served: Vec<_> = (0..3).map(|_| evserve.connect()).collect();
        for client in &mut served {
            client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 404);
        }
        let silent: Vec<_> = (0..4).map(|_| evserve.connect()).collect();
        for _ in 0..3 {
            assert_eq!(evserve.get("/x").status, 404);
        }
        drop((served, silent));
    });
}

/// At the limit, each response asks its client to reconnect. No request is lost, and every client
/// gets a turn.
#[test]
fn busy_connections_lose_no_request_at_the_limit() {
    on_every_loop(|model| {
        let options = "--max-connections 4 --access-log off --listen 127.0.0.1:0 docs";
        let evserve = Program::model(model, options).start();
        let address = evserve.address();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    for _ in 0..300 {
                        client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
                        let response = client.response();
                        assert_eq!(response.status, 404);
                        if response.field("Connection") == Some("close") {
                            client = Client::connect(address);
                        }
                    }
                });
            }
        });
    });
}

/// An unread or unwritable log does not stop the server.
#[test]
fn an_unusable_log_does_not_stop_the_server() {
    let agent = "x".repeat(4000);
    let request = format!("GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
    on_every_model(|model| {
        // The pipe of the access log is read only at the end.
        let evserve = Evserve::start(model, &["--listen", "127.0.0.1:0", "docs"]);
        for _ in 0..100 {
            let mut client = evserve.connect();
            client.send(&request);
            assert_eq!(client.response().status, 404);
        }
        evserve.stop();
        let script = "\"$@\" >/dev/full 2> >(head -n2 >&2) & \
                      server=$!; trap 'kill $server' TERM; wait $server; wait $server";
        let program = Program::model(model, "--listen 127.0.0.1:0 docs");
        let mut evserve = program.in_shell(script).spawn();
        let line = evserve.wait_for_log("  http://");
        let address = address_in(&line).expect(&line);
        let address = address.parse().expect("an address");
        for _ in 0..5 {
            let mut client = Client::connect(address);
            client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(
                client.response().status,
                404,
                "nobody reads its standard error"
            );
        }
        evserve.terminate();
        let ended = evserve.wait();
        assert!(ended.status.success(), "{:?} {}", ended.status, ended.log);
    });
}
