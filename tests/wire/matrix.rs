//! Every service over every transport on every model: it works, or the server says why not.

use crate::common::{Evserve, PATIENCE, Program};
use evserve::config::Config;
use evserve::model::{MODELS, ModelRow};
use evserve::service::{Example, Reply, SERVICES, ServiceRow, Sharing};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

const TRANSPORTS: [&str; 4] = ["tcp", "unix", "udp", "unix-dgram"];

/// The message that explains why a combination is not served.
fn why_not(row: &ServiceRow, transport: &str, model: &ModelRow, address: &str) -> Option<String> {
    let (service, name) = (row.name, model.name);
    let sharing = sharing(row);
    match model.cannot_share(sharing) {
        Some(why) => {
            let able = MODELS
                .iter()
                .filter(|row| row.cannot_share(sharing).is_none());
            let able: Vec<_> = able.map(|row| row.name).collect();
            let able = able.join(", ");
            Some(format!(
                "{service} cannot be served with --model {name}: {why}; it can with {able}"
            ))
        }
        _ if is_of_datagrams(transport) && row.datagram.is_none() => Some(format!(
            "{service} needs a connection: it cannot be served over {address}"
        )),
        _ => None,
    }
}

fn is_of_datagrams(transport: &str) -> bool {
    ["udp", "unix-dgram"].contains(&transport)
}

fn sharing(row: &ServiceRow) -> Sharing {
    let config = Config {
        root: "docs/site".into(),
        ..Config::default()
    };
    (row.start)(&config).expect(row.name).sharing()
}

/// The reply on a connection: all of it, or the known beginning of an endless one.
fn over_stream<S: Read + Write>(mut stream: S, example: &Example, end: impl Fn(&S)) -> Vec<u8> {
    stream.write_all(example.request.as_bytes()).expect("sent");
    let mut heard = Vec::new();
    match example.reply {
        Reply::Endless(begin) => {
            heard.resize(begin.len(), 0);
            stream.read_exact(&mut heard).expect("it goes on");
        }
        Reply::Text(..) | Reply::Nothing => {
            end(&stream);
            stream.read_to_end(&mut heard).expect("an end");
        }
    }
    heard
}

/// The reply to a datagram. If none is expected, the count of replies at the end shows that none
/// came.
fn over_datagrams(example: &Example, receive: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut heard = vec![0; 70_000];
    let count = match example.reply {
        Reply::Nothing => 0,
        Reply::Text(..) | Reply::Endless(_) => receive(&mut heard),
    };
    heard.truncate(count);
    heard
}

fn converse(transport: &str, place: &str, directory: &Path, example: &Example) -> Vec<u8> {
    match transport {
        "tcp" => {
            let stream = TcpStream::connect(place).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            over_stream(stream, example, |s| {
                s.shutdown(Shutdown::Write).expect("open");
            })
        }
        "unix" => {
            let stream = UnixStream::connect(place).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            over_stream(stream, example, |s| {
                s.shutdown(Shutdown::Write).expect("open");
            })
        }
        "udp" => {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.connect(place).expect("an address");
            socket.send(example.request.as_bytes()).expect("sent");
            over_datagrams(example, |buffer| socket.recv(buffer).expect("a reply"))
        }
        _ => {
            let socket = UnixDatagram::bind(directory.join("client")).expect("bound");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let request = example.request.as_bytes();
            socket.send_to(request, place).expect("sent");
            over_datagrams(example, |buffer| socket.recv(buffer).expect("a reply"))
        }
    }
}

fn is_as_expected(heard: &[u8], reply: Reply) -> bool {
    match reply {
        Reply::Text(begin, end) => {
            heard.starts_with(begin.as_bytes()) && heard.ends_with(end.as_bytes())
        }
        Reply::Endless(begin) => heard.starts_with(begin.as_bytes()),
        Reply::Nothing => heard.is_empty(),
    }
}

/// True if it is served; else the server must say why not.
fn is_served(row: &ServiceRow, transport: &str, model: &ModelRow) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let path = path.to_str().expect("UTF-8");
    let address = match transport {
        "tcp" => "127.0.0.1:0".to_owned(),
        "udp" => "udp:127.0.0.1:0".to_owned(),
        _ => format!("{transport}:{path}"),
    };
    let options = ["--mode", row.name, "--listen", &address, "docs/site"];
    if let Some(why) = why_not(row, transport, model, &address) {
        let said = Program::model(model.name, "").args(options).fails(1);
        assert!(said.ends_with(&format!("evserve: {why}\n")), "{said}");
        return false;
    }
    let evserve = Evserve::start(model.name, &options);
    let place = match transport {
        "tcp" => evserve.address().to_string(),
        "udp" => evserve.udp[0].to_string(),
        _ => path.to_owned(),
    };
    let example = match is_of_datagrams(transport) {
        true => row.datagram.as_ref().expect("it answers them"),
        false => &row.connection,
    };
    let heard = converse(transport, &place, directory.path(), example);
    let all = String::from_utf8_lossy(&heard);
    let all = format!("{} over {transport} on {}: {all}", row.name, model.name);
    assert!(is_as_expected(&heard, example.reply), "{all}");
    let ended = evserve.stop();
    if is_of_datagrams(transport) {
        let answered = u8::from(!matches!(example.reply, Reply::Nothing));
        let expected = format!("answered {answered} of 1 datagram: 0 not to be answered");
        assert!(ended.log.contains(&expected), "{all}: {}", ended.log);
    }
    true
}

#[test]
fn every_service_works_over_every_transport_on_every_model() {
    let mut served = 0;
    for model in MODELS {
        for row in SERVICES {
            for transport in TRANSPORTS {
                served += usize::from(is_served(row, transport, model));
            }
        }
    }
    // Each service over both kinds of connections, at least on the models whose connections can
    // reach each other.
    let hearing = MODELS
        .iter()
        .filter(|row| row.isolated_because.is_none())
        .count();
    assert!(served >= 2 * SERVICES.len() * hearing, "{served}");
}
