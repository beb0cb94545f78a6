//! Addresses to listen on: families, names, interfaces, and combinations.

use crate::common::{Client, Evserve, Program, on_every_loop, on_every_model, skip};
use nix::ifaddrs::getifaddrs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};

const ECHO: [&str; 2] = ["--mode", "echo"];

fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        skip("ipv6", "nothing can be bound to [::1]");
    }
    has
}

/// A port that is free at all addresses.
fn free_port() -> u16 {
    let listener = TcpListener::bind("[::]:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn start(model: &str, listen: &[String], options: &[&str]) -> Evserve {
    let listen = listen.iter().flat_map(|one| ["--listen", one]);
    let all: Vec<_> = ECHO.into_iter().chain(listen).collect();
    Evserve::start(model, &[&all, options].concat())
}

fn is_answered(address: impl Into<SocketAddr>, about: &str) {
    let mut client = Client::connect(address.into());
    client.send("hello");
    assert_eq!(client.read(5), b"hello", "{about}");
}

fn is_answered_with_both(port: u16, about: &str) {
    is_answered((Ipv4Addr::LOCALHOST, port), about);
    is_answered((Ipv6Addr::LOCALHOST, port), about);
}

/// `[::]` alone accepts IPv4 too. Beside an IPv4 listener at the same port it leaves IPv4 to that.
#[test]
fn an_ipv6_wildcard_takes_ipv4_unless_another_listener_does() {
    if !has_ipv6() {
        return;
    }
    on_every_model(|model| {
        for listen in [
            &["0.0.0.0:", "[::]:"][..],
            &["[::]:", "0.0.0.0:"],
            &["127.0.0.1:", "[::]:"],
            &["[::]:", "127.0.0.1:"],
            &["0.0.0.0:", "[::1]:"],
            &["[::]:"],
            &[":"],
        ] {
            let port = free_port();
            let all: Vec<_> = listen.iter().map(|one| format!("{one}{port}")).collect();
            let evserve = start(model, &all, &[]);
            is_answered_with_both(port, &format!("{model} {listen:?}"));
            drop(evserve);
        }
    });
    for listen in [&["0.0.0.0:", "[::]:"][..], &["[::]:"]] {
        let port = free_port();
        let all: Vec<_> = listen.iter().map(|one| format!("{one}{port}")).collect();
        let _evserve = start("epoll", &all, &["--workers", "2"]);
        for _ in 0..8 {
            is_answered_with_both(port, "two workers");
        }
    }
}

#[test]
fn each_family_of_a_port_may_serve_another_mode() {
    if !has_ipv6() {
        return;
    }
    on_every_model(|model| {
        let port = free_port();
        let (http, echo) = (format!("http=[::]:{port}"), format!("echo=0.0.0.0:{port}"));
        let all = ["--mode", "http", "--mode", "echo", "--listen", &http];
        let _evserve = Evserve::start(model, &[&all[..], &["--listen", &echo]].concat());
        is_answered((Ipv4Addr::LOCALHOST, port), model);
        let mut client = Client::connect((Ipv6Addr::LOCALHOST, port).into());
        client.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 404, "{model}");
    });
}

#[test]
fn datagrams_arrive_over_both_families() {
    if !has_ipv6() {
        return;
    }
    let ask = |address: SocketAddr, about: &str| {
        let own = SocketAddr::new(address.ip(), 0);
        let socket = UdpSocket::bind(own).expect("a port");
        socket
            .set_read_timeout(Some(crate::common::PATIENCE))
            .expect("a socket");
        socket.send_to(b"hello", address).expect("sent");
        let mut buffer = [0; 16];
        let (count, from) = socket.recv_from(&mut buffer).expect("a reply");
        assert_eq!(
            (&buffer[..count], from),
            (&b"hello"[..], address),
            "{about}"
        );
    };
    let run = |model: &str, listen: &[&str], options: &[&str]| {
        let port = free_port();
        let all: Vec<_> = listen
            .iter()
            .map(|one| format!("udp:{one}{port}"))
            .collect();
        let mut evserve = start(model, &all, options);
        for _ in listen {
            evserve.wait_for_log("  udp:");
        }
        ask((Ipv4Addr::LOCALHOST, port).into(), model);
        ask((Ipv6Addr::LOCALHOST, port).into(), model);
    };
    on_every_model(|model| {
        run(model, &["0.0.0.0:", "[::]:"], &[]);
        run(model, &["[::]:", "127.0.0.1:"], &[]);
        run(model, &["[::]:"], &[]);
    });
    on_every_loop(|model| run(model, &["0.0.0.0:", "[::]:"], &["--workers", "3"]));
    let mut evserve = start("epoll", &["udp:localhost:0".into()], &[]);
    for family in ["127.0.0.1", "[::1]"] {
        let line = evserve.wait_for_log(&format!("  udp:{family}:"));
        let place = line.split("udp:").nth(1).expect("an address");
        let place = place.split(' ').next().expect("an address");
        ask(place.parse().expect("an address"), family);
    }
}

/// A name stands for all of its addresses, at one port.
#[test]
fn localhost_listens_on_both_families() {
    if !has_ipv6() {
        return;
    }
    let check = |model: &str, name: &str, options: &[&str]| {
        let evserve = start(model, &[format!("{name}:0")], options);
        let [v4, v6] = evserve.addresses[..] else {
            panic!("two addresses")
        };
        assert_eq!(v4, (Ipv4Addr::LOCALHOST, v4.port()).into());
        assert_eq!(v6, (Ipv6Addr::LOCALHOST, v4.port()).into(), "one port");
        is_answered_with_both(v4.port(), model);
    };
    on_every_model(|model| check(model, "localhost", &[]));
    check("epoll", "LOCALHOST.", &["--workers", "2"]);
    // The status listens on both too, and its page works with both in the Host field.
    let all = ["--mode", "echo", "--listen", "127.0.0.1:0"];
    let status = ["--status", "localhost:0"];
    let evserve = Evserve::start("epoll", &[&all[..], &status].concat());
    for address in &evserve.addresses[1..] {
        let mut client = Client::connect(*address);
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

/// A link-local address needs its interface. The URL in the log contains it, as RFC 6874 says.
#[test]
fn a_link_local_address_needs_its_interface() {
    let all = getifaddrs().expect("interfaces");
    let of_link = all.filter_map(|one| {
        let address = *one.address?.as_sockaddr_in6()?;
        let is_of_link = address.ip().is_unicast_link_local();
        is_of_link.then_some((one.interface_name, address))
    });
    let Some((interface, address)) = of_link.into_iter().next() else {
        return skip("link-local", "no interface has an address of its link");
    };
    let (ip, index) = (address.ip(), address.scope_id());
    for zone in [interface.clone(), index.to_string()] {
        let listen = format!("[{ip}%{zone}]:0");
        let mut evserve = start("epoll", &[listen], &[]);
        let line = evserve.wait_for_log("[evserve]   [");
        let shown = format!("[evserve]   [{ip}%{interface}]:");
        assert!(line.contains(&shown), "{line}");
        let port = line.split(&shown).nth(1).expect("a port");
        let port = port.split(' ').next().expect("a port");
        let port: u16 = port.parse().expect("a port");
        is_answered(SocketAddrV6::new(ip, port, 0, index), &zone);
        let hint = evserve.wait_for_log("try: ");
        assert!(
            hint.ends_with(&format!("nc {ip}%{interface} {port}")),
            "{hint}"
        );
    }
    let listen = format!("[{ip}%{interface}]:0");
    let mut evserve = Evserve::start("poll", &["--listen", &listen, "docs/site"]);
    evserve.wait_for_log(&format!("[evserve]   [{ip}%{interface}]:"));
    evserve.wait_for_log(&format!("try: curl -i 'http://[{ip}%25{interface}]:"));
}

/// The message names both options.
#[test]
fn conflicting_addresses_are_refused_before_listening() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let path = path.display();
    let port = free_port();
    let both = "--mode http --mode echo";
    let overlap = "overlap, and each client can reach only one of them; use another port for one";
    for (arguments, expected) in [
        (
            format!("{both} --listen http=127.0.0.1:{port} --listen echo=:{port}"),
            format!("--listen http=127.0.0.1:{port} and --listen echo=:{port} {overlap}"),
        ),
        (
            format!("{both} --listen http=localhost:{port} --listen echo=127.0.0.1:{port}"),
            format!("--listen http=localhost:{port} and --listen echo=127.0.0.1:{port} {overlap}"),
        ),
        (
            format!("--listen 127.0.0.1:{port} --status {port}"),
            format!("--listen http=127.0.0.1:{port} and --status 127.0.0.1:{port} {overlap}"),
        ),
        (
            format!("{both} --listen http=unix:{path} --listen echo=unix:{path}"),
            format!(
                "--listen http=unix:{path} and --listen echo=unix:{path} name the same file; use another path for one of them"
            ),
        ),
    ] {
        let said = Program::evserve(&arguments).fails(1);
        assert_eq!(said, format!("evserve: {expected}\n"));
    }
    for (listen, expected) in [
        ("[fe80::1]:8080", "is link-local and needs an interface"),
        (
            "[fe80::1%nothing0]:8080",
            "this machine has no network interface `nothing0`; it has lo",
        ),
    ] {
        let said = Program::evserve(&format!("--listen {listen}")).fails(2);
        assert!(said.contains(expected), "{listen}: {said}");
    }
}

/// An address that a service has twice is used once, and the log says so.
#[test]
fn duplicate_addresses_of_a_service_are_merged() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket").display().to_string();
    on_every_model(|model| {
        let port = free_port();
        let mut evserve = start(
            model,
            &[
                format!("127.0.0.1:{port}"),
                format!(":{port}"),
                format!("127.0.0.1:{port}"),
                format!("udp:127.0.0.1:{port}"),
                format!("unix:{path}"),
                format!("unix:{path}"),
            ],
            &[],
        );
        let covered = format!("--listen echo=127.0.0.1:{port} is covered by --listen echo=:{port}");
        let twice = format!("--listen echo=unix:{path} is given twice");
        evserve.wait_for_log(&format!("  unix:{path}"));
        is_answered((Ipv4Addr::LOCALHOST, port), model);
        let log = evserve.stop().log;
        assert_eq!(log.matches(&covered).count(), 2, "{model}: {log}");
        assert_eq!(log.matches(&twice).count(), 1, "{model}: {log}");
    });
}

#[test]
fn ipv4_clients_of_a_dual_stack_socket_have_ipv4_addresses() {
    if !has_ipv6() {
        return;
    }
    const REQUEST: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    on_every_model(|model| {
        let site = ["--listen", "[::]:0", "docs/site"];
        let evserve = Evserve::start(model, &[&site[..], &["--max-per-ip", "9"]].concat());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, evserve.address().port()));
        let mut client = Client::connect(address);
        client.send(REQUEST);
        client.rest();
        let log = evserve.stop().access_log;
        assert!(log.starts_with("127.0.0.1 - - ["), "{model}: {log}");
        for trusted in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "127.0.0.0/8"] {
            let proxy = ["--proxy-protocol", "--trusted-proxy", trusted];
            let evserve = Evserve::start(model, &[&site[..], &proxy].concat());
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, evserve.address().port()));
            let mut client = Client::connect(address);
            client.send("PROXY TCP6 ::ffff:192.0.2.7 ::1 258 80\r\n");
            client.send(REQUEST);
            assert!(
                client.rest().starts_with(b"HTTP/1.1 200 "),
                "{model}: {trusted}"
            );
            let log = evserve.stop().access_log;
            assert!(log.starts_with("192.0.2.7 - - ["), "{model}: {log}");
        }
    });
}
