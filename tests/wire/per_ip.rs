//! The limit of connections from one address (`--max-per-ip`).

use crate::common::{
    Client, Evserve, PATIENCE, Response, on_every_concurrent_model, on_every_model,
    on_one_model_of_each_kind, row,
};
use evserve::model::Executor;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection from another address of this machine.
fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source = SocketAddr::from((source, 0));
    socket.bind(&source.into()).expect("an own address");
    socket.connect(&address.into()).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.into()
}

/// True if an echo connection is served; a refused one is closed.
fn is_served(stream: &mut TcpStream) -> bool {
    let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    match stream.write_all(b"x").and_then(|()| stream.read(&mut [0])) {
        Ok(count) => count == 1,
        Err(error) if gone.contains(&error.kind()) => false,
        Err(error) => panic!("neither served nor closed: {error}"),
    }
}

#[test]
fn an_address_at_its_limit_gets_no_more_connections() {
    on_every_concurrent_model(|model| {
        let evserve = Evserve::echo(model, &["--max-per-ip", "2"]);
        let address = evserve.address();
        let connect = || TcpStream::connect(address).expect("it listens");
        let start = Instant::now();
        let (mut first, mut second) = (connect(), connect());
        assert!(is_served(&mut first) && is_served(&mut second), "{model}");
        for _ in 0..50 {
            assert!(!is_served(&mut connect()), "{model}");
        }
        let seconds = start.elapsed().as_secs() as usize;
        let mut other = connect_from([127, 0, 0, 2], address);
        assert!(
            is_served(&mut other),
            "{model}: another address has its own"
        );
        assert!(is_served(&mut first), "{model}: a served client stays");
        drop(first);
        // The place is free once the server has seen the close.
        let (mut tries, end) = (0, Instant::now() + PATIENCE);
        while !is_served(&mut connect()) {
            tries += 1;
            assert!(Instant::now() < end, "{model}");
        }
        drop((second, other));
        let log = evserve.stop().log;
        let said = log.matches("closed a connection from 127.0.0.1").count();
        assert!((1..=seconds + 2).contains(&said), "{model}: {log}");
        let refused = format!("refused {} connections", 50 + tries);
        assert!(log.contains("served 4 connections"), "{model}: {log}");
        assert!(log.contains(&refused), "{model}: {refused}: {log}");
    });
}

const REQUEST: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";

/// A server whose limit is used up by connections from here.
fn full(model: &str) -> (Evserve, [Client; 2]) {
    let root = Path::new("docs/site");
    let evserve = Evserve::http(model, root, &["--max-per-ip", "2"]);
    let served = [(); 2].map(|()| {
        let mut client = evserve.connect();
        client.send(REQUEST);
        assert_eq!(client.response().status, 200, "{model}");
        client
    });
    (evserve, served)
}

fn says_that_it_is_too_many(response: &Response) {
    assert_eq!(response.status, 503);
    assert_eq!(response.body, b"503 Service Unavailable\n");
    for (name, value) in [
        ("Retry-After", "1"),
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(response.field(name), Some(value), "{name}");
    }
    assert!(response.field("Date").is_some());
}

#[test]
fn excess_http_clients_get_503() {
    on_every_concurrent_model(|model| {
        let (evserve, mut served) = full(model);
        let mut sender = evserve.connect();
        // Input after the response must not destroy it.
        sender.send("PUT /style.css HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
        sender.send(vec![b'x'; 500_000]);
        says_that_it_is_too_many(&sender.response());
        assert_eq!(sender.rest(), b"", "{model}");
        let mut asker = evserve.connect();
        asker.send(REQUEST.replace("GET", "HEAD"));
        let head = asker.head();
        assert_eq!(head.field("Content-Length"), Some("24"), "{model}");
        assert_eq!(asker.rest(), b"", "{model}: HEAD has no content");
        // Connections with a 503 stay for a moment; further ones are closed without a response.
        let mut others: Vec<_> = (0..50)
            .map(|_| {
                let mut client = evserve.connect();
                client.try_send(REQUEST);
                client
            })
            .collect();
        let mut closed = 0;
        for client in &mut others {
            let mut heard = Vec::new();
            let result = client.stream().read_to_end(&mut heard);
            match heard.is_empty() {
                true => closed += 1,
                false => assert!(heard.starts_with(b"HTTP/1.1 503 "), "{model}: {result:?}"),
            }
        }
        assert!(closed > 0, "{model}");
        // Served clients go on, and a new client gets the place of one that left.
        let [first, second] = &mut served;
        for client in [&mut *first, second] {
            client.send(REQUEST);
            assert_eq!(client.response().status, 200, "{model}");
        }
        drop((others, sender, asker, served));
        let end = Instant::now() + PATIENCE;
        let is_served = || {
            let mut client = evserve.connect();
            client.try_send(REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            let mut heard = Vec::new();
            let _ = client.stream().read_to_end(&mut heard);
            heard.starts_with(b"HTTP/1.1 200 ")
        };
        while !is_served() {
            assert!(Instant::now() < end, "{model}");
        }
        let ended = evserve.stop();
        let lines: Vec<_> = ended.access_log.lines().collect();
        let line = "\"PUT /style.css HTTP/1.1\" 503 24 ";
        assert!(lines.iter().any(|l| l.contains(line)), "{model}: {lines:?}");
        assert!(ended.log.contains("; refused "), "{}", ended.log);
    });
}

/// The server waits for their first bytes only shortly.
#[test]
fn silent_excess_clients_are_closed_soon() {
    on_one_model_of_each_kind(|model| {
        let (evserve, _served) = full(model);
        let mut silent = evserve.connect();
        assert_eq!(silent.rest(), b"", "{model}");
    });
}

/// When a client sees that the server closed a connection, that connection no longer counts.
#[test]
fn a_closed_connection_no_longer_counts() {
    on_every_model(|model| {
        // A process ends a moment after its connection.
        let limit = match row(model).executor {
            Executor::Process => "20",
            _ => "1",
        };
        let root = Path::new("docs/site");
        let evserve = Evserve::http(model, root, &["--max-per-ip", limit]);
        for _ in 0..20 {
            let mut client = evserve.connect();
            client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            assert!(client.rest().starts_with(b"HTTP/1.1 200 OK"), "{model}");
        }
    });
}

#[test]
fn all_loops_and_listeners_count_together() {
    let options = ["--workers", "3", "--max-per-ip", "4", "--mode", "echo"];
    let listen = ["--listen", "127.0.0.1:0"].repeat(2);
    let evserve = Evserve::start("epoll", &[&options[..], &listen].concat());
    let all = evserve.addresses.iter().cycle().take(40);
    let streams = all.map(|address| TcpStream::connect(address).expect("it listens"));
    let mut streams: Vec<_> = streams.collect();
    let served = streams.iter_mut().map(is_served).filter(|served| *served);
    assert_eq!(served.count(), 4);
}

#[test]
fn unix_sockets_are_exempt() {
    on_every_concurrent_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listen = format!("unix:{}", path.display());
        let options = ["--mode", "echo", "--listen", &listen, "--max-per-ip", "1"];
        let _evserve = Evserve::start(model, &options);
        let mut streams: Vec<_> = (0..3)
            .map(|_| UnixStream::connect(&path).expect("it listens"))
            .collect();
        for stream in &mut streams {
            stream.write_all(b"x").expect("sent");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            assert_eq!(stream.read(&mut [0]).expect("received"), 1, "{model}");
        }
    });
}

/// Refused connections are closed at once, without lingering.
#[test]
fn refused_connections_do_not_pile_up() {
    let evserve = Evserve::echo("epoll", &["--max-per-ip", "1", "--max-connections", "3"]);
    let mut first = TcpStream::connect(evserve.address()).expect("it listens");
    assert!(is_served(&mut first));
    let start = Instant::now();
    let refused: Vec<_> = (0..30)
        .map(|_| TcpStream::connect(evserve.address()).expect("it listens"))
        .collect();
    for mut stream in refused {
        assert!(!is_served(&mut stream));
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "the time to linger"
    );
}
