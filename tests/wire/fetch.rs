//! Clients: the sessions of `evserve::client` over every poller and on a thread, and the examples
//! `fetch` and `echo_client` against servers that do what they should, and what they should not.

use crate::common::{Evserve, PATIENCE, Program};
use evserve::client::{Exchanges, Failure, Get, HttpClient};
use evserve::http1::ReceivedHead;
use evserve::model::{ClientLoop, ClientThread};
use evserve::poller::{EdgeEpoll, Epoll, LevelEpoll, Poll, Poller, Select};
use evserve::session::{Session, TimeLimits};
use evserve::uring::Ring;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How `fetch` is told to run, and with how many connections.
const WAYS: [&str; 2] = ["--connections", "--threads"];

fn slow(delay_ms: u32) -> Evserve {
    let program = Program::example("slow");
    program.args(["127.0.0.1:0", &delay_ms.to_string()]).start()
}

/// Runs `fetch`. Returns its exit code, its standard output and error.
fn fetch(into: &Path, options: &[&str], urls: &[String]) -> (Option<i32>, String, String) {
    let program = Program::example("fetch").args(["--into"]).arg(into);
    let output = program.args(options).args(urls).output();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The names and contents in a folder, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("text");
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    files.sort_unstable();
    files
}

/// The number before `name` in the summary.
fn figure(summary: &str, before: &str) -> u64 {
    let end = summary.find(before).expect("a figure");
    let number = summary[..end].trim_end().rsplit(' ').next();
    number.and_then(|text| text.parse().ok()).expect("a number")
}

/// The file of a number, as tests/programs/slow.rs makes it.
fn content(number: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(number * 7919 % 7900).expect("small");
    let line = format!("{number} {}\n", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    line.bytes().cycle().take(length).collect()
}

#[test]
fn a_thousand_files_from_one_thread_and_from_64() {
    let server = slow(10);
    let urls: Vec<_> = (0..1000).map(|n| server.url(&format!("/{n}"))).collect();
    let mut memory = Vec::new();
    for way in WAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let options = [way, "64", "--per-host", "64"];
        let (code, said, errors) = fetch(folder.path(), &options, &urls);
        assert_eq!((code, &*errors), (Some(0), ""), "{way}");
        assert!(said.starts_with("1000 files, "), "{said}");
        assert_eq!(figure(&said, " connections"), 64, "they are used again");
        let found = files(folder.path());
        assert_eq!(found.len(), 1000, "{way}");
        for (name, bytes) in found {
            let number = name.parse().expect("a number");
            assert!(bytes == content(number), "{way}: {name}");
        }
        let peak = said.rsplit("peak memory ").next().expect("a figure");
        let peak = peak
            .split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        memory.push(peak.expect("a number"));
    }
    assert!(
        memory[0] < memory[1],
        "64 threads take more: {memory:?} KiB"
    );
}

/// Each fault has a message of its own, the others are fetched, and nothing half-written is left.
#[test]
fn servers_that_lie_end_in_a_clear_message() {
    let server = slow(1);
    let faults = [
        (
            "short",
            "the server closed the connection, after 5 of 100 bytes",
        ),
        (
            "long",
            "more bytes came than the response has by its own account",
        ),
        (
            "head",
            "the server closed the connection, in the head of the response",
        ),
        (
            "nothing",
            "the server closed the connection, before the response",
        ),
        ("nonsense", "what came is not a response of HTTP/1.1 or 1.0"),
        (
            "stall",
            "less than 4 KiB came in the time allowed, after 6 of 100 bytes",
        ),
        (
            "reset",
            "reset by peer (os error 104), after 6 of 100 bytes",
        ),
        ("bad-chunks", "the chunks are malformed"),
        (
            "cut-chunks",
            "the server closed the connection, after 6 bytes",
        ),
        ("gzip", "a transfer coding other than chunked"),
        ("twice", "Content-Length or Transfer-Encoding is malformed"),
        ("interim", "an interim response"),
        ("fields", "the head is too long"),
        ("moved", "301 to /1, which is not followed"),
        ("missing", "404 Not Found"),
    ];
    let whole = [
        ("chunks", "chunked"),
        ("close", "until the end"),
        ("early", "early"),
        ("empty", ""),
        ("last", "last"),
    ];
    let names = faults.iter().chain(&whole).map(|(name, _)| name);
    let mut urls: Vec<_> = names.map(|name| server.url(&format!("/{name}"))).collect();
    urls.insert(7, "http://127.0.0.1:1/refused".into());
    for way in WAYS {
        for connections in ["1", "30"] {
            let folder = tempfile::tempdir().expect("a folder");
            let options = [way, connections, "--per-host", "30", "--timeout", "1"];
            let (code, said, errors) = fetch(folder.path(), &options, &urls);
            let context = format!("{way} {connections}: {errors}");
            assert_eq!(code, Some(1), "{context}");
            assert_eq!(errors.lines().count(), faults.len() + 1, "{context}");
            for (name, message) in faults {
                let line = errors
                    .lines()
                    .find(|line| line.contains(&format!("/{name}: ")));
                assert!(line.expect(&context).contains(message), "{name}: {context}");
            }
            assert!(errors.contains("/refused: Connection refused"), "{context}");
            assert_eq!(figure(&said, " failed"), faults.len() as u64 + 1);
            let expected = whole.map(|(name, text)| (name.into(), text.into()));
            assert_eq!(files(folder.path()), expected, "{context}");
        }
    }
}

/// A server may close a connection just when the next request is sent. That is no failure.
#[test]
fn a_request_on_a_connection_that_was_closed_is_repeated() {
    let server = slow(1);
    let urls: Vec<_> = (0..9)
        .map(|n| server.url(&format!("/silently?{n}")))
        .collect();
    for way in WAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, said, errors) = fetch(folder.path(), &[way, "2"], &urls);
        assert_eq!((code, &*errors), (Some(0), ""), "{way}");
        let found = files(folder.path());
        assert!(found.len() == 9 && found.iter().all(|(_, bytes)| bytes == b"silently"));
        assert!(
            figure(&said, " connections") >= 9,
            "each is used once: {said}"
        );
    }
}

/// The names are safe, and what is there stays.
#[test]
fn no_file_is_replaced_and_none_is_outside_the_folder() {
    let server = slow(1);
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("in");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("7"), "mine").expect("written");
    let paths = [
        "/..",
        "/x/..%2f..%2f5",
        "/.profile",
        "/7",
        "/a/8",
        "/b/8",
        "/",
    ];
    let mut urls: Vec<_> = paths.map(|path| server.url(path)).into();
    urls.extend([
        "https://a/".into(),
        "http://a b/".into(),
        "http://h/ x".into(),
    ]);
    let (code, _, errors) = fetch(&folder, &[], &urls);
    assert_eq!(code, Some(1));
    for part in [
        "/in/7 exists; it is not replaced",
        "/b/8: its file 8 is already that of http",
        "https://a/: only http is supported",
        "http://a b/: there is no such host or port",
        "http://h/ x: it is too long, or has characters that must be percent-encoded",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert_eq!(errors.lines().count(), 5, "{errors}");
    let names: Vec<_> = files(&folder).into_iter().map(|(name, _)| name).collect();
    let expected = ["..%2f..%2f5", "7", "8", "__", "_profile", "index.html"];
    let expected = expected.map(|name| name.replace("..%2f..%2f5", "___2f.._2f5"));
    let mut expected = Vec::from(expected);
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(std::fs::read(folder.join("7")).expect("a file"), b"mine");
    assert_eq!(
        std::fs::read_dir(outer.path()).expect("a folder").count(),
        1
    );
}

/// A listener whose backlog is full lets connections wait.
#[test]
fn a_connection_that_is_not_made_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    rustix::net::listen(&listener, 0).expect("it listens");
    let address = listener.local_addr().expect("an address");
    // The backlog has room for one more than it is said to.
    let queued = TcpStream::connect(address).expect("queued");
    let urls: Vec<_> = (0..20).map(|n| format!("http://{address}/{n}")).collect();
    for way in WAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, said, errors) = fetch(
            folder.path(),
            &[way, "4", "--connect-timeout", "0.2"],
            &urls,
        );
        assert_eq!(code, Some(1));
        let is_late = |line: &&str| line.ends_with(": no answer in time, while connecting");
        assert_eq!(errors.lines().filter(is_late).count(), 20, "{errors}");
        // No file waits for a timeout of its own.
        assert!(figure(&said, " connections") <= 8, "{said}");
    }
    drop(queued);
}

/// `localhost` may stand for an address at which nobody listens, too.
#[test]
fn the_next_address_of_a_host_is_tried() {
    let server = slow(1);
    let url = format!("http://localhost:{}/3", server.address().port());
    for way in WAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, _, errors) = fetch(folder.path(), &[way, "3"], std::slice::from_ref(&url));
        assert_eq!((code, &*errors), (Some(0), ""));
        assert_eq!(files(folder.path()), [("3".into(), content(3))]);
    }
}

#[test]
fn wrong_command_lines_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    for (options, message) in [
        (&[][..], "which URLs?"),
        (
            &["--threads", "0"],
            "--threads 0: not a number that makes sense",
        ),
        (
            &["--timeout", "-1"],
            "--timeout -1: not a number that makes sense",
        ),
        (&["--wrong", "1"], "there is no option --wrong"),
        (&["--threads"], "--threads needs a value"),
        (&["--from", "/nowhere"], "/nowhere: No such file"),
    ] {
        let (code, _, errors) = fetch(folder.path(), options, &[]);
        assert_eq!(code, Some(2));
        assert!(errors.contains(message), "{errors}");
    }
    let urls = ["http://a/".into()];
    let (code, _, errors) = fetch(Path::new("/nowhere"), &[], &urls);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("--into must name a folder that exists"),
        "{errors}"
    );
}

#[test]
fn echo_client() {
    let server = Evserve::echo("epoll", &[]);
    let long = format!("{}\n", "long ".repeat(8_000));
    for said in ["", "hello\n", "one\ntwo\nno end", &long] {
        let program = Program::example("echo_client").arg(server.address().to_string());
        let mut client = program.stdin(std::process::Stdio::piped()).spawn();
        client.write_stdin(said.as_bytes());
        let ended = client.wait();
        assert!(ended.status.success(), "{}", ended.log);
        assert!(ended.access_log == said, "{}", ended.access_log.len());
    }
    server.stop();
    let refused = Program::example("echo_client").arg("127.0.0.1:1");
    assert!(refused.fails(1).contains("Connection refused"));
}

#[test]
fn help_is_no_mistake() {
    for (example, begin) in [
        ("fetch", "fetch [OPTIONS] --into FOLDER"),
        ("echo_client", "echo_client [ADDRESS]"),
    ] {
        for option in ["-h", "--help"] {
            let output = Program::example(example).arg(option).output();
            let said = String::from_utf8(output.stdout).expect("text");
            assert!(output.status.success() && said.starts_with(begin), "{said}");
            assert!(output.stderr.is_empty(), "{example} {option}");
        }
    }
    let said = Program::example("echo_client").arg("--unknown").fails(2);
    assert!(said.contains("echo_client [ADDRESS]"), "{said}");
}

/// What came, by target.
type Got = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Gets the targets, one after the other.
struct Targets {
    wanted: Vec<&'static str>,
    current: Vec<u8>,
    target: &'static str,
    got: Got,
}

impl Exchanges for Targets {
    fn request(&mut self) -> Option<Get> {
        self.target = self.wanted.pop()?;
        Get::new("h", self.target)
    }

    fn head(&mut self, head: &ReceivedHead<'_>) {
        assert_eq!(head.status, 200);
    }

    fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        self.current.write_all(piece)
    }

    fn complete(&mut self) {
        let content = std::mem::take(&mut self.current);
        let mut got = self.got.lock().expect("no panic");
        got.push((self.target.into(), content));
    }

    fn failed(&mut self, failure: Failure) {
        let mut got = self.got.lock().expect("no panic");
        got.push((failure.to_string(), Vec::new()));
    }
}

const TARGETS: [&str; 2] = ["/style.css", "/index.html"];

fn session(got: &Got) -> Box<dyn Session> {
    let targets = Targets {
        wanted: TARGETS.into(),
        current: Vec::new(),
        target: "",
        got: got.clone(),
    };
    Box::new(HttpClient::new(targets, 1 << 20))
}

fn limits() -> TimeLimits {
    TimeLimits::from_fn(|_| Some(PATIENCE))
}

/// Checks what has come over `connections` connections, and that each refused one has failed.
fn check(got: &Got, connections: usize, name: &str) {
    let got = got.lock().expect("no panic");
    for target in TARGETS {
        let file = std::fs::read(format!("docs/site{target}")).expect("it exists");
        let is_it = |(one, content): &&(String, Vec<u8>)| one == target && *content == file;
        assert_eq!(got.iter().filter(is_it).count(), connections, "{name}");
    }
    let is_refused = |(one, _): &&(String, _)| one.contains("refused");
    assert_eq!(got.iter().filter(is_refused).count(), 1, "{name}: {got:?}");
}

fn nobody() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 1).into()
}

fn run_over<P: Poller>(name: &str, server: &Evserve) {
    let got = Got::default();
    let mut clients = ClientLoop::<P>::new(&limits()).expect("a loop");
    for _ in 0..50 {
        clients
            .connect(&server.address(), session(&got))
            .expect("watched");
    }
    clients.connect(&nobody(), session(&got)).expect("watched");
    while !clients.is_empty() {
        clients.turn().expect("it goes on");
    }
    let counters = clients.worker().counters;
    assert_eq!(counters.send_calls, 100, "{name}: each request by one call");
    assert_eq!(clients.worker().pool.lent(), 0, "{name}");
    check(&got, 50, name);
    // What is left when the loop ends is told.
    let left = Got::default();
    clients
        .connect(&server.address(), session(&left))
        .expect("watched");
    drop(clients);
    assert_eq!(left.lock().expect("no panic").len(), 1, "{name}");
}

#[test]
fn a_client_runs_over_every_poller_and_on_a_thread() {
    let server = Program::evserve("docs/site --listen 127.0.0.1:0").start();
    run_over::<Epoll>("epoll", &server);
    run_over::<EdgeEpoll>("epoll, edge-triggered", &server);
    run_over::<LevelEpoll>("epoll, level-triggered", &server);
    run_over::<Poll>("poll", &server);
    run_over::<Select>("select", &server);
    run_over::<Ring>("io-uring", &server);
    let got = Got::default();
    let mut client = ClientThread::new(&limits());
    for address in [server.address(), nobody(), server.address()] {
        client.run(&address, session(&got));
    }
    check(&got, 2, "a thread");
    server.stop();
}
