//! Datagrams: echo and daytime over UDP and Unix datagram sockets.
//!
//! A socket answers in the order in which it receives. So the reply to a later datagram shows that
//! an earlier one got none. The counters show it too.

use crate::common::{Client, Ended, Evserve, PATIENCE, Program, on_every_model, pattern, skip};
use evserve::service::SERVICES;
use nix::sys::socket::{SetSockOpt, sockopt};
use rustix::process::Signal;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The largest UDP datagram over IPv4.
const LARGEST: usize = 65_507;

/// A server for datagrams and its addresses.
struct Server {
    evserve: Evserve,
    addresses: Vec<SocketAddr>,
}

/// Serves these, such as `echo=udp:127.0.0.1:0`.
fn start(model: &str, listen: &[&str], options: &[&str]) -> Server {
    let mut all = Vec::new();
    for one in listen {
        let (mode, _) = one.split_once('=').expect("MODE=ADDRESS");
        all.extend(["--mode", mode, "--listen", one]);
    }
    all.extend(options);
    let evserve = Evserve::start(model, &all);
    let addresses = evserve.udp.clone();
    Server { evserve, addresses }
}

impl Server {
    fn udp(model: &str) -> Server {
        start(model, &["echo=udp:127.0.0.1:0"], &[])
    }

    fn client(&self) -> UdpSocket {
        client(self.addresses[0])
    }

    /// Stops it. Returns how many datagrams it answered, received, refused, could not answer, and
    /// lost.
    fn stop(self) -> [u64; 5] {
        counts(&self.evserve.stop())
    }
}

fn counts(ended: &Ended) -> [u64; 5] {
    let line = ended.log.lines().find(|line| line.contains("answered "));
    let line = line.unwrap_or_else(|| panic!("no datagrams: {}", ended.log));
    let (_, line) = line.split_once("answered").expect("the summary");
    let line = line.replace(',', "");
    let numbers = line.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<_> = numbers.filter_map(|part| part.parse().ok()).collect();
    numbers.try_into().expect("five numbers")
}

/// A socket on the loopback of the server's family, connected to the server.
fn client(server: SocketAddr) -> UdpSocket {
    let own = if server.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let socket = UdpSocket::bind(own).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.connect(server).expect("an address");
    socket
}

fn ask(client: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    client.send(datagram).expect("sent");
    hear(client)
}

fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 70_000];
    let count = client.recv(&mut reply).expect("a reply");
    reply.truncate(count);
    reply
}

/// A Unix datagram socket with a path, connected to the server.
fn unix_client(directory: &Path, server: &Path) -> UnixDatagram {
    let own = directory.join(format!("client-{}", fastrand::u64(..)));
    let socket = UnixDatagram::bind(own).expect("bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.connect(server).expect("it is there");
    socket
}

fn unix_ask(client: &UnixDatagram, datagram: &[u8]) -> Vec<u8> {
    client.send(datagram).expect("sent");
    let mut reply = vec![0; 70_000];
    let count = client.recv(&mut reply).expect("a reply");
    reply.truncate(count);
    reply
}

fn is_now(line: &[u8]) {
    let line = std::str::from_utf8(line).expect("text");
    let date = line.strip_suffix("\r\n").expect(line);
    let time = httpdate::parse_http_date(date).expect(date);
    let age = SystemTime::now().duration_since(time).expect("the past");
    assert!(age < PATIENCE, "{line}");
}

#[test]
fn echo_and_daytime_over_udp() {
    on_every_model(|model| {
        let listen = ["echo=udp:127.0.0.1:0", "daytime=udp:127.0.0.1:0"];
        let server = start(model, &listen, &[]);
        let echo = server.client();
        let sizes = [0, 1, 2, 1472, 1473, 8192, 32_768, 32_769, LARGEST];
        for size in sizes {
            let datagram = pattern(size);
            assert!(ask(&echo, &datagram) == datagram, "{model}: {size} bytes");
        }
        let daytime = client(server.addresses[1]);
        for datagram in [&b""[..], b"x", &pattern(LARGEST)] {
            is_now(&ask(&daytime, datagram));
        }
        let count = sizes.len() as u64 + 3;
        assert_eq!(server.stop(), [count, count, 0, 0, 0], "{model}");
    });
}

#[test]
fn echo_and_daytime_over_unix_datagrams() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["echo", "daytime"].map(|mode| directory.path().join(mode));
        let listen = ["echo", "daytime"].map(|mode| {
            let path = directory.path().join(mode);
            format!("{mode}=unix-dgram:{}", path.display())
        });
        let server = start(model, &listen.each_ref().map(|one| &**one), &[]);
        let echo = unix_client(directory.path(), &paths[0]);
        for size in [0, 1, 8192, LARGEST] {
            let datagram = pattern(size);
            assert!(unix_ask(&echo, &datagram) == datagram, "{model}: {size}");
        }
        // unix(7): an abstract name, which is no path.
        let name = format!("evserve-test-{}", fastrand::u64(..));
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).expect("a name");
        let abstracted = UnixDatagram::bind_addr(&name).expect("bound");
        abstracted
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        abstracted.connect(&paths[0]).expect("it is there");
        assert_eq!(unix_ask(&abstracted, b"abstract"), b"abstract");
        let daytime = unix_client(directory.path(), &paths[1]);
        is_now(&unix_ask(&daytime, b""));
        assert_eq!(server.stop(), [6, 6, 0, 0, 0], "{model}");
        assert!(paths.iter().all(|path| !path.exists()), "{model}");
    });
}

#[test]
fn senders_without_an_address_get_no_reply() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listen = format!("echo=unix-dgram:{}", path.display());
        let server = start(model, &[&listen], &[]);
        let nameless = UnixDatagram::unbound().expect("a socket");
        nameless.connect(&path).expect("it is there");
        for datagram in [&b""[..], b"who am I?"] {
            nameless.send(datagram).expect("sent");
        }
        // Longer than UDP allows: the reply would be truncated.
        let client = unix_client(directory.path(), &path);
        client.send(&pattern(65_528)).expect("sent");
        assert!(unix_ask(&client, b"next") == b"next", "a part of it");
        // A client that has closed its socket.
        let gone = unix_client(directory.path(), &path);
        let name = gone.local_addr().expect("bound");
        gone.send(b"bye").expect("sent");
        drop(gone);
        fs::remove_file(name.as_pathname().expect("a path")).expect("it exists");
        assert_eq!(unix_ask(&client, b"last"), b"last");
        let [answered, received, refused, unsent, _] = server.stop();
        assert_eq!((received, refused), (6, 3), "{model}");
        // Unless the reply came before the close.
        assert!(
            unsent <= 1 && answered == 3 - unsent,
            "{model}: {answered} {unsent}"
        );
    });
}

/// A service at these ports would answer the reply, endlessly.
#[test]
fn ports_that_would_answer_get_no_reply() {
    on_every_model(|model| {
        let listen = ["echo=udp:127.0.0.1:0", "echo=udp:127.0.0.2:0"];
        let server = start(model, &listen, &[]);
        // The port of another service of this server, at another address: the port alone matters.
        let own = server.addresses[1].port();
        let mut refused = 0;
        for port in [7, 13, 17, 19, 37, own] {
            let Ok(socket) = UdpSocket::bind(("127.0.0.3", port)) else {
                skip("ports", format!("nothing can be bound to port {port}"));
                continue;
            };
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.send_to(b"x", server.addresses[0]).expect("sent");
            refused += 1;
            assert_eq!(ask(&server.client(), b"next"), b"next");
            socket.set_nonblocking(true).expect("a socket");
            assert!(
                socket.recv(&mut [0]).is_err(),
                "{model}: an answer to {port}"
            );
        }
        assert!(refused > 0, "not even its own");
        assert_eq!(
            server.stop(),
            [refused, 2 * refused, refused, 0, 0],
            "{model}"
        );
    });
}

/// A forged datagram seems to come from one server and is sent to another one.
#[test]
fn two_servers_do_not_answer_each_other_forever() {
    on_every_model(|model| {
        let (one, other) = (Server::udp(model), Server::udp(model));
        if !forge(other.addresses[0], one.addresses[0]) {
            return;
        }
        // Ordinary clients are served at the same time.
        let clients = [one.client(), other.client()];
        let rounds = 2000;
        for round in 0..rounds {
            for client in &clients {
                assert_eq!(
                    ask(client, &u32::to_be_bytes(round)),
                    u32::to_be_bytes(round)
                );
            }
        }
        let counts = [one.stop(), other.stop()];
        let received = counts[0][1] + counts[1][1] - 2 * u64::from(rounds);
        // As many as the forged datagram had hops.
        assert_eq!(received, 64, "{model}: {counts:?}");
    });
}

/// Sends a datagram with another source address. Returns false if this user may not.
fn forge(from: SocketAddr, to: SocketAddr) -> bool {
    let Ok(socket) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else {
        skip("raw-sockets", "only root may forge datagrams");
        return false;
    };
    // RFC 768: ports, length, no checksum. The kernel adds the IP header.
    let mut datagram = Vec::new();
    for number in [from.port(), to.port(), 8 + 4, 0] {
        datagram.extend(number.to_be_bytes());
    }
    datagram.extend(b"ping");
    socket
        .bind(&SocketAddr::new(from.ip(), 0).into())
        .expect("bound");
    socket.set_ttl_v4(64).expect("a socket");
    socket.send_to(&datagram, &to.into()).expect("sent");
    true
}

/// This ends such a loop: a reply has one hop less than the datagram that it answers.
#[test]
fn a_reply_has_a_smaller_hop_limit_than_its_datagram() {
    on_every_model(|model| {
        let server = start(model, &["echo=udp::0"], &[]);
        let port = server.addresses[0].port();
        let ipv4 = client(SocketAddr::from(([127, 0, 0, 1], port)));
        let ipv6 = client(format!("[::1]:{port}").parse().expect("an address"));
        // IP_MINTTL (ip(7)) and IPV6_MINHOPCOUNT: datagrams with fewer hops left are dropped.
        for (client, live) in [(&ipv4, [1, 10, 64]), (&ipv6, [1, 20, 255])] {
            for hops in live {
                match client.local_addr().expect("bound").is_ipv4() {
                    true => SockRef::from(client).set_ttl_v4(hops).expect("a socket"),
                    false => SockRef::from(client)
                        .set_unicast_hops_v6(hops)
                        .expect("a socket"),
                }
                client.send(&[hops as u8]).expect("sent");
                if hops > 1 {
                    assert_eq!(
                        received_with_hops(client),
                        ([hops as u8], hops - 1),
                        "{model}"
                    );
                }
            }
        }
        assert_eq!(server.stop(), [4, 6, 2, 0, 0], "{model}");
    });
}

fn received_with_hops(client: &UdpSocket) -> ([u8; 1], u32) {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    use std::os::fd::AsRawFd;
    match client.local_addr().expect("bound").is_ipv4() {
        true => sockopt::Ipv4RecvTtl.set(client, &true).expect("a socket"),
        false => sockopt::Ipv6RecvHopLimit
            .set(client, &true)
            .expect("a socket"),
    }
    let mut bytes = [0];
    let mut control = nix::cmsg_space!(u64);
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::empty();
    let fd = client.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), flags);
    let message = message.expect("a reply");
    let hops = match message.cmsgs().expect("room").next() {
        Some(ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops)) => hops,
        other => panic!("{other:?}"),
    };
    (bytes, hops as u32)
}

/// A connected socket receives only from the address that it is connected to.
#[test]
fn a_reply_comes_from_the_address_its_datagram_was_sent_to() {
    on_every_model(|model| {
        let listen = ["echo=udp:0.0.0.0:0", "echo=udp::0", "echo=udp:[::]:0"];
        let server = start(model, &listen, &[]);
        let ports = [0, 1, 2].map(|index| server.addresses[index].port());
        for address in ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"] {
            let address: IpAddr = address.parse().expect("an address");
            for port in &ports[usize::from(address.is_ipv6())..] {
                let client = client(SocketAddr::new(address, *port));
                assert_eq!(
                    ask(&client, b"from there"),
                    b"from there",
                    "{model}: {address}"
                );
            }
        }
        assert_eq!(server.stop(), [11, 11, 0, 0, 0], "{model}");
    });
}

/// A broadcast would be answered by every host, and its source may be forged.
#[test]
fn broadcast_and_multicast_get_no_reply() {
    // Each loop has a socket, and the kernel gives a broadcast to all of them.
    let server = start("epoll", &["echo=udp:0.0.0.0:0"], &["--workers", "1"]);
    let port = server.addresses[0].port();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_broadcast(true).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client
        .send_to(b"all", ("127.255.255.255", port))
        .expect("sent");
    client.send_to(b"one", ("127.0.0.1", port)).expect("sent");
    assert_eq!(hear(&client), b"one");
    assert_eq!(server.stop(), [1, 2, 1, 0, 0]);
}

/// Fifty clients, each of which sends its next datagram when it has its reply.
fn load(model: &str, datagrams: usize) {
    const CLIENTS: usize = 50;
    let server = Server::udp(model);
    let bytes = pattern(16_384);
    let each = datagrams / CLIENTS;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, bytes) = (server.client(), &bytes);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                let mut reply = vec![0; 8193];
                for _ in 0..each {
                    let start = random.usize(..8192);
                    let datagram = &bytes[start..start + random.usize(1..=8192)];
                    client.send(datagram).expect("sent");
                    let count = client.recv(&mut reply).expect("a reply");
                    assert!(reply[..count] == *datagram, "it differs");
                }
            });
        }
    });
    let count = (each * CLIENTS) as u64;
    assert_eq!(server.stop(), [count, count, 0, 0, 0], "{model}");
}

#[test]
fn a_hundred_thousand_datagrams_come_back_intact() {
    load("epoll", 100_000);
}

#[test]
fn many_datagrams_come_back_on_every_model() {
    on_every_model(|model| load(model, 10_000));
}

/// A full buffer loses datagrams and nothing else.
#[test]
fn datagrams_lost_to_a_full_buffer_are_counted() {
    let server = Server::udp("epoll");
    let client = server.client();
    server.evserve.signal(Signal::STOP);
    let datagram = pattern(60_000);
    for _ in 0..1000 {
        client.send(&datagram).expect("sent");
    }
    server.evserve.signal(Signal::CONT);
    assert!(hear(&client) == datagram);
    let [answered, received, refused, unsent, lost] = server.stop();
    assert!(lost > 0, "no datagram was lost");
    assert_eq!(
        (received + lost, refused, answered + unsent),
        (1000, 0, received)
    );
}

/// If the client is gone, the next call on a connected socket fails (ICMP, ECONNREFUSED). That must
/// neither stop the server nor keep it busy.
#[test]
fn an_unreachable_client_does_no_harm() {
    on_every_model(|model| {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let place = gone.local_addr().expect("bound");
        drop(gone);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.connect(place).expect("an address");
        let kept = socket.try_clone().expect("a socket");
        let arguments = ["--mode", "echo", "--model", model];
        let mut evserve = start_with_socket(socket.into(), &arguments);
        evserve.wait_for_log("  udp:");
        kept.send(b"is anybody there?").expect("sent");
        let here = UdpSocket::bind(place).expect("it is free");
        here.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let address = kept.local_addr().expect("bound");
        here.connect(address).expect("an address");
        assert_eq!(ask(&here, b"here"), b"here", "{model}");
        assert_eq!(counts(&evserve.stop()), [1, 1, 0, 0, 0], "{model}");
    });
}

#[test]
fn several_loops_share_a_port_and_a_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let unix = format!("echo=unix-dgram:{}", path.display());
    let server = start(
        "epoll",
        &["echo=udp:127.0.0.1:0", &unix],
        &["--workers", "3"],
    );
    for _ in 0..50 {
        assert_eq!(ask(&server.client(), b"x"), b"x");
        assert_eq!(unix_ask(&unix_client(directory.path(), &path), b"x"), b"x");
    }
    assert_eq!(server.stop(), [100, 100, 0, 0, 0]);
    assert!(!path.exists());
}

#[test]
fn one_server_takes_connections_and_datagrams() {
    on_every_model(|model| {
        let options = ["--mode", "echo", "--listen", "127.0.0.1:0"];
        let evserve = Evserve::start(model, &options);
        let tcp = evserve.address();
        evserve.stop();
        let place = format!("udp:{tcp}");
        let options = [&options[..], &["--listen", &place]].concat();
        let mut evserve = Evserve::start(model, &options);
        let mut connection = evserve.connect();
        let datagrams = client(tcp);
        for _ in 0..100 {
            connection.send("stream");
            assert_eq!(connection.read(6), b"stream");
            assert_eq!(ask(&datagrams, b"datagram"), b"datagram");
        }
        // Datagrams that wait when shutdown begins are still answered.
        evserve.signal(Signal::STOP);
        datagrams.send(b"last").expect("sent");
        evserve.terminate();
        evserve.signal(Signal::CONT);
        assert_eq!(hear(&datagrams), b"last");
        assert_eq!(connection.rest(), b"");
        let ended = evserve.wait();
        assert!(ended.status.success(), "{}", ended.log);
        assert_eq!(counts(&ended), [101, 101, 0, 0, 0], "{model}");
    });
}

/// The message of a server that cannot start.
fn refusal(options: &[&str]) -> String {
    Program::evserve("").args(options).fails(1)
}

#[test]
fn services_that_need_connections_refuse_datagram_sockets() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let rows = SERVICES.iter().filter(|row| row.datagram.is_none());
    for mode in rows.map(|row| row.name) {
        for place in [
            "udp:127.0.0.1:0".into(),
            format!("unix-dgram:{}", path.display()),
        ] {
            let said = refusal(&["--mode", mode, "--listen", &place, "docs"]);
            let sentence = format!("{mode} needs a connection: it cannot be served over {place}");
            assert!(said.contains(&sentence), "{said}");
        }
    }
    assert!(!path.exists());
}

#[test]
fn a_socket_in_use_is_named_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let unix = format!("unix-dgram:{}", path.display());
    let first = start(
        "epoll",
        &["echo=udp:127.0.0.1:0", &format!("echo={unix}")],
        &[],
    );
    let who = format!("evserve (process {})", first.evserve.id());
    let udp = format!("udp:{}", first.addresses[0]);
    let inode = fs::symlink_metadata(&path).expect("it exists").ino();
    for (place, expected) in [
        (&udp, format!("{who} uses this port")),
        (&unix, format!("{who} uses it")),
        (
            &format!("unix:{}", path.display()),
            format!("{who} uses it"),
        ),
    ] {
        for workers in ["1", "2"] {
            let options = ["--mode", "echo", "--listen", place, "--workers", workers];
            let said = refusal(&options);
            assert!(said.contains(&expected), "{said}");
        }
    }
    assert_eq!(fs::symlink_metadata(&path).expect("it exists").ino(), inode);
    assert_eq!(ask(&first.client(), b"still"), b"still");
    let client = unix_client(directory.path(), &path);
    assert_eq!(unix_ask(&client, b"still"), b"still");
    first.stop();

    // A stream socket and an ordinary file are in the way too.
    let listener = UnixListener::bind(&path).expect("bound");
    let said = refusal(&["--mode", "echo", "--listen", &unix]);
    assert!(
        said.contains(&format!("(process {}) uses it", std::process::id())),
        "{said}"
    );
    drop(listener);
    fs::remove_file(&path).expect("it exists");
    fs::write(&path, "precious").expect("written");
    let said = refusal(&["--mode", "echo", "--listen", &unix]);
    assert!(said.contains("exists and is not a socket"), "{said}");
    assert_eq!(fs::read(&path).expect("it exists"), b"precious");
}

#[test]
fn the_socket_file_has_its_mode_and_is_removed() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listen = format!("echo=unix-dgram:{}", path.display());
        for (options, mode) in [(&[][..], 0o660), (&["--unix-mode", "0606"], 0o606)] {
            drop(UnixDatagram::bind(&path).expect("bound"));
            assert!(path.exists(), "std leaves the file behind");
            let server = start(model, &[&listen], options);
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.permissions().mode() & 0o777, mode);
            let client = unix_client(directory.path(), &path);
            assert_eq!(unix_ask(&client, b"x"), b"x");
            server.stop();
            assert!(!path.exists(), "{model} did not remove the socket");
        }
    });
}

/// evserve with a socket as its descriptor 3.
fn start_with_socket(socket: OwnedFd, arguments: &[&str]) -> Evserve {
    Program::evserve("")
        .args(arguments)
        .inherits(socket)
        .start()
}

#[test]
fn inherited_sockets_are_served() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let arguments = ["--mode", "echo", "--model", model];

        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        let port = socket.local_addr().expect("bound").port();
        let kept = socket.try_clone().expect("a socket");
        // A server does not shut down an inherited socket: the next server gets the same one.
        for _ in 0..2 {
            let socket = kept.try_clone().expect("a socket");
            let evserve = start_with_socket(socket.into(), &arguments);
            let client = client(SocketAddr::from(([127, 0, 0, 2], port)));
            assert_eq!(ask(&client, b"handed over"), b"handed over", "{model}");
            assert_eq!(counts(&evserve.stop()), [1, 1, 0, 0, 0]);
        }

        let socket = UnixDatagram::bind(&path).expect("bound");
        let evserve = start_with_socket(socket.into(), &arguments);
        let client = unix_client(directory.path(), &path);
        assert_eq!(unix_ask(&client, b"handed over"), b"handed over", "{model}");
        evserve.stop();
        assert!(path.exists(), "an inherited socket is not removed");
    });
}

/// The process that made the socket may shut it down. Then the server stops waiting for datagrams.
#[test]
fn a_socket_that_is_shut_down_is_dropped() {
    on_every_model(|model| {
        let arguments = ["--mode", "echo", "--model", model];
        let directory = tempfile::tempdir().expect("a directory");
        let udp: OwnedFd = UdpSocket::bind("127.0.0.1:0").expect("bound").into();
        let unix = UnixDatagram::bind(directory.path().join("socket")).expect("bound");
        for socket in [udp, unix.into()] {
            let kept = Socket::from(socket.try_clone().expect("a socket"));
            let mut evserve = start_with_socket(socket, &arguments);
            // The call fails with ENOTCONN, but the kernel shuts the socket down (inet_shutdown).
            let _ = kept.shutdown(std::net::Shutdown::Both);
            evserve.wait_for_log("stopped receiving datagrams");
            let ended = evserve.stop();
            assert!(!ended.log.contains("datagrams:"), "{}", ended.log);
        }
    });
}

/// Runs in a network namespace of this thread, with IPv6 disabled.
#[test]
fn ipv4_works_without_ipv6() {
    let may = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok();
    let switch = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let up = || {
        Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
    };
    if !may || fs::write(switch, "1").is_err() || !up().is_ok_and(|status| status.success()) {
        skip("network-namespace", "no network of its own can be had");
        return;
    }
    on_every_model(|model| {
        assert!(UdpSocket::bind("[::1]:0").is_err(), "IPv6 is disabled");
        let server = start(model, &["echo=udp::0"], &[]);
        let port = server.addresses[0].port();
        let client = client(SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(ask(&client, b"IPv4"), b"IPv4", "{model}");
        server.stop();
        let evserve = Evserve::start(model, &["--mode", "echo", "--listen", ":0"]);
        let port = evserve.address().port();
        let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
        client.send("IPv4");
        assert_eq!(client.read(4), b"IPv4", "{model}");
    });
}
