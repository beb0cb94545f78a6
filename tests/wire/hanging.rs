//! A file system that hangs: a FUSE mount whose server process is stopped.
//!
//! Needs /dev/fuse and python3-fusepy, which `tests/run` installs; `cargo test` ignores these
//! tests.

use crate::common::{
    Client, Evserve, Response, is_missing, limited_to, on_every_concurrent_model, on_every_loop,
    on_every_model, pattern, row, serves_one_at_a_time, skip,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Too large for memory and for one call.
const BIG: usize = 1_500_000;

/// A root with a file of its own, and a mount below it that can be made to hang.
struct HangingMount {
    directory: tempfile::TempDir,
    /// Its end unmounts. The program also unmounts by itself if the test is killed.
    mirror: Child,
    answering: Pid,
}

/// Returns true, and skips the test, if no directory can be mirrored here.
fn is_without_fuse() -> bool {
    if !Path::new("/dev/fuse").exists() {
        skip(
            "fuse",
            "there is no /dev/fuse (docker run --device /dev/fuse --cap-add SYS_ADMIN)",
        );
        return true;
    }
    let import = Command::new("/usr/bin/python3")
        .args(["-c", "import fusepy"])
        .output();
    let has_fusepy = import.is_ok_and(|output| output.status.success());
    if !has_fusepy {
        skip("fusepy", "python3-fusepy is not installed");
    }
    !has_fusepy || is_missing("fusermount")
}

impl HangingMount {
    /// Mounts at `at`, in a directory that contains `root`.
    fn new(at: &str) -> HangingMount {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in [at, "mirrored/folder"] {
            std::fs::create_dir_all(path(name)).expect("made");
        }
        if at != "root" {
            std::fs::write(path("root/local"), "local").expect("written");
        }
        for (name, length) in [("small", 1000), ("big", BIG), ("folder/one", 1)] {
            std::fs::write(path("mirrored").join(name), pattern(length)).expect("written");
        }
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/mirror.py");
        let mut mirror = Command::new("/usr/bin/python3")
            .arg(program)
            .args([path("mirrored"), path(at)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut line = String::new();
        let stdout = mirror.stdout.take().expect("piped");
        let said = BufReader::new(stdout).read_line(&mut line);
        let id = said.ok().and_then(|_| line.trim().parse().ok());
        HangingMount {
            directory,
            mirror,
            answering: id.and_then(Pid::from_raw).expect(
                "FUSE can be mounted: /dev/fuse is there, and python3-fusepy (docker run --device \
                 /dev/fuse --cap-add SYS_ADMIN)",
            ),
        }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Waits until the server has closed its files on the mount. A thread that closes one while the
    /// file system hangs cannot even be killed (`fuse_flush` in the kernel).
    fn wait_until_files_are_closed(&self, evserve: &Evserve) {
        let is_there = |path: PathBuf| {
            let file = std::fs::read_link(path).unwrap_or_default();
            file.to_string_lossy().contains("/remote/")
        };
        let has_open = || {
            let all = std::fs::read_dir(format!("/proc/{}/fd", evserve.id()));
            all.expect("it runs")
                .flatten()
                .any(|fd| is_there(fd.path()))
        };
        while has_open() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Requests are answered in order, so earlier closes are done by then.
        for _ in 0..10 {
            std::fs::metadata(self.root().join("remote/small")).expect("it is there");
        }
    }

    fn hang(&self) {
        kill_process(self.answering, Signal::STOP).expect("it runs");
    }

    fn resume(&self) {
        kill_process(self.answering, Signal::CONT).expect("it runs");
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        drop(self.mirror.stdin.take());
        let _ = self.mirror.wait();
    }
}

fn serve(model: &str, root: &Path, options: &[&str]) -> Evserve {
    let always = ["--drain-timeout", "300ms", "--access-log", "off"];
    Evserve::http(model, root, &[&always, options].concat())
}

/// A client that has sent a request and waits.
fn waiting_client(evserve: &Evserve, path: &str) -> Client {
    let mut client = evserve.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

/// True if a client has received nothing.
fn has_nothing(client: &Client) -> bool {
    let mut stream = client.stream();
    stream.set_nonblocking(true).expect("a socket");
    let result = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

const ON_THE_MOUNT: [&str; 5] = [
    "/remote/small",
    "/remote/big",
    "/remote/",
    "/remote/folder/",
    "/remote/none",
];

fn is_right(path: &str, answer: &Response) {
    match path {
        "/remote/small" => assert_eq!(answer.body, pattern(1000)),
        "/remote/big" => assert!(answer.body == pattern(BIG), "{}", answer.head),
        "/remote/none" => assert_eq!(answer.status, 404),
        "/remote/folder/" => assert!(String::from_utf8_lossy(&answer.body).contains("one")),
        _ => assert!(String::from_utf8_lossy(&answer.body).contains("small")),
    }
}

#[test]
#[ignore = "needs FUSE"]
fn only_requests_for_its_files_wait() {
    if is_without_fuse() {
        return;
    }
    on_every_model(|model| {
        let world = HangingMount::new("root/remote");
        // Twice as many connections as clients that request the hanging files.
        let room = limited_to(model, 64);
        let room: Vec<_> = room.iter().map(String::as_str).collect();
        let evserve = serve(model, &world.root(), &room);
        for _ in 0..2 {
            for path in ON_THE_MOUNT {
                is_right(path, &evserve.get(path));
            }
            assert_eq!(evserve.get("/local").body, b"local");
            let range = "GET /remote/big HTTP/1.1\r\nHost: h\r\nRange: bytes=9-19,1000000-\r\n\r\n";
            let mut client = evserve.connect();
            client.send(range);
            assert_eq!(client.response().status, 206);
        }
        if serves_one_at_a_time(model) {
            return;
        }
        world.hang();
        let mut waiting: Vec<_> = ON_THE_MOUNT
            .iter()
            .chain(&ON_THE_MOUNT)
            .map(|path| (*path, waiting_client(&evserve, path)))
            .collect();
        let mut client = evserve.connect();
        for _ in 0..50 {
            assert_eq!(evserve.get("/local").body, b"local", "{model}");
            client.send("GET /local HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().body, b"local", "{model}");
            assert_eq!(evserve.get("/none").status, 404, "{model}");
        }
        assert!(waiting.iter().all(|(_, client)| has_nothing(client)));
        world.resume();
        for (path, client) in &mut waiting {
            is_right(path, &client.response());
        }
    });
}

/// A listing of the root reads the mount's metadata too.
#[test]
#[ignore = "needs FUSE"]
fn only_listings_of_its_parent_wait() {
    if is_without_fuse() {
        return;
    }
    on_every_concurrent_model(|model| {
        let world = HangingMount::new("root/remote");
        let evserve = serve(model, &world.root(), &[]);
        world.hang();
        let mut listing = waiting_client(&evserve, "/");
        for _ in 0..50 {
            assert_eq!(evserve.get("/local").body, b"local", "{model}");
        }
        world.resume();
        let page = String::from_utf8(listing.response().body).expect("a page");
        assert!(page.contains("remote") && page.contains("local"), "{page}");
    });
}

#[test]
#[ignore = "needs FUSE"]
fn a_hanging_root_delays_no_other_service() {
    if is_without_fuse() {
        return;
    }
    on_every_model(|model| {
        if row(model).isolated_because.is_some() {
            return;
        }
        let world = HangingMount::new("root");
        let root = world.root();
        let root = root.to_str().expect("a path in UTF-8");
        let listen = "--mode http --listen http=127.0.0.1:0 --mode echo --listen echo=127.0.0.1:0";
        let listen: Vec<_> = listen.split(' ').collect();
        let evserve = Evserve::start(model, &[&listen[..], &[root]].concat());
        assert_eq!(evserve.get("/small").body, pattern(1000));
        assert!(evserve.get("/big").body == pattern(BIG));
        world.hang();
        let mut waiting = [
            waiting_client(&evserve, "/small"),
            waiting_client(&evserve, "/big"),
        ];
        for _ in 0..20 {
            let mut echo = Client::connect(evserve.addresses[1]);
            echo.send("hello");
            assert_eq!(echo.read(5), b"hello", "{model}");
        }
        world.resume();
        assert_eq!(waiting[0].response().body, pattern(1000));
        assert!(waiting[1].response().body == pattern(BIG));
    });
}

/// The file hangs after the response has begun.
#[test]
#[ignore = "needs FUSE"]
fn a_file_that_hangs_during_its_transfer_delays_no_other() {
    if is_without_fuse() {
        return;
    }
    on_every_concurrent_model(|model| {
        let world = HangingMount::new("root/remote");
        let huge = world.directory.path().join("mirrored/huge");
        let length = 64 << 20;
        let file = std::fs::File::create(&huge).expect("made");
        file.set_len(length).expect("long");
        let evserve = serve(model, &world.root(), &[]);
        let mut clients: Vec<_> = (0..8)
            .map(|_| waiting_client(&evserve, "/remote/huge"))
            .collect();
        for client in &mut clients {
            assert_eq!(client.head().status, 200);
            client.read(1 << 20);
        }
        world.hang();
        // Each client takes what was read before, and waits for more.
        let mut stuck = waiting_client(&evserve, "/remote/huge");
        for _ in 0..20 {
            assert_eq!(evserve.get("/local").body, b"local", "{model}");
        }
        drop(clients.split_off(4));
        world.resume();
        for client in &mut clients {
            client.read((length as usize) - (1 << 20));
        }
        assert_eq!(stuck.head().status, 200);
    });
}

/// However it hangs, the server ends: after the drain timeout, and at once after a second signal.
#[test]
#[ignore = "needs FUSE"]
fn the_server_stops_while_it_hangs() {
    if is_without_fuse() {
        return;
    }
    on_every_model(|model| {
        for signals in [1, 2] {
            let world = HangingMount::new("root/remote");
            let drain = if signals == 1 { "300ms" } else { "1h" };
            let options = ["--drain-timeout", drain, "--access-log", "off"];
            let mut evserve = Evserve::http(model, &world.root(), &options);
            for path in ON_THE_MOUNT {
                is_right(path, &evserve.get(path));
            }
            world.wait_until_files_are_closed(&evserve);
            let before = descriptors(&evserve);
            world.hang();
            let _asking: Vec<_> = ON_THE_MOUNT
                .iter()
                .map(|path| waiting_client(&evserve, path))
                .collect();
            match serves_one_at_a_time(model) {
                // A server without a client would stop at once.
                true => while descriptors(&evserve) <= before {},
                false => assert_eq!(evserve.get("/local").body, b"local", "{model}"),
            }
            for number in 0..signals {
                if number > 0 {
                    evserve.wait_for_log("stopping");
                }
                evserve.terminate();
            }
            let ended = evserve.wait();
            assert!(ended.status.success(), "{model}: {}", ended.log);
        }
    });
}

/// How many descriptors a server has open.
fn descriptors(evserve: &Evserve) -> usize {
    let all = std::fs::read_dir(format!("/proc/{}/fd", evserve.id()));
    all.expect("it runs").count()
}

/// In a loop, both the time that a request waits and the number of waiting requests are bounded.
#[test]
#[ignore = "needs FUSE"]
fn requests_that_wait_too_long_get_503() {
    if is_without_fuse() {
        return;
    }
    on_every_loop(|model| {
        let world = HangingMount::new("root/remote");
        let evserve = serve(model, &world.root(), &["--file-timeout", "2s"]);
        is_right("/remote/small", &evserve.get("/remote/small"));
        let before = descriptors(&evserve);
        world.hang();
        let mut waiting: Vec<_> = (0..300)
            .map(|_| waiting_client(&evserve, "/remote/small"))
            .collect();
        drop(waiting.split_off(290));
        assert_eq!(evserve.get("/local").body, b"local");
        for client in &mut waiting {
            assert_eq!(client.response().status, 503, "{model}");
            client.wait_for_close();
        }
        world.resume();
        // It gets 503 as long as many requests wait.
        while evserve.get("/remote/small").status == 503 {}
        is_right("/remote/small", &evserve.get("/remote/small"));
        is_right("/remote/big", &evserve.get("/remote/big"));
        drop(waiting);
        // Other threads close the files later.
        while descriptors(&evserve) > before {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}
