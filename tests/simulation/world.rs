//! The services: files, streams of a program, echo, a chat, and a protocol that uses everything.

use super::layer;
use super::mixed::{self, Stretches};
#[cfg(feature = "auth")]
use evserve::auth::{Access, Gate};
use evserve::config::{Config, StartError, TrustedProxies};
use evserve::http1::Request;
use evserve::service::http::{self, Handler, Response};
use evserve::service::{Admission, SERVICES, Service};
use evserve::session::{
    ACCEPTED, Counters, HANDSHAKING, NewSession, Time, Timeout, Transitions, WORK_PER_TURN, Worker,
};
use evserve::session::{Action, BUFFER_SIZE, CLOSED, Connection, File, Mailbox, Piece, Transition};
use fastrand::Rng;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// The messages of a stream.
pub const MESSAGES: [&str; 3] = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];

pub struct World {
    _root: TempDir,
    config: Config,
    pub http: Arc<dyn Service>,
    pub echo: Arc<dyn Service>,
    /// Asks for a password.
    #[cfg(feature = "auth")]
    pub guarded: Guarded,
    /// Reads PROXY headers.
    proxied: Admission,
    pub stretches: Arc<Stretches>,
    pub start: Instant,
    pub wall: SystemTime,
    /// All steps that sessions took from state to state.
    pub steps: Mutex<Transitions>,
}

const FILES: [(&str, usize); 4] = [("0", 0), ("1", 1), ("1k", 1024), ("100k", 100_000)];

impl World {
    pub fn new() -> World {
        let root = tempfile::tempdir().expect("a directory");
        let mut random = Rng::with_seed(1);
        for (name, length) in FILES {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            write(&root.path().join(name), &bytes);
        }
        // A job finds out whether these lead out of the root or to another mount.
        for name in ["out", "1k.gz"] {
            symlink("/nowhere", root.path().join(name)).expect("linked");
        }
        std::fs::create_dir(root.path().join("list")).expect("made");
        for number in 0..600 {
            write(&root.path().join(format!("list/{number}")), b"");
        }
        let config = Config {
            root: root.path().into(),
            trusted_proxies: Some(TrustedProxies {
                networks: Vec::new(),
                unix: true,
            }),
            ..Config::default()
        };
        let path = root.path().join("100k");
        World {
            http: start("http", &config).expect("starts"),
            echo: start("echo", &config).expect("starts"),
            #[cfg(feature = "auth")]
            guarded: Guarded::new(&config),
            proxied: Admission::new(&config),
            stretches: Arc::new(Stretches {
                content: std::fs::read(&path).expect("it exists"),
                file: Arc::new(File::local(std::fs::File::open(&path).expect("it exists"))),
            }),
            config,
            _root: root,
            start: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(4_000_000_000),
            steps: Mutex::default(),
        }
    }

    pub fn worker(&self) -> Worker {
        Worker {
            transitions: Some(Transitions::default()),
            ..Worker::new(Time::new(self.start, self.wall))
        }
    }

    /// The start of a connection behind a proxy.
    pub fn behind_proxy(&self) -> NewSession {
        let mut counters = Counters::default();
        let start = self.proxied.admit(&self.http, None, &mut counters);
        start.expect("the proxy is trusted")
    }

    /// A new chat room.
    pub fn chat(&self) -> Arc<dyn Service> {
        start("chat", &self.config).expect("starts")
    }

    /// A program that puts the mailboxes of its streams into `begun`.
    pub fn streams(&self, begun: &Arc<Mutex<Vec<Arc<Mailbox>>>>) -> Arc<dyn Service> {
        http::service(Streams(begun.clone()), &self.config)
    }

    /// The steps that the services declare. Any state may also end.
    pub fn known_steps(&self) -> Vec<Transition> {
        let chat = self.chat();
        let services = [&self.http, &self.echo, &chat].into_iter();
        let steps = services.flat_map(|service| service.transitions().to_vec());
        let header = "reading PROXY header";
        let steps = steps.chain([(ACCEPTED, header), (header, "reading request")]);
        let steps = steps.chain(mixed::STEPS.iter().copied());
        // A session behind a layer begins when the layer's handshake has ended. No member of a chat
        // has a layer.
        let behind = |step: Transition| match step {
            (ACCEPTED, first) if ![header, "idle", "joining"].contains(&first) => {
                vec![step, (HANDSHAKING, first)]
            }
            _ => vec![step],
        };
        let steps = steps.flat_map(behind).chain(layer::STEPS.iter().copied());
        let steps = steps.chain([(ACCEPTED, HANDSHAKING)]);
        steps.filter(|(_, to)| *to != CLOSED).collect()
    }
}

/// Files for one user, `me`, whose password is `secret`.
#[cfg(feature = "auth")]
pub struct Guarded {
    pub service: Arc<dyn Service>,
    gate: Arc<Gate>,
    _users: TempDir,
}

#[cfg(feature = "auth")]
impl Guarded {
    fn new(config: &Config) -> Guarded {
        let users = tempfile::tempdir().expect("a directory");
        let file = users.path().join("users");
        // The least cost of bcrypt.
        let hash = bcrypt::hash("secret", 4).expect("hashed");
        write(&file, format!("me:{hash}\n").as_bytes());
        let access = Access {
            logins: Vec::new(),
            file: Some(file),
        };
        let gate = Arc::new(Gate::open(access, false).expect("a gate"));
        let mut config = config.clone();
        config.http.gate = Some(gate.clone());
        Guarded {
            service: start("http", &config).expect("starts"),
            gate,
            _users: users,
        }
    }

    /// Forgets that the password was right, so that the next request has it checked.
    pub fn forget(&self) {
        self.gate.replace(self.gate.read().expect("users"));
    }
}

fn start(name: &str, config: &Config) -> Result<Arc<dyn Service>, StartError> {
    let row = SERVICES.iter().find(|row| row.name == name);
    (row.expect("a row").start)(config)
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::create(path).expect("made");
    file.write_all(bytes).expect("written");
}

struct Streams(Arc<Mutex<Vec<Arc<Mailbox>>>>);

impl Handler for Streams {
    fn respond(&self, _: &Request<'_>, _: &Time) -> Response {
        let begun = self.0.clone();
        Response::stream("text/event-stream", move |mailbox| {
            begun.lock().expect("no panic").push(mailbox);
        })
    }
}

/// The response to one request on an undisturbed connection, and whether the server closes after
/// it.
pub fn undisturbed(
    world: &World,
    service: &Arc<dyn Service>,
    request: &str,
    closing: bool,
) -> (Vec<u8>, bool) {
    let mut worker = world.worker();
    worker.stopping = closing;
    let mut connection = Connection::open(service.session(None), 0, &mut worker);
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
                (connection.take_job().expect("announced").work)();
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

/// The bytes of a piece, from memory or a file.
pub fn whole(piece: &Piece<'_>) -> Vec<u8> {
    match piece {
        Piece::Bytes { bytes, then, .. } => [*bytes, *then].concat(),
        Piece::File {
            file,
            offset,
            count,
        } => read(file, *offset, usize::try_from(*count).expect("small")),
    }
}

/// Reads a range of a file, as much as exists.
pub fn read(file: &File, offset: u64, count: usize) -> Vec<u8> {
    let file = std::fs::File::from(file.as_fd().try_clone_to_owned().expect("a descriptor"));
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        let at = offset + filled as u64;
        match file.read_at(&mut bytes[filled..], at).expect("a file") {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    bytes
}

#[test]
fn the_scripts_reach_the_cases_they_are_meant_for() {
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
    connection.close(&mut worker);
    connection.release(&mut worker);
    let request = "GET /100k HTTP/1.1\r\nHost: h\r\n\r\n";
    let (answer, _) = undisturbed(&world, &world.http, request, false);
    assert!(answer.len() > 3 * BUFFER_SIZE, "a file that fits no buffer");
}
