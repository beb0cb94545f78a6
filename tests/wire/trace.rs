//! `--trace-requests`: the system calls of the first requests.

use crate::common::{
    Client, Evserve, Program, is_completion_model, is_loop, is_missing, more_options,
    on_every_model, on_every_shared_model, on_one_model_of_each_kind, row, serves_one_at_a_time,
};
use evserve::model::Executor;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

const OVER: &str = "done, continuing without a trace";

type Row = (&'static str, &'static str);

/// Traced calls, and their names in strace's output.
const CALLS: &[Row] = &[
    ("send", "sendto"),
    ("sendfile", "sendfile"),
    ("openat2", "openat2"),
    ("fstat", "fstat"),
    ("preadv2", "preadv2"),
    ("setsockopt", "setsockopt"),
    ("close", "close"),
];

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for name in ["first.txt", "second.txt"] {
        let path = root.path().join(name);
        std::fs::write(&path, name).expect("written");
        // Reading the files brings them into the page cache.
        assert_eq!(std::fs::read(&path).expect("read"), name.as_bytes());
    }
    root
}

fn ask(client: &mut Client, name: &str) {
    client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.response().status, 200);
}

/// Panics unless the parts occur in this order.
fn has_in_order(log: &str, parts: &[&str]) {
    let mut rest = log;
    for part in parts {
        let found = rest.split_once(part);
        rest = found
            .unwrap_or_else(|| panic!("no {part:?} in time: {log}"))
            .1;
    }
}

#[test]
fn as_many_requests_are_traced_as_asked_for() {
    let root = root();
    on_every_model(|model| {
        let mut evserve = Evserve::http(model, root.path(), &["--trace-requests", "1"]);
        let mut client = evserve.connect();
        ask(&mut client, "first.txt");
        if serves_one_at_a_time(model) {
            // It has closed the connection to let other clients in.
            client = evserve.connect();
        }
        evserve.wait_for_log(OVER);
        ask(&mut client, "second.txt");
        drop(client);
        let log = evserve.stop().log;
        let (row, completes) = (row(model), is_completion_model(model));
        let wait = match row.poller {
            Some(_) => format!("{} = 1: listener fd ", row.wait_call),
            None => format!("{}(", row.wait_call),
        };
        has_in_order(
            &log,
            &[
                &wait,
                " is 127.0.0.1:",
                "state: accepted -> reading request",
                if completes { "received " } else { "recv(" },
                "\"GET /first.txt HTTP/1.1\"",
                "openat2(",
                "\"first.txt\"",
                "fstat(",
                "state: reading request -> writing head",
                if completes { "ring: send fd " } else { "send(" },
                "\"HTTP/1.1 200 OK\"",
                "state: ",
                OVER,
            ],
        );
        assert!(!log.contains("second.txt"), "{log}");
        assert!(!log.contains('\x1b'), "no colours in a pipe: {log}");
        if is_loop(model) {
            let send = match completes {
                true => &["ring: send fd ", ", reports only failure", " sent "][..],
                false => &["send("],
            };
            let turn = [&["turn of fd "], send, &["must wait before it can receive"]];
            has_in_order(&log, &[&turn.concat()[..], &[": waits "]].concat());
        }
        if row.executor == Executor::Process {
            // Parent and child write independently, in any order.
            for line in ["fork() = ", " a process of its own "] {
                has_in_order(&log, &[line]);
            }
        }
    });
}

/// Without requests, a reply counts as complete when no output is left.
#[test]
fn services_without_requests_are_traced() {
    on_every_model(|model| {
        let mut evserve = Evserve::echo(model, &["--trace-requests", "2"]);
        let mut client = evserve.connect();
        for word in ["one", "two"] {
            client.send(word);
            assert_eq!(client.read(3), word.as_bytes());
        }
        evserve.wait_for_log(OVER);
        client.send("six");
        assert_eq!(client.read(3), b"six");
        drop(client);
        let log = evserve.stop().log;
        has_in_order(&log, &["3 \"one\"", "3 \"two\"", OVER]);
        assert!(!log.contains("\"six\""), "{log}");
    });
    on_every_shared_model(|model| {
        let options = ["--mode", "chat", "--listen", "127.0.0.1:0"];
        let options = [&options[..], &["--trace-requests", "1"]].concat();
        let mut evserve = Evserve::start(model, &options);
        let _greeted = evserve.connect().line();
        evserve.wait_for_log(OVER);
        evserve.stop();
    });
}

/// From the request to its response, the trace contains the same calls as strace's output, in the
/// same order.
#[test]
fn the_trace_matches_strace() {
    if is_missing("strace") {
        return;
    }
    let root = root();
    on_one_model_of_each_kind(|model| {
        if is_completion_model(model) {
            // strace does not see what a ring receives and sends.
            return;
        }
        let (seen, log) = traced(model, root.path());
        let told = calls(&log, |row| row.0);
        assert!(told.contains(&"openat2"), "{model}: {log}");
        assert_eq!(told, calls(&seen, |row| row.1), "{model}: {log}{seen}");
    });
}

/// The loops' traces in docs/trace.md are what a server writes, but for numbers.
#[test]
fn the_traces_on_the_page_are_real() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(home.join("docs/trace.md")).expect("the page");
    let root = home.join("docs/site");
    std::fs::read(root.join("style.css")).expect("now in the page cache");
    for model in ["epoll", "io-uring"] {
        if more_options(model).is_some() {
            // They may change its trace.
            continue;
        }
        let (_, section) = page.split_once(&format!("\n## {model}\n")).expect(model);
        let shown = section.lines().skip(1);
        let shown: Vec<_> = shown.take_while(|line| line.starts_with("  ")).collect();
        let mut evserve = Evserve::http(model, &root, &["--trace-requests", "1"]);
        // The root is looked at once a second.
        std::thread::sleep(Duration::from_millis(1100));
        let mut client = evserve.connect();
        ask(&mut client, "style.css");
        evserve.wait_for_log(OVER);
        drop(client);
        let log = evserve.stop().log;
        let written = log.lines().filter(|line| line.starts_with("  "));
        let written = written.filter(|line| !line.contains("INFO"));
        let written: Vec<_> = written.map(without_numbers).collect();
        let shown: Vec<_> = shown.into_iter().map(without_numbers).collect();
        assert_eq!(shown, written, "{model}");
    }
}

/// A line of a trace without its times, and with `N` for each number.
fn without_numbers(line: &str) -> String {
    let (_, line) = line.trim_start().split_once(' ').expect(line);
    let line = line.split(", took ").next().unwrap_or_default();
    let here = env!("CARGO_MANIFEST_DIR");
    let line = line.replace(here, "/srv");
    let mut shown = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if shown.ends_with('N') => {}
            '0'..='9' => shown.push('N'),
            _ => shown.push(c),
        }
    }
    shown
}

/// The calls in a report from the receive of the request to the send of its response, by the thread
/// that serves it. `name` returns a row's name for a call in this report.
fn calls(report: &str, name: impl Fn(&Row) -> &'static str) -> Vec<&'static str> {
    // The thread id is the first word of a line of strace. In the trace it is in brackets behind
    // the time.
    let who = |line: &str| {
        let mut words = line.split_whitespace().map(String::from);
        let first = words.next();
        words
            .next()
            .filter(|second| second.starts_with('['))
            .or(first.filter(|one| !one.contains('.')))
    };
    let brings = report
        .lines()
        .position(|line| line.contains("\"GET /first.txt"));
    let mut lines = report.lines().skip(brings.expect(report));
    let server = lines.next().and_then(who);
    let lines = lines.filter(|line| who(line) == server);
    let mut calls = Vec::new();
    for line in lines {
        let row = CALLS
            .iter()
            .find(|row| line.contains(&format!(" {}(", name(row))));
        calls.extend(row.map(|row| row.0));
        if line.contains("\"HTTP/1.1 200 OK") {
            break;
        }
    }
    calls
}

/// The output of strace and the trace of one request.
fn traced(model: &str, root: &Path) -> (String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("calls");
    let options = "--listen 127.0.0.1:0 --access-log off --trace-requests 1";
    let program = Program::model(model, options).arg(root);
    let strace = ["strace", "-f", "-o"].map(OsStr::new);
    let mut evserve = program
        .run_by(strace.into_iter().chain([output.as_os_str()]))
        .start();
    let mut client = evserve.connect();
    ask(&mut client, "first.txt");
    evserve.wait_for_log(OVER);
    drop(client);
    evserve.terminate_traced();
    let log = evserve.wait().log;
    let seen = std::fs::read_to_string(output).expect("it was written");
    // The trace's own writes appear in strace's output and contain the names of calls.
    let is_own = |line: &&str| line.contains(" write(");
    (
        seen.lines()
            .filter(|line| !is_own(line))
            .fold(String::new(), |all, line| all + line + "\n"),
        log,
    )
}
