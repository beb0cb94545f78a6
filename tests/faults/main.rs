//! Makes one system call fail in each run: the first call of a kind, then the second, and so on
//! until a run ends without a fault.
//!
//! A run consists of a few concurrent clients, one fault, another client after them, and shutdown.
//! Whatever fails: no client receives a wrong byte. At most one client receives less than
//! everything. All later clients are served. Nothing leaks, and the server neither spins nor exits
//! early. An interrupted call, or one that would block, harms no client at all.
//!
//! Operations on a ring (io_uring(7)) fail in the same way, at their completion.
//!
//! An ordinary run takes one model of each kind and the first few calls of each kind.
//! `EVSERVE_FAULTS=all` takes everything, and `EVSERVE_FAULTS=write` then writes the table in
//! docs/testing.md. With one model it writes that column.
//! `EVSERVE_FAULT=sendfile` takes one kind of call only, and `EVSERVE_MODEL=epoll` one model.

#![allow(missing_docs)]
// The tracer puts errors into registers, whose names differ on other architectures.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod rings;
mod rows;
mod starting;
mod table;
mod tracer;

use clients::{FILES, Fate, LARGE};
use common::{
    Evserve, PATIENCE, Program, completes, more_options, pattern, represents_its_kind, skip,
    with_threads,
};
use evserve::model::MODELS;
use nix::errno::Errno::{self, *};
use rings::opcode;
use rows::{ROWS, Row, Scenario, WRITE};
use std::collections::BTreeMap;
use std::env;
use std::fs::{read_dir, read_to_string};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tracer::{Fault, Tracer};

const POOL: usize = 4;

/// How many clients a scenario has at most.
const CLIENTS: usize = 4;

/// A root whose files are old enough to be cached.
fn root() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for length in FILES.into_iter().chain([LARGE]) {
        let path = root.path().join(length.to_string());
        std::fs::write(path, pattern(length)).expect("written");
    }
    thread::sleep(Duration::from_millis(1100));
    root
}

/// Polls for a state of the process for which there is no event.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "timed out: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The threads of a process: for each its state and how often it was scheduled.
fn threads(process: u32) -> BTreeMap<String, String> {
    let tasks = read_dir(format!("/proc/{process}/task")).expect("it runs");
    tasks
        .flatten()
        .filter_map(|task| {
            let status = read_to_string(task.path().join("status")).ok()?;
            let wanted = |line: &&str| line.starts_with("State") || line.contains("ctxt_switches");
            let lines: String = status.lines().filter(wanted).collect();
            Some((task.file_name().to_string_lossy().into(), lines))
        })
        .collect()
}

/// True if all threads sleep and none was scheduled between two looks. A spinning thread never
/// passes.
fn is_at_rest(process: u32) -> bool {
    let before = threads(process);
    let all_sleep = before
        .values()
        .all(|thread| thread.contains("S (sleeping)"));
    if !all_sleep {
        return false;
    }
    thread::sleep(Duration::from_millis(5));
    threads(process) == before
}

fn descriptors(process: u32) -> usize {
    let all = read_dir(format!("/proc/{process}/fd")).expect("it runs");
    all.count()
}

fn children(process: u32) -> String {
    let path = format!("/proc/{process}/task/{process}/children");
    read_to_string(path).expect("it runs")
}

fn has_ended(process: u32) -> bool {
    let stat = read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// The program for a scenario.
fn program(model: &str, scenario: Scenario, options: &str, root: &TempDir) -> Program {
    let root = root.path().to_str().expect("UTF-8");
    let files = "--mode http --mode echo --listen http=127.0.0.1:0 --listen echo=127.0.0.1:0";
    let files = || Program::model(model, files).arg(root);
    let program = match scenario {
        Scenario::Files | Scenario::SlowReaders => {
            files().options("--cache-bytes 0 --cache-files 0")
        }
        Scenario::Watched => files(),
        Scenario::Datagrams => Program::model(model, "--mode echo --listen udp:127.0.0.1:0"),
        Scenario::Chat => Program::model(model, "--mode chat --listen 127.0.0.1:0"),
    };
    program.args(with_threads(model, POOL)).options(options)
}

/// Starts the server with a tracer, which counts already if the fault is one `from_start`. Returns
/// how many descriptors it has.
fn start(program: Program, fault: Fault, from_start: bool) -> (Evserve, Tracer, usize) {
    if fault.operations.is_empty() {
        let evserve = program.start();
        let id = evserve.id();
        wait_until("it is at rest before it all", || is_at_rest(id));
        let before = descriptors(id);
        return (evserve, Tracer::attach(id, fault, false), before);
    }
    // The tracer must see how the ring is made.
    let (mut evserve, tracer) =
        starting::traced(program, |id| Tracer::attach(id, fault, from_start));
    evserve.wait_until_ready();
    let id = evserve.id();
    wait_until("it is at rest before it all", || is_at_rest(id));
    (evserve, tracer, descriptors(id))
}

/// Runs all clients of a scenario at once.
fn play_scenario(evserve: &Evserve, scenario: Scenario) -> Vec<Fate> {
    match scenario {
        Scenario::Chat => return clients::chat(evserve.address()),
        Scenario::Datagrams => return vec![clients::datagrams(evserve.udp[0])],
        Scenario::Files | Scenario::Watched | Scenario::SlowReaders => {}
    }
    let [http, echo] = evserve.addresses[..] else {
        panic!("two addresses");
    };
    if scenario == Scenario::SlowReaders {
        let id = evserve.id();
        return clients::read_late(http, echo, || {
            wait_until("it must wait", || is_at_rest(id));
        });
    }
    thread::scope(|scope| {
        let clients = [
            scope.spawn(move || clients::request_everything(http)),
            scope.spawn(move || clients::request_everything(http)),
            scope.spawn(move || clients::echo(echo)),
        ];
        let fates = clients.map(|client| client.join());
        fates
            .into_iter()
            .map(|fate| fate.expect("it says why above"))
            .collect()
    })
}

/// Plays one run. Returns `None` if no call failed, else the fate of the client that fared worst.
fn run(model: &str, row: &Row, errno: Errno, nth: usize, root: &TempDir) -> Option<Fate> {
    let fault = Fault {
        calls: row.calls,
        operations: row.operations,
        counts: row.counts,
        errno,
        nth,
        times: 1,
        late: row.late,
        and: row.and,
    };
    let program = program(model, row.scenario, row.options, root);
    let (mut evserve, tracer, before) = start(program, fault, row.from_start);
    let id = evserve.id();
    wait_until("it is at rest again", || is_at_rest(id));
    tracer.arm();

    let mut fates = play_scenario(&evserve, row.scenario);
    let has_struck = tracer.has_struck();
    let mut later = play_scenario(&evserve, row.scenario);
    // On a busy machine the kernel may drop a datagram even on loopback. The server's own count of
    // unsent replies is checked below.
    for _ in 0..3 {
        if row.scenario == Scenario::Datagrams && later != [Fate::Whole] {
            later = play_scenario(&evserve, row.scenario);
        }
    }
    if has_struck {
        assert!(
            later.iter().all(|fate| *fate == Fate::Whole),
            "later ones: {later:?}"
        );
    }
    fates.append(&mut later);
    let suffered = fates.iter().filter(|fate| **fate != Fate::Whole).count();
    assert!(suffered <= usize::from(row.may_spoil(errno)), "{fates:?}");

    wait_until("no process is left", || children(id).is_empty());
    let kept = before
        + match row.scenario {
            // One file is too large to be cached in memory; it is kept open.
            Scenario::Watched => 1,
            // So does a loop its pipes.
            _ if row.options.contains("splice") => 2 * CLIENTS,
            // A thread keeps its wake queue.
            Scenario::Chat if common::row(model).limit_option == Some("threads") => POOL,
            _ => 0,
        };
    wait_until("no descriptor is left", || {
        (before..=kept).contains(&descriptors(id))
    });
    wait_until("it is at rest after it all", || is_at_rest(id));

    evserve.terminate();
    let told = Instant::now();
    wait_until("it ends", || has_ended(id));
    let ended = evserve.wait();
    let struck = tracer.end();
    let log = &ended.log;
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "it took its time: {log}"
    );
    assert!(ended.status.success(), "{}: {log}", ended.status);
    assert!(!log.contains("cut off"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    if row.scenario == Scenario::Datagrams {
        let unsent = ["0 replies not sent", "1 reply not sent"];
        assert!(unsent.iter().any(|unsent| log.contains(unsent)), "{log}");
    }
    check_access_log(row, errno, struck, log, &ended.access_log);
    struck.then(|| fates.into_iter().max().expect("clients"))
}

/// Each response has its log line, unless writing failed; no line is broken.
fn check_access_log(row: &Row, errno: Errno, struck: bool, log: &str, lines: &str) {
    for line in lines.lines() {
        assert!(
            line.starts_with("127.0.0.1 - - [") && line.ends_with('"'),
            "{line}"
        );
    }
    if errno == EINTR && matches!(row.scenario, Scenario::Files | Scenario::Watched) {
        let served = log.rsplit("served ").next().expect("a part");
        let served = served.split(' ').next().expect("a figure");
        let served: usize = served.replace(',', "").parse().expect("a figure");
        assert_eq!(lines.lines().count(), served, "{log}\n{lines}");
    }
    let is_lost = row.calls == WRITE && matches!(errno, ENOSPC | EIO);
    assert_eq!(log.contains("lines are lost"), is_lost && struck, "{log}");
}

#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    /// How many runs had a fault.
    runs: usize,
    worst: Option<Fate>,
    /// The number of the run that failed; it was the last.
    failed: Option<usize>,
}

/// Plays all runs of one call, error and model: until one has no fault, or up to `most`.
fn run_row(model: &str, row: &Row, errno: Errno, most: usize, root: &TempDir) -> Runs {
    let mut result = Runs::default();
    for nth in 1..=most {
        let played = std::panic::catch_unwind(|| run(model, row, errno, nth, root));
        let Ok(fate) = played else {
            result.failed = Some(nth);
            break;
        };
        if fate.is_none() {
            break;
        }
        result.runs += 1;
        result.worst = result.worst.max(fate);
    }
    result
}

/// All work: row, error and model, as indexes into the tables.
fn work(models: &[&'static str], only: Option<&str>) -> Vec<(usize, usize, &'static str)> {
    let mut work = Vec::new();
    for (index, row) in ROWS.iter().enumerate() {
        let needs_kernel = !row.operations.is_empty() && !rings::can_inject();
        let has_other_options = !row.options.is_empty() && more_options("io-uring").is_some();
        if needs_kernel || has_other_options || only.is_some_and(|only| only != row.name) {
            continue;
        }
        for (error, errno) in row.errors.iter().enumerate() {
            let can_run = |model: &&&'static str| row.can_say(*errno, model);
            work.extend(
                models
                    .iter()
                    .filter(can_run)
                    .map(|model| (index, error, *model)),
            );
        }
    }
    work
}

#[test]
fn a_failed_system_call_harms_at_most_one_connection() {
    let wish = env::var("EVSERVE_FAULTS").unwrap_or_default();
    let only = env::var("EVSERVE_FAULT").ok();
    let (rows, most): (Vec<_>, _) = match &*wish {
        "all" | "write" => (MODELS.iter().collect(), 1000),
        "" => (
            MODELS
                .iter()
                .filter(|row| represents_its_kind(row))
                .collect(),
            4,
        ),
        other => panic!("EVSERVE_FAULTS={other}: expected all or write"),
    };
    let root = root();
    let only_model = env::var("EVSERVE_MODEL").ok();
    let is_wanted = |name: &&str| only_model.as_ref().is_none_or(|only| only == name);
    let names = rows.into_iter().map(|row| row.name);
    let models: Vec<_> = names.filter(is_wanted).collect();
    let work = work(&models, only.as_deref());
    let (next, all) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        // Most of the time is spent waiting for processes.
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(key) = work.get(next.fetch_add(1, SeqCst)) {
                    let (row, error, model) = *key;
                    let (row, errno) = (&ROWS[row], ROWS[row].errors[error]);
                    let begin = Instant::now();
                    let played = run_row(model, row, errno, most, &root);
                    let _ = writeln!(
                        std::io::stderr(),
                        "{model}: {} {} says {errno:?} {} times in {:.1} s: {:?}",
                        row.name,
                        row.about,
                        played.runs,
                        begin.elapsed().as_secs_f32(),
                        played.worst
                    );
                    all.lock().expect("no panic").insert(*key, played);
                }
            });
        }
    });
    let all = all.into_inner().expect("no panic");
    for ((row, error, model), played) in &all {
        let (row, errno) = (&ROWS[*row], ROWS[*row].errors[*error]);
        if let Some(nth) = played.failed {
            eprintln!(
                "FAILED: {model}: {} {} says {errno:?} at call {nth}",
                row.name, row.about
            );
        }
    }
    assert!(all.values().all(|played| played.failed.is_none()));
    if !wish.is_empty() && only.is_none() && only_model.is_none() {
        for (index, row) in ROWS.iter().enumerate() {
            let mut played = all.iter().filter(|((of, ..), _)| *of == index);
            let (name, about) = (row.name, row.about);
            assert!(
                played.any(|(_, played)| played.runs > 0),
                "no model calls {name} {about}"
            );
        }
    }
    if wish == "write" && only.is_none() {
        table::write(&all, &models);
    }
}

/// An operation on a ring may fail again and again.
#[test]
fn many_failed_operations_leak_nothing() {
    const TIMES: usize = 200;
    if !rings::can_inject() {
        return skip("Linux 6.10", "older kernels inject no result");
    }
    let root = root();
    let cases: [(&[u8], Errno, bool); 5] = [
        (&[opcode::RECV], ENOBUFS, true),
        (&[opcode::RECV], ECANCELED, true),
        (&[opcode::RECV], ECONNRESET, false),
        (&[opcode::SEND], ECANCELED, true),
        (&[opcode::SEND], EPIPE, false),
    ];
    for row in MODELS.iter().filter(|row| completes(row)) {
        for (operations, errno, spares_all) in cases {
            let fault = Fault {
                calls: &[],
                operations,
                counts: |_| true,
                errno,
                nth: 1,
                times: TIMES,
                late: false,
                and: None,
            };
            let program = program(row.name, Scenario::Files, "", &root);
            let (mut evserve, tracer, before) = start(program, fault, false);
            let id = evserve.id();
            tracer.arm();
            let echo = evserve.addresses[1];
            let ended = (0..TIMES + 10)
                .filter(|_| !clients::echo_line(echo))
                .count();
            assert!(tracer.has_struck());
            assert_eq!(ended, if spares_all { 0 } else { TIMES }, "{errno:?}");
            let later = play_scenario(&evserve, Scenario::Files);
            assert!(later.iter().all(|fate| *fate == Fate::Whole), "{later:?}");
            wait_until("no descriptor is left", || descriptors(id) == before);
            wait_until("it is at rest after it all", || is_at_rest(id));
            evserve.terminate();
            let ended = evserve.wait();
            tracer.end();
            assert!(ended.status.success(), "{}", ended.log);
            assert!(!ended.log.contains("panicked"), "{}", ended.log);
        }
    }
}
