//! Arbitrary bytes in a PROXY header: no panic, and every byte behind the header reaches the
//! service.

use super::{for_each_seed, mutated, new_worker};
use evserve::config::{Config, TrustedProxies};
use evserve::service::{Admission, Service};
use evserve::session::{Action, Connection, Context, Session, Worker};
use fastrand::Rng;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

/// How many headers an ordinary run reads.
const HEADERS: u64 = 200_000;

const PROXY: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const GOOD: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.7 10.0.0.1 258 80\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n",
    b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x0a\0\0\x01\x01\x02\0\x50",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x08\x0a\0\0\x01\x01\x02\0\x50\xe0\0\x01x",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8............................\x01\x02\0\x50",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\0\x01\0",
];

/// Bytes behind a header that could be mistaken for part of it.
const REST: &[&[u8]] = &[
    b"",
    b"\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PROXY UNKNOWN\r\n",
    SIGNATURE,
];

/// A service that records what it receives.
#[derive(Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Recorded {
    /// The addresses of its clients.
    peers: Vec<Option<IpAddr>>,
    bytes: Vec<u8>,
}

struct RecordingSession {
    recorded: Arc<Mutex<Recorded>>,
    /// How many bytes it takes at a time.
    most: usize,
}

impl Service for Recorder {
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session> {
        self.0.lock().expect("no panic").peers.push(peer);
        let recorded = self.0.clone();
        Box::new(RecordingSession { recorded, most: 5 })
    }

    fn name(&self) -> &str {
        "keeper"
    }
}

impl Session for RecordingSession {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        let taken = &input[..input.len().min(self.most)];
        self.recorded.lock().expect("no panic").bytes.extend(taken);
        taken.len()
    }
}

/// Sends `input` in parts of the lengths in `split`. Returns what the service received.
fn send_all(
    input: &[u8],
    admission: &Admission,
    mut split: impl FnMut(usize) -> usize,
    worker: &mut Worker,
) -> Recorded {
    let recorder = Recorder::default();
    let recorded = recorder.0.clone();
    let service: Arc<dyn Service> = Arc::new(recorder);
    let start = admission.admit(&service, PROXY, &mut worker.counters);
    let mut connection = Connection::open(start.expect("it is trusted"), 0, worker);
    let mut rest = input;
    loop {
        match connection.next() {
            Action::Close { .. } => break,
            Action::ShutdownWrite => connection.write_shut_down(),
            Action::Receive if rest.is_empty() => connection.input_ended(worker),
            Action::Receive => {
                let (now, later) = rest.split_at(split(connection.room().min(rest.len())));
                rest = later;
                connection.received(now, worker);
            }
            Action::Send | Action::Load | Action::Wait | Action::Proceed | Action::Run => {
                panic!("the service sends nothing")
            }
        }
        assert!(worker.pool.lent() <= 1);
    }
    connection.close(worker);
    connection.release(worker);
    assert_eq!(worker.pool.lent(), 0);
    recorded.lock().expect("no panic").clone()
}

/// Where an accepted header ends.
fn end_of_header(input: &[u8]) -> usize {
    if input.starts_with(SIGNATURE) {
        return 16 + usize::from(u16::from_be_bytes([input[14], input[15]]));
    }
    assert!(input.starts_with(b"PROXY "), "not a PROXY header");
    let line_end = input.iter().position(|byte| *byte == b'\n');
    line_end.expect("the end of the line") + 1
}

#[test]
fn bytes_after_a_proxy_header_reach_the_service() {
    let good: Vec<_> = GOOD.iter().map(|header| header.to_vec()).collect();
    let rest: Vec<_> = REST.iter().map(|rest| rest.to_vec()).collect();
    let mut worker = new_worker();
    let admission = Admission::new(&Config {
        trusted_proxies: Some(TrustedProxies {
            networks: vec!["127.0.0.0/8".parse().expect("a network")],
            unix: false,
        }),
        ..Config::default()
    });
    let make = |random: &mut Rng| {
        let header = match random.bool() {
            true => random.choice(&good).expect("not empty").clone(),
            false => mutated(&good, random),
        };
        [header, mutated(&rest, random)].concat()
    };
    let mut accepted = 0;
    for_each_seed(HEADERS, 64, make, |input, random| {
        let recorded = send_all(
            input,
            &admission,
            |most| random.usize(1..=most),
            &mut worker,
        );
        let at_once = send_all(input, &admission, |most| most, &mut worker);
        assert_eq!(recorded, at_once, "the result depends on the split");
        if recorded.peers.is_empty() {
            assert_eq!(recorded.bytes, b"", "bytes without a session");
        } else {
            let end = end_of_header(input);
            assert!(end <= 4096, "longer than any header");
            assert_eq!(recorded.bytes, input[end..]);
            assert_eq!(recorded.peers.len(), 1, "one header, one client");
            accepted += 1;
        }
        1
    });
    assert!(accepted > 0 || crate::common::number("EVSERVE_SEED").is_some());
}
