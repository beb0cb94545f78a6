//! `--record`: the events of a server, in a file.

use crate::common::{
    Client, Evserve, Program, is_completion_model, is_loop, on_every_model,
    on_one_model_of_each_kind, serves_one_at_a_time,
};
use evserve::model::{Executor, find};
use evserve::recording::{Kind, Recorded, Recording, Table};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    let is_process = find(model).expect("a model").executor == Executor::Process;
    assert_eq!(has(Kind::Forked), is_process);
    assert_eq!(
        (has(Kind::Turn), has(Kind::Stop)),
        (is_loop(model), is_loop(model))
    );
    if is_completion_model(model) {
        assert!(has(Kind::Queued) && (has(Kind::Completed) || has(Kind::Found)));
    } else {
        assert_eq!(has(Kind::Found), is_loop(model));
    }
    if is_loop(model) {
        stops_follow_turns(recording);
    }
}

fn stops_follow_turns(recording: &Recording) {
    let mut acting: Option<&Recorded> = None;
    for one in &recording.events {
        match one.event.kind {
            Kind::Turn => {
                assert!(acting.is_none(), "two turns at a time");
                acting = Some(one);
            }
            Kind::Stop => {
                let turn = acting.take().expect("a turn before");
                assert_eq!(turn.connection, one.connection);
            }
            _ => {}
        }
    }
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
