//! Both sides of a connection in one simulation: a client's session and a server's, with nothing
//! between them but bytes that come in random pieces, and sometimes an end that comes too early.

use super::number;
use super::world::{World, undisturbed, whole};
use evserve::client::{Exchanges, Failure, Get, HttpClient};
use evserve::http1::ReceivedHead;
use evserve::session::{Action, Connection, Session, WORK_PER_TURN, Worker};
use fastrand::Rng;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

const SEEDS: u64 = 1_000;

/// More steps than this are no progress.
const STEPS: usize = 1_000_000;

const TARGETS: &[&str] = &["/0", "/1", "/1k", "/100k", "/list/", "/missing"];

/// What has come of each request.
#[derive(Default)]
struct Record {
    wanted: VecDeque<&'static str>,
    contents: Vec<(&'static str, Vec<u8>)>,
    failures: Vec<String>,
}

#[derive(Clone)]
struct Recorder {
    record: Arc<Mutex<Record>>,
    current: Option<(&'static str, Vec<u8>)>,
}

impl Exchanges for Recorder {
    fn request(&mut self) -> Option<Get> {
        assert!(self.current.is_none(), "the last one has ended");
        let target = self.record.lock().expect("no panic").wanted.pop_front()?;
        self.current = Some((target, Vec::new()));
        Get::new("h", target)
    }

    fn head(&mut self, head: &ReceivedHead<'_>) {
        let (target, _) = self.current.as_ref().expect("requested");
        assert_eq!(head.status == 404, *target == "/missing", "{head:?}");
    }

    fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        let (_, content) = self.current.as_mut().expect("requested");
        content.extend_from_slice(piece);
        Ok(())
    }

    fn complete(&mut self) {
        let done = self.current.take().expect("requested");
        self.record.lock().expect("no panic").contents.push(done);
    }

    fn failed(&mut self, failure: Failure) {
        self.current = None;
        let mut record = self.record.lock().expect("no panic");
        record.failures.push(failure.to_string());
    }
}

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    ended: bool,
    /// Its receiver has gone.
    broken: bool,
}

/// Lets one side act. Returns false when it has ended.
fn step(
    side: &mut Option<Connection>,
    [input, output]: [&mut Pipe; 2],
    worker: &mut Worker,
    random: &mut Rng,
) -> bool {
    let Some(connection) = side else {
        return false;
    };
    match connection.next() {
        Action::Send if output.broken => {
            worker.failure = Some(io::ErrorKind::BrokenPipe.into());
            connection.abort();
        }
        Action::Send => {
            let piece = whole(&connection.front());
            let count = random.usize(1..=piece.len());
            output.bytes.extend(&piece[..count]);
            connection.sent(count, worker);
        }
        Action::Receive if !input.bytes.is_empty() => {
            let most = connection.room().min(input.bytes.len());
            let bytes: Vec<u8> = input.bytes.drain(..random.usize(1..=most)).collect();
            connection.received(&bytes, worker);
        }
        Action::Receive if input.ended => connection.input_ended(worker),
        Action::Receive | Action::Wait => {}
        Action::Load => panic!("sendfile(2) is not refused here"),
        Action::Proceed => {
            worker.work = WORK_PER_TURN;
            connection.proceed(worker);
        }
        Action::Run => {
            (connection.take_job().expect("announced").work)();
            connection.woken(worker);
        }
        Action::ShutdownWrite => {
            output.ended = true;
            connection.write_shut_down();
        }
        Action::Close { may_linger: true } if !input.bytes.is_empty() => connection.linger(),
        Action::Close { .. } => {
            let mut connection = side.take().expect("it is there");
            connection.close(worker);
            connection.release(worker);
            worker.failure = None;
            (input.broken, output.ended) = (true, true);
        }
    }
    true
}

fn play(world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut worker = world.worker();
    let record: Arc<Mutex<Record>> = Arc::default();
    let count = random.usize(1..10);
    let wanted: VecDeque<_> = (0..count)
        .map(|_| *random.choice(TARGETS).expect("some"))
        .collect();
    record.lock().expect("no panic").wanted = wanted.clone();
    let exchanges = Recorder {
        record: record.clone(),
        current: None,
    };
    let session: Box<dyn Session> = Box::new(HttpClient::new(exchanges, 1 << 20));
    let mut client = Some(Connection::open(session, 0, &mut worker));
    let peer = Some([127, 0, 0, 1].into());
    let mut server = Some(Connection::open(world.http.session(peer), 1, &mut worker));
    let (mut up, mut down) = (Pipe::default(), Pipe::default());
    let dies = (random.u8(..) < 80).then(|| random.usize(..200));
    worker.one_exchange = random.u8(..) < 40;
    let is_undisturbed = dies.is_none() && !worker.one_exchange;
    for at in 0..STEPS {
        if dies == Some(at)
            && let Some(connection) = &mut server
        {
            connection.abort();
        }
        let goes_on = match random.bool() {
            true => step(&mut client, [&mut down, &mut up], &mut worker, &mut random),
            false => step(&mut server, [&mut up, &mut down], &mut worker, &mut random),
        };
        if !goes_on && client.is_none() && server.is_none() {
            break;
        }
    }
    assert!(client.is_none() && server.is_none(), "both have ended");
    assert_eq!(worker.pool.lent(), 0, "every buffer came back");
    let record = record.lock().expect("no panic");
    let asked = count - record.wanted.len();
    assert_eq!(record.contents.len() + record.failures.len(), asked);
    assert!(record.failures.len() <= 1, "after a failure it ends");
    let is_whole = record.contents.len() == count;
    assert!(is_whole || !is_undisturbed, "{:?}", record.failures);
    for (target, content) in &record.contents {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (response, _) = undisturbed(world, &world.http, &request, false);
        let head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let expected = &response[head.expect("a head") + 4..];
        assert!(content == expected, "{target}: {} bytes", content.len());
    }
}

#[test]
fn a_client_gets_what_a_server_sends() {
    let world = World::new();
    let seeds = match number("EVSERVE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EVSERVE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        play(&world, seed);
    }
}
