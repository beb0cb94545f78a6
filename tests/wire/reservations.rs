//! The connections reserved for each service, and how idle connections make room.

use crate::common::{
    Client, Evserve, Program, limited_to, on_every_concurrent_model, on_every_loop, on_every_model,
    on_one_model_of_each_kind, row,
};

const OPTIONS: &str =
    "--mode http --listen http=127.0.0.1:0 --status 127.0.0.1:0 --idle-timeout 1h --access-log off";

/// Starts http, chat and the status, with 24 connections for all of them. Models without chat get
/// echo instead.
fn start(model: &str) -> Evserve {
    let shared = row(model).isolated_because.is_none();
    let silent = if shared { "chat" } else { "echo" };
    let silent_at = format!("{silent}=127.0.0.1:0");
    let program = Program::model(model, OPTIONS).args(limited_to(model, 24));
    program
        .args(["--mode", silent, "--listen", &silent_at, "docs/site"])
        .start()
}

fn ask(evserve: &Evserve, index: usize, path: &str) -> u16 {
    let mut client = Client::connect(evserve.addresses[index]);
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ));
    client.head().status
}

#[test]
fn silent_clients_of_one_service_block_no_other() {
    on_every_concurrent_model(|model| {
        let evserve = start(model);
        let silent: Vec<_> = (0..40)
            .map(|_| Client::connect(evserve.addresses[1]))
            .collect();
        for _ in 0..3 {
            assert_eq!(ask(&evserve, 0, "/style.css"), 200, "{model}");
            assert_eq!(ask(&evserve, 2, "/healthz"), 200, "{model}");
        }
        drop(silent);
    });
}

#[test]
fn viewers_of_the_status_block_no_service() {
    on_every_concurrent_model(|model| {
        let evserve = start(model);
        let watchers: Vec<_> = (0..40)
            .map(|_| {
                let mut client = Client::connect(evserve.addresses[2]);
                client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
                client
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(ask(&evserve, 0, "/style.css"), 200, "{model}");
        }
        drop(watchers);
    });
}

/// Slow heads are not cut off, because their requests have begun. They can take only the share of
/// http.
#[test]
fn slow_heads_block_no_health_check() {
    on_every_concurrent_model(|model| {
        let evserve = start(model);
        let slow: Vec<_> = (0..40)
            .map(|_| {
                let mut client = evserve.connect();
                client.send("GET / HTTP/1.1\r\n");
                client
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(ask(&evserve, 2, "/healthz"), 200, "{model}");
        }
        drop(slow);
    });
}

/// A silent member of a chat does not make room for waiting clients.
#[test]
fn chat_members_stay_while_clients_wait() {
    on_every_concurrent_model(|model| {
        let evserve = start(model);
        if row(model).isolated_because.is_some() {
            return;
        }
        let mut members: Vec<_> = (0..5)
            .map(|_| {
                let mut client = Client::connect(evserve.addresses[1]);
                client.line();
                client
            })
            .collect();
        let others: Vec<_> = (0..40)
            .map(|_| Client::connect(evserve.addresses[1]))
            .collect();
        let kept: Vec<_> = (0..30).map(|_| keep_alive(&evserve)).collect();
        members[0].send("hello\n");
        for member in &mut members[1..] {
            while !member.line().ends_with("hello") {}
        }
        drop((others, kept));
    });
}

/// A client that has had its response and keeps its connection.
fn keep_alive(evserve: &Evserve) -> Client {
    let mut client = evserve.connect();
    client.send("GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client
}

/// Far more clients than connections are allowed, one after the other. Each gets its response
/// although all keep their connections open.
#[test]
fn kept_alive_connections_make_room_for_waiting_clients() {
    on_every_model(|model| {
        let options = "--listen 127.0.0.1:0 --idle-timeout 1h --access-log off docs/site";
        let program = Program::model(model, options).args(limited_to(model, 4));
        let evserve = program.start();
        let clients: Vec<_> = (0..100).map(|_| keep_alive(&evserve)).collect();
        drop(clients);
    });
}

/// Each loop has its part of the connections and of the reserved ones.
#[test]
fn each_loop_reserves_connections_of_its_own() {
    on_every_loop(|model| {
        let options =
            "--max-connections 48 --workers 3 --mode chat --listen chat=127.0.0.1:0 docs/site";
        let evserve = Program::model(model, OPTIONS).options(options).start();
        let silent: Vec<_> = (0..150)
            .map(|_| Client::connect(evserve.addresses[1]))
            .collect();
        for _ in 0..20 {
            assert_eq!(ask(&evserve, 0, "/style.css"), 200, "{model}");
            assert_eq!(ask(&evserve, 2, "/healthz"), 200, "{model}");
        }
        drop(silent);
    });
}

/// Each viewer keeps a connection open, so viewers beyond the first few get a single update.
#[test]
fn excess_viewers_of_the_status_are_told_to_retry() {
    on_one_model_of_each_kind(|model| {
        // There each viewer gets a single update.
        if row(model).no_streams_because.is_some() {
            return;
        }
        let options = "--mode echo --listen echo=127.0.0.1:0 docs/site";
        let evserve = Program::model(model, OPTIONS).options(options).start();
        let watch = || {
            let mut client = Client::connect(evserve.addresses[2]);
            client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(client.head().status, 200, "{model}");
            while !client.line().starts_with("data: ") {}
            client
        };
        let mut watchers: Vec<_> = (0..8).map(|_| watch()).collect();
        for _ in 0..5 {
            // The stream ends.
            watch().rest();
        }
        for watcher in &mut watchers {
            while !watcher.line().starts_with("data: ") {}
        }
        drop(watchers);
        // When the server has seen that, another viewer gets the place.
        let end = std::time::Instant::now() + crate::common::PATIENCE;
        loop {
            let mut client = watch();
            client.line();
            if client.try_line().is_some() {
                break;
            }
            assert!(std::time::Instant::now() < end, "{model}");
        }
    });
}
