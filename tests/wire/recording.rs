//! `--record`: the events of a server, in a file.

use crate::common::{
    Client, Evserve, Program, is_completion_model, is_loop, on_every_concurrent_model,
    on_every_model, on_one_model_of_each_kind, row, serves_one_at_a_time,
};
use evserve::model::Executor;
use evserve::recording::{Kind, NEVER, Reason, Recorded, Recording, Table};
use rustix::process::Signal;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

fn read(path: &Path) -> Recording {
    let bytes = std::fs::read(path).expect("a file");
    Recording::parse(&bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn count(recording: &Recording, kind: Kind) -> usize {
    let events = recording.events.iter();
    events.filter(|one| one.event.kind == kind).count()
}

/// The requests: text, status, and connection.
fn requests(recording: &Recording) -> Vec<(String, u16, Option<u64>)> {
    let events = recording.events.iter();
    let requests = events.filter(|one| one.event.kind == Kind::Request);
    let shown = requests.map(|one| {
        let text = String::from_utf8_lossy(&one.text).into_owned();
        (text, one.event.detail, one.connection)
    });
    shown.collect()
}

/// The names of the states that a connection took, in their order.
fn states(recording: &Recording, connection: u64) -> Vec<&str> {
    let events = recording.events.iter();
    let its = events.filter(|one| one.connection == Some(connection));
    let steps = its.filter(|one| one.event.kind == Kind::Step);
    steps
        .map(|one| recording.name(Table::States, one.event.code))
        .collect()
}

fn ask(client: &mut Client, target: &str, status: u16) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.response().status, status);
}

#[test]
fn a_recording_has_connections_requests_and_states_under_every_model() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("a.txt"), "a").expect("written");
    on_every_model(|model| {
        let path = root.path().join(format!("{model}.recording"));
        let file = path.to_str().expect("text");
        let mut evserve = Evserve::http(model, root.path(), &["--record", file]);
        let mut client = evserve.connect();
        ask(&mut client, "/a.txt", 200);
        if serves_one_at_a_time(model) {
            client = evserve.connect();
        }
        ask(&mut client, "/missing", 404);
        evserve.signal(Signal::USR1);
        evserve.wait_for_log("events in ");
        let mode = std::fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let early = read(&path);
        assert_eq!(early.fact("model"), Some(model));
        assert_eq!(requests(&early).len(), 2);
        let was_open = count(&early, Kind::Closed);
        drop(client);
        evserve.stop();
        let recording = read(&path);
        let second = 1 + u64::from(serves_one_at_a_time(model));
        let expected = [
            ("GET /a.txt".to_owned(), 200, Some(1)),
            ("GET /missing".to_owned(), 404, Some(second)),
        ];
        assert_eq!(requests(&recording), expected);
        assert!(serves_one_at_a_time(model) || count(&recording, Kind::Opened) > was_open);
        assert_eq!(
            count(&recording, Kind::Closed),
            count(&recording, Kind::Opened)
        );
        assert_eq!(recording.contents.lost, 0);
        let states = states(&recording, 1);
        assert_eq!(states[..2], ["reading request", "writing head"]);
        assert_eq!(states.last(), Some(&"closed"));
        has_what_its_model_does(model, &recording);
    });
}

/// A loop has turns, a thread waits in calls, a process is forked, and a ring completes operations.
fn has_what_its_model_does(model: &str, recording: &Recording) {
    let has = |kind| count(recording, kind) > 0;
    assert!(has(Kind::Waits) && has(Kind::Call) && has(Kind::Answered));
    let is_process = row(model).executor == Executor::Process;
    assert_eq!(has(Kind::Forked), is_process);
    if is_completion_model(model) {
        assert!(has(Kind::Queued) && (has(Kind::Completed) || has(Kind::Found)));
    } else {
        assert_eq!(has(Kind::Found), is_loop(model));
    }
    stops_follow_turns(recording);
}

/// Under every model, each thread acts for one connection at a time, and says why it stops.
fn stops_follow_turns(recording: &Recording) {
    let mut acting: HashMap<(u32, u32), &Recorded> = HashMap::new();
    let mut stops = 0;
    for one in &recording.events {
        let thread = (one.process, one.thread);
        match one.event.kind {
            Kind::Turn => {
                let other = acting.insert(thread, one);
                assert!(
                    other.is_none(),
                    "two turns at a time: {other:?} and {one:?}"
                );
            }
            Kind::Stop => {
                let turn = acting.remove(&thread).expect("a turn before");
                assert_eq!(turn.connection, one.connection);
                stops += 1;
                let waits = one.event.code == Reason::Receive as u8;
                assert!(!waits || one.event.extra != NEVER, "without a deadline");
            }
            Kind::Closed => drop(acting.remove(&thread)),
            _ => {}
        }
    }
    assert!(stops >= 1);
}

#[test]
fn a_recording_is_bounded_and_keeps_the_latest_events() {
    let directory = tempfile::tempdir().expect("a directory");
    on_one_model_of_each_kind(|model| {
        let path = directory.path().join(model);
        let file = path.to_str().expect("text");
        let options = ["--record", file, "--record-events", "1024"];
        let evserve = Evserve::echo(model, &options);
        let mut client = evserve.connect();
        for _ in 0..1000 {
            client.send("x");
            assert_eq!(client.read(1), b"x");
        }
        drop(client);
        let log = evserve.stop().log;
        assert!(log.contains("earlier ones were lost"), "{log}");
        let recording = read(&path);
        let events = recording.events.len();
        assert!((512..=1024).contains(&events), "{events}");
        assert!(recording.contents.lost > 1000);
        let since = recording.contents.complete_since;
        assert!(recording.events.iter().any(|one| one.event.at > since));
        assert_eq!(count(&recording, Kind::Closed), 1);
    });
}

#[test]
fn a_file_that_is_no_recording_is_not_overwritten() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "<html>").expect("written");
    let program = Program::evserve("--mode echo --listen 127.0.0.1:0 --record").arg(file.path());
    let log = program.fails(1);
    assert!(log.contains("it is a file that is no recording"), "{log}");
    assert_eq!(std::fs::read(file.path()).expect("read"), b"<html>");
}

/// What a connection that reads slowly waits for, under every model: to send, with its deadline and
/// with what is left of the response.
#[test]
fn a_recording_says_what_a_slow_reader_waits_for() {
    let root = tempfile::tempdir().expect("a directory");
    let length = 16 << 20;
    std::fs::write(root.path().join("large"), vec![b'x'; length]).expect("written");
    on_every_model(|model| {
        let path = root.path().join(format!("{model}.recording"));
        let file = path.to_str().expect("text");
        let mut evserve = Evserve::http(model, root.path(), &["--record", file]);
        let mut client = evserve.connect();
        client.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let mut is_full = false;
        while !is_full {
            evserve.signal(Signal::USR1);
            evserve.wait_for_log("events in ");
            is_full = waits_to_send(&read(&path), length as i64);
        }
        assert_eq!(client.head().status, 200);
        assert_eq!(client.rest().len(), length);
        evserve.stop();
    });
}

/// True if a connection stops for [`Reason::Send`], and its buffers hold something.
fn waits_to_send(recording: &Recording, length: i64) -> bool {
    let its = |one: &&Recorded| one.connection == Some(1);
    let mut events = recording.events.iter().filter(its);
    let is_stop =
        |one: &&Recorded| one.event.kind == Kind::Stop && one.event.code == Reason::Send as u8;
    let Some(stop) = events.find(is_stop) else {
        return false;
    };
    assert!(
        (stop.event.at..NEVER).contains(&stop.event.extra),
        "{stop:?}"
    );
    let Some(next) = events.next() else {
        return false;
    };
    assert_eq!(next.event.kind, Kind::Buffers, "{next:?}");
    // The head may be with it.
    assert!((1..length + 1024).contains(&next.event.value), "{next:?}");
    true
}

/// Sends requests, on a new connection now and then, and counts the responses.
fn load(address: SocketAddr, responses: &AtomicUsize, is_over: &AtomicBool) {
    while !is_over.load(SeqCst) {
        let mut client = Client::connect(address);
        for _ in 0..8 {
            ask(&mut client, "/load", 200);
            responses.fetch_add(1, SeqCst);
        }
    }
}

/// Begins a recording, sends these requests, and returns the recording of that.
fn record(evserve: &Evserve, old: &mut Client, round: &str, responses: &AtomicUsize) -> Recording {
    assert_eq!(evserve.get("/start").body, b"recording");
    let again = evserve.get("/start").body;
    assert_eq!(again, b"another recording is under way");
    ask(&mut evserve.connect(), &format!("/new-{round}"), 200);
    ask(old, &format!("/old-{round}"), 200);
    let before = responses.load(SeqCst);
    while responses.load(SeqCst) < before + 32 {
        thread::yield_now();
    }
    let bytes = evserve.get("/stop").body;
    Recording::parse(&bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn recordings_that_begin_and_end_under_load_have_nothing_of_each_other() {
    on_every_concurrent_model(|model| {
        let evserve = Program::example("recorded").args([model]).start();
        let (mut old, address) = (evserve.connect(), evserve.address());
        ask(&mut old, "/before", 200);
        let (responses, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let recordings = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| load(address, &responses, &is_over));
            }
            let first = record(&evserve, &mut old, "first", &responses);
            ask(&mut old, "/between", 200);
            ask(&mut evserve.connect(), "/between", 200);
            let second = record(&evserve, &mut old, "second", &responses);
            is_over.store(true, SeqCst);
            [first, second]
        });
        let is_process = row(model).executor == Executor::Process;
        for (recording, round) in recordings.iter().zip(["first", "second"]) {
            let requests = requests(recording);
            let has = |name: &str| {
                requests
                    .iter()
                    .filter(|(text, ..)| text.contains(name))
                    .count()
            };
            assert_eq!(recording.contents.lost, 0);
            assert_eq!(has(&format!("/new-{round}")), 1, "{round}");
            // A process that was forked before does not know of it.
            let of_old = usize::from(!is_process);
            assert_eq!(has(&format!("/old-{round}")), of_old, "{round}");
            assert_eq!(has("-first") + has("-second"), 1 + of_old);
            assert_eq!(has("/between") + has("/before"), 0);
            assert!(has("/load") > 0);
            // Each request is known with its descriptor.
            let is_one = |one: &&Recorded| one.event.kind == Kind::Request;
            let all = recording.events.iter().filter(is_one);
            assert!(all.clone().all(|one| one.event.fd >= 0));
        }
        let [first, second] = recordings;
        let began = second.contents.complete_since;
        assert!(began > first.contents.written_at, "{began}");
        assert!(first.events.iter().all(|one| one.event.at < began));
        assert!(second.events.iter().all(|one| one.event.at >= began));
    });
}

#[test]
fn a_recording_without_memory_is_refused() {
    let example = Program::example("recorded");
    let evserve = example.args(["epoll", "unprepared"]).start();
    let answer = evserve.get("/start").body;
    assert_eq!(answer, b"there is no memory for events");
}
