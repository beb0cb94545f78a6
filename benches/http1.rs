//! The CPU time of a request without its system calls: `cargo bench --bench http1`.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput};
use evserve::config::Config;
use evserve::files::RelativePath;
use evserve::http1::{
    FileFields, FileVersion, HeadEnd, Request, ResponseHead, StatusCode, TagParts, Validators,
};
use evserve::service;
use evserve::session::{Action, Connection, Piece, Time, Worker};
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

/// A request as wrk sends it.
const PLAIN: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// A request as a browser sends it.
const BROWSER: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/130.0.0.0 Safari/537.36\r\nAccept: text/css,*/*;q=0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: \
    no-cors\r\nSec-Fetch-Dest: style\r\nReferer: http://127.0.0.1:8080/\r\nAccept-Encoding: gzip, deflate, br, \
    zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n";

fn parse(head: &[u8]) {
    let end = HeadEnd::default().find(head, 16 * 1024);
    assert_eq!(end, Ok(Some(head.len())));
    black_box(Request::parse(head)).expect("a request");
}

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request head");
    for (name, head) in [("wrk", PLAIN), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(head))));
    }
}

fn targets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("target to path");
    for target in ["/style.css", "/a%20b/../c/d.html"] {
        let decode = || RelativePath::decode(black_box(target.as_bytes())).is_ok();
        group.bench_function(target, |bencher| bencher.iter(decode));
    }
}

fn response_heads(criterion: &mut Criterion) {
    let now = SystemTime::now();
    let then = now - Duration::from_secs(100);
    let version = FileVersion {
        inode: 1000,
        length: 1024,
        modified: then,
        changed: then,
        is_recently_changed: false,
    };
    let validators = Validators::new(&version, TagParts::All, "");
    let lines = FileFields::new(&validators, None, "", ("text/css", ""), None, 1024);
    let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
    let mut group = criterion.benchmark_group("response head");
    let mut written = Vec::with_capacity(1024);
    let mut write = |head: &ResponseHead<'_>| {
        written.clear();
        head.write(black_box(&mut written))
            .expect("a Vec takes all");
    };
    group.bench_function("of a file", |bencher| {
        let head = ResponseHead {
            more: lines.all(true),
            ..ResponseHead::new(StatusCode::OK, date)
        };
        bencher.iter(|| write(black_box(&head)));
    });
    group.bench_function("404", |bencher| {
        let head = ResponseHead {
            content_length: Some(14),
            content_type: Some(("text/plain", "; charset=utf-8")),
            ..ResponseHead::new(StatusCode::NOT_FOUND, date)
        };
        bencher.iter(|| write(black_box(&head)));
    });
}

/// Requests through a session and its output, as if the socket took everything at once.
fn requests(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, length) in [("style.css", 1024), ("16k", 16 * 1024), ("large", 1 << 20)] {
        std::fs::write(directory.path().join(name), vec![b'x'; length]).expect("written");
    }
    // A file that changed a moment ago is checked at each request.
    std::thread::sleep(Duration::from_millis(1100));
    let config = Config {
        root: directory.path().into(),
        access_log: evserve::config::AccessLog::Off,
        ..Config::default()
    };
    let row = service::find("http").expect("a row");
    let http = (row.start)(&config).expect("it starts");
    // As a loop does: no file is checked again until a change is reported.
    assert!(http.notifier().is_some(), "it reports changes");
    let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
    let mut connection = Connection::open(http.session(None), 0, &mut worker);
    let mut exchange = |input: &[u8]| {
        connection.received(input, &mut worker);
        while connection.next() == Action::Send {
            let count = match connection.front() {
                Piece::Bytes { bytes, then, .. } => bytes.len() + then.len(),
                Piece::File { count, .. } => usize::try_from(count).expect("small"),
            };
            connection.sent(count, &mut worker);
        }
    };
    let mut group = criterion.benchmark_group("request");
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
    let cases = [
        ("1 KiB", String::from_utf8_lossy(PLAIN).into_owned(), 1),
        (
            "1 KiB, from a browser",
            String::from_utf8_lossy(BROWSER).into_owned(),
            1,
        ),
        (
            "1 KiB, 16 pipelined",
            String::from_utf8_lossy(PLAIN).repeat(16),
            16,
        ),
        ("16 KiB", get("/16k"), 1),
        ("1 MiB", get("/large"), 1),
        ("404", get("/nothing"), 1),
    ];
    for (name, input, count) in &cases {
        exchange(input.as_bytes());
        group.throughput(Throughput::Elements(*count));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| exchange(black_box(input.as_bytes())));
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .configure_from_args();
    heads(&mut criterion);
    targets(&mut criterion);
    response_heads(&mut criterion);
    requests(&mut criterion);
    criterion.final_summary();
}
