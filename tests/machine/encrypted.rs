//! The layer that encrypts: what it holds, and that no bytes of a client can bring it down.
//!
//! `EVSERVE_MUTATIONS=1000000 cargo test --test machine mutated` plays more clients.

use crate::common::{Identity, client_side, number};
use evserve::session::{
    Action, BUFFER_SIZE, Connection, Context, Layers, NewSession, Piece, Session, Time, Worker,
};
use evserve::tls::Tls;
use fastrand::Rng;
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// How many mutated clients an ordinary run plays.
const MUTATIONS: u64 = 3_000;

/// The most bytes of memory that a handshake takes, beside a buffer for output: 16 KiB of input in a
/// buffer of twice that size, and the one from which it has grown.
const MAX_HANDSHAKE_MEMORY: i64 = 48 * 1024;

/// The most bytes of an idle encrypted connection.
const MAX_IDLE_MEMORY: i64 = 8 * 1024;

/// How many heap allocations rustls makes for a request: for its plain text, and for the record of
/// the response.
const ALLOCATIONS: u64 = 3;

/// Sends everything back.
struct Echo;

impl Session for Echo {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.put(input)
    }
}

struct Server {
    tls: Tls,
    client: Arc<ClientConfig>,
    worker: Worker,
}

impl Server {
    fn new() -> Server {
        let identity = Identity::new();
        Server {
            tls: Tls::load(&identity.certificates(), 0).expect("loaded"),
            client: identity.any_version(),
            worker: Worker::new(Time::new(Instant::now(), SystemTime::now())),
        }
    }

    fn open(&mut self) -> Connection {
        let session: Box<dyn Session> = Box::new(Echo);
        let start = NewSession {
            layer: self.tls.context(false).layer(),
            ..session.into()
        };
        Connection::open(start, 0, &mut self.worker)
    }

    /// Gives the connection input, and lets it act as far as it can. Returns its output.
    fn receive(&mut self, connection: &mut Connection, mut input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        loop {
            self.worker.work = 512;
            match connection.next() {
                Action::Send => {
                    let Piece::Bytes { bytes, .. } = connection.front() else {
                        panic!("a file");
                    };
                    let count = bytes.len();
                    output.extend_from_slice(bytes);
                    connection.sent(count, &mut self.worker);
                }
                Action::Receive if !input.is_empty() => {
                    let count = input.len().min(connection.room());
                    connection.received(&input[..count], &mut self.worker);
                    input = &input[count..];
                }
                Action::Proceed => connection.proceed(&mut self.worker),
                Action::ShutdownWrite => connection.write_shut_down(),
                Action::Receive | Action::Close { .. } => return output,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends what the client has to say, until it has nothing more.
    fn exchange(&mut self, client: &mut ClientConnection, connection: &mut Connection) {
        while client.wants_write() {
            let bytes = written(client);
            let output = self.receive(connection, &bytes);
            let mut rest = &output[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("taken");
                client.process_new_packets().expect("understood");
            }
        }
    }

    fn end(&mut self, mut connection: Connection) {
        connection.close(&mut self.worker);
        connection.release(&mut self.worker);
        assert_eq!(self.worker.pool.lent(), 0, "every buffer came back");
    }
}

fn written(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("written");
    }
    bytes
}

/// Changes bytes: flips, cuts, repeats, inserts, exchanges.
fn mutate(bytes: &mut Vec<u8>, random: &mut Rng) {
    for _ in 0..random.usize(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.usize(..bytes.len());
        match random.u8(..7) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes.truncate(at),
            3 => {
                let part = bytes[at..].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let length = random.usize(..300);
                bytes.splice(at..at, (0..length).map(|_| random.u8(..)));
            }
            5 => drop(bytes.drain(at..(at + random.usize(..40)).min(bytes.len()))),
            _ => {
                let other = random.usize(..bytes.len());
                bytes.swap(at, other);
            }
        }
    }
}

/// One client, which is mutated in its first message, in its second, or later.
fn play(server: &mut Server, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut connection = server.open();
    let mut client = client_side(&server.client);
    // Most are mutated in the first message, which has most to parse.
    let stage = [0, 0, 0, 0, 0, 1, 2][random.usize(..7)];
    let mut mutated = match stage {
        0 => written(&mut client),
        1 => {
            let output = server.receive(&mut connection, &written(&mut client));
            client.read_tls(&mut &output[..]).expect("taken");
            client.process_new_packets().expect("understood");
            written(&mut client)
        }
        _ => {
            server.exchange(&mut client, &mut connection);
            let text = vec![b'x'; random.usize(..40_000)];
            client.writer().write_all(&text).expect("buffered");
            client.send_close_notify();
            written(&mut client)
        }
    };
    mutate(&mut mutated, &mut random);
    let mut rest = &mutated[..];
    while !rest.is_empty() && matches!(connection.next(), Action::Receive | Action::Proceed) {
        let count = random.usize(1..=rest.len());
        server.receive(&mut connection, &rest[..count]);
        rest = &rest[count..];
    }
    match random.bool() {
        true => connection.input_ended(&mut server.worker),
        false => connection.expired(&mut server.worker),
    }
    server.receive(&mut connection, b"");
    server.end(connection);
}

#[test]
fn mutated_clients_bring_nothing_down() {
    let mutations = number("EVSERVE_MUTATIONS").unwrap_or(MUTATIONS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                let mut server = Server::new();
                for seed in (first..mutations).step_by(threads as usize) {
                    let result = catch_unwind(AssertUnwindSafe(|| play(&mut server, seed)));
                    assert!(result.is_ok(), "seed {seed} failed");
                }
                let counters = &server.worker.counters;
                assert!(counters.malformed_records > 0 && counters.handshakes > 0);
            });
        }
    });
}

#[test]
fn memory_of_a_connection_is_bounded() {
    let mut server = Server::new();
    // Warms up what all connections share.
    let (mut client, mut connection) = (client_side(&server.client), server.open());
    server.exchange(&mut client, &mut connection);
    server.end(connection);

    let mut idle = None;
    let mut client = client_side(&server.client);
    let mut bytes = written(&mut client);
    let info = allocation_counter::measure(|| idle = Some(server.open()));
    let mut total = info.bytes_current;
    let mut connection = idle.expect("open");
    while !bytes.is_empty() {
        let mut output = Vec::with_capacity(2 * BUFFER_SIZE);
        let info = allocation_counter::measure(|| {
            connection.received(&bytes, &mut server.worker);
            while connection.next() == Action::Send {
                let Piece::Bytes { bytes, .. } = connection.front() else {
                    panic!("a file");
                };
                output.extend_from_slice(bytes);
                connection.sent(output.len(), &mut server.worker);
            }
        });
        total += info.bytes_current;
        client.read_tls(&mut &output[..]).expect("taken");
        client.process_new_packets().expect("understood");
        bytes = written(&mut client);
    }
    assert!(!client.is_handshaking());
    println!("an idle connection: {total} bytes");
    assert!(total <= MAX_IDLE_MEMORY, "an idle connection has {total}");
    server.end(connection);

    // The beginning of a first message of 64 KiB, byte by byte.
    let mut slow = server.open();
    let record = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let mut bytes = record.repeat(4);
    bytes[5..9].copy_from_slice(&[1, 0, 0xff, 0]);
    let mut sent = 0;
    let info = allocation_counter::measure(|| {
        while slow.next() == Action::Receive {
            server.worker.work = 512;
            slow.received(&bytes[sent..=sent], &mut server.worker);
            sent += 1;
        }
    });
    println!("a slow handshake: {} bytes after {sent}", info.bytes_max);
    assert!(sent < 20_000, "it took {sent} bytes");
    let most = i64::try_from(info.bytes_max).expect("small");
    assert!(most <= MAX_HANDSHAKE_MEMORY, "a handshake has {most}");
    server.end(slow);
}

#[test]
fn a_request_allocates_only_what_rustls_does() {
    let mut server = Server::new();
    let (mut client, mut connection) = (client_side(&server.client), server.open());
    server.exchange(&mut client, &mut connection);
    let mut output = Vec::with_capacity(4 * BUFFER_SIZE);
    for round in 0..20 {
        client.writer().write_all(&[b'x'; 1200]).expect("buffered");
        let bytes = written(&mut client);
        output.clear();
        let info = allocation_counter::measure(|| {
            connection.received(&bytes, &mut server.worker);
            assert_eq!(connection.next(), Action::Send);
            let Piece::Bytes { bytes, .. } = connection.front() else {
                panic!("a file");
            };
            output.extend_from_slice(bytes);
            connection.sent(output.len(), &mut server.worker);
        });
        assert_eq!(connection.next(), Action::Receive, "one send");
        client.read_tls(&mut &output[..]).expect("taken");
        client.process_new_packets().expect("understood");
        let mut text = [0; 2000];
        assert_eq!(client.reader().read(&mut text).expect("text"), 1200);
        let count = info.count_total;
        assert!(round < 5 || count <= ALLOCATIONS, "{count} allocations");
        if round == 19 {
            println!("{count} allocations for a request");
        }
    }
    server.end(connection);
}
