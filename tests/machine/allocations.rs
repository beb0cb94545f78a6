//! In the steady state a request allocates no heap memory, with or without an access log.

use evserve::config::{AccessLog, Config};
use evserve::service::{SERVICES, Service};
use evserve::session::{Action, Connection, Piece, Time, Worker};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Acts as a loop whose socket takes a few bytes at a time.
fn exchange(connection: &mut Connection, worker: &mut Worker, input: &[u8]) -> usize {
    let mut sent = 0;
    connection.received(input, worker);
    while connection.next() == Action::Send {
        let count = match connection.front() {
            Piece::Bytes { bytes, then, .. } => bytes.len() + then.len(),
            Piece::File { count, .. } => usize::try_from(count).expect("small"),
        };
        let count = count.min(50_000);
        connection.sent(count, worker);
        sent += count;
    }
    assert!(
        connection.next() == Action::Receive,
        "the connection stays open"
    );
    worker.log.clear();
    sent
}

fn start(root: &std::path::Path, access_log: AccessLog) -> Arc<dyn Service> {
    let config = Config {
        root: root.into(),
        access_log,
        ..Config::default()
    };
    let row = SERVICES.iter().find(|row| row.name == "http");
    let http = (row.expect("a row").start)(&config).expect("it starts");
    // As a loop does.
    assert!(http.notifier().is_some(), "the files are watched");
    http
}

#[test]
fn requests_allocate_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let files = [
        ("small", 1024),
        ("a b", 9),
        ("16k", 16 << 10),
        ("large", 1 << 20),
        ("s.gz", 5),
        ("s", 50),
    ];
    for (name, length) in files {
        let path = root.path().join(name);
        std::fs::write(&path, vec![b'x'; length]).expect("written");
        let file = File::options()
            .append(true)
            .open(path)
            .expect("it is there");
        let hour = Duration::from_secs(3600);
        file.set_modified(SystemTime::now() - hour).expect("set");
    }
    // A file that has just changed is checked at each request.
    std::thread::sleep(Duration::from_millis(1100));
    let get =
        |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let now = httpdate::fmt_http_date(SystemTime::now());
    let cases = [
        ("small", get("/small", ""), 1),
        ("encoded", get("/a%20b", ""), 1),
        ("medium", get("/16k", ""), 1),
        ("sendfile", get("/large", ""), 1),
        (
            "sibling",
            get("/s", "Accept-Encoding: gzip, br;q=0.5\r\n"),
            1,
        ),
        (
            "304",
            get("/small", &format!("If-Modified-Since: {now}\r\n")),
            1,
        ),
        ("404", get("/nothing", ""), 1),
        ("405", get("/small", "").replace("GET", "POST"), 1),
        ("HEAD", get("/large", "").replace("GET", "HEAD"), 1),
        ("range", get("/small", "Range: bytes=10-19\r\n"), 1),
        (
            "range of a large one",
            get("/large", "Range: bytes=-9\r\n"),
            1,
        ),
        ("416", get("/small", "Range: bytes=5000-\r\n"), 1),
        ("pipelined", get("/small", "").repeat(16), 16),
    ];
    for access_log in [AccessLog::Off, AccessLog::Combined, AccessLog::Json] {
        let http = start(root.path(), access_log);
        let time = Time::new(Instant::now(), SystemTime::now());
        let mut worker = Worker::new(time);
        let mut connection = Connection::open(http.session(None), 0, &mut worker);
        for (name, request, count) in &cases {
            // The first requests look the file up, check it and watch it; then it is trusted.
            for _ in 0..3 {
                worker.time.set(Instant::now(), SystemTime::now());
                exchange(&mut connection, &mut worker, request.as_bytes());
            }
            let before = worker.counters.requests;
            let info = allocation_counter::measure(|| {
                for _ in 0..100 {
                    worker.time.set(Instant::now(), worker.time.wall());
                    exchange(&mut connection, &mut worker, request.as_bytes());
                }
            });
            assert_eq!(worker.counters.requests - before, 100 * count);
            assert_eq!(info.count_total, 0, "{name}, log {access_log:?}");
        }
        connection.close(&mut worker);
        connection.release(&mut worker);
    }
}
