//! Encrypted connections: the same services, and what only encryption has.

use crate::common::{
    Client, Evserve, Identity, Program, client_side, on_every_concurrent_model, on_every_model,
    on_every_shared_model, on_one_model_of_each_kind, pattern, row,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A server on an encrypted address.
struct Encrypted {
    identity: Identity,
    evserve: Evserve,
}

impl Encrypted {
    fn start(model: &str, options: &str, root: Option<&Path>) -> Encrypted {
        let identity = Identity::new();
        let program = Program::model(model, "--listen tls:127.0.0.1:0").options(options);
        let program = program.args(identity.options()).args(root);
        Encrypted {
            evserve: program.start(),
            identity,
        }
    }

    fn config(&self) -> Arc<ClientConfig> {
        self.identity.any_version()
    }

    fn connect(&self) -> Client {
        self.connect_as(&self.config())
    }

    fn connect_as(&self, config: &Arc<ClientConfig>) -> Client {
        Client::encrypted(self.evserve.address(), client_side(config))
    }
}

/// A root with a small file, one that is kept in memory, and one that is not.
fn root() -> (TempDir, [(&'static str, Vec<u8>); 3]) {
    let root = tempfile::tempdir().expect("a directory");
    let files = [("1k", 1024), ("100k", 100_000), ("1m", 1_000_000)];
    let files = files.map(|(name, length)| (name, pattern(length)));
    for (name, bytes) in &files {
        std::fs::write(root.path().join(name), bytes).expect("written");
    }
    (root, files)
}

fn get(path: &str, more: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: h\r\n{more}\r\n")
}

#[test]
fn files_arrive_unchanged() {
    let (root, files) = root();
    on_every_model(|model| {
        let server = Encrypted::start(model, "", Some(root.path()));
        for version in [&TLS12, &TLS13] {
            let config = server.identity.client(&[version]);
            for (name, bytes) in &files {
                let mut client = server.connect_as(&config);
                client.send(get(name, "Connection: close\r\n"));
                let response = client.response();
                assert_eq!(response.status, 200, "{model}");
                assert!(response.body == *bytes, "{model}: {name}");
                assert_eq!(client.rest(), b"", "{model}");
            }
            let mut client = server.connect_as(&config);
            client.send(get(
                "1m",
                "Range: bytes=300000-500000\r\nConnection: close\r\n",
            ));
            let response = client.response();
            assert_eq!(response.status, 206, "{model}");
            assert!(response.body == files[2].1[300_000..=500_000], "{model}");
            assert_eq!(client.rest(), b"", "{model}");
        }
    });
}

#[test]
fn requests_of_a_connection_are_answered_in_order() {
    let (root, files) = root();
    on_every_concurrent_model(|model| {
        let server = Encrypted::start(model, "", Some(root.path()));
        let mut client = server.connect();
        let order = [0, 1, 0, 2, 2, 0, 1, 1, 0, 0];
        let requests: Vec<_> = order.map(|index| get(files[index].0, "")).into();
        client.send(requests.concat());
        for index in order {
            let (name, bytes) = &files[index];
            assert!(client.response().body == *bytes, "{model}: {name}");
        }
        client.send(get("gone", ""));
        assert_eq!(client.response().status, 404, "{model}");
        client.tls().send_close_notify();
        assert_eq!(client.rest(), b"", "{model}: the server says that it ends");
    });
}

/// The client sends faster than it reads, so records wait at the server: whole ones and parts.
#[test]
fn pipelined_requests_may_exceed_every_buffer() {
    const COUNT: usize = 3_000;
    let (root, files) = root();
    on_every_concurrent_model(|model| {
        let server = Encrypted::start(model, "--access-log off", Some(root.path()));
        let mut client = server.connect();
        client.send(get("1k", ""));
        assert!(client.response().body == files[0].1, "{model}");
        let tls = client.tls();
        tls.set_buffer_limit(None);
        let requests = get("1k", "").repeat(COUNT);
        tls.writer().write_all(requests.as_bytes()).expect("kept");
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("written");
        }
        let stream = client.stream().try_clone().expect("a socket");
        std::thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&records));
            for _ in 0..COUNT {
                assert!(client.response().body == files[0].1, "{model}");
            }
        });
    });
}

#[test]
fn a_large_file_arrives_unchanged() {
    let root = tempfile::tempdir().expect("a directory");
    let part = pattern(1 << 20);
    let mut file = std::fs::File::create(root.path().join("100m")).expect("made");
    (0..100).for_each(|_| file.write_all(&part).expect("written"));
    on_one_model_of_each_kind(|model| {
        let server = Encrypted::start(model, "", Some(root.path()));
        let mut client = server.connect();
        client.send(get("100m", ""));
        assert_eq!(client.head().field("Content-Length"), Some("104857600"));
        (0..100).for_each(|_| assert!(client.read(part.len()) == part, "{model}"));
    });
}

#[test]
fn echo_sends_back_what_came() {
    on_every_model(|model| {
        let server = Encrypted::start(model, "--mode echo", None);
        let mut client = server.connect();
        let bytes = pattern(20_000);
        for _ in 0..20 {
            client.send(&bytes);
            assert!(client.read(bytes.len()) == bytes, "{model}");
        }
        client.tls().send_close_notify();
        assert_eq!(client.rest(), b"", "{model}");
    });
}

#[test]
fn the_server_speaks_first_after_the_handshake() {
    on_every_model(|model| {
        let server = Encrypted::start(model, "--mode daytime", None);
        assert!(server.connect().rest().ends_with(b" GMT\r\n"), "{model}");
    });
}

#[test]
fn members_of_a_chat_hear_each_other() {
    on_every_shared_model(|model| {
        let server = Encrypted::start(model, "--mode chat", None);
        let mut alice = server.connect();
        assert!(alice.line().starts_with("* you are guest1; nobody else"));
        let mut bob = server.connect();
        assert!(bob.line().starts_with("* you are guest2; "), "{model}");
        assert_eq!(alice.line(), "* guest2 joined", "{model}");
        for number in 0..200 {
            bob.send(format!("line {number}\n"));
            assert!(alice.line().ends_with(&format!("line {number}")), "{model}");
        }
        bob.send("/quit\n");
        assert_eq!(bob.rest(), b"* goodbye\r\n", "{model}");
        assert_eq!(alice.line(), "* guest2 left", "{model}");
    });
}

/// Somebody else may have cut the connection off. So only what is complete counts.
#[test]
fn a_client_that_ends_without_saying_so_gets_its_answer_but_nothing_is_guessed() {
    let (root, files) = root();
    on_every_model(|model| {
        let server = Encrypted::start(model, "", Some(root.path()));
        let mut client = server.connect();
        client.send(get("100k", "") + "GET /1k HTTP/1.1\r\nHo");
        let stream = client.stream();
        stream.shutdown(Shutdown::Write).expect("connected");
        assert!(client.response().body == files[1].1, "{model}");
        assert_eq!(client.rest(), b"", "{model}: half a request has no answer");
    });
}

#[test]
fn garbage_is_answered_by_an_alert_and_hurts_nobody_else() {
    let (root, files) = root();
    on_every_concurrent_model(|model| {
        let server = Encrypted::start(model, "", Some(root.path()));
        let mut other = server.connect();
        other.send(get("1k", ""));
        assert_eq!(other.response().status, 200, "{model}");
        let mut client = server.connect();
        client.send(get("1k", ""));
        assert!(client.response().body == files[0].1, "{model}");
        client.stream().write_all(&[23; 400]).expect("sent");
        let error = {
            let stream = client.stream().try_clone().expect("one more");
            let mut stream = stream;
            rustls::Stream::new(client.tls(), &mut stream).read(&mut [0; 10])
        };
        let error = error.expect_err("no answer").to_string();
        assert!(error.contains("fatal alert"), "{model}: {error}");
        other.send(get("100k", ""));
        assert!(other.response().body == files[1].1, "{model}");
    });
}

#[test]
fn a_client_in_plain_http_is_told_so() {
    on_every_model(|model| {
        let server = Encrypted::start(model, "", Some(Path::new("docs/site")));
        let mut client = Client::connect(server.evserve.address());
        client.send(get("", ""));
        let response = client.response();
        assert_eq!(response.status, 400, "{model}");
        let body = String::from_utf8(response.body).expect("text");
        assert!(body.contains("Use https://"), "{model}: {body}");
        assert_eq!(client.rest(), b"", "{model}");
    });
}

/// The timeout of the handshake ends it, whatever has come. Other clients are served meanwhile,
/// where the model can.
#[test]
fn a_slow_handshake_is_cut_off() {
    on_every_model(|model| {
        let server = Encrypted::start(model, "--mode echo --handshake-timeout 1s", None);
        let mut hello = Vec::new();
        client_side(&server.config())
            .write_tls(&mut hello)
            .expect("written");
        let mut silent = Client::connect(server.evserve.address());
        let mut slow = Client::connect(server.evserve.address());
        slow.send(&hello[..hello.len() / 2]);
        if !row(model).serves_one_at_a_time() {
            let mut other = server.connect();
            other.send("x");
            assert_eq!(other.read(1), b"x", "{model}");
        }
        silent.wait_for_close();
        slow.wait_for_close();
    });
}

#[test]
fn sessions_are_resumed_wherever_they_began() {
    let (root, _) = root();
    for (model, options) in [
        ("epoll", "--workers 2"),
        ("io-uring", "--workers 2"),
        ("threaded", ""),
        ("forking", ""),
    ] {
        let server = Encrypted::start(model, options, Some(root.path()));
        for version in [&TLS12, &TLS13] {
            let config = server.identity.client(&[version]);
            for number in 0..21 {
                let mut client = server.connect_as(&config);
                client.send(get("1k", "Connection: close\r\n"));
                assert_eq!(client.response().status, 200, "{model}");
                let kind = client.tls().handshake_kind();
                let expected = match number {
                    0 => HandshakeKind::Full,
                    _ => HandshakeKind::Resumed,
                };
                assert_eq!(kind, Some(expected), "{model}: {number}");
            }
        }
    }
}

#[test]
fn a_proxy_names_its_client_before_the_handshake() {
    let (root, files) = root();
    on_one_model_of_each_kind(|model| {
        let options = "--proxy-protocol --trusted-proxy 127.0.0.1 --access-log json";
        let server = Encrypted::start(model, options, Some(root.path()));
        let stream = TcpStream::connect(server.evserve.address()).expect("it listens");
        (&stream)
            .write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 258 443\r\n")
            .expect("sent");
        let mut tls = client_side(&server.config());
        let mut stream = stream;
        let mut client = rustls::Stream::new(&mut tls, &mut stream);
        let request = get("1k", "Connection: close\r\n");
        client.write_all(request.as_bytes()).expect("sent");
        let mut response = Vec::new();
        client.read_to_end(&mut response).expect("a clean end");
        assert!(response.ends_with(&files[0].1), "{model}");
        let log = server.evserve.stop().access_log;
        assert!(log.contains(r#""client":"192.0.2.7""#), "{model}: {log}");
        let expected =
            r#""tls":"TLSv1.3","cipher":"TLS13_AES_256_GCM_SHA384","resumed":false,"sni":"h"}"#;
        assert!(log.contains(expected), "{model}: {log}");
    });
}

#[test]
fn an_excess_client_is_refused_behind_its_handshake() {
    on_every_concurrent_model(|model| {
        let root = Path::new("docs/site");
        let server = Encrypted::start(model, "--max-per-ip 1", Some(root));
        let mut first = server.connect();
        first.send(get("style.css", ""));
        assert_eq!(first.response().status, 200, "{model}");
        let mut second = server.connect();
        second.send(get("style.css", ""));
        assert_eq!(second.response().status, 503, "{model}");
        assert_eq!(second.rest(), b"", "{model}");
    });
}
