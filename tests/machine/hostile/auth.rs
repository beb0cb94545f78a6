//! Mutated Authorization fields: only the right ones open.

use super::{for_each_seed, mutated, new_worker};
use evserve::auth::{Access, Gate};
use evserve::config::Config;
use evserve::service::http::{Response, service};
use evserve::session::{Action, Connection, Piece};
use fastrand::Rng;
use std::fs::write;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How many requests an ordinary run plays. Most cost a hash.
const REQUESTS: u64 = 2000;

/// me:secret.
const RIGHT: &[u8] = b"bWU6c2VjcmV0";

const CONTENT: &[u8] = b"ONLY FOR USERS";

/// True if a head in the input has the right credentials, and no others.
fn is_right(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let mut heads = text.split("\r\n\r\n");
    heads.any(|head| {
        let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut values = fields.filter_map(|(name, value)| {
            let is_it = name.eq_ignore_ascii_case("authorization");
            is_it.then(|| value.trim_matches([' ', '\t']))
        });
        let only = values.next().filter(|_| values.next().is_none());
        only.and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, rest)| {
                scheme.eq_ignore_ascii_case("basic")
                    && rest.trim_start_matches(' ').as_bytes() == RIGHT
            })
    })
}

#[test]
fn mutated_credentials_do_not_open() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("users");
    let hash = bcrypt::hash("secret", 4).expect("hashed");
    write(&file, format!("me:{hash}")).expect("written");
    let access = Access {
        logins: Vec::new(),
        file: Some(file),
    };
    let gate = Arc::new(Gate::open(access, false).expect("a gate"));
    let mut config = Config::default();
    config.http.gate = Some(gate.clone());
    let handler = |_: &evserve::http1::Request<'_>, _: &evserve::session::Time| {
        Some(Response::bytes("text/plain", CONTENT))
    };
    let nothing = evserve::service::http::Fallback::new(handler, Nothing);
    let service = service(nothing, &config);
    let right = String::from_utf8_lossy(RIGHT);
    let corpus: Vec<Vec<u8>> = [
        format!("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {right}\r\n\r\n"),
        format!("GET / HTTP/1.0\r\nauthorization:basic  {right}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n{right}"),
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic bWU6d3Jvbmc=\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(),
    ]
    .map(String::into_bytes)
    .into();
    let mut worker = new_worker();
    let mut opened = 0;
    let make = |random: &mut Rng| {
        let mut input = mutated(&corpus, random);
        if random.bool() {
            input.extend(mutated(&corpus, random));
        }
        input
    };
    for_each_seed(REQUESTS, 64, make, |input, random| {
        // Another client each time, or nearly all would get 429.
        let client = Ipv4Addr::from_bits(random.u32(..)).into();
        let before = worker.counters.requests;
        let mut connection = Connection::open(service.session(Some(client)), 0, &mut worker);
        let mut said = 0;
        let mut heard = Vec::new();
        loop {
            match connection.next() {
                Action::Close { .. } => break,
                Action::ShutdownWrite => connection.write_shut_down(),
                Action::Run => {
                    (connection.take_job().expect("announced").work)();
                    connection.woken(&mut worker);
                }
                Action::Receive if said == input.len() => connection.input_ended(&mut worker),
                Action::Receive => {
                    let most = connection.room().min(input.len() - said);
                    let count = random.usize(1..=most);
                    connection.received(&input[said..said + count], &mut worker);
                    said += count;
                }
                Action::Send => {
                    let Piece::Bytes { bytes, then, .. } = connection.front() else {
                        panic!("there are no files");
                    };
                    heard.extend_from_slice(bytes);
                    heard.extend_from_slice(then);
                    let count = bytes.len() + then.len();
                    connection.sent(count, &mut worker);
                }
                action => panic!("nothing to do with {action:?}"),
            }
        }
        connection.close(&mut worker);
        connection.release(&mut worker);
        worker.log.clear();
        let is_open = heard.windows(CONTENT.len()).any(|part| part == CONTENT);
        assert!(!is_open || is_right(input), "{}", input.escape_ascii());
        opened += u64::from(is_open);
        worker.counters.requests - before
    });
    println!(
        "{opened} with the right credentials; {} hashes",
        gate.hashed()
    );
    assert!(opened > 0, "the right credentials open");
}

/// What is left to the last handler.
struct Nothing;

impl evserve::Handler for Nothing {
    fn respond(&self, _: &evserve::http1::Request<'_>, _: &evserve::session::Time) -> Response {
        Response::text("")
    }
}

/// A check that never ends holds up nobody but its own connection.
#[test]
fn a_check_that_hangs_delays_no_other_connection() {
    let access = Access {
        logins: vec!["me:secret".parse().expect("a login")],
        file: None,
    };
    let mut config = Config::default();
    config.http.gate = Some(Arc::new(Gate::open(access, false).expect("a gate")));
    let service = service(Nothing, &config);
    let mut worker = new_worker();
    let open = |worker: &mut _, input: &[u8]| {
        let mut connection = Connection::open(service.session(None), 0, worker);
        connection.received(input, worker);
        connection
    };
    let asks = b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic bWU6d3Jvbmc=\r\n\r\n";
    let mut hanging = open(&mut worker, asks);
    assert!(matches!(hanging.next(), Action::Run));
    let job = hanging.take_job().expect("a check");
    assert!(matches!(hanging.next(), Action::Wait), "for its own check");
    let other = open(&mut worker, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(matches!(other.next(), Action::Send), "answered meanwhile");
    // The connection ends before its check begins: nothing is hashed for it.
    for mut connection in [hanging, other] {
        connection.close(&mut worker);
        connection.release(&mut worker);
    }
    (job.work)();
    assert_eq!(config.http.gate.expect("a gate").hashed(), 0);
}
