//! Gets many files over HTTP: from one thread with non-blocking sockets, or with a thread for each
//! connection, to compare. Both run the same session.
//!
//!     cargo run --example fetch -- --into FOLDER http://HOST/FILE...
//!     cargo run --example fetch -- --into FOLDER --from LIST --connections 64 --per-host 64
//!     cargo run --example fetch -- --into FOLDER --from LIST --threads 64 --per-host 64
//!
//! Host names are resolved before the first connection, one after the other: getaddrinfo(3) waits,
//! and would stop the loop. Redirects are not followed. Files are written in the loop: that waits
//! for no disk, as long as the kernel has memory for what is to be written, but it would for a
//! network file system that hangs.

#[path = "fetch/files.rs"]
mod files;
#[path = "fetch/options.rs"]
mod options;
#[path = "fetch/queue.rs"]
mod queue;
#[path = "fetch/urls.rs"]
mod urls;

use evserve::model::{ClientLoop, ClientThread};
use evserve::poller::Epoll;
use evserve::session::{TimeLimits, Timeout};
use options::{Options, Task};
use queue::Queue;
use std::process::ExitCode;
use std::time::Instant;
use std::{io, thread};

/// One thread, and as many connections as are allowed.
fn by_loop(queue: &Queue, options: &Options) -> io::Result<()> {
    let mut clients = ClientLoop::<Epoll>::new(&limits(options))?;
    loop {
        while clients.len() < options.connections
            && let Some((address, session)) = queue.connection()
        {
            clients.connect(&address, session)?;
        }
        if clients.is_empty() {
            return Ok(());
        }
        clients.turn()?;
    }
}

/// A thread for each connection.
fn by_threads(queue: &Queue, options: &Options, threads: usize) -> io::Result<()> {
    thread::scope(|scope| {
        for _ in 0..threads {
            let fetch = || {
                let mut client = ClientThread::new(&limits(options));
                while let Some((address, session)) = queue.connection() {
                    client.run(&address, session);
                }
            };
            thread::Builder::new().spawn_scoped(scope, fetch)?;
        }
        Ok(())
    })
}

fn limits(options: &Options) -> TimeLimits {
    TimeLimits::from_fn(|wait| match wait {
        Timeout::Handshake => Some(options.connect_timeout),
        _ => Some(options.timeout),
    })
}

fn run(options: &Options) -> Result<bool, String> {
    let begin = Instant::now();
    let queue = Queue::new(options)?;
    match options.threads {
        None => by_loop(&queue, options),
        Some(threads) => by_threads(&queue, options, threads),
    }
    .map_err(|error| error.to_string())?;
    let summary = queue.summary();
    println!(
        "{} files, {} bytes, {} failed; {:.2} s, {} connections, peak memory {} KiB",
        summary.files,
        summary.bytes,
        summary.failed,
        begin.elapsed().as_secs_f64(),
        summary.connections,
        peak_memory().unwrap_or_default()
    );
    Ok(summary.failed == 0)
}

/// The most memory that the process has had, in KiB (VmHWM of proc(5)).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Task::Fetch(options)) => options,
        Ok(Task::PrintUsage) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("fetch: {error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}
