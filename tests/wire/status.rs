//! The status of a running server: its page, its JSON, its events, its metrics.

use crate::common::{
    Client, Evserve, PATIENCE, Response, is_completion_model, is_loop, on_every_concurrent_model,
    on_every_model, on_one_model_of_each_kind, row,
};
use evserve::model::Executor;
use serde_json::Value;
use std::fs::write;
use std::net::SocketAddr;
use std::time::Instant;

/// Serves a directory, echo and the status.
fn start(model: &str, options: &[&str]) -> (Evserve, tempfile::TempDir) {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("a.txt"), "hello").expect("a file");
    let path = root.path().to_str().expect("UTF-8");
    let modes = ["--mode", "http", "--mode", "echo", "--status", "0", path];
    let listen = [
        "--listen",
        "http=127.0.0.1:0",
        "--listen",
        "echo=127.0.0.1:0",
    ];
    let evserve = Evserve::start(model, &[&modes[..], &listen, options].concat());
    (evserve, root)
}

fn ask(address: SocketAddr, path: &str) -> Response {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let mut response = client.head();
    response.body = match response.field("Content-Length") {
        Some(length) => client.read(length.parse().expect("a number")),
        None => client.rest(),
    };
    response
}

fn json(evserve: &Evserve) -> Value {
    let response = ask(evserve.addresses[2], "/status.json");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    serde_json::from_slice(&response.body).expect("JSON")
}

fn count(document: &Value, state: &str) -> u64 {
    let states = document["states"].as_array().expect("a list");
    let found = states.iter().find(|row| row[0] == state);
    found.map_or(0, |row| row[1].as_u64().expect("a number"))
}

#[test]
fn connections_are_shown_in_their_states() {
    on_every_concurrent_model(|model| {
        let (evserve, _root) = start(model, &[]);
        let (http, echo) = (evserve.addresses[0], evserve.addresses[1]);
        let mut silent = Client::connect(http);
        silent.send("GET /a.txt HT");
        let mut idle = Client::connect(http);
        idle.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(idle.response().body, b"hello");
        let mut talks = Client::connect(echo);
        talks.send("12345");
        assert_eq!(talks.read(5), b"12345");
        // A thread may have sent a response before it counts it, or may not have received its input
        // yet.
        let mut document = json(&evserve);
        let is_settled = |document: &Value| {
            let cells = document["connection_rows"].as_array().expect("a list");
            let settled = |cell: &&Value| cell["state"] == "echoing" && cell["waits_for"] == "read";
            cells.iter().any(|cell| settled(&cell))
                && count(document, "keep-alive") == 1
                && count(document, "reading request") == 1
        };
        let (mut looks, end) = (1, Instant::now() + PATIENCE);
        while row(model).executor != Executor::Process && !is_settled(&document) {
            assert!(
                !is_loop(model) && Instant::now() < end,
                "{model}: {document:#}"
            );
            document = json(&evserve);
            looks += 1;
        }
        assert_eq!(document["model"], model);
        assert_eq!(document["draining"], false);
        let cells = document["connection_rows"].as_array().expect("a list");
        if row(model).executor == Executor::Process {
            assert_eq!(count(&document, "in its own process"), 3);
            assert_eq!(document["executors"]["kind"], "processes");
            return;
        }
        let kind = match row(model).executor {
            Executor::Loop => "loops",
            Executor::Task => "tasks",
            Executor::Thread | Executor::Process => "threads",
        };
        assert_eq!(document["executors"]["kind"], kind, "{model}");
        let find = |state: &str| {
            let cell = cells.iter().find(|cell| cell["state"] == state);
            cell.unwrap_or_else(|| panic!("{model}: nobody is {state}: {document:#}"))
        };
        for (state, received, sent) in [("reading request", 13, 0), ("echoing", 5, 5)] {
            let cell = find(state);
            assert_eq!(cell["waits_for"], "read", "{model}: {cell}");
            assert_eq!(cell["received_bytes"], received, "{model}: {cell}");
            assert_eq!(cell["sent_bytes"], sent, "{model}: {cell}");
            let in_flight = cell["in_flight"].as_array().expect("a list");
            match is_completion_model(model) {
                true => assert_eq!(in_flight[..], ["receive"], "{model}: {cell}"),
                false => assert!(in_flight.is_empty(), "{model}: {cell}"),
            }
        }
        assert_eq!(count(&document, "keep-alive"), 1, "{model}: {document:#}");
        if is_completion_model(model) {
            let all = document["in_flight"].as_array().expect("a list");
            let receives = all.iter().find(|row| row[0] == "receive");
            let count = receives.and_then(|row| row[1].as_u64());
            // Of three clients, and perhaps of the one that asks.
            assert!(matches!(count, Some(3 | 4)), "{document:#}");
        }
        assert!(
            find("keep-alive")["time_left_ms"]
                .as_u64()
                .expect("a deadline")
                <= 30_000
        );
        let requests = document["counters"]["requests"].as_u64();
        // The request for the status is counted, or about to be. With threads, its own state may be
        // a moment old.
        assert!(
            requests.is_some_and(|count| (1..=1 + looks).contains(&count)),
            "{model}: {requests:?}"
        );
        let steps = document["transitions"].as_array().expect("a list");
        let taken = |from: &str, to: &str| {
            let step = steps
                .iter()
                .find(|row| row[0][0] == from && row[0][1] == to);
            step.map_or(0, |row| row[1].as_u64().expect("a number"))
        };
        let answered = taken("reading request", "writing head");
        assert!((1..=1 + looks).contains(&answered), "{model}: {answered}");
        assert_eq!(taken("writing head", "keep-alive"), 1, "{model}");
        assert_eq!(taken("accepted", "echoing"), 1, "{model}");
        drop((silent, idle, talks));
    });
}

#[test]
fn viewers_receive_updates() {
    on_every_model(|model| {
        let (evserve, _root) = start(model, &[]);
        let mut requests = Vec::new();
        let mut watcher = None;
        for round in 1..=3 {
            for _ in 0..round {
                assert_eq!(evserve.get("/a.txt").status, 200);
            }
            let why_no_stream = row(model).no_streams_because.is_some();
            let client = watcher.get_or_insert_with(|| {
                let mut client = Client::connect(evserve.addresses[2]);
                client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let head = client.head();
                assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
                assert_eq!(head.field("Connection"), Some("close"), "{model}");
                client
            });
            let end = Instant::now() + PATIENCE;
            let number = loop {
                let line = client.line();
                let Some(data) = line.strip_prefix("data: ") else {
                    continue;
                };
                let event: Value = serde_json::from_str(data).expect("JSON");
                let number = event["counters"]["requests"].as_u64().expect("a number");
                // The counts of other connections arrive sooner or later.
                if number > requests.last().copied().unwrap_or(0) || why_no_stream {
                    break number;
                }
                assert!(Instant::now() < end, "{model}");
            };
            requests.push(number);
            if why_no_stream {
                watcher = None;
            }
        }
        assert!(requests.is_sorted(), "{model}: {requests:?}");
        let ended = evserve.stop();
        assert!(!ended.log.contains("cut off"), "{model}: {}", ended.log);
        assert!(!ended.access_log.contains("events"), "{model}: no visitor");
    });
}

#[test]
fn several_loops_are_shown_as_one_server() {
    let (evserve, _root) = start("epoll", &["--workers", "3"]);
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = Client::connect(evserve.addresses[0]);
            client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 200);
            client
        })
        .collect();
    let document = json(&evserve);
    assert_eq!(count(&document, "keep-alive"), 40);
    assert_eq!(document["counters"]["requests"], 41);
    assert_eq!(document["executors"]["count"], 3);
    drop(clients);
}

/// A request for the status waits for the answers of the other loops like for a client; it does not
/// poll.
#[test]
fn a_status_of_several_loops_takes_few_turns() {
    let (evserve, _root) = start("epoll", &["--workers", "4"]);
    let mut before = 0;
    for _ in 0..20 {
        let waits = json(&evserve)["counters"]["wait_calls"]
            .as_u64()
            .expect("a number");
        // The first document is that of a server that has just started.
        assert!(
            before == 0 || waits - before < 40,
            "{} waits",
            waits - before
        );
        before = waits;
    }
}

/// A viewer that does not read costs little memory, and gets the current state once it reads again.
#[test]
fn a_slow_viewer_skips_updates() {
    on_one_model_of_each_kind(|model| {
        if row(model).no_streams_because.is_some() {
            return;
        }
        let (evserve, _root) = start(model, &[]);
        let mut client = Client::connect(evserve.addresses[2]);
        client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.head();
        assert_eq!(head.status, 200, "{model}");
        let _clients: Vec<_> = (0..390)
            .map(|_| Client::connect(evserve.addresses[1]))
            .collect();
        // Another viewer reads until the server has sent far more than the kernel buffers.
        let mut other = Client::connect(evserve.addresses[2]);
        other.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut heard = 0;
        let mut now = 0;
        while heard < 50 {
            if let Some(uptime) = uptime(&other.line()) {
                (heard, now) = (heard + 1, uptime);
            }
        }
        let mut unread = 0;
        while uptime(&client.line()).is_none_or(|uptime| uptime <= now) {
            unread += 1;
        }
        let unread = unread / LINES;
        assert!((2..40).contains(&unread), "{model}: {unread} events of 50");
    });
}

/// The number of lines of an event.
const LINES: usize = 3;

/// The server's uptime, if the line contains it.
fn uptime(line: &str) -> Option<u64> {
    let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).expect("JSON");
    event["uptime_ms"].as_u64()
}

/// An event of many connections fits into a mailbox. All are counted, a sample is shown.
#[test]
fn a_sample_of_many_connections_is_shown() {
    let (evserve, _root) = start("epoll", &["--workers", "2"]);
    let clients: Vec<_> = (0..700)
        .map(|_| Client::connect(evserve.addresses[1]))
        .collect();
    let end = Instant::now() + PATIENCE;
    let mut client = Client::connect(evserve.addresses[2]);
    client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    loop {
        let line = client.line();
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        assert!(data.len() < 30_000, "{} bytes", data.len());
        let event: Value = serde_json::from_str(data).expect("JSON");
        let shown = event["connection_rows"].as_array().expect("a list").len();
        assert!(shown <= 402, "{shown} are shown");
        if count(&event, "echoing") == 700 {
            assert!(shown >= 200, "{shown} are shown");
            break;
        }
        assert!(Instant::now() < end, "{event:#}");
    }
    drop(clients);
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    on_every_model(|model| {
        let (evserve, _root) = start(model, &[]);
        let status = evserve.addresses[2];
        for (path, media_type, text) in [
            ("/", "text/html; charset=utf-8", "evserve status"),
            ("/live.js", "text/javascript", "EventSource"),
            ("/live.css", "text/css", "#cells"),
            ("/healthz", "text/plain; charset=utf-8", "ok"),
            (
                "/metrics",
                "text/plain; version=0.0.4; charset=utf-8",
                "evserve_requests_total",
            ),
        ] {
            let response = ask(status, path);
            assert_eq!(response.status, 200, "{model}: {path}");
            assert_eq!(response.field("Content-Type"), Some(media_type), "{path}");
            let body = String::from_utf8_lossy(&response.body);
            assert!(body.contains(text), "{model}: {path}: {body}");
            let policy = response.field("Content-Security-Policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'"), "{path}");
            let same = response.field("Cross-Origin-Resource-Policy");
            assert_eq!(same, Some("same-origin"), "{path}");
        }
        assert_eq!(ask(status, "/a.txt").status, 404, "{model}: no files here");
        for (request, expected) in [
            (
                "GET /status.json HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                403,
            ),
            (
                "GET http://evil.example/status.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
                403,
            ),
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
                405,
            ),
            ("OPTIONS /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
            ("HEAD / HTTP/1.0\r\n\r\n", 200),
        ] {
            let mut client = Client::connect(status);
            client.send(request);
            assert_eq!(client.head().status, expected, "{model}: {request}");
        }
        let mut client = Client::connect(status);
        client.send("HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.head().status, 200, "{model}");
        assert_eq!(client.rest(), b"", "{model}");
    });
}

#[test]
fn metrics_are_in_the_prometheus_format() {
    on_every_model(|model| {
        let (evserve, _root) = start(model, &[]);
        assert_eq!(evserve.get("/a.txt").status, 200);
        let response = ask(evserve.addresses[2], "/metrics");
        let text = String::from_utf8(response.body).expect("UTF-8");
        let parsed = openmetrics_parser::prometheus::parse_prometheus(&text);
        let metrics = parsed.unwrap_or_else(|error| panic!("{model}: {error}\n{text}"));
        let requests = &metrics.families["evserve_requests_total"];
        let mut samples = requests.iter_samples();
        let value = samples.next().expect("a sample").value.clone();
        let openmetrics_parser::PrometheusValue::Counter(counter) = value else {
            panic!("{model}: {value:?}");
        };
        // Under forking the process that responded may not have ended yet; elsewhere this request
        // is counted too.
        assert!(counter.value.as_f64() <= 2.0, "{model}");
        assert!(metrics.families.len() > 20, "{model}: {text}");
        let rows = evserve::service::metric_rows();
        for name in metrics.families.keys() {
            assert!(rows.iter().any(|row| row[0] == *name), "{model}: {name}");
        }
    });
}

#[test]
fn health_checks_fail_before_the_server_stops() {
    on_every_model(|model| {
        let (mut evserve, _root) = start(model, &["--drain-delay", "1h"]);
        assert_eq!(ask(evserve.addresses[2], "/healthz").status, 200, "{model}");
        evserve.terminate();
        evserve.wait_for_log("stopping in");
        let response = ask(evserve.addresses[2], "/healthz");
        assert_eq!(response.status, 503, "{model}");
        assert_eq!(response.body, b"draining\n", "{model}");
        let mut client = evserve.connect();
        client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response();
        assert_eq!(response.status, 200, "{model}: it goes on");
        assert_eq!(response.field("Connection"), Some("close"), "{model}");
        client.wait_for_close();
        // The second signal ends the server.
        evserve.terminate();
        let ended = evserve.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
    });
}

#[test]
fn the_drain_delay_ends() {
    on_every_model(|model| {
        let (evserve, _root) = start(model, &["--drain-delay", "300ms"]);
        let begin = Instant::now();
        let ended = evserve.stop();
        assert!(begin.elapsed().as_millis() >= 300, "{model}: {}", ended.log);
    });
}

/// A header limit that is too small for browsers does not hide the status, and fields added with
/// `--header` are not sent there.
#[test]
fn http_options_do_not_affect_the_status_page() {
    let options = [
        "--header",
        "Server: files",
        "--header",
        "X-Files: yes",
        "--max-head",
        "256",
        "--max-body",
        "1",
        "--error-page",
        "404=a.txt",
    ];
    let (evserve, _root) = start("epoll", &options);
    let (files, status) = (evserve.addresses[0], evserve.addresses[2]);
    let long = format!("X: {}\r\n", "x".repeat(1000));
    let ask_both = |request: &str, expected: [u16; 2]| {
        [(files, expected[0]), (status, expected[1])].map(|(address, code)| {
            let mut client = Client::connect(address);
            client.send(request);
            let response = client.response();
            assert_eq!(response.status, code, "{request}: {}", response.head);
            response
        })
    };
    let get = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{long}\r\n");
    ask_both(&get, [431, 200]);
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nxy";
    ask_both(post, [413, 405]);
    let none = "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let [of_files, of_status] = ask_both(none, [404, 404]);
    assert_eq!(of_files.field("Server"), Some("files"));
    assert_eq!(of_files.field("X-Files"), Some("yes"));
    assert_eq!(of_files.body, b"hello");
    assert_ne!(of_status.field("Server"), Some("files"));
    assert_eq!(of_status.field("X-Files"), None);
    assert_ne!(of_status.body, b"hello");
}
