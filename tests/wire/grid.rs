//! Each service over each transport on each model: it works, or it is said why not.

use crate::common::{Evserve, PATIENCE, on_every_model};
use evserve::service::SERVICES;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;

const TRANSPORTS: [&str; 4] = ["tcp", "unix", "udp", "unix-dgram"];

/// What is said, and how what comes back must begin and end.
fn exchange(service: &str) -> (&'static str, &'static str, &'static str) {
    match service {
        "http" => (
            "GET /index.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "</html>\n",
        ),
        "echo" => ("there and back", "there and", " back"),
        "daytime" => ("", "", " GMT\r\n"),
        "chat" => ("/quit\n", "* you are guest1; ", "* good bye\r\n"),
        _ => panic!("a new service has its place here"),
    }
}

/// Why a cell of the grid is empty.
fn why_not(service: &str, transport: &str, model: &str, address: &str) -> Option<String> {
    let by_datagrams = ["udp", "unix-dgram"].contains(&transport);
    let row = evserve::model::find(model).expect("a model");
    match (service, row.apart) {
        ("chat", Some(why)) => Some(format!(
            "chat cannot be served with --model {model}: {why}; it can with threaded, pool, select, poll, epoll"
        )),
        ("http" | "chat", _) if by_datagrams => Some(format!(
            "{service} needs a connection: it cannot be served over {address}"
        )),
        _ => None,
    }
}

fn over_stream<S: Read + Write>(mut stream: S, said: &str, end: impl Fn(&S)) -> String {
    stream.write_all(said.as_bytes()).expect("said");
    end(&stream);
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("text");
    heard
}

fn converse(transport: &str, place: &str, directory: &Path, said: &str) -> String {
    let mut buffer = [0; 1000];
    match transport {
        "tcp" => {
            let stream = TcpStream::connect(place).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            over_stream(stream, said, |s| s.shutdown(Shutdown::Write).expect("open"))
        }
        "unix" => {
            let stream = UnixStream::connect(place).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            over_stream(stream, said, |s| s.shutdown(Shutdown::Write).expect("open"))
        }
        "udp" => {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.connect(place).expect("an address");
            socket.send(said.as_bytes()).expect("sent");
            let count = socket.recv(&mut buffer).expect("a reply");
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        }
        _ => {
            let socket = UnixDatagram::bind(directory.join("client")).expect("bound");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.send_to(said.as_bytes(), place).expect("sent");
            let count = socket.recv(&mut buffer).expect("a reply");
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        }
    }
}

#[test]
fn each_service_over_each_transport_on_each_model() {
    let mut served = 0;
    let mut refused = 0;
    let cell = |service: &str, transport: &str, model: &'static str| -> bool {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let path = path.to_str().expect("UTF-8");
        let address = match transport {
            "tcp" => "127.0.0.1:0".to_owned(),
            "udp" => "udp:127.0.0.1:0".to_owned(),
            _ => format!("{transport}:{path}"),
        };
        let options = ["--mode", service, "--listen", &address, "docs/site"];
        if let Some(why) = why_not(service, transport, model, &address) {
            let output = Command::new(env!("CARGO_BIN_EXE_evserve"))
                .args(["--model", model])
                .args(options)
                .output()
                .expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.ends_with(&format!("evserve: {why}\n")), "{said}");
            return false;
        }
        let mut evserve = Evserve::start(model, 0, &options);
        let line = evserve.wait_for_log(" at ");
        let place = line.split(" at ").nth(1).expect("a place");
        let place = place.split(" (").next().expect("a place");
        let place = match transport {
            "tcp" => place.trim_start_matches("http://").trim_end_matches('/'),
            "udp" => place.trim_start_matches("udp:"),
            _ => path,
        };
        let (says, begin, end) = exchange(service);
        let heard = converse(transport, place, directory.path(), says);
        let all = format!("{service} over {transport} on {model}: {heard}");
        assert!(heard.starts_with(begin) && heard.ends_with(end), "{all}");
        evserve.stop();
        true
    };
    let count = std::cell::RefCell::new((&mut served, &mut refused));
    on_every_model(|model| {
        for row in SERVICES {
            for transport in TRANSPORTS {
                let mut count = count.borrow_mut();
                match cell(row.name, transport, model) {
                    true => *count.0 += 1,
                    false => *count.1 += 1,
                }
            }
        }
    });
    // Blocking and forking refuse chat; http, and chat elsewhere, need a connection.
    assert_eq!((served, refused), (80, 32));
}
