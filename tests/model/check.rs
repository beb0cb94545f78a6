//! Checks whether a model keeps the contract between models and connections. Each case is a
//! protocol that depends on one promise of the contract, a client, and an expected result. A model
//! that breaks a promise may hang or panic, so each case runs in a process of its own.

use super::sessions::{Kind, Recorded, content, padding, service, unsendable};
use evserve::Server;
use evserve::model::ModelRow;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

/// How long a client waits for its bytes, and how long a case may take.
const PATIENCE: Duration = Duration::from_secs(6);
const CASE: Duration = Duration::from_secs(15);

/// A promise, quoted from the documentation, and a check of it.
pub struct Case {
    pub name: &'static str,
    pub promise: &'static str,
    kind: Kind,
    client: fn(&mut Fixture) -> Result<(), String>,
}

/// A server with the model, a client, and what the session recorded.
struct Fixture {
    client: TcpStream,
    recorded: Arc<Recorded>,
    stop: Box<dyn Fn()>,
    server: thread::JoinHandle<std::io::Result<()>>,
}

pub const CASES: &[Case] = &[
    Case {
        name: "sent",
        promise: "Send [`Connection::front`], or as much of its beginning as the socket takes, then call \
                  [`Connection::sent`] with the number of bytes",
        kind: Kind::Memory,
        client: |fixture| {
            fixture.send(b"x")?;
            // By then the socket has taken all it can.
            thread::sleep(Duration::from_millis(200));
            fixture.expect_all(content())
        },
    },
    Case {
        name: "short file",
        promise: "0 if a file ended too early.",
        kind: Kind::ShortFile,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(b"short")
        },
    },
    Case {
        name: "send_refused",
        promise: "If the file cannot be sent directly, for example because sendfile(2) is refused, call \
                  [`Connection::send_refused`].",
        kind: Kind::Unsendable,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(&unsendable())
        },
    },
    Case {
        name: "room",
        promise: "Receive at most [`Connection::room`] bytes, then call [`Connection::received`]",
        kind: Kind::Hold,
        client: |fixture| {
            fixture.send(&content()[..60_000])?;
            fixture.client.shutdown(Shutdown::Write).map_err(text)?;
            fixture.expect_all(b"31000")
        },
    },
    Case {
        name: "ended",
        promise: "or [`Connection::input_ended`] if the peer has shut down its side",
        kind: Kind::Count,
        client: |fixture| {
            fixture.send(b"abc")?;
            fixture.client.shutdown(Shutdown::Write).map_err(text)?;
            fixture.expect_all(b"3")
        },
    },
    Case {
        name: "work",
        promise: "The model sets it at the beginning of each turn.",
        kind: Kind::Turns,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_bytes(b"done")
        },
    },
    Case {
        name: "job",
        promise: "run its work here or on another thread, then call [`Connection::woken`].",
        kind: Kind::Job,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_bytes(b"done")
        },
    },
    Case {
        name: "woken",
        promise: "The connection's [waker](super::Wakers) may be woken during any action: then call \
                  [`Connection::woken`] soon.",
        kind: Kind::Mail,
        client: |fixture| {
            fixture.expect_bytes(b"hello")?;
            thread::sleep(Duration::from_millis(200));
            fixture.recorded.mailbox.put(&b"news".as_slice().into());
            fixture.expect_bytes(b"news")
        },
    },
    Case {
        name: "deadline",
        promise: "If that would block, call [`Connection::expired`].",
        kind: Kind::Late,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(b"late")
        },
    },
    Case {
        name: "last try",
        promise: "When it has passed, try the action once more without waiting: what came in time still counts.",
        kind: Kind::Busy,
        client: |fixture| {
            fixture.send(b"xx")?;
            fixture.expect_bytes(b"in time")
        },
    },
    Case {
        name: "unread",
        promise: "If `may_linger` is true, first check whether unread input waits at the socket. If it \
                  does, call [`Connection::linger`] instead",
        kind: Kind::Memory,
        client: |fixture| {
            fixture.send(b"x")?;
            // The model must not receive this: a response is being sent.
            thread::sleep(Duration::from_millis(200));
            fixture.send(&[b'y'; 1000])?;
            fixture.expect_all_without_reset(content())
        },
    },
    Case {
        name: "shut",
        promise: "Shut down our side (shutdown(2)), so that the peer sees the end of our output, then call \
                  [`Connection::write_shut_down`].",
        kind: Kind::Linger,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(b"bye")
        },
    },
    Case {
        name: "close",
        promise: "Call [`Connection::close`], close the socket",
        kind: Kind::Abort,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(b"bye")?;
            match fixture.recorded.closed.load(SeqCst) {
                true => Ok(()),
                false => Err("the socket was closed, and the session was not notified".into()),
            }
        },
    },
    Case {
        name: "release",
        promise: "and call [`Connection::release`] when no operation is under way.",
        kind: Kind::Abort,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.expect_all(b"bye")?;
            // A connection that is dropped with buffers from its pool panics in a debug build.
            fixture.stop_and_wait()
        },
    },
    Case {
        name: "abort",
        promise: "If an operation fails for good, call [`Connection::abort`].",
        kind: Kind::Memory,
        client: |fixture| {
            fixture.send(b"x")?;
            fixture.client.read_exact(&mut [0; 100]).map_err(text)?;
            // With unread input, close(2) sends a reset.
            fixture.client =
                TcpStream::connect(fixture.client.peer_addr().map_err(text)?).map_err(text)?;
            fixture.wait_until(
                |recorded| recorded.closed.load(SeqCst),
                "the session was never closed",
            )
        },
    },
    Case {
        name: "stopping",
        promise: "The server is stopping: connections close at the next opportunity, and idle ones at once.",
        kind: Kind::Count,
        client: |fixture| {
            fixture.wait_until(|recorded| recorded.opened.load(SeqCst), "no session was opened")?;
            fixture.stop_and_wait()
        },
    },
];

/// The kernel resets a connection that is closed while unread input waits. Where a client reads fast
/// enough it still gets all bytes.
const ALL_BUT_RESET: &str = "all came, and then a reset";

impl Fixture {
    fn new(model: &'static ModelRow, kind: Kind) -> Result<Fixture, String> {
        let recorded = Arc::new(Recorded::default());
        let shared = recorded.clone();
        let server = Server::builder()
            .configure(|config| {
                config.timeouts.head = Duration::from_millis(400);
                config.timeouts.linger = 2 * CASE;
            })
            .custom_model(model)
            .listen("127.0.0.1:0", move |_| Ok(service(kind, &shared)))
            .and_then(evserve::server::Builder::start)
            .map_err(text)?;
        let place = server.local_addresses()[0].to_string();
        let handle = server.handle().map_err(text)?;
        let server = thread::spawn(move || server.run());
        let client = TcpStream::connect(place).map_err(text)?;
        client.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        client.set_write_timeout(Some(PATIENCE)).map_err(text)?;
        Ok(Fixture {
            client,
            recorded,
            stop: Box::new(move || handle.shutdown()),
            server,
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let said = self.client.write_all(bytes);
        said.map_err(|error| format!("what the client sent was not received: {error}"))
    }

    /// Checks that these bytes come, perhaps followed by more.
    fn expect_bytes(&mut self, expected: &[u8]) -> Result<(), String> {
        let mut heard = vec![0; expected.len()];
        match self.client.read_exact(&mut heard) {
            Ok(()) if heard == expected => Ok(()),
            Ok(()) => Err(format!(
                "{:?} came, not {:?}",
                shown(&heard),
                shown(expected)
            )),
            Err(error) => Err(format!("{:?} never came: {}", shown(expected), why(&error))),
        }
    }

    /// Checks that exactly these bytes come, and then the end, be it a reset.
    fn expect_all(&mut self, expected: &[u8]) -> Result<(), String> {
        match self.expect_all_without_reset(expected) {
            Err(error) if error == ALL_BUT_RESET => Ok(()),
            result => result,
        }
    }

    /// Checks that exactly these bytes come, and then an orderly end.
    fn expect_all_without_reset(&mut self, expected: &[u8]) -> Result<(), String> {
        let mut heard = Vec::new();
        let ended = self.client.read_to_end(&mut heard);
        let (count, wanted) = (heard.len(), expected.len());
        if heard != expected {
            let end = ended.map_or_else(|error| why(&error), |_| "then the end".into());
            let beginning = shown(&heard[..count.min(40)]);
            return Err(format!(
                "{count} bytes came of {wanted}, {beginning:?}, {end}"
            ));
        }
        match ended {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(ALL_BUT_RESET.into()),
            Err(error) => Err(format!("all came, but never the end: {}", why(&error))),
            Ok(_) => Ok(()),
        }
    }

    fn wait_until(&self, holds: impl Fn(&Recorded) -> bool, otherwise: &str) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !holds(&self.recorded) {
            if Instant::now() > end {
                return Err(otherwise.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn stop_and_wait(&self) -> Result<(), String> {
        (self.stop)();
        let end = Instant::now() + PATIENCE;
        while !self.server.is_finished() {
            if Instant::now() > end {
                return Err("the server was stopped, and goes on".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn why(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock => "nothing came for a long time".into(),
        ErrorKind::UnexpectedEof => "the connection ended".into(),
        _ => error.to_string(),
    }
}

fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=40 => String::from_utf8_lossy(bytes).into(),
        length => format!("{length} bytes"),
    }
}

/// Without arguments, checks all cases, and prints for each broken promise what happened. `--only
/// NAME` checks one case in a process of its own, `NAME` alone checks it in this process.
pub fn main(model: &'static ModelRow) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (first, only) = (arguments.next(), arguments.next());
    if let (Some(name), None) = (&first, &only) {
        let case = CASES.iter().find(|case| case.name == *name);
        let case = case.expect("a case");
        return match Fixture::new(model, case.kind).and_then(|mut fixture| {
            let result = (case.client)(&mut fixture);
            let panicked = fixture.server.is_finished() && fixture.server.join().is_err();
            result.and(if panicked {
                Err("it panicked".into())
            } else {
                Ok(())
            })
        }) {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                println!("{what}");
                ExitCode::FAILURE
            }
        };
    }
    let is_wanted = |case: &&Case| only.as_ref().is_none_or(|only| case.name == only);
    let cases = CASES.iter().filter(is_wanted);
    let cases: Vec<_> = cases
        .map(|case| (case, thread::spawn(|| run(case))))
        .collect();
    let (mut broken, all) = (0, cases.len());
    for (case, thread) in cases {
        if let Err(what) = thread.join().expect("no panic") {
            broken += 1;
            println!(
                "{}: this promise is broken: \"{}\"\n    {what}",
                case.name, case.promise
            );
        }
    }
    println!("{} of {all} promises are kept", all - broken);
    match broken {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Runs a case in a process of its own.
fn run(case: &Case) -> Result<(), String> {
    let program = std::env::current_exe().map_err(text)?;
    let mut child = Command::new(program)
        .arg(case.name)
        .envs((0..5).map(padding))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let end = Instant::now() + CASE;
    while child.try_wait().map_err(text)?.is_none() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let output = child.wait_with_output().map_err(text)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let mut panics = complaints
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    let panicked = match (panics.next(), panics.next()) {
        (Some(_), Some(message)) => format!("; the model panicked: {message}"),
        _ => String::new(),
    };
    match output.status.success() && panicked.is_empty() {
        true => Ok(()),
        false if said.is_empty() && panicked.is_empty() => Err("it hangs".into()),
        false => Err(format!("{}{panicked}", said.trim_end())),
    }
}
