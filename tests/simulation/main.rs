//! Models without a kernel. A seed decides how input is split, how short each send is, when a call
//! would block, when an operation in progress ends, when a timeout expires, when the server is
//! asked to stop, and when the peer leaves.
//!
//! With any seed, a peer receives exactly the bytes of an undisturbed connection, up to its end.
//! Memory is bounded. What an operation reads from does not change until it ends. Every buffer and
//! every permit is returned.
//!
//! `EVSERVE_SEEDS=10000 cargo test --test simulation` plays more seeds, `EVSERVE_SEED=17` only that
//! one.

#![allow(missing_docs)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod connection;
mod layer;
mod mixed;
mod script;
mod world;

use common::number;
use connection::SimulatedConnection;
use evserve::session::{ACCEPTED, CLOSED, Mailbox, TimeLimits, Wakers, Worker};
use fastrand::Rng;
use mixed::{Mixed, PermitCounter, WakeSignal};
use script::{Chat, Script};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;
use world::{MESSAGES, World, undisturbed};

/// How many seeds an ordinary run plays.
const SEEDS: u64 = 5_000;

/// A connection that takes more steps than this does not end.
const STEPS: usize = 400_000;

/// The keys of woken connections.
#[derive(Clone, Default)]
struct Queue {
    woken: Arc<Mutex<Vec<usize>>>,
    /// There are no wakers, as if no descriptor were free.
    is_broken: bool,
}

struct KeyWaker(Queue, usize);

impl Wakers for Queue {
    fn waker(&self, key: usize) -> io::Result<Waker> {
        match self.is_broken {
            true => Err(io::Error::other("no descriptor is free")),
            false => Ok(Arc::new(KeyWaker(self.clone(), key)).into()),
        }
    }
}

impl Wake for KeyWaker {
    fn wake(self: Arc<Self>) {
        self.0.woken.lock().expect("no panic").push(self.1);
    }
}

/// The mailbox of a stream, and how many messages were put into it.
struct Stream {
    mailbox: Arc<Mailbox>,
    sent: usize,
}

/// The connections of one run.
struct Simulation {
    connections: Vec<SimulatedConnection>,
    signals: Vec<WakeSignal>,
    queue: Queue,
    begun: Arc<Mutex<Vec<Arc<Mailbox>>>>,
    streams: Vec<Stream>,
    /// They chat: each line counts as a request, and none is logged.
    chats: bool,
}

impl Simulation {
    fn new(world: &World, worker: &mut Worker, random: &mut Rng) -> Simulation {
        let queue = Queue {
            is_broken: random.u8(..) < 5,
            ..Queue::default()
        };
        worker.wakers = Some(Box::new(queue.clone()));
        if random.u8(..) < 100 {
            let mut limit = || {
                random
                    .bool()
                    .then(|| Duration::from_millis(random.u64(1..2000)))
            };
            worker.time_limits = TimeLimits::from_fn(|_| limit());
        }
        worker.one_exchange = random.u8(..) < 20;
        let mut simulation = Simulation {
            connections: Vec::new(),
            signals: Vec::new(),
            queue,
            begun: Arc::default(),
            streams: Vec::new(),
            chats: random.u8(..) < 60,
        };
        let chat = simulation.chats.then(|| (world.chat(), Chat::new()));
        for _ in 0..random.usize(1..5) {
            let mut line = match &chat {
                Some((service, chat)) => {
                    let script = Script::chat(chat, random);
                    simulation.line(service.session(None), script, worker, random)
                }
                None => simulation.isolated_connection(world, worker, random),
            };
            line.may_be_cut_off |= simulation.queue.is_broken;
            simulation.connections.push(line);
        }
        simulation
    }

    /// A connection that receives nothing from others.
    fn isolated_connection(
        &mut self,
        world: &World,
        worker: &mut Worker,
        random: &mut Rng,
    ) -> SimulatedConnection {
        let key = self.connections.len();
        match random.u8(..) {
            0..=19 => {
                let script = Script::proxied(world, random);
                self.line(world.behind_proxy(), script, worker, random)
            }
            #[cfg(feature = "auth")]
            20..=39 => {
                let script = Script::guarded(world, random);
                world.guarded.forget();
                self.line(world.guarded.service.session(None), script, worker, random)
            }
            20..=99 => {
                let session = world.http.session(Some([127, 0, 0, 1].into()));
                self.line(session, Script::http(world, random), worker, random)
            }
            100..=119 => self.line(
                world.echo.session(None),
                Script::echo(random),
                worker,
                random,
            ),
            120..=149 => {
                let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
                let (head, _) = undisturbed(
                    world,
                    &world.streams(&Arc::default()),
                    request,
                    worker.one_exchange,
                );
                let session = world.streams(&self.begun).session(None);
                self.line(session, Script::stream(head, request), worker, random)
            }
            _ => {
                let (permits, signal) = (PermitCounter::default(), WakeSignal::default());
                let start = Mixed::start(&world.stretches, &permits, &signal);
                self.signals.push(signal);
                let script = Script::mixed(world, random);
                SimulatedConnection::new(start, script, key, &permits, worker, random)
            }
        }
    }

    fn line(
        &self,
        session: impl Into<evserve::session::NewSession>,
        script: Script,
        worker: &mut Worker,
        random: &mut Rng,
    ) -> SimulatedConnection {
        SimulatedConnection::new(
            session,
            script,
            self.connections.len(),
            &PermitCounter::default(),
            worker,
            random,
        )
    }

    /// What other threads do at the same time: they fill mailboxes and wake connections. A woken
    /// connection is notified sooner or later.
    fn run_other_threads(&mut self, worker: &mut Worker, random: &mut Rng) {
        if random.u8(..) < 20
            && let Some(signal) = random.choice(&self.signals)
        {
            signal.set();
        }
        for mailbox in self.begun.lock().expect("no panic").drain(..) {
            self.streams.push(Stream { mailbox, sent: 0 });
        }
        if random.u8(..) < 20
            && let Some(stream) = random.choice(&mut self.streams)
        {
            match MESSAGES.get(stream.sent) {
                Some(message) => drop(stream.mailbox.put(&message.as_bytes().into())),
                None => stream.mailbox.end(),
            }
            stream.sent += 1;
        }
        if random.bool() {
            let woken = std::mem::take(&mut *self.queue.woken.lock().expect("no panic"));
            for key in woken {
                self.connections[key].woken(worker);
            }
        }
    }
}

fn play(world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut worker = world.worker();
    let mut simulation = Simulation::new(world, &mut worker, &mut random);
    let stops_at = (random.u8(..) < 60).then(|| random.usize(..400));
    let crowd = (random.u8(..) < 60).then(|| random.usize(..400));
    let (mut now, mut hurried) = (world.start, worker.one_exchange);
    for step in 0..STEPS {
        worker.stopping |= stops_at.is_some_and(|at| step >= at);
        worker.crowded = crowd.is_some_and(|at| (at..at + 100).contains(&step));
        hurried |= worker.stopping || worker.crowded;
        let open = simulation
            .connections
            .iter_mut()
            .filter(|line| !line.is_released());
        let mut open: Vec<_> = open.collect();
        if open.is_empty() {
            break;
        }
        let line = random.choice(&mut open).expect("not empty");
        now += Duration::from_millis(random.u64(..3));
        if random.u8(..) < 3
            && let Some(deadline) = line.deadline(&worker)
        {
            now = now.max(world.start + Duration::from_nanos(deadline.as_nanos()));
        }
        worker.time.set(now, world.wall);
        line.step(&mut worker, &mut random);
        simulation.run_other_threads(&mut worker, &mut random);
        let lent = worker.pool.lent();
        let most = simulation.connections.iter();
        let most = most.map(SimulatedConnection::max_buffers).sum();
        assert!(lent <= most, "at most input and output each");
    }
    simulation
        .connections
        .iter()
        .for_each(|line| line.check(hurried));
    check(world, &mut worker, simulation.chats);
}

/// What must hold after all connections have ended.
fn check(world: &World, worker: &mut Worker, chats: bool) {
    assert_eq!(worker.pool.lent(), 0, "every buffer came back");
    let log = String::from_utf8(std::mem::take(&mut worker.log)).expect("ASCII");
    let requests = usize::try_from(worker.counters.requests).expect("few");
    let lines = log.lines().count();
    assert!(
        lines == requests || chats,
        "{lines} lines, {requests} requests"
    );
    let known = world.known_steps();
    let steps = worker.transitions.take().expect("they were counted");
    for (step, _) in steps.iter().filter(|((_, to), _)| *to != CLOSED) {
        assert!(known.contains(&step), "{step:?} is in no table");
    }
    world.steps.lock().expect("no panic").add(&steps);
}

#[test]
fn every_seed_passes() {
    let world = World::new();
    let seeds = match number("EVSERVE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EVSERVE_SEEDS").unwrap_or(SEEDS),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
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
    let mut missed = world.known_steps();
    missed.retain(|known| !taken.iter().any(|(step, _)| step == *known));
    // All files are on one mount, a member always joins before it listens, and no address exceeds
    // its limit.
    missed.retain(|(from, to)| {
        let is_never = [("looking up file", "building response"), (ACCEPTED, "idle")];
        let has_passwords = cfg!(feature = "auth") || ![from, to].contains(&&"checking password");
        let is_refused = [from, to].contains(&&"refusing connection");
        !is_never.contains(&(*from, *to)) && !is_refused && has_passwords
    });
    let is_long = seeds.end - seeds.start >= SEEDS;
    assert!(
        missed.is_empty() || !is_long,
        "no session took the steps {missed:?}"
    );
}
