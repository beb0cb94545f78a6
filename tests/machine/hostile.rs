//! Arbitrary bytes from a client: no panic, no response from outside the root, nothing left behind.
//!
//! Requests from `tests/corpus` are mutated, spliced and split at random, and fed to http sessions.
//! So are lines of a chat (`hostile/chat.rs`), headers of the PROXY protocol
//! (`hostile/proxied.rs`) and passwords (`hostile/auth.rs`). `EVSERVE_REQUESTS=1000000 cargo test --release --test machine hostile`
//! plays more. A failure prints its seed; `EVSERVE_SEED` repeats it. Add a request that has failed
//! to the corpus.

#[cfg(feature = "auth")]
mod auth;
mod chat;
mod proxied;

use crate::common::number;
use evserve::config::Config;
use evserve::service::Service;
use evserve::session::{Action, BUFFER_SIZE, Connection, Piece, Time, WORK_PER_TURN, Worker};
use fastrand::Rng;
use std::fs::{File, create_dir, read, read_dir, write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tempfile::TempDir;

/// How many requests an ordinary run plays.
const REQUESTS: u64 = 100_000;

/// The content of every file outside the root, and of none inside.
const SECRET: &[u8] = b"OUTSIDE THE ROOT";

/// Bytes with a meaning somewhere in HTTP.
const TOKENS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    "/",
    "//",
    "..",
    "/../",
    "%2e%2e/",
    "%2f",
    "%00",
    "%",
    "\\",
    "?",
    "#",
    "*",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "\"",
    "-",
    "0",
    "18446744073709551615",
    "99999999999999999999",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/9.9",
    "Host: h\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Range: bytes=",
    "bytes=0-0,2-2,-1",
    "If-None-Match: *\r\n",
    "Accept-Encoding: br\r\n",
    "Expect: 100-continue\r\n",
    "/out/secret",
    "/link",
    "/etc/passwd",
    "/big",
    "/dir/",
    "?format=json&sort=size",
    "?q=a+%c3%a9%ff&sort=-time",
    "\u{e9}",
    "\u{202e}",
];

fn site() -> (TempDir, Arc<dyn Service>) {
    let all = tempfile::tempdir().expect("a directory");
    let path = |name: &str| all.path().join(name);
    for directory in ["root", "root/dir", "outside"] {
        create_dir(path(directory)).expect("made");
    }
    write(path("outside/secret"), SECRET).expect("written");
    write(path("secret"), SECRET).expect("written");
    write(path("root/a.txt"), "text").expect("written");
    write(path("root/a.txt.gz"), "not really").expect("written");
    write(path("root/big"), vec![b'x'; 100_000]).expect("written");
    symlink("../outside", path("root/out")).expect("linked");
    symlink("../secret", path("root/link")).expect("linked");
    let config = Config {
        root: path("root"),
        ..Config::default()
    };
    let http = evserve::service::find("http").expect("a row");
    let service = (http.start)(&config).expect("it starts");
    (all, service)
}

fn corpus() -> Vec<Vec<u8>> {
    let files = read_dir("tests/corpus").expect("the corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path).expect("read")).collect()
}

fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = random.choice(corpus).expect("not empty").clone();
    for _ in 0..random.usize(..5) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..20)).min(bytes.len());
        match random.u8(..7) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            2 => bytes[at..end].fill_with(|| random.u8(..)),
            3 => bytes.truncate(at),
            4 => {
                let other = random.choice(corpus).expect("not empty");
                bytes.extend_from_slice(&other[random.usize(..=other.len())..]);
            }
            _ => {
                let token = random.choice(TOKENS).expect("not empty").bytes();
                bytes.splice(at..at, token).for_each(drop);
            }
        }
    }
    bytes
}

/// Plays one connection to its end. Returns the number of responses.
fn play(service: &dyn Service, worker: &mut Worker, input: &[u8], random: &mut Rng) -> u64 {
    let before = worker.counters.requests;
    let mut connection = Connection::open(service.session(None), 0, worker);
    let mut said = 0;
    let mut heard = Vec::new();
    for _ in 0..100_000 {
        match connection.next() {
            Action::Close { .. } => break,
            Action::ShutdownWrite => connection.write_shut_down(),
            Action::Proceed => {
                worker.work = WORK_PER_TURN;
                connection.proceed(worker);
            }
            Action::Load => panic!("no call was refused"),
            Action::Run => {
                (connection.take_job().expect("announced").work)();
                connection.woken(worker);
            }
            Action::Wait => {
                panic!("http waits for no other connections, and its job has been done")
            }
            Action::Receive if said == input.len() => connection.input_ended(worker),
            Action::Receive => {
                let most = connection.room().min(input.len() - said);
                let count = if random.bool() {
                    most
                } else {
                    random.usize(1..=most)
                };
                connection.received(&input[said..said + count], worker);
                said += count;
            }
            Action::Send => {
                let count = match connection.front() {
                    Piece::Bytes { bytes, then, .. } => {
                        heard.extend_from_slice(bytes);
                        heard.extend_from_slice(then);
                        bytes.len() + then.len()
                    }
                    Piece::File {
                        file,
                        offset,
                        count,
                    } => {
                        let file =
                            File::from(file.as_fd().try_clone_to_owned().expect("a descriptor"));
                        let start = heard.len();
                        heard.resize(start + usize::try_from(count).expect("small"), 0);
                        file.read_exact_at(&mut heard[start..], offset)
                            .expect("it is that long");
                        heard.len() - start
                    }
                };
                assert!(count > 0, "there is something to send");
                connection.sent(count, worker);
            }
        }
        assert!(
            worker.pool.lent() <= 2,
            "a buffer for input and one for output"
        );
    }
    let is_over = matches!(connection.next(), Action::Close { .. });
    assert!(is_over, "the connection did not end");
    connection.close(worker);
    connection.release(worker);
    assert!(
        heard.is_empty() || heard.starts_with(b"HTTP/1.1 "),
        "that is no answer"
    );
    let leaked = heard.windows(SECRET.len()).any(|part| part == SECRET)
        || heard.windows(6).any(|part| part == b"root:x");
    assert!(!leaked, "a response from outside the root");
    worker.counters.requests - before
}

/// Plays one seed after the other until `play` has returned `wanted` units in all, such as
/// requests.
fn for_each_seed(
    usual: u64,
    allowed_kib: i64,
    make: impl Fn(&mut Rng) -> Vec<u8>,
    mut play: impl FnMut(&[u8], &mut Rng) -> u64,
) {
    let wanted = number("EVSERVE_REQUESTS").unwrap_or(usual);
    let only = number("EVSERVE_SEED");
    let (mut seed, mut count) = (only.unwrap_or(0), 0);
    let mut play_until = |enough: u64| {
        while count < enough {
            let mut random = Rng::with_seed(seed);
            let input = make(&mut random);
            let result = catch_unwind(AssertUnwindSafe(|| play(&input, &mut random)));
            count += result.unwrap_or_else(|_| {
                panic!(
                    "seed {seed} failed: repeat it with EVSERVE_SEED={seed}\n{}",
                    input.escape_ascii()
                )
            });
            seed += 1;
            if only.is_some() {
                return;
            }
        }
    };
    // The first tenth fills caches and pools.
    play_until(wanted / 10);
    let grown = match only {
        Some(_) => 0,
        None => allocation_counter::measure(|| play_until(wanted)).bytes_current / 1024,
    };
    println!("{count} in {seed} seeds; {grown} KiB more are allocated");
    assert!(grown < allowed_kib, "{grown} KiB more are allocated");
}

fn new_worker() -> Worker {
    Worker::new(Time::new(Instant::now(), SystemTime::now()))
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let (_all, service) = site();
    let corpus = corpus();
    let mut worker = new_worker();
    let make = |random: &mut Rng| {
        let parts = random.usize(1..4);
        let mut input: Vec<u8> = (0..parts).flat_map(|_| mutated(&corpus, random)).collect();
        input.truncate(2 * BUFFER_SIZE);
        input
    };
    for_each_seed(REQUESTS, 64, make, |input, random| {
        let answers = play(&*service, &mut worker, input, random);
        worker.log.clear();
        answers
    });
    assert_eq!(worker.pool.lent(), 0);
}
