//! What all models have in common, and what distinguishes them.

use crate::common::{
    Client, Evserve, PATIENCE, Program, Response, is_completion_model, limited_to, more_options,
    on_every_concurrent_model, on_every_loop, on_every_model, pattern, row, serves_one_at_a_time,
};
use evserve::model::Executor;
use std::fs::{read_dir, read_to_string, write};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;

pub fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for length in [0, 1, 1024, 40_000, 300_000] {
        let path = root.path().join(length.to_string());
        write(&path, pattern(length)).expect("written");
        let file = std::fs::File::options()
            .write(true)
            .open(path)
            .expect("opened");
        // Old enough for a strong entity tag.
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .expect("set");
    }
    std::fs::create_dir(root.path().join("dir")).expect("made");
    root
}

/// 200 requests of all kinds. Some are sent together with the next one, some byte by byte.
pub fn script() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(7);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let kinds = [
        get("/0"),
        get("/1"),
        get("/1024"),
        get("/40000"),
        get("/300000"),
        get("/"),
        get("/dir/"),
        get("/dir?q"),
        get("/gone"),
        get("/../x"),
        get("/%00"),
        get("/1").replace("GET", "HEAD"),
        get("/1").replace("GET", "PUT"),
        get("/1").replace("GET", "BREW"),
        get("/1").replace("1.1", "2.0"),
        get("/1").replace("1.1", "1.0"),
        get("/1").replace("Host", "Most"),
        get(&format!("/{}", "x".repeat(9000))),
        get("/1").replace("Host", &format!("A: {}\r\nHost", "x".repeat(17_000))),
        get("/1").replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
    ];
    (0..200)
        .map(|_| kinds[random.usize(..kinds.len())].clone())
        .collect()
}

/// The responses without what may differ between runs.
pub fn run_script(address: SocketAddr, requests: &[String], step: usize) -> Vec<Response> {
    let mut client = Client::connect(address);
    let mut stream = client.stream().try_clone().expect("a socket");
    let bytes = requests.concat().into_bytes();
    let mut answers = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            // The server may have closed.
            let _ = bytes
                .chunks(step)
                .try_for_each(|chunk| stream.write_all(chunk));
        });
        for request in requests {
            let mut answer = match request.starts_with("HEAD") {
                true => client.head(),
                false => client.response(),
            };
            let closes = answer.field("Connection") == Some("close");
            let lines = answer.head.lines();
            let same = |line: &&str| !line.starts_with("Date:") && !line.starts_with("Connection:");
            answer.head = lines.filter(same).collect::<Vec<_>>().join("\n");
            // The files are new, so their entity tags are weak at first; when they become strong
            // depends on the clock.
            answer.head = answer.head.replace("ETag: W/", "ETag: ");
            answers.push(answer);
            if closes {
                break;
            }
        }
        // Also ends the writer, wherever it is.
        let _ = client.stream().shutdown(std::net::Shutdown::Both);
    });
    answers
}

#[test]
fn every_model_gives_the_same_responses() {
    let root = tree();
    let requests = script();
    let mut first: Option<Vec<Response>> = None;
    for row in evserve::model::MODELS {
        let evserve = Evserve::http(row.name, root.path(), &["--access-log", "off"]);
        let mut answers = Vec::new();
        let mut connections = 0;
        while answers.len() < requests.len() {
            let step = [usize::MAX, 3, 50, 1000][connections % 4];
            let left = &requests[answers.len()..];
            answers.extend(run_script(
                evserve.address(),
                &left[..left.len().min(20)],
                step,
            ));
            connections += 1;
        }
        let statuses: std::collections::BTreeSet<u16> = answers.iter().map(|a| a.status).collect();
        let all = [200, 301, 400, 404, 405, 414, 431, 501, 505];
        assert_eq!(statuses, all.into_iter().collect(), "{}", row.name);
        match &first {
            None => first = Some(answers),
            Some(first) => {
                for (index, (ours, theirs)) in answers.iter().zip(first).enumerate() {
                    assert_eq!(ours, theirs, "{}: {:?}", row.name, requests[index]);
                }
            }
        }
    }
}

/// A server that serves one connection at a time waits for a silent client.
#[test]
fn one_silent_client_stops_only_the_blocking_model() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--idle-timeout", "1500ms"]);
        let start = Instant::now();
        let silent = evserve.connect();
        assert_eq!(evserve.get("/1").status, 200);
        let frozen = start.elapsed() >= Duration::from_millis(1400);
        assert_eq!(
            frozen,
            serves_one_at_a_time(model),
            "after {:?}",
            start.elapsed()
        );
        drop(silent);
    });
}

#[test]
fn as_many_silent_clients_as_threads_stop_a_pool() {
    let root = tree();
    let options = ["--threads", "3", "--idle-timeout", "1500ms"];
    for (silent, stuck) in [(2, false), (3, true)] {
        let evserve = Evserve::http("pool", root.path(), &options);
        let start = Instant::now();
        let silent: Vec<_> = (0..silent).map(|_| evserve.connect()).collect();
        // The request makes sure that the client has its thread: connections are accepted in order.
        assert_eq!(evserve.get("/1").status, 200);
        assert_eq!(start.elapsed() >= Duration::from_millis(1400), stuck);
        drop(silent);
    }
}

#[test]
fn descriptors_beyond_fd_setsize_are_refused() {
    let root = tree();
    on_every_loop(|model| {
        let Some(limit) = row(model).poller.and_then(|poller| poller.fd_limit) else {
            return;
        };
        let all = limit + 76;
        let mut evserve = Evserve::http(model, root.path(), &["--idle-timeout", "1h"]);
        let mut clients: Vec<_> = (0..all).map(|_| evserve.connect()).collect();
        let warning = evserve.wait_for_log(&format!("cannot watch descriptor {limit}"));
        assert!(warning.contains("--model poll and epoll"), "{warning}");
        let (mut served, mut refused) = (0, 0);
        for client in &mut clients {
            let mut stream = client.stream();
            // A client that was refused may learn it only when it sends.
            let sent = stream.write_all(b"GET /1024 HTTP/1.1\r\nHost: h\r\n\r\n");
            match sent.and_then(|()| stream.read(&mut [0; 1])) {
                Ok(1) => served += 1,
                Ok(_) => refused += 1,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => refused += 1,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            (limit - 24..limit).contains(&served),
            "{served} were served"
        );
        assert_eq!(served + refused, all);
        drop(clients);
        assert_eq!(evserve.get("/1").status, 200);
        let log = evserve.stop().log;
        assert_eq!(log.matches("cannot watch descriptor").count(), 1, "{log}");
        assert!(
            log.contains(&format!("{refused} connections were closed")),
            "{log}"
        );
    });
}

/// The states of all child processes of `parent`.
fn children(parent: u32) -> Vec<char> {
    let processes = read_dir("/proc").expect("proc").filter_map(Result::ok);
    let stats = processes.filter_map(|entry| read_to_string(entry.path().join("stat")).ok());
    let fields = stats.filter_map(|stat| {
        let after_name = stat.rsplit_once(')')?.1.to_owned();
        let mut fields = after_name.split_whitespace();
        let state = fields.next()?.chars().next()?;
        (fields.next()? == parent.to_string()).then_some(state)
    });
    fields.collect()
}

#[test]
fn forking_keeps_max_children_and_loses_no_response() {
    let root = tree();
    let mut evserve = Evserve::http("forking", root.path(), &["--access-log", "off"]);
    let address = evserve.address();
    let (most, done) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let id = evserve.id();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                most.fetch_max(children(id).len() as u64, Relaxed);
            }
        });
        let clients: Vec<_> = (0..200)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    client.send("GET /40000 HTTP/1.1\r\nHost: h\r\n\r\n");
                    assert!(client.response().body == pattern(40_000));
                    // It stays until all processes are in use, so that later clients have to wait.
                    let end = Instant::now() + PATIENCE;
                    while most.load(Relaxed) < 40 && Instant::now() < end {
                        thread::sleep(Duration::from_millis(5));
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("an answer");
        }
        done.store(true, Relaxed);
    });
    assert_eq!(most.load(Relaxed), 40, "children at once");
    evserve.wait_for_log("clients wait: all 40 processes are in use");
    let end = Instant::now() + PATIENCE;
    while !children(id).is_empty() {
        assert!(Instant::now() < end, "zombies: {:?}", children(id));
    }
    let log = evserve.stop().log;
    assert!(
        log.contains("served 200 requests on 200 connections"),
        "{log}"
    );
}

#[test]
fn a_slow_reader_of_a_large_file_delays_no_other_client() {
    let root = tree();
    let large = std::fs::File::create(root.path().join("large")).expect("made");
    large.set_len(100 << 20).expect("sparse");
    on_every_concurrent_model(|model| {
        // One request each: while clients wait for a process, a connection ends with its next
        // response.
        let few = match row(model).executor {
            Executor::Process => limited_to(model, 60),
            _ => Vec::new(),
        };
        let program = Program::model(model, "--listen 127.0.0.1:0 --access-log off");
        let evserve = program.args(few).arg(root.path()).start();
        let mut slow = evserve.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(slow.head().status, 200);
        let address = evserve.address();
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    for last in [false, false, false, true] {
                        let connection = if last { "close" } else { "keep-alive" };
                        client.send(format!(
                            "GET /1024 HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n"
                        ));
                        assert!(client.response().body == pattern(1024));
                    }
                });
            }
        });
        assert_eq!(slow.rest().len(), 100 << 20);
    });
}

/// Sends one request after the other until the server is gone, and counts the responses. A
/// connection without any response byte was not accepted, or its request was not read.
fn ask_until_it_ends(address: SocketAddr, keep: bool, answered: &AtomicU64) {
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET /40000 HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
    while let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        loop {
            if stream.write_all(request.as_bytes()).is_err() {
                break;
            }
            let mut answer = Vec::new();
            while !answer.ends_with(&pattern(40_000)[39_000..]) {
                let mut some = [0; 65536];
                match stream.read(&mut some) {
                    Ok(count) if count > 0 => answer.extend_from_slice(&some[..count]),
                    result => {
                        let silent = matches!(&result, Ok(0))
                            || result.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
                        assert!(
                            silent && answer.is_empty(),
                            "cut off after {} bytes",
                            answer.len()
                        );
                        break;
                    }
                }
            }
            if answer.is_empty() {
                break;
            }
            answered.fetch_add(1, Relaxed);
            if !keep || answer.windows(17).any(|w| w == b"Connection: close") {
                break;
            }
        }
    }
}

#[test]
fn shutdown_under_load_answers_every_request_that_was_read() {
    let root = tree();
    on_every_model(|model| {
        let mut evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let (address, id) = (evserve.address(), evserve.id());
        let answered = &AtomicU64::new(0);
        let ended = thread::scope(|scope| {
            let ask = move |number| ask_until_it_ends(address, number % 2 == 0, answered);
            let clients: Vec<_> = (0..16)
                .map(|number| scope.spawn(move || ask(number)))
                .collect();
            let begun = Instant::now();
            while answered.load(Relaxed) < 100 {
                assert!(begun.elapsed() < PATIENCE, "{model}: hardly any response");
                thread::yield_now();
            }
            let start = Instant::now();
            evserve.terminate();
            let ended = evserve.wait();
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "beyond the drain time"
            );
            for client in clients {
                client.join().expect("whole answers");
            }
            ended
        });
        assert!(ended.status.success(), "{}", ended.log);
        assert!(!ended.log.contains("cut off"), "{}", ended.log);
        assert!(
            children(id).is_empty() && !std::path::Path::new(&format!("/proc/{id}/task")).exists()
        );
    });
}

#[test]
fn workers_share_a_port_with_no_other_process() {
    let root = tree();
    on_every_loop(|model| {
        let mut evserve = Evserve::http(model, root.path(), &["--workers", "3"]);
        for _ in 0..60 {
            assert_eq!(evserve.get("/1").body, pattern(1));
        }
        let tasks = read_dir(format!("/proc/{}/task", evserve.id())).expect("it runs");
        let is_own = |task: &std::fs::DirEntry| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            // The kernel's threads for io_uring(7) have names of their own.
            name.is_ok_and(|name| !name.starts_with("iou-"))
        };
        let own = tasks.flatten().filter(is_own).count();
        assert_eq!(own, 3);
        let address = evserve.address().to_string();
        let second = Program::model(model, "--workers 2 --listen").arg(address);
        assert!(second.fails(1).contains("in use"));
        evserve.terminate();
        let ended = evserve.wait();
        assert!(
            ended.log.contains("served 60 requests on 60 connections"),
            "{}",
            ended.log
        );
    });
}

/// A keep-alive request costs a receive, a send, and at most one wait. io_uring(7) receives and
/// sends in the wait.
#[test]
fn the_summary_counts_requests_and_system_calls() {
    let root = tree();
    on_every_model(|model| {
        // They may change the figures.
        let has_more_options = more_options(model).is_some();
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let mut client = evserve.connect();
        for _ in 0..1000 {
            client.send("GET /1024 HTTP/1.1\r\nHost: h\r\n\r\n");
            if client.response().field("Connection") == Some("close") {
                client = evserve.connect();
            }
        }
        drop(client);
        let log = evserve.stop().log;
        let line = log
            .lines()
            .find(|line| line.contains("per request"))
            .expect(&log);
        assert!(line.contains(&format!("model {model}: ")), "{line}");
        let (before, _) = line.split_once(" per request").expect(line);
        let per_request = before
            .rsplit(' ')
            .next()
            .and_then(|figure| figure.parse().ok());
        let per_request: f64 = per_request.expect(line);
        let (least, most) = match row(model).executor {
            _ if serves_one_at_a_time(model) => (3.0, 9.1), // A connection per request.
            Executor::Loop if has_more_options => (0.0, 4.1),
            Executor::Loop if is_completion_model(model) => (1.0, 1.1),
            Executor::Loop => (3.0, 3.1),
            // The runtime saves a wait where the next request has come already.
            Executor::Task => (2.0, 3.1),
            _ => (2.0, 2.1),
        };
        assert!((least..=most).contains(&per_request), "{line}");
        let completions = line.split_once(" completions").map(|(before, _)| {
            let number = before.rsplit(' ').next().expect(line).replace(',', "");
            number.parse::<u64>().expect(line)
        });
        match is_completion_model(model) {
            true if has_more_options => assert!(completions.is_some(), "{line}"),
            // Sends report only failure.
            true => assert!((1000..=1100).contains(&completions.expect(line)), "{line}"),
            false => assert_eq!(completions, None, "{line}"),
        }
    });
}

/// The CPU time of all threads of a process in clock ticks (proc(5)).
fn ticks(id: u32) -> u64 {
    let stat = read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum()
}

#[test]
fn an_idle_server_uses_no_cpu() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--idle-timeout", "1h"]);
        assert_eq!(evserve.get("/1").status, 200);
        let idle: Vec<_> = (0..20).map(|_| evserve.connect()).collect();
        // Once another client was served, the work of those connections is done. `blocking` serves
        // the first of them endlessly.
        if !serves_one_at_a_time(model) {
            assert_eq!(evserve.get("/1").status, 200);
        }
        if std::env::var("EVSERVE_OPTIONS").is_ok_and(|all| all.contains("--uring-sqpoll")) {
            // A thread of the kernel looks for requests all the time.
            return;
        }
        let before = ticks(evserve.id());
        thread::sleep(Duration::from_millis(300));
        let used = ticks(evserve.id()) - before;
        assert!(
            used <= 1,
            "{model} used {used} ticks while nothing happened"
        );
        drop(idle);
    });
}

#[test]
fn children_do_not_outlive_their_parent() {
    let root = tree();
    let evserve = Evserve::http("forking", root.path(), &["--idle-timeout", "1h"]);
    let mut client = evserve.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 200);
    evserve.signal(rustix::process::Signal::KILL);
    client.wait_for_close();
}
