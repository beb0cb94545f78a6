//! Floods of clients: their share of a turn and of the connections is bounded, and other clients
//! are served.

use crate::common::{
    Client, Evserve, Program, limited_to, on_every_concurrent_model, on_every_model,
};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Runs a case while `count` threads repeat something.
fn while_repeating<T>(count: usize, repeats: impl Fn() + Sync, case: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    repeats();
                }
            });
        }
        let result = case();
        over.store(true, Relaxed);
        result
    })
}

#[test]
fn a_flood_of_datagrams_starves_no_connection() {
    on_every_model(|model| {
        let evserve = Evserve::echo(model, &["--listen", "udp:127.0.0.1:0"]);
        let place = evserve.udp[0];
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        // No client reads the replies: those that find no buffer space are lost.
        let flood = || drop(socket.send_to(&[b'x'; 1000], place));
        while_repeating(2, flood, || {
            let mut client = evserve.connect();
            for number in 0..200_u32 {
                client.send(number.to_be_bytes());
                assert_eq!(client.read(4), number.to_be_bytes(), "{model}");
            }
        });
        assert!(evserve.stop().status.success(), "{model}");
    });
}

#[test]
fn a_flood_of_connections_starves_no_open_one() {
    on_every_concurrent_model(|model| {
        let evserve = Evserve::echo(model, &[]);
        let address = evserve.address();
        let mut client = evserve.connect();
        client.send("first");
        client.read(5);
        // A connection may be refused while the backlog is full of closed ones.
        let flood = || drop(TcpStream::connect(address));
        while_repeating(2, flood, || {
            for number in 0..200_u32 {
                client.send(number.to_be_bytes());
                assert_eq!(client.read(4), number.to_be_bytes(), "{model}");
            }
        });
    });
}

/// Endless heads, or PROXY headers, occupy every connection. Each is closed at its deadline, and
/// waiting clients are served.
#[test]
fn heads_that_never_end_are_dropped_at_their_deadline() {
    let proxied: &[&str] = &["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
    let cases = [
        (&[][..], "GET / HTTP/1.1\r\nA: ", ""),
        (
            proxied,
            "PROXY TCP4 192.0.2.7 ",
            "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n",
        ),
        (proxied, "", "PROXY UNKNOWN\r\n"),
    ];
    for (more, begin, header) in cases {
        on_every_model(|model| {
            let options = "--listen 127.0.0.1:0 --head-timeout 200ms --access-log off docs/site";
            let program = Program::model(model, options).args(limited_to(model, 4));
            let evserve = program.args(more).start();
            let slow: Vec<_> = (0..12)
                .map(|_| {
                    let mut client = evserve.connect();
                    client.try_send(begin);
                    client
                })
                .collect();
            let mut client: Client = evserve.connect();
            client.send(format!(
                "{header}GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n"
            ));
            assert_eq!(client.response().status, 200, "{model}: {begin:?}");
            drop(slow);
        });
    }
}
