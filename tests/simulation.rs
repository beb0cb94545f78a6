//! A model without a kernel: a seed decides how input is split, how short each send is, when a call would block, when
//! time runs out, when the server is asked to stop and when the peer goes away.
//!
//! Whatever the seed, a peer gets exactly the bytes that an undisturbed conversation would have brought it, up to where
//! it ended; nothing is held that has no bound; and every buffer comes back.
//!
//! `EVSERVE_SEEDS=10000 cargo test --test simulation` plays more of them, `EVSERVE_SEED=17` only the one.

#![allow(missing_docs)]

mod common;

use common::number;
use evserve::config::Config;
use evserve::service::{SERVICES, Service};
use evserve::session::{Action, BUFFER_SIZE, Body, CLOSED, Connection, Job, Piece, Step, Steps};
use evserve::session::{Time, Timeout, WORK_PER_TURN, Worker};
use fastrand::Rng;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// How many seeds an ordinary run plays.
const SEEDS: u64 = 5_000;

/// No conversation here needs nearly as many steps: one that takes more does not come to its end.
const STEPS: usize = 200_000;

struct World {
    _root: TempDir,
    http: Arc<dyn Service>,
    echo: Arc<dyn Service>,
    start: Instant,
    wall: SystemTime,
    /// All steps that were taken from state to state.
    steps: Mutex<Steps>,
}

impl World {
    fn new() -> World {
        let root = tempfile::tempdir().expect("a directory");
        let mut random = Rng::with_seed(1);
        for (name, length) in FILES {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            write(&root.path().join(name), &bytes);
        }
        // Whether these lead out or to another mount is found out by a job.
        for name in ["out", "1k.gz"] {
            symlink("/nowhere", root.path().join(name)).expect("linked");
        }
        std::fs::create_dir(root.path().join("list")).expect("made");
        for number in 0..600 {
            write(&root.path().join(format!("list/{number}")), b"");
        }
        let config = Config {
            root: root.path().into(),
            ..Config::default()
        };
        let start = |name: &str| {
            let row = SERVICES.iter().find(|row| row.name == name);
            (row.expect("a row").start)(&config).expect("starts")
        };
        World {
            http: start("http"),
            echo: start("echo"),
            _root: root,
            start: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(4_000_000_000),
            steps: Mutex::default(),
        }
    }

    fn worker(&self) -> Worker {
        Worker {
            steps: Some(Steps::default()),
            ..Worker::new(Time::new(self.start, self.wall))
        }
    }

    /// The steps that both services say their sessions can take, beside that any state can end.
    fn known_steps(&self) -> Vec<Step> {
        let services = [&self.http, &self.echo].into_iter();
        let steps = services.flat_map(|service| service.steps());
        steps.copied().filter(|(_, to)| *to != CLOSED).collect()
    }
}

const FILES: [(&str, usize); 4] = [("0", 0), ("1", 1), ("1k", 1024), ("100k", 100_000)];

fn write(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).expect("made");
    file.write_all(bytes).expect("written");
}

/// What a peer says, and what it may hear: the answers one after the other, each in both its forms.
struct Script {
    input: Vec<u8>,
    answers: Vec<Rc<Answer>>,
}

struct Answer {
    staying: Vec<u8>,
    /// The same while the server is stopping.
    closing: Vec<u8>,
    /// It is the last one in any case.
    last: bool,
}

fn http_request(random: &mut Rng) -> String {
    let methods = ["GET", "GET", "GET", "GET", "HEAD", "POST", "BREW"];
    let method = methods[random.usize(..methods.len())];
    let paths = [
        "/0", "/1", "/1k", "/1k", "/100k", "/list/", "/list", "/gone", "/..", "/1/", "/out",
    ];
    let path = paths[random.usize(..paths.len())];
    let (version, host) = [("1.1", "Host: h\r\n"), ("1.0", ""), ("1.1", "")][if random.u8(..) < 230
    {
        0
    } else {
        random.usize(1..3)
    }];
    let fill = "x".repeat(if random.u8(..) < 10 {
        random.usize(..20_000)
    } else {
        random.usize(..60)
    });
    let connection = match random.u8(..) {
        0..=9 => "Connection: close\r\n",
        10..=29 => "Connection: keep-alive\r\n",
        _ => "",
    };
    let blank = if random.u8(..) < 10 { "\r\n" } else { "" };
    let content = "y".repeat(random.usize(1..3000));
    let length = content.len();
    let (framing, body) = match random.u8(..) {
        0..=19 => (format!("Content-Length: {length}\r\n"), content),
        20..=39 if version == "1.1" => (
            "Transfer-Encoding: chunked\r\n".into(),
            format!("{length:x};z\r\n{content}\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n"),
        ),
        _ => (String::new(), String::new()),
    };
    format!(
        "{blank}{method} {path} HTTP/{version}\r\n{host}A: {fill}\r\n{connection}{framing}\r\n{body}"
    )
}

impl Script {
    fn http(world: &World, random: &mut Rng) -> Script {
        let requests: Vec<_> = if random.u8(..) < 20 {
            // More answers than a buffer gathers.
            vec![http_request(random); random.usize(..400)]
        } else {
            (0..random.usize(..12))
                .map(|_| http_request(random))
                .collect()
        };
        let mut known = HashMap::new();
        let answers = requests.iter().map(|request| {
            let answer = known.entry(request).or_insert_with(|| {
                let (staying, last) = undisturbed(world, request, false);
                let (closing, _) = undisturbed(world, request, true);
                Rc::new(Answer {
                    staying,
                    closing,
                    last,
                })
            });
            answer.clone()
        });
        Script {
            answers: answers.collect(),
            input: requests.concat().into_bytes(),
        }
    }

    fn echo(random: &mut Rng) -> Script {
        let mut input = vec![0; random.usize(..200_000)];
        random.fill(&mut input);
        Script {
            input,
            answers: Vec::new(),
        }
    }

    /// True if a conversation that ended by itself may have brought these bytes.
    fn may_end_with(&self, heard: &[u8], stopping: bool, all_said: bool) -> bool {
        if self.answers.is_empty() {
            return heard == self.input || (stopping && self.input.starts_with(heard));
        }
        let mut rest = heard;
        for answer in &self.answers {
            if stopping && (rest.is_empty() || rest == answer.closing) {
                return true;
            }
            match rest.strip_prefix(&answer.staying[..]) {
                Some(_) if answer.last => return rest == answer.staying,
                Some(after) => rest = after,
                None => return rest.is_empty() && !all_said,
            }
        }
        rest.is_empty()
    }

    /// True if a conversation that was cut off anywhere may have brought these bytes.
    fn may_begin_with(&self, heard: &[u8]) -> bool {
        if self.answers.is_empty() {
            return self.input.starts_with(heard);
        }
        let mut rest = heard;
        for answer in &self.answers {
            if answer.staying.starts_with(rest) || answer.closing.starts_with(rest) {
                return true;
            }
            match rest.strip_prefix(&answer.staying[..]) {
                Some(after) if !answer.last => rest = after,
                _ => return is_timeout(rest),
            }
        }
        is_timeout(rest)
    }
}

fn is_timeout(heard: &[u8]) -> bool {
    let expected = b"HTTP/1.1 408 Request Timeout\r\n";
    heard.starts_with(expected) || expected.starts_with(heard)
}

/// What one request brings when nothing comes in between, and whether the server wants no other.
fn undisturbed(world: &World, request: &str, closing: bool) -> (Vec<u8>, bool) {
    let mut worker = world.worker();
    worker.stopping = closing;
    let mut connection = Connection::open(world.http.session(None), 0, &mut worker);
    let mut heard = Vec::new();
    connection.received(request.as_bytes(), &mut worker);
    loop {
        match connection.next() {
            Action::Send => {
                let piece = whole(&connection.front());
                heard.extend_from_slice(&piece);
                connection.sent(piece.len(), &mut worker);
            }
            Action::Proceed => {
                worker.work = WORK_PER_TURN;
                connection.proceed(&mut worker);
            }
            Action::Run => {
                (connection.take_job().expect("it was announced").work)();
                connection.woken(&mut worker);
            }
            action => {
                let stays = action == Action::Receive && connection.waiting().0 == Timeout::Idle;
                connection.close(&mut worker);
                connection.release(&mut worker);
                return (heard, !stays);
            }
        }
    }
}

/// All bytes of a piece, whatever it is made of.
fn whole(piece: &Piece<'_>) -> Vec<u8> {
    match piece {
        Piece::Bytes { bytes, then, .. } => [*bytes, *then].concat(),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let file = File::from(file.as_fd().try_clone_to_owned().expect("a descriptor"));
            let mut bytes = vec![0; usize::try_from(*count).expect("small")];
            file.read_exact_at(&mut bytes, *offset)
                .expect("it is that long");
            bytes
        }
    }
}

/// How a peer's conversation came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// The server closed.
    Closed,
    /// Something else cut it off.
    CutOff,
}

struct Peer {
    script: Script,
    connection: Connection,
    /// What was begun for it and is not done yet.
    job: Option<Job>,
    said: usize,
    ended: bool,
    /// It goes away after so many bytes either way, if it does.
    goes_at: Option<usize>,
    timed_out: bool,
    heard: Vec<u8>,
    fate: Fate,
}

impl Peer {
    fn new(world: &World, worker: &mut Worker, random: &mut Rng) -> Peer {
        let is_http = random.u8(..) < 200;
        let (service, script) = if is_http {
            (&world.http, Script::http(world, random))
        } else {
            (&world.echo, Script::echo(random))
        };
        let peer = Some([127, 0, 0, 1].into());
        Peer {
            connection: Connection::open(service.session(peer), 0, worker),
            goes_at: (random.u8(..) < 30).then(|| random.usize(..script.input.len() * 2 + 10)),
            script,
            job: None,
            said: 0,
            ended: false,
            timed_out: false,
            heard: Vec::new(),
            fate: Fate::Open,
        }
    }

    /// One thing happens: what the connection asks for, or what prevents it.
    fn step(&mut self, worker: &mut Worker, random: &mut Rng) {
        let action = self.connection.next();
        assert_eq!(action, self.connection.next(), "asking changes nothing");
        assert!(
            !self.ended || action != Action::Receive,
            "nothing more can come"
        );
        if self
            .goes_at
            .is_some_and(|at| self.said + self.heard.len() >= at)
        {
            return self.end(Fate::CutOff, worker);
        }
        if random.u8(..) < 2 && matches!(action, Action::Send | Action::Receive) {
            self.timed_out = true;
            return self.connection.expired(worker);
        }
        match action {
            _ if random.u8(..) < 60 => {} // It would block.
            Action::Send => {
                let piece = whole(&self.connection.front());
                assert!(!piece.is_empty(), "there is something to send");
                let count = split(random, piece.len());
                self.heard.extend_from_slice(&piece[..count]);
                self.connection.sent(count, worker);
            }
            Action::Receive => self.speak(worker, random),
            Action::Proceed => {
                worker.work = random.usize(1..=64);
                self.connection.proceed(worker);
            }
            Action::Load => panic!("no call was refused"),
            Action::Run => {
                self.job = self.connection.take_job();
                assert!(self.job.is_some(), "it was announced");
                assert_eq!(self.connection.next(), Action::Wait);
            }
            Action::Wait => {
                // It may be woken for nothing.
                if random.bool()
                    && let Some(job) = self.job.take()
                {
                    (job.work)();
                }
                self.connection.woken(worker);
            }
            Action::ShutdownWrite => self.connection.shut(),
            Action::Close { .. } => {
                let fate = if self.timed_out {
                    Fate::CutOff
                } else {
                    Fate::Closed
                };
                self.end(fate, worker);
            }
        }
        assert!(self.connection.room() <= BUFFER_SIZE);
    }

    fn speak(&mut self, worker: &mut Worker, random: &mut Rng) {
        let room = self.connection.room();
        assert!(room > 0, "it asked for bytes it has no room for");
        let left = &self.script.input[self.said..];
        if !left.is_empty() {
            let count = split(random, left.len().min(room));
            self.said += count;
            self.connection.received(&left[..count], worker);
        } else if self.connection.deadline(worker) == Some(worker.time.moment()) {
            self.connection.expired(worker);
        } else if random.bool() {
            self.ended = true;
            self.connection.ended(worker);
        }
    }

    fn end(&mut self, fate: Fate, worker: &mut Worker) {
        self.fate = fate;
        self.connection.close(worker);
    }

    fn check(&self, stopping: bool) {
        let all_said = self.said == self.script.input.len();
        let fine = match self.fate {
            Fate::Open => panic!("it never ended; it is {}", self.connection.state()),
            Fate::Closed => self.script.may_end_with(&self.heard, stopping, all_said),
            Fate::CutOff => self.script.may_begin_with(&self.heard),
        };
        assert!(
            fine,
            "{:?} having said {} of {}\n{}\nheard\n{}",
            self.fate,
            self.said,
            self.script.input.len(),
            String::from_utf8_lossy(&self.script.input),
            String::from_utf8_lossy(&self.heard[self.heard.len().saturating_sub(600)..])
        );
    }
}

/// Often one byte, often all, else anything between.
fn split(random: &mut Rng, length: usize) -> usize {
    match random.u8(..) {
        0..=39 => 1,
        40..=149 => length,
        _ => random.usize(1..=length),
    }
}

fn play(world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut worker = world.worker();
    let count = random.usize(1..5);
    let mut peers: Vec<_> = (0..count)
        .map(|_| Peer::new(world, &mut worker, &mut random))
        .collect();
    let stops_at = (random.u8(..) < 60).then(|| random.usize(..400));
    let mut now = world.start;
    for step in 0..STEPS {
        worker.stopping |= stops_at.is_some_and(|at| step >= at);
        now += Duration::from_millis(random.u64(..3));
        worker.time.set(now, world.wall);
        let open: Vec<_> = peers
            .iter_mut()
            .filter(|peer| peer.fate == Fate::Open)
            .collect();
        if open.is_empty() {
            break;
        }
        let index = random.usize(..open.len());
        open.into_iter()
            .nth(index)
            .expect("in range")
            .step(&mut worker, &mut random);
        assert!(
            worker.pool.lent() <= 2 * peers.len(),
            "at most input and output each"
        );
    }
    for peer in peers {
        peer.check(worker.stopping);
        peer.connection.release(&mut worker);
    }
    assert_eq!(worker.pool.lent(), 0, "every buffer came back");
    let log = String::from_utf8(std::mem::take(&mut worker.log)).expect("ASCII");
    let requests = usize::try_from(worker.counters.requests).expect("few");
    assert_eq!(log.lines().count(), requests, "a line per request");
    let (known, steps) = (
        world.known_steps(),
        worker.steps.expect("they were counted"),
    );
    for (step, _) in steps.iter().filter(|((_, to), _)| *to != CLOSED) {
        assert!(known.contains(&step), "{step:?} is in no table");
    }
    world.steps.lock().expect("no panic").add(&steps);
}

#[test]
fn every_seed_comes_out_right() {
    let world = World::new();
    let seeds = match number("EVSERVE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EVSERVE_SEEDS").unwrap_or(SEEDS),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let is_one = seeds.end - seeds.start == 1;
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (world, seeds) = (&world, seeds.clone());
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % threads == first) {
                    let result = catch_unwind(AssertUnwindSafe(|| play(world, seed)));
                    assert!(
                        result.is_ok(),
                        "seed {seed} failed: repeat it with EVSERVE_SEED={seed}"
                    );
                }
            });
        }
    });
    let taken = world.steps.lock().expect("no panic");
    for known in world.known_steps() {
        let is_taken = taken.iter().any(|(step, _)| step == known);
        // Nobody watches a folder of files, and nobody has too many connections.
        // And all of the files are on one mount.
        let is_played = known != ("looking up", "making answer")
            && !["sending events", "turning away"]
                .iter()
                .any(|it| [known.0, known.1].contains(it));
        assert!(
            is_one || is_taken || !is_played,
            "nobody has taken the step {known:?}"
        );
    }
}

/// The scripts reach what they are meant to reach.
#[test]
fn the_scripts_are_worth_playing() {
    let world = World::new();
    let mut worker = world.worker();
    let mut connection = Connection::open(world.http.session(None), 0, &mut worker);
    connection.received(b"GET /list/ HTTP/1.1\r\nHost: h\r\n\r\n", &mut worker);
    let mut slices = 0;
    while connection.next() == Action::Proceed {
        worker.work = WORK_PER_TURN / 4;
        connection.proceed(&mut worker);
        slices += 1;
    }
    assert!(slices > 3, "a listing that takes several turns");
    let Piece::Bytes { then, .. } = connection.front() else {
        panic!("a page")
    };
    assert!(
        then.len() > BUFFER_SIZE,
        "a body in memory that fits no buffer"
    );
    let left = Body::bytes(then.to_vec()).left();
    assert!(left > BUFFER_SIZE as u64);
    connection.close(&mut worker);
    connection.release(&mut worker);
    let (answer, _) = undisturbed(&world, "GET /100k HTTP/1.1\r\nHost: h\r\n\r\n", false);
    assert!(answer.len() > 3 * BUFFER_SIZE, "a file that fits no buffer");
}
