//! What serving costs, counted and not timed: system calls, memory, threads.

use crate::common::{
    Client, Evserve, Program, is_completion_model, is_missing, more_options,
    on_every_concurrent_model, on_every_loop, row, skip,
};
use evserve::model::Executor;
use evserve::session::WORK_PER_TURN;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::path::Path;

const GET: &str = "GET /1k.html HTTP/1.1\r\nHost: h\r\n\r\n";

/// A root with a small file that is old enough to be watched after its first request.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("1k.html"), vec![b'x'; 1024]).expect("written");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    root
}

fn exchange(client: &mut Client) {
    client.send(GET);
    let answer = client.response();
    assert_eq!((answer.status, answer.body.len()), (200, 1024));
}

/// The number before ` {what}` in the summary that the server logs at its end.
fn figure(log: &str, what: &str) -> u64 {
    let line = log.lines().find(|line| line.contains("system calls"));
    let (before, _) = line
        .and_then(|line| line.split_once(&format!(" {what}")))
        .expect(log);
    let digits = before.rsplit(' ').next().map(|n| n.replace(',', ""));
    digits.and_then(|digits| digits.parse().ok()).expect(log)
}

/// A request costs two system calls; a turn costs one more, for all connections together. What a
/// ring costs is another test.
#[test]
fn a_loop_makes_two_system_calls_per_request() {
    const CONNECTIONS: u64 = 64;
    const ROUNDS: u64 = 50;
    let root = root();
    on_every_loop(|model| {
        if is_completion_model(model) {
            return;
        }
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| evserve.connect()).collect();
        for _ in 0..ROUNDS {
            // All clients send while the server is stopped, so that one turn finds all of them
            // ready.
            evserve.signal(Signal::STOP);
            for client in &mut clients {
                client.send(GET);
            }
            evserve.signal(Signal::CONT);
            for client in &mut clients {
                assert_eq!(client.response().status, 200);
            }
        }
        let log = evserve.stop().log;
        let requests = CONNECTIONS * ROUNDS;
        assert_eq!(figure(&log, "sends"), requests);
        // Each connection is received from once more when it is closed.
        let receives = figure(&log, "receives");
        assert!(
            (requests..=requests + 2 * CONNECTIONS).contains(&receives),
            "{log}"
        );
        let waits = figure(&log, "waits");
        assert!(
            waits <= 3 * ROUNDS,
            "{waits} waits in {ROUNDS} rounds: {log}"
        );
        let changes = figure(&log, "changes of interest");
        assert!(changes <= CONNECTIONS, "{log}");
    });
}

/// One client at a time sends its next request when it has the response. How often the server then
/// tells the kernel what to watch for follows from the trigger alone.
#[test]
fn changes_of_interest_follow_from_the_trigger() {
    const REQUESTS: u64 = 1000;
    let root = root();
    for (trigger, least, most) in [
        ("edge", 1, 1),
        ("level", 1, 1),
        ("oneshot", REQUESTS - 1, REQUESTS),
    ] {
        let options = ["--access-log", "off", "--trigger", trigger];
        let evserve = Evserve::http("epoll", root.path(), &options);
        let mut client = evserve.connect();
        (0..REQUESTS).for_each(|_| exchange(&mut client));
        drop(client);
        let log = evserve.stop().log;
        let changes = figure(&log, "change");
        assert!((least..=most).contains(&changes), "{trigger}: {log}");
    }
}

/// How often the threads of a server have gone to sleep, each after it was woken (proc(5)).
fn sleeps(evserve: &Evserve) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", evserve.id())).expect("it runs");
    let each = tasks.map(|task| {
        let status = task.expect("an entry").path().join("status");
        let status = std::fs::read_to_string(status).expect("it runs");
        let mut lines = status.lines();
        let sleeps = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps.and_then(|number| number.trim().parse::<u64>().ok())
    });
    each.map(|number| number.expect("a number")).sum()
}

/// Waits until all threads of a server sleep.
fn wait_until_asleep(evserve: &Evserve) {
    let tasks = format!("/proc/{}/task", evserve.id());
    let is_awake = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = task.expect("an entry").path().join("stat");
        let stat = std::fs::read_to_string(stat).expect("it runs");
        !stat.rsplit_once(") ").expect("a state").1.starts_with('S')
    };
    while std::fs::read_dir(&tasks).expect("it runs").any(is_awake) {
        std::thread::yield_now();
    }
}

/// One client at a time connects while all loops sleep. A shared listener wakes each of them; an
/// exclusive one wakes the same loop every time; the first loop of a handover wakes the one whose turn
/// it is. Every loop wakes once more for a connection's end.
#[test]
fn loops_are_woken_as_they_share_a_listener() {
    const LOOPS: u64 = 8;
    const CONNECTIONS: u64 = 50;
    // A thread that is not asleep in its wait may sleep once more.
    let ways: [(&str, u64, u64); 3] = [
        ("shared", LOOPS * CONNECTIONS, (LOOPS + 3) * CONNECTIONS),
        ("exclusive", CONNECTIONS, 3 * CONNECTIONS),
        ("handover", CONNECTIONS, 5 * CONNECTIONS),
    ];
    for (accept, least, most) in ways {
        let options = ["--workers", "8", "--accept", accept];
        let evserve = Evserve::echo("epoll", &options);
        wait_until_asleep(&evserve);
        let before = sleeps(&evserve);
        for _ in 0..CONNECTIONS {
            let mut client = evserve.connect();
            client.send("hello");
            assert_eq!(client.read(5), b"hello");
            drop(client);
            wait_until_asleep(&evserve);
        }
        let woken = sleeps(&evserve) - before;
        let log = evserve.stop().log;
        assert!(
            (least..=most).contains(&woken),
            "{accept}: woken {woken} times: {log}"
        );
        let line = log
            .lines()
            .find(|line| line.contains("connections by loop: "));
        let (_, line) = line.expect(&log).split_once("by loop: ").expect("found");
        let numbers = line.split(';').next().expect("a first part").split(" + ");
        let mut numbers: Vec<u64> = numbers.map(|number| number.parse().expect(line)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers.iter().sum::<u64>(), CONNECTIONS, "{accept}: {log}");
        match accept {
            "exclusive" => assert_eq!(numbers[7], CONNECTIONS, "{log}"),
            "handover" => assert!(numbers[0] >= 6 && numbers[7] <= 7, "{log}"),
            _ => {}
        }
    }
}

/// All listings in progress share one budget per turn. So listing many directories at once takes as
/// many turns as listing them one by one, and other clients are served in each of them.
#[test]
fn listings_share_one_budget_per_turn() {
    const DIRECTORIES: usize = 8;
    const ENTRIES: usize = 1500;
    let root = tempfile::tempdir().expect("a directory");
    for directory in 0..DIRECTORIES {
        let directory = root.path().join(directory.to_string());
        std::fs::create_dir(&directory).expect("made");
        for entry in 0..ENTRIES {
            std::fs::write(directory.join(entry.to_string()), "").expect("written");
        }
    }
    on_every_loop(|model| {
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let mut clients: Vec<_> = (0..DIRECTORIES).map(|_| evserve.connect()).collect();
        evserve.signal(Signal::STOP);
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /{number}/?format=text HTTP/1.0\r\n\r\n"));
        }
        evserve.signal(Signal::CONT);
        for client in &mut clients {
            let lines = client.response().body;
            assert_eq!(lines.iter().filter(|b| **b == b'\n').count(), ENTRIES);
        }
        let waits = figure(&evserve.stop().log, "waits");
        // An entry costs at least one unit of work.
        let turns = (DIRECTORIES * ENTRIES / WORK_PER_TURN) as u64;
        assert!(waits >= turns, "{model}: {waits} waits, not {turns}");
    });
}

/// From the fourth client on that does not keep up with its file, the bytes that wait unsent in the
/// kernel are limited, and again unlimited when the others have left.
#[test]
fn several_transfers_limit_their_unsent_bytes() {
    const WAITS: &str = "must wait before it can send";
    const LIMITED: &str = "TCP_NOTSENT_LOWAT, 262144) = 0";
    const UNLIMITED: &str = "TCP_NOTSENT_LOWAT, 0) = 0";
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("large")).expect("made");
    // More than the buffers of both sockets hold.
    file.set_len(256 << 20).expect("a sparse file");
    for model in ["select", "poll", "epoll"] {
        let options = ["--access-log", "off", "--trace-requests", "1000"];
        let mut evserve = Evserve::http(model, root.path(), &options);
        let mut clients: Vec<_> = (0..3)
            .map(|_| {
                let mut client = evserve.connect();
                client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
                evserve.wait_for_log(WAITS);
                client
            })
            .collect();
        let mut last = evserve.connect();
        last.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        evserve.wait_for_log(LIMITED);
        for client in clients.drain(..) {
            drop(client);
            evserve.wait_for_log(" is closed");
        }
        let reader = std::thread::spawn(move || last.response().body.len());
        evserve.wait_for_log(UNLIMITED);
        assert_eq!(reader.join().expect("no panic"), 256 << 20, "{model}");
        let log = evserve.stop().log;
        let times = [LIMITED, UNLIMITED].map(|call| log.matches(call).count());
        assert_eq!(times, [1, 1], "{model}");
    }
}

/// strace, on one connection at a time, sees no call that is not counted.
#[test]
fn strace_sees_no_uncounted_system_call() {
    if is_missing("strace") {
        return;
    }
    let root = root();
    on_every_concurrent_model(|model| {
        let most = match row(model) {
            // A process exits with its connection and caches nothing: each looks the file up.
            row if row.executor == Executor::Process => 9.0,
            // Tasks check for changed files by themselves, and threads of a runtime wake each other
            // now and then.
            row if row.executor == Executor::Task => 4.3,
            // A poller that reports events out of order must check for changed files by itself.
            row if row.poller.is_some_and(|poller| !poller.in_order) => 4.0,
            _ => 3.0,
        };
        let counts: Vec<u64> = [1000, 3000]
            .into_iter()
            .map(|requests| traced_calls(model, root.path(), requests))
            .collect();
        // The cost of start and end is the same in both runs.
        let per_request = (counts[1] - counts[0]) as f64 / 2000.0;
        assert!(per_request <= most + 0.05, "{model}: {per_request}");
        eprintln!("{model}: {per_request} system calls per request");
    });
}

/// One call hands over the operations of all connections, and returns their results.
#[test]
fn a_ring_needs_few_system_calls() {
    /// A client that sends its next request more than 1 ms after a response costs another wait.
    const ATTEMPTS: usize = 10;
    if is_missing("strace") {
        return;
    }
    let root = root();
    let loads = ["--mode http", "--mode echo", "--mode http --uring single"];
    for load in loads {
        if load.contains("--uring") && more_options("io-uring").is_some() {
            continue;
        }
        for (connections, rounds, most_enters, most) in [(1, 500, 1.0, 1.0), (64, 20, 0.1, 0.2)] {
            let is_met = (0..ATTEMPTS).any(|_| {
                let few = busy_calls(load, root.path(), connections, rounds);
                let many = busy_calls(load, root.path(), connections, 3 * rounds);
                let requests = (2 * rounds * connections) as f64;
                let each = |name| (number(&many, name) - number(&few, name)) / requests;
                let (enters, all) = (each("io_uring_enter"), each("total"));
                eprintln!("{load}, {connections} connections: {enters} enters, {all} calls");
                enters <= most_enters + 0.01 && all <= most + 0.01
            });
            assert!(is_met, "{load}, {connections} connections");
        }
    }
}

/// The report of strace on a server with this many connections. In each round, requests are sent on
/// all of them, and then the responses are read.
fn busy_calls(load: &str, root: &Path, connections: usize, rounds: usize) -> String {
    let is_http = load.contains("http");
    let options = format!("{load} --listen 127.0.0.1:0 --access-log off");
    let mut program = Program::model("io-uring", &options);
    if is_http {
        program = program.arg(root);
    }
    traced(program, |evserve| {
        let mut clients: Vec<_> = (0..connections).map(|_| evserve.connect()).collect();
        for _ in 0..rounds {
            clients.iter_mut().for_each(|client| client.send(GET));
            for client in &mut clients {
                match is_http {
                    true => assert_eq!(client.response().body.len(), 1024),
                    false => assert_eq!(client.read(GET.len()), GET.as_bytes()),
                }
            }
        }
    })
}

/// How many system calls a server makes in all if it answers `requests` requests.
fn traced_calls(model: &str, root: &Path, requests: u64) -> u64 {
    let program = Program::model(model, "--listen 127.0.0.1:0 --access-log off").arg(root);
    let report = traced(program, |evserve| {
        let mut client = evserve.connect();
        (0..requests).for_each(|_| exchange(&mut client));
    });
    number(&report, "total") as u64
}

/// What a report of strace says of a call; 0 if there was none.
fn number(report: &str, name: &str) -> f64 {
    let row = report
        .lines()
        .find(|line| line.split_whitespace().last() == Some(name));
    let number = row.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Counts with strace the system calls of a server under load.
fn traced(program: Program, load: impl FnOnce(&Evserve)) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("counts");
    let strace = ["strace", "-f", "-c", "-U", "calls,name", "-o"].map(OsStr::new);
    let mut evserve = program
        .run_by(strace.into_iter().chain([output.as_os_str()]))
        .start();
    load(&evserve);
    evserve.terminate_traced();
    assert!(evserve.wait().status.success());
    std::fs::read_to_string(output).expect("it was written")
}

/// Counts all private memory of the server for an idle connection: the model, and the most bytes.
#[test]
fn memory_of_an_idle_connection() {
    const CONNECTIONS: usize = 15_000;
    const MOST: [(&str, u64); 2] = [("epoll", 200), ("io-uring", 300)];
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    if raised
        .current
        .is_some_and(|most| most < CONNECTIONS as u64 + 2000)
    {
        return skip("descriptors", "the hard limit of open files is too low");
    }
    for (model, most) in MOST {
        let each = idle_memory(model, CONNECTIONS);
        eprintln!("{model}: {each} bytes per idle connection");
        assert!(each <= most, "{model}: {each} bytes");
    }
}

/// The private memory for each of `connections` idle connections.
fn idle_memory(model: &str, connections: usize) -> u64 {
    let root = root();
    let options = ["--access-log", "off", "--idle-timeout", "1h"];
    let evserve = Evserve::http(model, root.path(), &options);
    let mut clients: Vec<_> = (0..100).map(|_| evserve.connect()).collect();
    clients.iter_mut().for_each(exchange);
    let before = private_memory(&evserve);
    for _ in 0..connections {
        let mut client = evserve.connect();
        exchange(&mut client);
        clients.push(client);
    }
    let after = private_memory(&evserve);
    assert!(after > before, "{before} bytes, then {after}");
    clients.iter_mut().for_each(exchange);
    (after - before) / connections as u64
}

/// In bytes: memory that is not the program's file and not shared.
fn private_memory(evserve: &Evserve) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", evserve.id()));
    let rollup = rollup.expect("it runs");
    let private = rollup.lines().filter(|line| line.starts_with("Pss_Anon:"));
    let kilobytes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * kilobytes.sum::<u64>()
}
