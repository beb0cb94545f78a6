//! The examples, each run as its header says, on every model, and programs with faults.

use crate::common::{
    Client, Evserve, PATIENCE, Program, on_every_model, on_every_model_of_shared_memory,
    serves_one_at_a_time,
};
use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};

/// Sends `said`, shuts down writing, and returns what comes.
fn exchange(example: &Evserve, said: &[u8]) -> String {
    let client = example.connect();
    let mut stream = client.stream();
    stream.write_all(said).expect("sent");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("text");
    heard
}

fn start(name: &str, arguments: &[&str]) -> Evserve {
    let program = Program::example(name).args(arguments);
    program.start()
}

#[test]
fn reverse_returns_lines_reversed() {
    on_every_model(|model| {
        let example = start("reverse", &["127.0.0.1:0", model]);
        assert_eq!(exchange(&example, b"abc\n\n123 x\nrest"), "cba\n\nx 321\n");
        let long = format!("{}\n", "ab".repeat(10_000));
        assert_eq!(
            exchange(&example, long.repeat(20).as_bytes()),
            format!("{}\n", "ba".repeat(10_000)).repeat(20)
        );
        example.stop();
    });
}

#[test]
fn lines() {
    on_every_model(|model| {
        let example = start("lines", &["127.0.0.1:0", model]);
        let greeting = "Say something; quit ends it.\n";
        let heard = exchange(&example, b"a\r\nb c\nquit\nnot heard\n");
        let expected = "Your msg = a\nYour msg = b c\nGoodbye, after 2 lines.\n";
        assert_eq!(heard, format!("{greeting}{expected}"), "{model}");
        let heard = exchange(&example, &[b'x'; 10_000]);
        assert_eq!(
            heard,
            format!("{greeting}That line is too long.\n"),
            "{model}"
        );
        example.stop();
    });
}

#[test]
fn picture() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("p.png");
    let picture = crate::common::pattern(700_000);
    std::fs::write(&path, &picture).expect("written");
    let path = path.to_str().expect("UTF-8");
    on_every_model(|model| {
        let raw = start("picture", &[path, "raw", "127.0.0.1:0", model]);
        for _ in 0..3 {
            assert!(Client::connect(raw.address()).rest() == picture, "{model}");
        }
        raw.stop();
        let json = start("picture", &[path, "json", "127.0.0.1:0", model]);
        let text = Client::connect(json.address()).rest();
        let object: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(object["name"], "p.png");
        let encoded = object["picture"].as_str().expect("text");
        use base64::prelude::{BASE64_STANDARD, Engine};
        assert!(BASE64_STANDARD.decode(encoded).expect("base64") == picture);
        json.stop();
    });
}

#[test]
fn hello() {
    on_every_model_of_shared_memory(|model| {
        let example = start("hello", &["127.0.0.1:0", model]);
        let get = |target: &str| {
            let mut client = Client::connect(example.address());
            client.send(format!(
                "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            ));
            let answer = client.response();
            assert_eq!(client.rest(), b"", "{model}: it closes");
            answer
        };
        let answer = get("/hello?name=<you>");
        let page = String::from_utf8(answer.body.clone()).expect("text");
        assert!(page.contains("Hello, you! You are visitor "), "{page}");
        assert_eq!(answer.field("Cache-Control"), Some("no-store"));
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(get("/hello").field("X-Visits"), Some("2"), "{model}");
        assert_eq!(get("/teapot").status, 403);
        let mut client = Client::connect(example.address());
        client.send("GET /unchanged HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().status, 304);
        assert_eq!(client.rest(), b"", "no content");
        let style = std::fs::read("docs/site/style.css").expect("it exists");
        assert!(get("/style.css").body == style, "files are beside it");
        assert_eq!(get("/nothing").status, 404);
        let mut client = Client::connect(example.address());
        client.send("nonsense\r\n\r\n");
        assert_eq!(client.response().status, 400);
        example.stop();
    });
}

/// With a process for each connection, each would count only its own visitors.
#[test]
fn forking_refuses_a_service_whose_connections_share_memory() {
    let ended = Program::example("hello")
        .args(["127.0.0.1:0", "forking"])
        .fails(1);
    for part in [
        "http cannot be served with --model forking",
        "share no memory",
        "Sharing::Nothing",
    ] {
        assert!(ended.contains(part), "{ended}");
    }
}

/// A malformed request is answered with the configured error page.
#[test]
fn hello_has_error_pages() {
    let page = std::fs::read("docs/site/error.html").expect("it exists");
    on_every_model_of_shared_memory(|model| {
        let example = start("hello", &["127.0.0.1:0", model]);
        for (request, status) in [
            ("nonsense\r\n\r\n", 400),
            ("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ] {
            let mut client = Client::connect(example.address());
            client.send(request);
            let answer = client.response();
            assert_eq!(answer.status, status, "{model}");
            assert!(answer.body == page, "{model}: {request:?}");
        }
        example.stop();
    });
}

/// The sandbox allows what its files need.
#[test]
fn hello_serves_files_from_its_sandbox() {
    let style = std::fs::read("docs/site/style.css").expect("it exists");
    on_every_model_of_shared_memory(|model| {
        let example = start("hello", &["127.0.0.1:0", model]);
        let mut client = Client::connect(example.address());
        client.send("GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.status, 200, "{model}");
        assert!(answer.body == style, "{model}");
        drop(client);
        example.stop();
    });
}

/// The loop is notified of changed files, so it does not check the file at each request.
#[test]
fn hello_is_notified_of_changed_files() {
    const REQUESTS: u64 = 50;
    let example = start("hello", &["127.0.0.1:0", "epoll"]);
    let mut client = Client::connect(example.address());
    let mut get = || {
        client.send("GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    };
    // Calls such as read(2); calls on sockets are not counted (proc_pid_io(5)).
    let reads = || {
        let path = format!("/proc/{}/io", example.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let number = text.lines().find_map(|line| line.strip_prefix("syscr: "));
        number.expect("a line").parse::<u64>().expect("a number")
    };
    (0..3).for_each(|_| get());
    let before = reads();
    (0..REQUESTS).for_each(|_| get());
    let during = reads() - before;
    assert!(during < REQUESTS / 2, "{during} reads");
    drop(client);
    example.stop();
}

/// Mailboxes of sessions work behind a proxy too.
#[test]
fn a_streamed_response_arrives_behind_a_proxy() {
    on_every_model(|model| {
        let example = start("streamed", &[model]);
        for header in [
            "PROXY TCP4 192.0.2.7 10.0.0.1 258 80\r\n",
            "PROXY UNKNOWN\r\n",
        ] {
            let mut client = Client::connect(example.address());
            client.send(format!("{header}GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
            let answer = String::from_utf8(client.rest()).expect("text");
            assert!(answer.ends_with("\r\n\r\n3\n2\n1\n"), "{model}: {answer}");
        }
        example.stop();
    });
}

/// A forged datagram must not make the server send more to the victim than the attacker sent. A
/// panic of the service affects one datagram only.
#[test]
fn a_custom_service_cannot_amplify_datagrams() {
    on_every_model(|model| {
        let example = start("faulty", &[model, "udp:127.0.0.1:0"]);
        let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.connect(example.address()).expect("an address");
        let longest = "x".repeat(32);
        for datagram in ["ab", "silence", "panic", &"y".repeat(33), &longest] {
            client.send(datagram.as_bytes()).expect("sent");
        }
        for expected in ["abab", &longest.repeat(2)] {
            let mut reply = [0; 100];
            let count = client.recv(&mut reply).expect("a reply");
            assert_eq!(&reply[..count], expected.as_bytes(), "{model}");
        }
        example.stop();
    });
}

/// A panic ends only its connection, and the server still shuts down in order.
#[test]
fn a_panic_ends_one_connection() {
    on_every_model(|model| {
        let example = start("faulty", &[model]);
        let is_alone = serves_one_at_a_time(model);
        let mut other = (!is_alone).then(|| Client::connect(example.address()));
        for fault in ["panic now", "panic in your turn", "panic at the end"] {
            let mut client = Client::connect(example.address());
            client.send(fault);
            if fault == "panic at the end" {
                assert_eq!(client.read(fault.len()), fault.as_bytes());
                client.shutdown_write();
            }
            let mut rest = Vec::new();
            // The connection may end with a reset.
            let _ = client.stream().read_to_end(&mut rest);
            assert!(rest.is_empty() || fault == "panic in your turn", "{model}");
            let mut alone = is_alone.then(|| Client::connect(example.address()));
            let other = other.as_mut().or(alone.as_mut()).expect("one of both");
            other.send("hello");
            assert_eq!(other.read(5), b"hello", "{model}: after {fault}");
        }
        drop(other);
        example.stop();
    });
}

/// Clients beyond the limit wait in the backlog until a connection closes.
#[test]
fn a_custom_model_keeps_the_limit_of_connections() {
    let options = "--mode echo --listen 127.0.0.1:0 --max-connections 2";
    let server = Program::own_model(options).start();
    let speak = |client: &mut Client, text: &str| {
        client.send(text);
        assert_eq!(client.read(text.len()), text.as_bytes());
    };
    let (mut first, mut second) = (server.connect(), server.connect());
    speak(&mut first, "one");
    speak(&mut second, "two");
    let mut third = server.connect();
    third.send("three");
    // Long enough to be served if there were no limit.
    for _ in 0..1000 {
        speak(&mut first, "one again");
    }
    third.stream().set_nonblocking(true).expect("a socket");
    let early = third.stream().read(&mut [0; 8]).map_err(|e| e.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "it waits");
    third.stream().set_nonblocking(false).expect("a socket");
    drop(second);
    assert_eq!(third.read(5), b"three");
    server.stop();
}
