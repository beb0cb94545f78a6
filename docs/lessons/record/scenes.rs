//! The scenes: servers, and what clients do.

use super::client::{Client, READS_NOTHING, SILENT, STOPS_SERVER, Stage};
use super::server::{FORGETFUL, Server};
use super::tls::{Identity, client_side};
use std::sync::Barrier;
use std::time::Duration;

/// What a scene may use.
pub struct Props {
    pub server: Server,
    /// The number of the recording.
    pub side: usize,
    pub identity: Identity,
}

type Play = for<'s> fn(&'s Stage, &Props) -> Vec<Client<'s>>;

/// A scene: the same clients with each of the servers.
pub struct Scene {
    /// The folder below `docs/lessons` with its text and its recordings.
    pub name: &'static str,
    /// For each recording its name and the options of the server.
    pub sides: &'static [(&'static str, &'static str)],
    pub play: Play,
    /// The names of those that are no clients.
    pub names: &'static [(u32, &'static str)],
}

/// What the options of servers may name: the folder that is served.
pub const SITE: &str = "SITE";

/// The large file in that folder.
pub const LARGE: (&str, usize) = ("large.bin", 6 << 20);

const fn scene(
    name: &'static str,
    sides: &'static [(&'static str, &'static str)],
    play: Play,
) -> Scene {
    Scene {
        name,
        sides,
        play,
        names: &[],
    }
}

pub const SCENES: &[Scene] = &[
    scene(
        "silent-client",
        &[
            ("1-blocking", "--mode echo --model blocking"),
            ("2-threaded", "--mode echo --model threaded"),
            ("3-epoll", "--mode echo --model epoll"),
        ],
        silent_client,
    ),
    scene(
        "many-idle",
        &[
            ("1-poll", "--mode echo --model poll"),
            ("2-epoll", "--mode echo --model epoll"),
        ],
        many_idle,
    ),
    scene(
        "slow-reader",
        &[
            ("1-threaded", "--mode echo --model threaded"),
            ("2-epoll", "--mode echo --model epoll"),
        ],
        slow_reader,
    ),
    scene(
        "pipelining",
        &[
            ("1-one-by-one", "--model epoll SITE"),
            ("2-pipelined", "--model epoll SITE"),
        ],
        pipelining,
    ),
    scene(
        "forgotten-drain",
        &[
            ("1-edge-forgetful", FORGETFUL[0]),
            ("2-level", FORGETFUL[1]),
            ("3-edge", "--mode echo --model epoll --trigger edge"),
        ],
        forgotten_drain,
    ),
    scene(
        "completions",
        &[
            ("1-epoll", "--mode echo --model epoll"),
            ("2-io-uring", "--mode echo --model io-uring"),
        ],
        completions,
    ),
    scene(
        "two-workers",
        &[
            (
                "1-reuseport",
                "--mode echo --model epoll --workers 2 --accept reuseport",
            ),
            (
                "2-exclusive",
                "--mode echo --model epoll --workers 2 --accept exclusive",
            ),
            (
                "3-handover",
                "--mode echo --model epoll --workers 2 --accept handover",
            ),
        ],
        two_workers,
    ),
    scene(
        "tls-handshake",
        &[
            ("1-plain", "--mode echo --model epoll"),
            ("2-tls", "--mode echo --model epoll --tls"),
        ],
        tls_handshake,
    ),
    Scene {
        names: &[(4, "operator")],
        ..scene(
            "graceful-stop",
            &[
                ("1-threaded", "--model threaded SITE"),
                ("2-epoll", "--model epoll SITE"),
            ],
            graceful_stop,
        )
    },
];

const REQUEST: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";

fn say_hello(client: &mut Client) {
    client.send(b"hello");
    client.receive(5);
}

/// One client is silent after a greeting, and another one wants its answer.
fn silent_client<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[
        &|client| {
            client.connect();
            say_hello(client);
            client.pause(300, SILENT);
            client.close();
        },
        &|client| {
            client.comes_at(100);
            client.connect();
            say_hello(client);
            client.pause(50, SILENT);
            say_hello(client);
            client.close();
        },
    ])
}

/// One client works beside 300 idle connections.
fn many_idle<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    let barrier = Barrier::new(2);
    stage.play(&[
        &|client| {
            client.connect_idle(300);
            client.pause(30, SILENT);
            barrier.wait();
            client.pause(150, SILENT);
            barrier.wait();
            client.close();
        },
        &|client| {
            barrier.wait();
            client.connect();
            for _ in 0..5 {
                client.pause(10, SILENT);
                say_hello(client);
            }
            client.pause(10, SILENT);
            let message = vec![b'x'; 512 << 10];
            client.send(&message);
            client.receive(message.len());
            barrier.wait();
            client.close();
        },
    ])
}

/// One client sends all that fits and reads nothing for a while; another one wants its answer.
fn slow_reader<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[
        &|client| {
            client.connect_with(8 << 10);
            let sent = client.send_all_that_fits(Duration::from_millis(250));
            client.pause(50, READS_NOTHING);
            client.receive(sent);
            client.close();
        },
        &|client| {
            client.comes_at(150);
            client.connect();
            say_hello(client);
            client.close();
        },
    ])
}

/// Six requests: each after the response to the one before, or all at once.
fn pipelining<'s>(stage: &'s Stage, props: &Props) -> Vec<Client<'s>> {
    let is_pipelined = props.side == 1;
    stage.play(&[&|client| {
        client.connect();
        // The server opens the file; what comes later finds it in memory.
        for _ in 0..2 {
            client.send(REQUEST);
            client.responses(1);
            client.pause(1, SILENT);
        }
        match is_pipelined {
            true => {
                client.send(&REQUEST.repeat(6));
                client.responses(6);
            }
            false => {
                for _ in 0..6 {
                    client.send(REQUEST);
                    client.responses(1);
                }
            }
        }
        client.close();
    }])
}

/// A client sends more than one read takes, and later one byte more.
fn forgotten_drain<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[&|client| {
        client.connect();
        say_hello(client);
        client.pause(20, SILENT);
        let message = vec![b'x'; 40_000];
        client.send(&message);
        let got = client.receive_within(message.len(), Duration::from_millis(200));
        client.send(b"!");
        client.receive_within(message.len() + 1 - got, Duration::from_millis(100));
        client.close();
    }])
}

/// Three clients send at the same moment, twice.
fn completions<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    let barrier = Barrier::new(3);
    let script = |client: &mut Client| {
        client.connect();
        say_hello(client);
        for _ in 0..2 {
            barrier.wait();
            client.pause(20, SILENT);
            say_hello(client);
        }
        barrier.wait();
        client.close();
    };
    stage.play(&[&script, &script, &script])
}

/// Four clients come one after the other and stay.
fn two_workers<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    let barrier = Barrier::new(4);
    let script = |number: u64| {
        let barrier = &barrier;
        move |client: &mut Client| {
            client.comes_at(20 * number);
            client.connect();
            say_hello(client);
            barrier.wait();
            client.pause(20, SILENT);
            client.close();
        }
    };
    let scripts: Vec<_> = (0..4).map(script).collect();
    let scripts: Vec<_> = scripts
        .iter()
        .map(|one| one as super::client::Script)
        .collect();
    stage.play(&scripts)
}

/// Two clients with two messages each, one after the other.
fn tls_handshake<'s>(stage: &'s Stage, props: &Props) -> Vec<Client<'s>> {
    let config = props.identity.any_version();
    let is_encrypted = props.side == 1;
    let script = |ms: u64| {
        let config = &config;
        move |client: &mut Client| {
            client.comes_at(ms);
            client.connect();
            if is_encrypted {
                client.encrypt(client_side(config));
            }
            for _ in 0..2 {
                say_hello(client);
                client.pause(20, SILENT);
            }
            client.close();
        }
    };
    stage.play(&[&script(0), &script(70)])
}

/// The server is stopped while one client is idle, one reads slowly, and one is to come.
fn graceful_stop<'s>(stage: &'s Stage, props: &Props) -> Vec<Client<'s>> {
    stage.play(&[
        &|client| {
            client.connect();
            client.send(REQUEST);
            client.responses(1);
            client.stay_idle();
            client.close();
        },
        &|client| {
            client.comes_at(20);
            client.connect_with(64 << 10);
            client.send(b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
            client.pause(200, READS_NOTHING);
            client.responses(1);
            client.close();
        },
        &|client| {
            client.comes_at(150);
            client.try_to_connect();
        },
        &|operator| {
            operator.comes_at(100);
            operator.act(STOPS_SERVER, || props.server.stop());
        },
    ])
}
