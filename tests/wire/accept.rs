//! `--accept`: how loops share a listening port. Each way gives the same responses and keeps the
//! limits.

use crate::common::{Client, Program, Response};
use crate::models::{run_script, script, tree};
use std::path::Path;

/// Each way with each model that has it, and with each trigger.
const SETTINGS: &[&str] = &[
    "--model epoll --accept reuseport",
    "--model epoll --accept shared",
    "--model epoll --accept shared --trigger level",
    "--model epoll --accept exclusive",
    "--model epoll --accept exclusive --trigger level",
    "--model epoll --accept exclusive --trigger oneshot",
    "--model epoll --accept handover",
    "--model epoll --accept handover --trigger level",
    "--model select --accept shared",
    "--model select --accept handover",
    "--model poll --accept shared",
    "--model poll --accept handover",
    "--model io-uring --accept shared",
    "--model io-uring --accept handover",
    "--model io-uring --uring single --accept shared",
    "--model io-uring --uring poll --accept handover",
];

/// Those in which one loop's lack of room is no other loop's.
fn sharing() -> impl Iterator<Item = &'static str> {
    let all = SETTINGS.iter().copied();
    all.filter(|setting| !setting.contains("reuseport"))
}

fn with(setting: &str, options: &str) -> Program {
    let program = Program::evserve("--listen 127.0.0.1:0 --access-log off");
    program.options(setting).options(options)
}

/// The responses to a part of the script, on several connections.
fn answers(setting: &str, root: &Path) -> Vec<Response> {
    let evserve = with(setting, "--workers 3").arg(root).start();
    let requests = script();
    let mut answers = Vec::new();
    for step in [usize::MAX, 3, 50, 1000, usize::MAX] {
        let left = &requests[answers.len()..];
        answers.extend(run_script(evserve.address(), &left[..10], step));
    }
    let ended = evserve.stop();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    answers
}

#[test]
fn each_way_to_accept_gives_the_same_responses() {
    let root = tree();
    let expected = answers(SETTINGS[0], root.path());
    for setting in &SETTINGS[1..] {
        assert_eq!(answers(setting, root.path()), expected, "{setting}");
    }
}

fn exchange(client: &mut Client) {
    client.send("hello");
    assert_eq!(client.read(5), b"hello");
}

/// The numbers behind `what` in the line about the loops: one for each.
fn by_loop(log: &str, what: &str) -> Vec<u64> {
    let line = log
        .lines()
        .find(|line| line.contains("connections by loop"));
    let (_, rest) = line.and_then(|line| line.split_once(what)).expect(log);
    let numbers = rest.split([';', ',']).next().expect(log).replace(',', "");
    let numbers = numbers.split(" + ").map(|number| number.trim().parse());
    numbers.collect::<Result<_, _>>().expect(log)
}

fn connections(log: &str) -> Vec<u64> {
    by_loop(log, "connections by loop:")
}

/// Each of four loops may have one connection. The loop that is woken first has no room for the
/// second client, and another one serves it, and so on. The fifth waits for the end of one.
#[test]
fn a_loop_without_room_leaves_clients_to_others() {
    for setting in sharing() {
        let evserve = with(setting, "--mode echo --workers 4 --max-connections 4").start();
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = evserve.connect();
            exchange(&mut client);
            clients.push(client);
        }
        clients.iter_mut().for_each(exchange);
        let mut fifth = evserve.connect();
        fifth.send("hello");
        clients.iter_mut().for_each(exchange);
        drop(clients.remove(1));
        assert_eq!(fifth.read(5), b"hello", "{setting}");
        clients.iter_mut().for_each(exchange);
        drop((clients, fifth));
        let log = evserve.stop().log;
        let all = connections(&log);
        assert_eq!(all.iter().sum::<u64>(), 5, "{setting}: {log}");
        assert!(all.iter().all(|number| *number > 0), "{setting}: {log}");
    }
}

/// Connections that stay open are spread evenly, whatever their addresses are.
#[test]
fn handed_over_connections_are_even() {
    for setting in sharing().filter(|setting| setting.contains("handover")) {
        let evserve = with(setting, "--mode echo --workers 4").start();
        let mut clients: Vec<_> = (0..40).map(|_| evserve.connect()).collect();
        clients.iter_mut().for_each(exchange);
        let log = evserve.stop().log;
        assert_eq!(connections(&log), [10; 4], "{setting}: {log}");
    }
}

/// The first loop has more connections than it gives away: it counts those that have ended.
#[test]
fn the_loop_with_the_fewest_connections_gets_the_next() {
    let evserve = with("--model epoll --accept handover", "--mode echo --workers 2").start();
    let mut clients: Vec<_> = (0..6)
        .map(|_| {
            let mut client = evserve.connect();
            exchange(&mut client);
            client
        })
        .collect();
    // All of the loop that got the second, fourth and sixth.
    for place in [5, 3, 1] {
        let mut client = clients.remove(place);
        client.shutdown_write();
        assert_eq!(client.rest(), b"");
    }
    // Its turn has ended, in which it noted that.
    let mut more = Vec::new();
    for _ in 0..3 {
        let mut client = evserve.connect();
        exchange(&mut client);
        more.push(client);
    }
    let log = evserve.stop().log;
    assert_eq!(connections(&log), [3, 6], "{log}");
}

/// Clients in the backlog when the signal comes are served by any loop.
#[test]
fn clients_in_the_backlog_are_served_when_the_server_stops() {
    use rustix::process::Signal;
    for setting in sharing() {
        let evserve = with(setting, "--mode echo --workers 2").start();
        let mut first = evserve.connect();
        exchange(&mut first);
        evserve.signal(Signal::STOP);
        let mut clients: Vec<_> = (0..20).map(|_| evserve.connect()).collect();
        clients.iter_mut().for_each(|client| client.send("hello"));
        evserve.signal(Signal::TERM);
        evserve.signal(Signal::CONT);
        for client in &mut clients {
            assert_eq!(client.rest(), b"hello", "{setting}");
        }
        drop((first, clients));
        let mut evserve = evserve;
        let ended = evserve.wait();
        assert!(ended.status.success(), "{setting}: {}", ended.log);
    }
}

/// A Unix socket is one socket in any case.
#[test]
fn a_unix_socket_is_shared_by_its_loops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    for setting in SETTINGS {
        let options = format!("--mode echo --workers 2 --listen unix:{}", path.display());
        let evserve = with(setting, &options).start();
        for _ in 0..10 {
            use std::io::{Read, Write};
            let mut client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
            client.write_all(b"hello").expect("sent");
            let mut heard = [0; 5];
            client.read_exact(&mut heard).expect(setting);
            assert_eq!(&heard, b"hello");
        }
        let log = evserve.stop().log;
        assert_eq!(
            connections(&log).iter().sum::<u64>(),
            10,
            "{setting}: {log}"
        );
    }
}

/// The status shows who got the connections, in both forms, while the server runs.
#[test]
fn the_status_counts_by_loop() {
    let options = "--mode echo --workers 2 --status 127.0.0.1:0";
    let evserve = with("--model epoll --accept handover", options).start();
    let mut clients: Vec<_> = (0..6).map(|_| evserve.connect()).collect();
    clients.iter_mut().for_each(exchange);
    let get = |path: &str| {
        let mut client = Client::connect(evserve.addresses[1]);
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let response = String::from_utf8(client.rest()).expect("text");
        let (_, body) = response.split_once("\r\n\r\n").expect("a head");
        body.to_owned()
    };
    let metrics = get("/metrics");
    let number = |name: &str, index: usize| {
        let start = format!("evserve_{name}{{loop=\"{index}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&start));
        found
            .and_then(|number| number.parse::<u64>().ok())
            .expect(&metrics)
    };
    let all = [0, 1].map(|index| number("loop_accepted_connections_total", index));
    // One of them is that of the status.
    assert_eq!(all.iter().sum::<u64>(), 7, "{metrics}");
    assert_eq!(number("loop_listener_events_total", 1), 0, "{metrics}");
    assert!(number("loop_listener_events_total", 0) > 0, "{metrics}");
    let json: serde_json::Value = serde_json::from_str(&get("/status.json")).expect("JSON");
    assert_eq!(json["loops"][1]["accepted_connections"], 3, "{json}");
    assert_eq!(json["loops"].as_array().map(Vec::len), Some(2), "{json}");
}
