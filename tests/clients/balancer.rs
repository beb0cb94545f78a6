//! Two servers behind HAProxy, each restarted under load: no request fails.
//!
//! `EVSERVE_RESTARTS=5` restarts each more often. The configuration is the one in
//! docs/operations.md.

use crate::common::{Client, Evserve, PATIENCE, is_missing, number};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How often each server is restarted in an ordinary run.
const RESTARTS: u64 = 2;

/// How many clients send requests all the time.
const CLIENTS: usize = 8;

const KEPT: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";
const ONCE: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// An HAProxy. Dropping it kills it.
struct Balancer(Child);

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stops the clients when it is dropped, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An address whose port was free a moment ago. A restarted server must listen on the same port
/// again.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

fn start(at: SocketAddr, status: SocketAddr) -> Evserve {
    let (at, status) = (at.to_string(), status.to_string());
    let options = [
        "--listen",
        &at,
        "--proxy-protocol",
        "--trusted-proxy",
        "127.0.0.1",
        "--status",
        &status,
        "--drain-delay",
        "1s",
        "--access-log",
        "off",
        "docs/site",
    ];
    Evserve::start("epoll", &options)
}

/// The configuration from the documentation, with other addresses.
fn configuration(front: SocketAddr, servers: &[(SocketAddr, SocketAddr)]) -> String {
    let page = std::fs::read_to_string("docs/operations.md").expect("the page");
    let block = page.split("with `haproxy.cfg`:\n\n```\n").nth(1);
    let block = block.and_then(|rest| rest.split("```").next());
    let mut text = block.expect("the configuration").to_owned();
    let mut replace = |port: u16, address: SocketAddr| {
        let documented = format!("127.0.0.1:{port}");
        assert!(text.contains(&documented), "{documented}");
        text = text.replace(&documented, &address.to_string());
    };
    replace(8080, front);
    replace(8081, servers[0].0);
    replace(8082, servers[1].0);
    for (documented, (_, status)) in [9081, 9082].into_iter().zip(servers) {
        let documented = format!("port {documented}");
        assert!(text.contains(&documented), "{documented}");
        text = text.replace(&documented, &format!("port {}", status.port()));
    }
    text
}

fn status_code(at: SocketAddr, request: &str) -> u16 {
    let mut client = Client::connect(at);
    client.send(request);
    client.response().status
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// True if the balancer reports that a server is up.
fn is_up(stats: SocketAddr, server: &str) -> bool {
    let mut client = Client::connect(stats);
    client.send("GET /;csv HTTP/1.0\r\n\r\n");
    let text = String::from_utf8(client.rest()).expect("text");
    let line = text.lines().find(|line| line.contains(server));
    line.is_some_and(|line| line.split(',').nth(17) == Some("UP"))
}

/// Sends requests until `over` is set, on a connection that is kept as long as the balancer keeps
/// it. The balancer may close it between two requests; that is no error.
fn ask(front: SocketAddr, request: &str, over: &AtomicBool, served: &AtomicU64) {
    while !over.load(Relaxed) {
        let mut client = Client::connect(front);
        loop {
            client.send(request);
            let response = client.response();
            assert_eq!(response.status, 200, "{}", response.head);
            served.fetch_add(1, Relaxed);
            if over.load(Relaxed) || response.field("Connection") == Some("close") {
                break;
            }
        }
    }
}

#[test]
#[ignore = "needs haproxy: tests/run"]
fn no_request_fails_while_servers_restart() {
    if is_missing("haproxy") {
        return;
    }
    let front = free_address();
    let stats = free_address();
    let addresses = [(); 2].map(|()| (free_address(), free_address()));
    let mut servers = addresses.map(|(at, status)| start(at, status));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("haproxy.cfg");
    let seen = format!(
        "\nfrontend seen\n    mode http\n    bind {stats}\n    stats enable\n    stats uri /\n"
    );
    let text = configuration(front, &addresses) + &seen;
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null());
    let _balancer = Balancer(command.spawn().expect("haproxy is installed"));
    wait_until("haproxy never listened", || {
        std::net::TcpStream::connect(stats).is_ok()
    });
    for name in ["one", "two"] {
        wait_until("a server is never up", || {
            is_up(stats, &format!(",{name},"))
        });
    }
    assert_eq!(status_code(front, ONCE), 200);
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _over = StopOnDrop(&over);
        let clients = (0..CLIENTS).map(|index| {
            let request = if index % 2 == 0 { KEPT } else { ONCE };
            let (over, served) = (&over, &served);
            scope.spawn(move || ask(front, request, over, served))
        });
        let clients: Vec<_> = clients.collect();
        for _ in 0..number("EVSERVE_RESTARTS").unwrap_or(RESTARTS) {
            for (index, name) in ["one", "two"].into_iter().enumerate() {
                servers[index].terminate();
                let ended = servers[index].wait();
                assert!(ended.status.success(), "{}", ended.log);
                assert!(!ended.log.contains("cut off"), "{}", ended.log);
                let (at, status) = addresses[index];
                servers[index] = start(at, status);
                wait_until("it never came back", || is_up(stats, &format!(",{name},")));
                assert!(!clients.iter().any(thread::ScopedJoinHandle::is_finished));
            }
        }
    });
    println!("{} requests were served", served.load(Relaxed));
}
