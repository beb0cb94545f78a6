//! The real program as a child process, and a client that says bytes and expects bytes.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. Far more than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a case on every row of the table of models.
pub fn on_every_model(case: impl Fn(&'static str)) {
    for row in evserve::model::MODELS {
        eprintln!("model {}", row.name);
        case(row.name);
    }
}

/// Runs a case on every model in which conversations can hear each other.
pub fn on_every_shared_model(case: impl Fn(&'static str)) {
    let rows = evserve::model::MODELS.iter();
    for row in rows.filter(|row| row.apart.is_none()) {
        eprintln!("model {}", row.name);
        case(row.name);
    }
}

/// True for the models that are a readiness loop.
pub fn is_loop(model: &str) -> bool {
    evserve::model::find(model).is_some_and(|row| row.is_loop)
}

/// The program of an example. `cargo test` with a `--test` would build none of them.
pub fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--locked", "--examples"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        assert!(command.status().expect("cargo is there").success());
    });
    let program = Path::new(env!("CARGO_BIN_EXE_evserve"));
    let directory = program.parent().expect("a directory");
    directory.join("examples").join(name)
}

/// A running evserve. Dropping it kills it.
pub struct Evserve {
    child: Child,
    /// Lines of the operator's log that have not been looked at.
    log: Receiver<String>,
    seen: Vec<String>,
    pub addresses: Vec<SocketAddr>,
}

/// What a stopped evserve leaves behind.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
    pub access_log: String,
}

impl Evserve {
    /// Serves `root` over http on a free port.
    pub fn http(model: &str, root: &Path, options: &[&str]) -> Evserve {
        let root = root.to_str().expect("a path in UTF-8");
        let options = [
            &["--mode", "http", "--listen", "127.0.0.1:0", root],
            options,
        ]
        .concat();
        Evserve::start(model, 1, &options)
    }

    /// Serves echo on a free port.
    pub fn echo(model: &str, options: &[&str]) -> Evserve {
        let options = [&["--mode", "echo", "--listen", "127.0.0.1:0"], options].concat();
        Evserve::start(model, 1, &options)
    }

    /// Starts the program and waits until it has said `addresses` times where it listens.
    pub fn start(model: &str, addresses: usize, options: &[&str]) -> Evserve {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evserve"));
        command.args(["--model", model]).args(options);
        Evserve::spawn(command, addresses)
    }

    pub fn spawn(mut command: Command, addresses: usize) -> Evserve {
        command.stdin(Stdio::null());
        Evserve::spawn_with_stdin(command, addresses)
    }

    /// The same with the standard input that the command has.
    pub fn spawn_with_stdin(mut command: Command, addresses: usize) -> Evserve {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("evserve starts");
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut evserve = Evserve {
            child,
            log,
            seen: Vec::new(),
            addresses: Vec::new(),
        };
        for _ in 0..addresses {
            let line = evserve.wait_for_log(" at ");
            let place = line.split(" at ").nth(1).expect("an address");
            let place = place.split(" (").next().expect("an address");
            let place = place.trim_start_matches("http://").trim_end_matches('/');
            evserve.addresses.push(place.parse().expect("an address"));
        }
        evserve
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.response()
    }

    /// Waits for a line of the operator's log that contains `text`.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|error| {
                panic!("no line with {text:?} ({error}); it said {:#?}", self.seen)
            });
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("it runs");
    }

    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// The same where strace runs it, which hands no signal on itself.
    pub fn terminate_traced(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        let child = std::fs::read_to_string(children).expect("it runs");
        let child = child.trim().parse().ok();
        let child = child.and_then(rustix::process::Pid::from_raw);
        let term = rustix::process::Signal::TERM;
        rustix::process::kill_process(child.expect("one child"), term).expect("it runs");
    }

    /// Waits for the end, however it was brought about.
    pub fn wait(&mut self) -> Ended {
        let mut access_log = String::new();
        let mut stdout = self.child.stdout.take().expect("waited for once");
        stdout.read_to_string(&mut access_log).expect("text");
        let status = self.child.wait().expect("it is our child");
        self.seen.extend(self.log.iter());
        Ended {
            status,
            log: self.seen.join("\n"),
            access_log,
        }
    }

    /// Asks for a graceful end and waits for it.
    pub fn stop(mut self) -> Ended {
        self.terminate();
        let ended = self.wait();
        assert!(ended.status.success(), "{}", ended.log);
        ended
    }

    /// A figure from /proc/PID/status, in its own unit.
    pub fn proc_status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|v| v.parse().ok()).expect("a number")
    }
}

impl Drop for Evserve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP connection to evserve.
pub struct Client {
    stream: TcpStream,
    /// Received and not yet consumed.
    pending: Vec<u8>,
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a socket");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("a socket");
        }
        let pending = Vec::new();
        Client { stream, pending }
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::from(TcpStream::connect(address).expect("evserve listens"))
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends to a server that may be gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn shutdown_write(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// Reads the next response: to its length, or without a body for a response to HEAD.
    pub fn response(&mut self) -> Response {
        let head = self.head();
        let length = head
            .field("Content-Length")
            .expect("a length")
            .parse()
            .expect("a number");
        let body = self.read(length);
        Response { body, ..head }
    }

    /// Reads the head of the next response.
    pub fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill();
        };
        let head: Vec<u8> = self.pending.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head is ASCII");
        let status = head[9..12].parse().expect("a status line");
        let body = Vec::new();
        Response { status, head, body }
    }

    /// Reads exactly that many bytes.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        while self.pending.len() < length {
            self.fill();
        }
        self.pending.drain(..length).collect()
    }

    /// Reads a line, without its end.
    pub fn line(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.pending.windows(2).position(|w| w == b"\r\n") {
                break at + 2;
            }
            self.fill();
        };
        let line: Vec<u8> = self.pending.drain(..end).collect();
        String::from_utf8(line[..end - 2].to_vec()).expect("a line is UTF-8")
    }

    /// Reads a line, unless the server closes before it has come.
    pub fn try_line(&mut self) -> Option<String> {
        let mut buffer = [0; 65536];
        while !self.pending.windows(2).any(|w| w == b"\r\n") {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
        Some(self.line())
    }

    /// Reads until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.pending);
        self.stream.read_to_end(&mut rest).expect("a clean end");
        rest
    }

    /// Waits until the server has closed or reset the connection.
    pub fn is_over(&mut self) {
        let count = self.stream.read(&mut [0]);
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&count, Ok(0)) || count.as_ref().is_err_and(reset),
            "{count:?}"
        );
    }

    fn fill(&mut self) {
        let mut buffer = [0; 65536];
        let count = loop {
            match self.stream.read(&mut buffer) {
                // A call with a time limit is not begun again by the kernel (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("received in time"),
            }
        };
        assert!(
            count > 0,
            "the server closed after {:?}",
            String::from_utf8_lossy(&self.pending)
        );
        self.pending.extend_from_slice(&buffer[..count]);
    }
}

/// Bytes that are different at every place, so that none can be lost or swapped unseen.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// The number that an environment variable holds, if it is set.
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number")),
    )
}

/// The program with faults. Dropping it kills it.
pub struct Faulty {
    child: Child,
    address: SocketAddr,
}

impl Faulty {
    /// Starts it with a model and, if wanted, an address, a number of workers and seconds to drain.
    pub fn start(arguments: &[&str], stderr: Stdio) -> Faulty {
        let mut child = Command::new(example("faulty"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address");
        let address = address.parse().expect("an address");
        Faulty { child, address }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("it runs");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for_end(&mut self.child)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a child has ended by itself.
pub fn wait_for_end(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return status;
        }
        assert!(Instant::now() < end, "it does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Both sides of a new terminal, of which no other program gets a copy: it closes when we close it.
pub fn terminal() -> (OwnedFd, OwnedFd) {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).expect("a terminal");
    nix::pty::grantpt(&master).expect("ours");
    nix::pty::unlockpt(&master).expect("ours");
    let name = nix::pty::ptsname_r(&master).expect("a name");
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags(OFlag::O_NOCTTY.bits());
    let slave = options.open(name).expect("opened");
    let master = master.as_fd().try_clone_to_owned().expect("one more");
    (master, slave.into())
}
