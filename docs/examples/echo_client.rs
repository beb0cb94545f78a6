//! A client of echo: sends each line of its standard input, and prints what comes back.
//!
//!     cargo run --example echo_client [ADDRESS]            # default: 127.0.0.1:7007
//!
//! Reading a line waits for the user, so it is a job: the loop has a thread do it.

use evserve::model::ClientLoop;
use evserve::poller::Epoll;
use evserve::session::{Job, TimeLimits, Timeout};
use evserve::{Context, Session, Wait};
use std::io::{self, BufRead, Write};
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const USAGE: &str = "\
echo_client [ADDRESS]
Sends each line of its standard input, and prints what comes back. ADDRESS is HOST:PORT
[default: 127.0.0.1:7007]. The server must accept the connection in 10 seconds, and then echo each
4 KiB, or the rest of a line, in 10 seconds.";

/// How long a server may take for a connection, and for each 4 KiB.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a thread has read: a line, or nothing at the end of the input.
type Line = Arc<Mutex<Option<io::Result<Vec<u8>>>>>;

/// How it ended.
type Outcome = Arc<Mutex<Result<(), String>>>;

struct EchoClient {
    state: State,
    line: Line,
    outcome: Outcome,
}

enum State {
    /// A line is to be read.
    Asking,
    /// A thread reads it.
    Reading,
    /// The line is sent, a piece after the other: the next one when the last has come back. A client
    /// that sends without end and does not read waits for a server that does the same.
    Echoing {
        unsent: Vec<u8>,
        awaited: usize,
    },
    Over,
}

impl EchoClient {
    fn end(&mut self, result: Result<(), String>) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            *lock(&self.outcome) = result;
        }
    }
}

impl Session for EchoClient {
    fn job(&mut self) -> Option<Job> {
        self.state = State::Reading;
        let line = self.line.clone();
        let work = Box::new(move || {
            let mut bytes = Vec::new();
            let result = io::stdin().lock().read_until(b'\n', &mut bytes);
            *lock(&line) = Some(result.map(|_| bytes));
        });
        Some(Job { mount: 0, work })
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        let line = lock(&self.line).take();
        match line {
            None => {}
            Some(Err(error)) => self.end(Err(format!("cannot read: {error}"))),
            Some(Ok(line)) if line.is_empty() => self.end(Ok(())),
            Some(Ok(mut unsent)) => {
                let awaited = cx.put(&unsent);
                unsent.drain(..awaited);
                self.state = State::Echoing { unsent, awaited };
            }
        }
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let State::Echoing { unsent, awaited } = &mut self.state else {
            return input.len();
        };
        let count = input.len().min(*awaited);
        *awaited -= count;
        if *awaited == 0 && !unsent.is_empty() {
            *awaited = cx.put(unsent);
            unsent.drain(..*awaited);
        } else if *awaited == 0 {
            self.state = State::Asking;
        }
        // Whoever reads the standard output slowly stops this loop, which has nothing else to do.
        let mut output = io::stdout().lock();
        if let Err(error) = output
            .write_all(&input[..count])
            .and_then(|()| output.flush())
        {
            self.end(Err(format!("cannot write: {error}")));
        }
        input.len()
    }

    fn end_of_input(&mut self, _: &mut Context<'_>) {
        self.end(Err("the server closed the connection".into()));
    }

    fn timed_out(&mut self, _: Timeout, _: &mut Context<'_>) {
        self.end(Err("the server does not answer".into()));
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        let failure = cx.worker.failure.take();
        let reason = failure.map_or("the connection has ended".into(), |it| it.to_string());
        self.end(Err(reason));
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            State::Asking => Wait::Job,
            State::Reading => Wait::JobResult,
            State::Echoing { .. } => Wait::Bytes(Timeout::Idle),
            State::Over => Wait::Close,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, and echoes until the input ends.
fn run(address: &str) -> Result<(), String> {
    let addresses = address.to_socket_addrs();
    let mut addresses = addresses.map_err(|error| format!("{address}: {error}"))?;
    let address = addresses.next().ok_or("the host has no address")?;
    let outcome = Outcome::new(Mutex::new(Ok(())));
    let session: Box<dyn Session> = Box::new(EchoClient {
        state: State::Asking,
        line: Line::default(),
        outcome: outcome.clone(),
    });
    // The user may take any time to type a line.
    let limits = TimeLimits::from_fn(|wait| match wait {
        Timeout::Files => None,
        _ => Some(TIMEOUT),
    });
    let echo = || {
        let mut clients = ClientLoop::<Epoll>::new(&limits)?;
        clients.connect(&address, session)?;
        while !clients.is_empty() {
            clients.turn()?;
        }
        Ok(())
    };
    echo().map_err(|error: io::Error| error.to_string())?;
    std::mem::replace(&mut *lock(&outcome), Ok(()))
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let address = match &words[..] {
        [] => "127.0.0.1:7007",
        [word] if matches!(&**word, "-h" | "--help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [address] if !address.starts_with('-') => address,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}
