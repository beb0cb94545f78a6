//! The PROXY protocol: the client's address behind a proxy.

use crate::common::{Client, Evserve, Program, on_every_model, row};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

const REQUEST: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 258 80\r\n";
const TEXT_6: &[u8] = b"PROXY TCP6 2001:db8::7 ::1 258 80\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// Version 2: PROXY over IPv4 with an unknown extension, and LOCAL.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x08\x0a\0\0\x01\x01\x02\0\x50\xe0\0\x01x";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn start(model: &str, mode: &str, options: &[&str]) -> Evserve {
    let all = ["--mode", mode, "--listen", "127.0.0.1:0", "docs/site"];
    let proxy = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
    Evserve::start(model, &[&all[..], &proxy, options].concat())
}

/// A command without a PROXY header would be disconnected, so none is printed.
#[test]
fn no_command_to_try_is_printed() {
    let options = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
    let evserve = Evserve::http("epoll", Path::new("docs/site"), &options);
    let ended = evserve.stop();
    for hint in ["try: ", "measure: "] {
        assert!(!ended.log.contains(hint), "{}", ended.log);
    }
}

#[test]
fn the_access_log_names_the_client() {
    let cases = [
        (TEXT, "192.0.2.7"),
        (TEXT_6, "2001:db8::7"),
        (UNKNOWN, "127.0.0.1"),
        (BINARY, "192.0.2.8"),
        (LOCAL, "127.0.0.1"),
    ];
    let style = std::fs::read("docs/site/style.css").expect("it exists");
    on_every_model(|model| {
        let evserve = start(model, "http", &[]);
        for (header, _) in cases {
            for step in [1, 7, usize::MAX] {
                let mut client = evserve.connect();
                let all = [header, REQUEST].concat();
                for part in all.chunks(step.min(all.len())) {
                    client.send(part);
                }
                // Reads to the end: the log line is written before that.
                assert!(client.rest().ends_with(&style), "{model}: {header:?}");
            }
        }
        let log = evserve.stop().access_log;
        let peers: Vec<_> = log.lines().map(|l| l.split(' ').next()).collect();
        let expected = cases.iter().flat_map(|(_, peer)| [Some(*peer); 3]);
        assert_eq!(peers, expected.collect::<Vec<_>>(), "{model}");
    });
}

#[test]
fn bytes_after_the_header_reach_the_service() {
    on_every_model(|model| {
        let evserve = start(model, "echo", &[]);
        let mut client = evserve.connect();
        client.send([BINARY, TEXT].concat());
        assert_eq!(client.read(TEXT.len()), TEXT, "{model}: one header only");
        client.shutdown_write();
        assert_eq!(client.rest(), b"");
        let evserve = start(model, "daytime", &[]);
        let mut client = evserve.connect();
        client.send(TEXT);
        assert!(client.rest().ends_with(b" GMT\r\n"), "{model}");
    });
}

#[test]
fn a_connection_without_a_header_is_closed() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let cases: &[&[u8]] = &[
        REQUEST,
        b"PROXY TCP4 192.0.2.7\r\n",
        &long,
        b"\r\n\r\n\0\r\nQUIT\n\x31",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ];
    on_every_model(|model| {
        let evserve = start(model, "http", &["--head-timeout", "200ms"]);
        for bytes in cases {
            let mut client = evserve.connect();
            client.send(bytes);
            client.wait_for_close();
        }
        // Part of a header, and nothing at all.
        for bytes in [&TEXT[..20], b""] {
            let mut client = evserve.connect();
            client.send(bytes);
            client.wait_for_close();
        }
        let ended = evserve.stop();
        assert_eq!(ended.access_log, "", "{model}: no request was sent");
        let sentence = "closed a connection from 127.0.0.1: it has no PROXY header";
        assert!(ended.log.contains(sentence), "{model}: {}", ended.log);
    });
}

#[test]
fn an_untrusted_proxy_is_closed() {
    on_every_model(|model| {
        let evserve = start(model, "http", &[]);
        for _ in 0..3 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let source = SocketAddr::from(([127, 0, 0, 2], 0));
            socket.bind(&source.into()).expect("an own address");
            let address = evserve.address().into();
            socket.connect(&address).expect("it listens");
            let mut stream = TcpStream::from(socket);
            // The server may close before all is sent.
            let _ = stream.write_all(&[TEXT, REQUEST].concat());
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            assert_eq!(heard, b"", "{model}");
        }
        let ended = evserve.stop();
        assert_eq!(ended.access_log, "", "{model}");
        let sentence = "closed a connection from 127.0.0.2: it is not a --trusted-proxy";
        let said = ended.log.matches(sentence).count();
        assert!((1..3).contains(&said), "{model}: {}", ended.log);
        assert!(ended.log.contains("refused 3 connections"), "{}", ended.log);
    });
}

#[test]
fn unix_sockets_are_trusted_if_configured() {
    on_every_model(|model| {
        for (trusted, heard) in [("unix", "192.0.2.7"), ("127.0.0.0/8", "")] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("socket");
            let listen = format!("unix:{}", path.display());
            let options = ["--listen", &listen, "--proxy-protocol", "docs/site"];
            let more = ["--trusted-proxy", trusted];
            let evserve = Evserve::start(model, &[&options[..], &more].concat());
            let mut stream = UnixStream::connect(&path).expect("it listens");
            let _ = stream.write_all(&[TEXT, REQUEST].concat());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
            let log = evserve.stop().access_log;
            let peer = log.split(' ').next();
            assert_eq!(peer, Some(heard), "{model}");
        }
    });
}

#[test]
fn limits_count_the_clients_not_their_proxy() {
    on_every_model(|model| {
        if row(model).isolated_because.is_some() {
            return; // One at a time; and processes that share nothing.
        }
        let evserve = start(model, "echo", &["--max-per-ip", "1"]);
        let connect = |header: &[u8]| {
            let mut client = evserve.connect();
            client.send(header);
            client.send("x");
            client
        };
        let mut clients = [TEXT, BINARY, TEXT_6, LOCAL].map(connect);
        for client in &mut clients {
            assert_eq!(client.read(1), b"x", "{model}");
        }
        let mut second: Client = connect(TEXT);
        second.wait_for_close();
        drop(clients);
        let log = evserve.stop().log;
        assert!(log.contains("closed a connection from 192.0.2.7"), "{log}");
        let evserve = start(model, "http", &["--max-per-ip", "1"]);
        let ask = |header: &[u8]| {
            let mut client = evserve.connect();
            client.send([header, b"GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
            (client.response().status, client)
        };
        let (first, second, other) = (ask(TEXT), ask(TEXT), ask(BINARY));
        let statuses = [first.0, second.0, other.0];
        assert_eq!(statuses, [200, 503, 200], "{model}");
    });
}

#[test]
fn impossible_combinations_are_refused() {
    let refusal = |options: &[&str]| {
        let program = Program::evserve("--proxy-protocol --trusted-proxy ::1");
        program.args(options).fails(1)
    };
    assert!(Path::new("docs/site").exists());
    let said = refusal(&["--mode", "chat", "--listen", "127.0.0.1:0"]);
    assert!(
        said.contains("chat cannot be served with --proxy-protocol"),
        "{said}"
    );
    let counted = ["--model", "forking", "--max-per-ip", "3"];
    let said = refusal(&[&counted[..], &["--listen", "127.0.0.1:0"]].concat());
    assert!(
        said.contains("cannot be counted with --model forking"),
        "{said}"
    );
}
