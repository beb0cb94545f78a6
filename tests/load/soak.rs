//! Mixed load with faults on every model at once: every response is right, and memory and
//! descriptors do not grow. `tests/soak --minutes N` runs it for N minutes; the ordinary run is
//! short.

use crate::common::{
    Client, Evserve, PATIENCE, number, pattern, row, serves_one_at_a_time, with_threads,
};
use evserve::model::MODELS;
use socket2::SockRef;
use std::collections::VecDeque;
use std::fs::{self, rename, write};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often memory and descriptors are measured.
const PERIODS: u32 = 20;

/// After how many periods a server has allocated all that it will ever need.
const WARM: u32 = 5;

/// A shorter run does not check memory.
const SETTLED: Duration = Duration::from_secs(600);

/// How many concurrent clients each model has.
const CLIENTS: u64 = 2;

const SMALL: usize = 1000;
const LARGE: usize = 3_000_000;

/// A server under load.
struct Soak {
    evserve: Evserve,
    environment: Environment,
}

/// What its clients know about it.
struct Environment {
    model: &'static str,
    http: SocketAddr,
    echo: SocketAddr,
    status: SocketAddr,
    chat: Option<SocketAddr>,
    root: tempfile::TempDir,
    large: Vec<u8>,
}

/// One client, driven by a seed.
struct SoakClient<'a> {
    environment: &'a Environment,
    random: fastrand::Rng,
    /// Clients that have connected and are silent.
    silent: VecDeque<Client>,
    /// A file that only this client changes.
    own_name: String,
    done: u64,
}

impl Soak {
    fn start(model: &'static str) -> Soak {
        let root = tempfile::tempdir().expect("a directory");
        let large = pattern(LARGE);
        write(root.path().join("small"), pattern(SMALL)).expect("written");
        write(root.path().join("large"), &large).expect("written");
        let hears = row(model).isolated_because.is_none();
        let mut options = vec!["--mode", "http", "--listen", "http=127.0.0.1:0"];
        options.extend(["--mode", "echo", "--listen", "echo=127.0.0.1:0"]);
        if hears {
            options.extend(["--mode", "chat", "--listen", "chat=127.0.0.1:0"]);
        }
        // Silent clients must not hold a model for long, but a busy machine may delay other
        // clients.
        options.extend(["--idle-timeout", "3s", "--head-timeout", "3s"]);
        options.extend(["--access-log", "off", "--status", "0"]);
        // A thread keeps what it has allocated. With few threads, each soon has served all kinds of
        // connections.
        let few = with_threads(model, 12);
        options.extend(few.iter().map(String::as_str));
        options.push(root.path().to_str().expect("UTF-8"));
        let evserve = Evserve::start(model, &options);
        let environment = Environment {
            model,
            http: evserve.addresses[0],
            echo: evserve.addresses[1],
            status: *evserve.addresses.last().expect("it is shown last"),
            chat: hears.then(|| evserve.addresses[2]),
            root,
            large,
        };
        Soak {
            evserve,
            environment,
        }
    }

    /// Makes load, and measures the server after all clients have left.
    fn period(&self, index: u32, time: Duration) -> (u64, u64, usize) {
        let end = Instant::now() + time;
        let environment = &self.environment;
        let done = thread::scope(|scope| {
            let client = |client| {
                scope.spawn(move || {
                    let seed = u64::from(index) * CLIENTS + client;
                    let mut work = SoakClient::new(environment, seed);
                    while Instant::now() < end {
                        work.step();
                    }
                    work.done
                })
            };
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            let done = clients
                .into_iter()
                .map(|one| one.join().expect("all is right"));
            done.sum()
        });
        (done, self.evserve.proc_status("VmRSS"), self.descriptors())
    }

    /// The number of descriptors after those of the clients are closed: the least within the time
    /// for that.
    fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.evserve.id());
        let count = || fs::read_dir(&path).expect("it runs").count();
        let end = Instant::now() + Duration::from_secs(3);
        let mut least = count();
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(100));
            least = least.min(count());
        }
        least
    }
}

impl<'a> SoakClient<'a> {
    fn new(environment: &'a Environment, seed: u64) -> SoakClient<'a> {
        SoakClient {
            environment,
            random: fastrand::Rng::with_seed(seed),
            silent: VecDeque::new(),
            own_name: format!("own{}", seed % CLIENTS),
            done: 0,
        }
    }

    fn step(&mut self) {
        self.done += 1;
        match self.random.u32(0..13) {
            0 => self.get("large", &self.environment.large),
            1 => self.range(),
            2 => self.pipelined(),
            3 => self.half_a_head(),
            4 => self.reset_in_the_midst(),
            5 => self.leave_in_the_midst(),
            6 => self.say_nothing(),
            7 => self.say_nonsense(),
            8 => self.echo(),
            9 => self.chat(),
            10 => self.change_a_file(),
            11 => self.watch(),
            _ => self.get("small", &pattern(SMALL)),
        }
    }

    fn http(&self) -> Client {
        Client::connect(self.environment.http)
    }

    fn get(&self, name: &str, content: &[u8]) {
        let mut client = self.http();
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let answer = client.response();
        assert!(
            answer.status == 200 && answer.body == content,
            "{name}: {}",
            answer.head
        );
    }

    fn range(&mut self) {
        let from = self.random.usize(0..LARGE);
        let to = self.random.usize(from..LARGE);
        let mut client = self.http();
        client.send(format!(
            "GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes={from}-{to}\r\n\r\n"
        ));
        let answer = client.response();
        assert!(answer.status == 206 && answer.body == self.environment.large[from..=to]);
    }

    /// A model that serves one connection at a time closes after the first response.
    fn pipelined(&mut self) {
        let count = if serves_one_at_a_time(self.environment.model) {
            1
        } else {
            8
        };
        let mut client = self.http();
        let names = ["small", "none"];
        let chosen: Vec<_> = (0..count).map(|_| self.random.usize(0..2)).collect();
        let requests = chosen
            .iter()
            .map(|one| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", names[*one]));
        client.send(requests.collect::<String>());
        for one in chosen {
            assert_eq!(client.response().status, [200, 404][one]);
        }
    }

    fn half_a_head(&mut self) {
        let head = "GET /small HTTP/1.1\r\nHost: h\r\n";
        let mut client = self.http();
        client.send(&head[..self.random.usize(1..head.len())]);
        if self.random.bool() {
            // The server closed first, with or without a message.
            let _ = client.stream().read_to_end(&mut Vec::new());
        }
    }

    fn reset_in_the_midst(&mut self) {
        let mut client = self.http();
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read(self.random.usize(0..100_000));
        let socket = SockRef::from(client.stream());
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    fn leave_in_the_midst(&mut self) {
        let mut client = self.http();
        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read(self.random.usize(0..100_000));
    }

    fn say_nothing(&mut self) {
        self.silent.push_back(self.http());
        if self.silent.len() > 2 {
            self.silent.pop_front();
        }
    }

    fn say_nonsense(&mut self) {
        let mut client = self.http();
        let mut bytes = vec![0; self.random.usize(1..2000)];
        self.random.fill(&mut bytes);
        client.try_send(&bytes);
        client.try_send("\r\n\r\n");
        let mut answer = Vec::new();
        let _ = client.stream().read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    }

    fn echo(&mut self) {
        let mut client = Client::connect(self.environment.echo);
        let bytes = pattern(self.random.usize(1..200_000));
        let stream = client.stream().try_clone().expect("a socket");
        thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&bytes).expect("sent"));
            assert!(client.read(bytes.len()) == bytes);
        });
    }

    /// Two members of a chat among others.
    fn chat(&mut self) {
        let Some(address) = self.environment.chat else {
            return;
        };
        let (mut one, mut other) = (Client::connect(address), Client::connect(address));
        let said = format!("{:x}", self.random.u128(..));
        // A member that was greeted has joined.
        other.line();
        one.send(format!("{said}\n"));
        let heard = format!(": {said}");
        while !other.line().ends_with(&heard) {}
        if self.random.bool() {
            other.send("/quit\n");
            while other.line() != "* goodbye" {}
        }
    }

    /// Reads the status, or a few events, and leaves.
    fn watch(&mut self) {
        let mut client = Client::connect(self.environment.status);
        let path = ["/metrics", "/status.json", "/events"][self.random.usize(0..3)];
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(client.head().status, 200);
        if path != "/events" {
            let all = client.rest();
            let whole: [&[u8]; 2] = [b"}", b"\n"];
            assert!(
                whole.iter().any(|end| all.ends_with(end)),
                "{path} is cut off"
            );
            return;
        }
        for _ in 0..self.random.usize(1..4) {
            while !client.line().starts_with("data: {") {}
            // There the server ends the stream to let other viewers in.
            if row(self.environment.model).no_streams_because.is_some() {
                break;
            }
        }
    }

    fn change_a_file(&mut self) {
        let path = self.environment.root.path().join(&self.own_name);
        let content = pattern(self.random.usize(0..400_000));
        let new: &Path = &path.with_extension("new");
        write(new, &content).expect("written");
        rename(new, &path).expect("renamed");
        self.get(&self.own_name, &content);
    }
}

#[test]
fn memory_and_descriptors_do_not_grow() {
    let time = match number("EVSERVE_SOAK_MINUTES") {
        Some(minutes) => Duration::from_secs(60 * minutes),
        None => Duration::from_secs(2),
    };
    let is_long = time > PATIENCE;
    thread::scope(|scope| {
        for model in MODELS.iter().map(|row| row.name) {
            scope.spawn(move || {
                let soak = Soak::start(model);
                let mut all = Vec::new();
                for index in 0..PERIODS {
                    let (done, memory, descriptors) = soak.period(index, time / PERIODS);
                    if is_long {
                        eprintln!("{model}, {index}: {done} steps, {memory} KiB, {descriptors} descriptors");
                    }
                    all.push((memory, descriptors));
                    if !is_long && index + 1 == PERIODS / 10 {
                        break;
                    }
                }
                if is_long {
                    let (first, last) = (all[WARM as usize], all[PERIODS as usize - 1]);
                    // Before that, threads and buffers are still used for the first time.
                    if time >= SETTLED {
                        assert!(last.0 <= first.0 + first.0 / 10 + 1024, "{model}: {all:?}");
                    }
                    assert!(last.1 <= first.1, "{model}: {all:?}");
                }
                let ended = soak.evserve.stop();
                assert!(!ended.log.contains("panic"), "{}", ended.log);
            });
        }
    });
}
