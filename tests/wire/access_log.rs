//! The access log: its formats, its file, and what happens when the file is moved or the disk is
//! full.

use crate::common::{
    Client, Evserve, PATIENCE, Program, on_every_model, serves_one_at_a_time, skip, with_one_loop,
};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::{Permissions, create_dir, read_to_string, rename, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

/// Serves docs/site and logs to a file.
fn start(model: &str, log: &Path, options: &[&str]) -> Evserve {
    let file = ["--access-log-file", log.to_str().expect("UTF-8")];
    let root = Path::new("docs/site");
    Evserve::http(model, root, &[&file[..], options].concat())
}

fn ask(client: &mut Client, target: &str) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.response().status, 404);
}

#[test]
fn json_records_the_request_the_bytes_sent_and_an_abort() {
    const LENGTH: u64 = 20_000_000;
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("huge")).expect("made");
    file.set_len(LENGTH).expect("sparse");
    write(root.path().join("small"), "twelve bytes").expect("written");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--access-log", "json"]);
        let begin = Instant::now();
        let mut client = evserve.connect();
        client
            .send(b"GET /small HTTP/1.1\r\nHost: h\r\nUser-Agent: \"\xff\\\r\nReferer: r\r\n\r\n");
        assert_eq!(client.response().status, 200);
        drop(client);
        let mut client = evserve.connect();
        client.send("GET /huge HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.rest().len() as u64, LENGTH);
        drop(client);
        let mut client = evserve.connect();
        client.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
        drop(client);
        let log = evserve.stop().access_log;
        let most = u64::try_from(begin.elapsed().as_micros()).expect("a while");
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        // Each request has a connection of its own, so the order of the lines may differ.
        let find = |test: &dyn Fn(&Value) -> bool| {
            let found: Vec<_> = lines.iter().filter(|line| test(line)).collect();
            assert_eq!(found.len(), 1, "{model}: {log}");
            found[0].clone()
        };
        assert_eq!(lines.len(), 3, "{log}");
        let small = find(&|line| line["target"] == "/small");
        assert_eq!(small["method"], "GET");
        assert_eq!(small["version"], "HTTP/1.1");
        assert_eq!(small["client"], "127.0.0.1");
        assert_eq!(small["user_agent"], "\"\u{fffd}\\");
        assert_eq!(small["referer"], "r");
        assert_eq!(
            (&small["status"], &small["bytes"]),
            (&200.into(), &12.into())
        );
        assert_eq!(small["aborted"], false);
        let whole = find(&|line| line["target"] == "/huge" && line["aborted"] == false);
        assert_eq!(whole["bytes"], LENGTH);
        let part = find(&|line| line["target"] == "/huge" && line["aborted"] == true);
        assert!(part["bytes"].as_u64() < Some(LENGTH), "{model}: {log}");
        for line in [&small, &whole, &part] {
            let taken = line["duration_us"].as_u64().expect("a number");
            assert!((1..most).contains(&taken), "{model}: {log}");
        }
    });
}

#[test]
fn timed_adds_the_duration_to_combined() {
    let timed = Evserve::http("epoll", Path::new("docs/site"), &["--access-log", "timed"]);
    ask(&mut timed.connect(), "/x");
    let log = timed.stop().access_log;
    let (combined, taken) = log.trim_end().rsplit_once(' ').expect("fields");
    assert!(
        combined.ends_with("\"GET /x HTTP/1.1\" 404 14 \"-\" \"-\""),
        "{log}"
    );
    assert!(taken.parse::<u64>().expect("a number") > 0, "{log}");
}

#[test]
fn the_log_file_is_appended_to_and_readable_only_by_its_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    for lines in 1..=2 {
        let evserve = start("epoll", &path, &[]);
        ask(&mut evserve.connect(), "/x");
        assert_eq!(
            evserve.stop().access_log,
            "",
            "the standard output stays empty"
        );
        let log = read_to_string(&path).expect("written");
        assert_eq!(log.lines().count(), lines, "{log}");
    }
    let metadata = path.metadata().expect("it exists");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    for (place, why) in [
        (directory.path().join("no/log"), "No such file or directory"),
        (directory.path().into(), "Is a directory"),
    ] {
        let program = Program::evserve("--listen 127.0.0.1:0 --access-log-file").arg(&place);
        let said = program.fails(1);
        let place = format!("cannot write the access log to {}: {why}", place.display());
        assert!(said.contains(&place), "{said}");
    }
}

/// Lines before SIGHUP are in the old file, later ones in the new file. This includes requests on
/// connections that were already open.
#[test]
fn sighup_starts_a_new_log_file() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, old) = (directory.path().join("log"), directory.path().join("old"));
        // Each loop reopens it, and says so.
        let options = [with_one_loop(model), &["--access-log", "common"]].concat();
        let mut evserve = start(model, &path, &options);
        let mut stays = evserve.connect();
        ask(&mut stays, "/before");
        if serves_one_at_a_time(model) {
            // This model closes a connection after the first response.
            stays.rest();
        }
        // The response may arrive before the line is written.
        let end = Instant::now() + PATIENCE;
        while read_to_string(&path).expect("it exists").is_empty() {
            assert!(Instant::now() < end, "{model}: no line");
        }
        for round in 0..2 {
            rename(&path, &old).expect("moved");
            evserve.signal(Signal::HUP);
            evserve.wait_for_log("the access log has been reopened");
            assert_eq!(read_to_string(&path).expect("a new file"), "", "{model}");
            if serves_one_at_a_time(model) {
                stays = evserve.connect();
            }
            ask(&mut stays, "/after");
            drop(std::mem::replace(&mut stays, evserve.connect()));
            ask(&mut stays, "/after");
            while read_to_string(&path).expect("it exists").lines().count() < 2 {
                assert!(Instant::now() < end, "{model}: no lines in round {round}");
            }
            let before = read_to_string(&old).expect("it exists");
            assert_eq!(before.matches("/before").count(), 1 - round, "{model}");
            assert_eq!(before.matches("/after").count(), 2 * round, "{model}");
        }
        evserve.stop();
    });
}

#[test]
fn sighup_ends_no_process() {
    on_every_model(|model| {
        let mut evserve = Evserve::echo(model, &[]);
        let mut client = evserve.connect();
        for _ in 0..3 {
            client.send("before");
            assert_eq!(client.read(6), b"before");
            evserve.signal(Signal::HUP);
            client.send("after");
            assert_eq!(client.read(5), b"after");
        }
        drop(client);
        evserve.terminate();
        let ended = evserve.wait();
        assert!(ended.status.success(), "{model}: {}", ended.log);
        assert!(!ended.log.contains("access log"), "{}", ended.log);
    });
}

#[test]
fn a_failed_reopen_keeps_the_old_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let old = directory.path().join("old");
    let mut evserve = start("epoll", &path, &[]);
    rename(&path, &old).expect("moved");
    std::fs::create_dir(&path).expect("made");
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("Is a directory");
    ask(&mut evserve.connect(), "/x");
    evserve.stop();
    assert_eq!(read_to_string(&old).expect("it exists").lines().count(), 1);
}

/// On a full disk at most one line is cut off. All others are complete, or counted as lost.
#[test]
fn a_full_disk_loses_only_whole_lines_and_counts_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, old) = (directory.path().join("log"), directory.path().join("old"));
    // The kernel lets no file grow beyond one block, as if the disk were full.
    let options = "--listen 127.0.0.1:0 --access-log common docs --access-log-file";
    let program = Program::evserve(options).arg(&path);
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let mut evserve = program.in_shell(script).start();
    let mut client = evserve.connect();
    for _ in 0..50 {
        ask(&mut client, "/before");
    }
    evserve.wait_for_log("lines are lost");
    rename(&path, &old).expect("moved");
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the access log has been reopened");
    ask(&mut client, "/after");
    let said = evserve.wait_for_log("lines of the access log were lost");
    let lost = said.split(' ').find_map(|word| word.parse::<usize>().ok());
    evserve.stop();
    let before = read_to_string(&old).expect("it exists");
    let whole = before.matches("\"GET /before HTTP/1.1\" 404 14\n").count();
    assert_eq!(Some(50 - whole), lost, "{said}");
    assert!(
        before.len() <= 1024 && before.lines().count() <= whole + 1,
        "{before}"
    );
    assert_eq!(read_to_string(&path).expect("it exists").lines().count(), 1);
}

/// A directory that only its owner can write to, inside another one.
fn own_directory() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path().join("own");
    create_dir(&own).expect("made");
    (directory, own)
}

fn wait_for_lines(path: &Path, text: &str, count: usize) {
    let end = Instant::now() + PATIENCE;
    loop {
        let log = read_to_string(path).unwrap_or_default();
        if log.matches(text).count() == count {
            return;
        }
        assert!(Instant::now() < end, "{path:?}: {log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Rotates the log with `rotate` and sends another request. Its line must be in `new`, and that of
/// the request before in `old`.
fn rotates(model: &str, log: &Path, [old, new]: [&Path; 2], rotate: impl Fn()) {
    let mut evserve = start(model, log, &["--access-log", "common"]);
    ask(&mut evserve.connect(), "/before");
    wait_for_lines(log, "/before", 1);
    rotate();
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the access log has been reopened");
    ask(&mut evserve.connect(), "/after");
    let log = evserve.stop().log;
    assert!(!log.contains("ERROR"), "{model}: {log}");
    wait_for_lines(old, "/before", 1);
    wait_for_lines(new, "/after", 1);
}

#[test]
fn a_log_behind_links_reopens_where_they_now_point() {
    on_every_model(|model| {
        for is_absolute in [false, true] {
            let (_keep, own) = own_directory();
            for name in ["a", "b", "c"] {
                create_dir(own.join(name)).expect("made");
            }
            let target = |name: &str| match is_absolute {
                true => own.join(name),
                false => Path::new("..").join(name),
            };
            symlink(target("b/log"), own.join("a/log")).expect("linked");
            symlink(target("c/real"), own.join("b/log")).expect("linked");
            let (real, old) = (own.join("c/real"), own.join("c/real.1"));
            rotates(model, &own.join("a/log"), [&old, &real], || {
                rename(&real, &old).expect("moved");
            });
        }
    });
}

#[test]
fn a_log_reopens_in_a_recreated_directory() {
    on_every_model(|model| {
        let (_keep, own) = own_directory();
        let (logs, moved) = (own.join("logs"), own.join("logs.old"));
        create_dir(&logs).expect("made");
        let [old, new] = [moved.join("log"), logs.join("log")];
        rotates(model, &new, [&old, &new], || {
            rename(&logs, &moved).expect("moved");
            create_dir(&logs).expect("made again");
        });
    });
}

#[test]
fn a_log_reopens_in_the_directory_a_switched_link_points_to() {
    on_every_model(|model| {
        let (_keep, own) = own_directory();
        create_dir(own.join("1")).expect("made");
        create_dir(own.join("2")).expect("made");
        symlink("1", own.join("current")).expect("linked");
        let [old, new] = [own.join("1/log"), own.join("2/log")];
        rotates(model, &own.join("current/log"), [&old, &new], || {
            symlink("2", own.join("next")).expect("linked");
            rename(own.join("next"), own.join("current")).expect("switched");
        });
    });
}

/// No line is lost, and the log says why the file was not reopened.
#[test]
fn a_log_outside_the_sandbox_continues_in_the_old_file() {
    on_every_model(|model| {
        for (mode, options) in [(0o777, &[][..]), (0o755, &["--sandbox", "strict"])] {
            let (_keep, own) = own_directory();
            std::fs::set_permissions(&own, Permissions::from_mode(mode)).expect("set");
            let (logs, moved) = (own.join("logs"), own.join("logs.old"));
            create_dir(&logs).expect("made");
            let mut evserve = start(model, &logs.join("log"), options);
            let line = evserve.wait_for_log("sandbox");
            if !line.contains("(Landlock ABI") {
                return skip("landlock", line);
            }
            rename(&logs, &moved).expect("moved");
            create_dir(&logs).expect("made again");
            evserve.signal(Signal::HUP);
            evserve.wait_for_log("lines still go to the old file");
            ask(&mut evserve.connect(), "/after");
            let said = evserve.stop().log;
            assert_eq!(
                said.matches("lines still go to the old file").count(),
                1,
                "{said}"
            );
            let announced = said.contains("is replaced, the access log needs a restart");
            assert_eq!(announced, mode == 0o777, "{said}");
            wait_for_lines(&moved.join("log"), "/after", 1);
        }
    });
}

#[test]
fn a_relative_log_name_is_reopened() {
    let (_keep, own) = own_directory();
    create_dir(own.join("logs")).expect("made");
    let program = Program::evserve("--listen 127.0.0.1:0 --access-log-file logs/log");
    let mut evserve = program.current_dir(&own).start();
    rename(own.join("logs"), own.join("old")).expect("moved");
    create_dir(own.join("logs")).expect("made again");
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the access log has been reopened");
    ask(&mut evserve.connect(), "/after");
    evserve.stop();
    wait_for_lines(&own.join("logs/log"), "/after", 1);
}
