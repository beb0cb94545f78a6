//! The scenes: servers, and what clients do.

use super::client::{Client, READS_NOTHING, SILENT, STOPS_SERVER, Stage};
use super::server::{FORGETFUL, Server};
use super::tls::{Identity, client_side};
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
    /// Whether the server and the clients share a processor. Then the server runs when the clients
    /// wait, and finds all that they have done.
    pub shares_processor: bool,
}

/// What the options of servers may name: the folder that is served. One has a large file, too. The
/// other one is that of the documentation, whose files were not changed just now, so that they are kept
/// in memory.
pub const SITE: &str = "SITE";
pub const OLD_SITE: &str = "OLD_SITE";

/// The large file in that folder.
pub const LARGE: (&str, usize) = ("large.bin", 2 << 20);

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
        shares_processor: false,
    }
}

const fn on_one_processor(mut scene: Scene) -> Scene {
    scene.shares_processor = true;
    scene
}

pub const SCENES: &[Scene] = &[
    on_one_processor(scene(
        "silent-client",
        &[
            ("1-blocking", "--mode echo --model blocking"),
            ("2-threaded", "--mode echo --model threaded"),
            ("3-epoll", "--mode echo --model epoll"),
        ],
        silent_client,
    )),
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
    on_one_processor(scene(
        "pipelining",
        &[
            ("1-one-by-one", "--model epoll OLD_SITE"),
            ("2-pipelined", "--model epoll OLD_SITE"),
        ],
        pipelining,
    )),
    scene(
        "forgotten-drain",
        &[
            ("1-edge-forgetful", FORGETFUL[0]),
            ("2-level", FORGETFUL[1]),
            ("3-edge", "--mode echo --model epoll --trigger edge"),
        ],
        forgotten_drain,
    ),
    on_one_processor(scene(
        "completions",
        &[
            ("1-epoll", "--mode echo --model epoll"),
            ("2-io-uring", "--mode echo --model io-uring"),
        ],
        completions,
    )),
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
        shares_processor: true,
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
            client.pause_until(300, SILENT);
            client.close();
        },
        &|client| {
            client.comes_at(100);
            client.connect();
            say_hello(client);
            client.close();
        },
    ])
}

/// One client works beside 300 idle connections. What it does has fixed times, so that the servers do
/// the same at the same moments.
fn many_idle<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[
        &|client| {
            client.connect_idle(300);
            client.pause_until(180, SILENT);
            client.close();
        },
        &|client| {
            let message = vec![b'x'; 512 << 10];
            client.comes_at(120);
            client.connect();
            for ms in [130, 140, 150] {
                client.pause_until(ms, SILENT);
                say_hello(client);
            }
            client.pause_until(160, SILENT);
            client.send(&message);
            client.receive(message.len());
            client.pause_until(180, SILENT);
            client.close();
        },
    ])
}

/// One client sends all that fits and reads nothing for a while; another one wants its answer.
fn slow_reader<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[
        &|client| {
            client.connect_with(8 << 10);
            let first = vec![b'x'; 32 << 10];
            client.send(&first);
            let sent = client.send_all_that_fits(Duration::from_millis(200));
            client.pause_until(250, READS_NOTHING);
            client.receive(first.len() + sent);
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
        for ms in [2, 4] {
            client.send(REQUEST);
            client.responses(1);
            client.pause_until(ms, SILENT);
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
        client.pause_until(6, SILENT);
        client.close();
    }])
}

/// A client sends more than one read takes. If that is not answered, it sends one byte more.
fn forgotten_drain<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    stage.play(&[&|client| {
        client.connect();
        say_hello(client);
        client.pause_until(20, SILENT);
        let message = vec![b'x'; 40 << 10];
        client.send(&message);
        let got = client.receive_within(message.len(), Duration::from_millis(100));
        if got < message.len() {
            client.send(b"!");
            client.receive(message.len() + 1 - got);
        }
        client.pause_until(140, SILENT);
        client.close();
    }])
}

/// Three clients send at the same moment, several times.
fn completions<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    let mut clients: [Client; 3] = stage.clients();
    clients.iter_mut().for_each(Client::connect);
    for ms in [10, 20, 30] {
        Client::say_together(&mut clients, ms, b"hello");
    }
    Client::pause_together(&mut clients, 40);
    clients.iter_mut().for_each(Client::close);
    clients.into()
}

/// Four clients come one after the other and stay.
fn two_workers<'s>(stage: &'s Stage, _: &Props) -> Vec<Client<'s>> {
    let script = |number: u64| {
        move |client: &mut Client| {
            client.comes_at(10 * number);
            client.connect();
            say_hello(client);
            client.pause_until(50, SILENT);
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

/// A client with two messages.
fn tls_handshake<'s>(stage: &'s Stage, props: &Props) -> Vec<Client<'s>> {
    let config = props.identity.any_version();
    let is_encrypted = props.side == 1;
    stage.play(&[&|client| {
        let tls = client_side(&config);
        client.connect();
        if is_encrypted {
            client.encrypt(tls);
        }
        say_hello(client);
        client.pause_until(20, SILENT);
        say_hello(client);
        client.pause_until(40, SILENT);
        client.close();
    }])
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
            client.pause_until(200, READS_NOTHING);
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
