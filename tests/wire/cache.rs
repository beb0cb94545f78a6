//! Cached files are never older than the request, and deleted files are not kept open.

use crate::common::{
    Client, Evserve, is_loop, number, on_every_loop, on_every_model, serves_one_at_a_time, skip,
};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many changes an ordinary run makes under each model. `EVSERVE_CHANGES=100000` makes more.
const CHANGES: u64 = 1500;

/// How many of them under the default model.
const MOST_CHANGES: u64 = 10_000;

/// A file that changes in every possible way, and the expected response.
struct ChangingFile {
    root: PathBuf,
    random: fastrand::Rng,
    count: u64,
    content: Option<Vec<u8>>,
    compressed: Option<Vec<u8>>,
}

impl ChangingFile {
    fn path(&self) -> PathBuf {
        self.root.join("d/f.txt")
    }

    fn new_content(&mut self) -> Vec<u8> {
        self.count += 1;
        // Small files are kept in memory, large ones are kept open.
        let length = match self.random.u8(..10) {
            0 => 300_000,
            1 => 20_000,
            _ => self.random.usize(8..50),
        };
        let mut content = format!("{:08}", self.count).into_bytes();
        content.resize(length, b'.');
        content
    }

    fn change(&mut self) {
        let path = self.path();
        let content = self.new_content();
        match self.random.u8(..9) {
            0 => fs::write(&path, &content).expect("rewritten in place"),
            1 | 2 => {
                let beside = self.root.join("beside");
                fs::write(&beside, &content).expect("written");
                fs::rename(&beside, &path).expect("renamed over it");
            }
            3 => {
                if self.content.take().is_some() {
                    fs::remove_file(&path).expect("removed");
                }
                return;
            }
            4 => {
                let Some(old) = &mut self.content else { return };
                old.truncate(8);
                let file = File::options().write(true).open(&path).expect("it exists");
                return file.set_len(8).expect("truncated");
            }
            5 => {
                let Some(old) = &mut self.content else { return };
                old.extend_from_slice(b"more");
                let file = File::options().append(true).open(&path);
                return file
                    .expect("it exists")
                    .write_all(b"more")
                    .expect("appended");
            }
            6 => {
                let (d, e) = (self.root.join("d"), self.root.join("e"));
                fs::rename(&d, &e).expect("moved");
                fs::create_dir(&d).expect("made");
                fs::write(&path, &content).expect("written");
                fs::remove_dir_all(&e).expect("removed");
                self.compressed = None;
            }
            7 => {
                let sibling = self.root.join("d/f.txt.gz");
                if self.compressed.take().is_some() {
                    return fs::remove_file(sibling).expect("removed");
                }
                fs::write(&sibling, &content).expect("written");
                let future = SystemTime::now() + Duration::from_secs(3600);
                let file = File::options()
                    .append(true)
                    .open(sibling)
                    .expect("it exists");
                file.set_modified(future).expect("touched");
                self.compressed = Some(content);
                return;
            }
            _ => {
                let Some(old) = &self.content else { return };
                // The length and mtime stay the same: only ctime differs.
                let mut other = old.clone();
                other[..8].copy_from_slice(&content[..8]);
                fs::write(&path, &other).expect("rewritten");
                let file = File::options().append(true).open(&path).expect("it exists");
                file.set_modified(UNIX_EPOCH).expect("touched");
                self.content = Some(other);
                return;
            }
        }
        self.content = Some(content);
    }

    /// Sends a request of some kind. The response must match the current file.
    fn check(&mut self, client: &mut Client, what: &str) {
        let accepts = self.random.bool();
        let fields = if accepts {
            "Accept-Encoding: gzip\r\n"
        } else {
            ""
        };
        let target = if self.random.bool() {
            "/d/f.txt"
        } else {
            "/d//%66.txt"
        };
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        let answer = client.response();
        let compressed = self.compressed.as_ref().filter(|_| accepts);
        match (&self.content, compressed) {
            (None, _) => assert_eq!(answer.status, 404, "{what}"),
            (Some(content), compressed) => {
                let expected = compressed.unwrap_or(content);
                assert_eq!(answer.status, 200, "{what}");
                assert!(answer.body == *expected, "{what}: stale");
                assert_eq!(
                    answer.field("Vary").is_some(),
                    self.compressed.is_some(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn no_response_is_stale() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("d")).expect("made");
        let evserve = Evserve::http(model, directory.path(), &["--access-log", "off"]);
        let mut changing = ChangingFile {
            root: directory.path().into(),
            random: fastrand::Rng::with_seed(7),
            count: 0,
            content: None,
            compressed: None,
        };
        let is_default = model == evserve::config::Config::default().model;
        let rounds = if is_default { MOST_CHANGES } else { CHANGES };
        let mut client = evserve.connect();
        for round in 0..number("EVSERVE_CHANGES").unwrap_or(rounds) {
            changing.change();
            if serves_one_at_a_time(model) || round % 7 == 0 {
                client = evserve.connect();
            }
            changing.check(&mut client, &format!("round {round}"));
            // A file that is requested again is watched, unless it changed within the last second.
            if !serves_one_at_a_time(model) && round % 50 == 0 {
                changing.check(&mut client, &format!("round {round}, again"));
            }
        }
        // The same with files that are old enough to be watched.
        for round in 0..2 {
            fs::write(changing.path(), b"settled!").expect("written");
            changing.content = Some(b"settled!".to_vec());
            std::thread::sleep(Duration::from_millis(1100));
            for _ in 0..3 {
                client = evserve.connect();
                changing.check(&mut client, &format!("settled {round}"));
            }
            changing.change();
            client = evserve.connect();
            changing.check(&mut client, &format!("changed after rest {round}"));
        }
    });
}

/// Two directories that can be exchanged. Their files are old enough to be watched.
fn places() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        fs::create_dir(directory.path().join(name)).expect("made");
        fs::write(directory.path().join(name).join("f"), name).expect("written");
    }
    std::thread::sleep(Duration::from_millis(1100));
    directory
}

fn swap(root: &std::path::Path) {
    let (a, b) = (root.join("a"), root.join("b"));
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).expect("swapped");
}

const GET: &[u8] = b"GET /a/f HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends many pipelined requests until `over` is set.
fn keep_busy(address: SocketAddr, over: &AtomicBool) {
    let mut client = Client::connect(address);
    while !over.load(Relaxed) {
        client.send(GET.repeat(20));
        (0..20).for_each(|_| drop(client.response()));
    }
}

/// However busy the loop is, a request sees every change made before it was sent.
#[test]
fn no_response_is_stale_under_load() {
    on_every_loop(|model| {
        let directory = places();
        let root = directory.path();
        let evserve = Evserve::http(model, root, &["--access-log", "off"]);
        let _idle: Vec<_> = (0..900).map(|_| evserve.connect()).collect();
        let (address, over) = (evserve.address(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(|| keep_busy(address, &over))));
            let mut client = evserve.connect();
            let mut now = "a";
            let stale = (0..600).filter(|_| {
                for _ in 0..3 {
                    client.send(GET);
                    client.response();
                }
                swap(root);
                now = if now == "a" { "b" } else { "a" };
                client.send(GET);
                client.response().body != now.as_bytes()
            });
            let stale = stale.count();
            over.store(true, Relaxed);
            assert_eq!(stale, 0, "{model}");
        });
    });
}

/// A connection over a Unix socket is accepted before its request comes, perhaps in the same turn.
#[test]
fn no_response_is_stale_over_a_unix_socket() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    let directory = places();
    let sockets = tempfile::tempdir().expect("a directory");
    let path = sockets.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let root = directory.path().to_str().expect("UTF-8");
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &listen,
        "--access-log",
        "off",
        root,
    ];
    let evserve = Evserve::start("epoll", &options);
    let (address, over) = (evserve.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(|| keep_busy(address, &over))));
        let mut now = "a";
        let stale = (0..1000).filter(|_| {
            for _ in 0..2 {
                evserve.get("/a/f");
            }
            let mut stream = UnixStream::connect(&path).expect("it listens");
            swap(directory.path());
            now = if now == "a" { "b" } else { "a" };
            let request = b"GET /a/f HTTP/1.0\r\n\r\n";
            stream.write_all(request).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("text");
            !answer.ends_with(now)
        });
        let stale = stale.count();
        over.store(true, Relaxed);
        assert_eq!(stale, 0);
    });
}

/// How many descriptors the server has for files of this name.
fn open_files(evserve: &Evserve, name: &str) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", evserve.id())).expect("it runs");
    let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    let has_name = |target: &PathBuf| target.to_string_lossy().contains(name);
    targets.filter(has_name).count()
}

/// A deleted file takes disk space while any process has it open.
#[test]
fn a_deleted_file_is_closed_at_once() {
    on_every_model(|model| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("large.bin");
        fs::write(&path, vec![0; 1 << 20]).expect("written");
        std::thread::sleep(Duration::from_millis(1100));
        let evserve = Evserve::http(model, directory.path(), &[]);
        for _ in 0..3 {
            assert_eq!(evserve.get("/large.bin").body.len(), 1 << 20);
        }
        let kept = open_files(&evserve, "large.bin");
        assert!(
            kept == usize::from(is_loop(model)) || !is_loop(model),
            "{model}: {kept}"
        );
        fs::remove_file(&path).expect("removed");
        let end = std::time::Instant::now() + crate::common::PATIENCE;
        while open_files(&evserve, "large.bin") > 0 {
            assert!(
                std::time::Instant::now() < end,
                "{model} keeps the file open"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// A thread reads the file from the disk, and it arrives whole.
#[test]
fn a_file_outside_the_page_cache_is_read_by_a_thread() {
    use rustix::fs::{Advice, fadvise, fstatfs};
    const TMPFS: u64 = 0x0102_1994;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cold.bin");
    let content = crate::common::pattern(5_000_000);
    fs::write(&path, &content).expect("written");
    let file = File::open(&path).expect("it exists");
    if u64::try_from(fstatfs(&file).expect("a file system").f_type) == Ok(TMPFS) {
        return skip(
            "disk",
            "temporary files are in memory, which forgets nothing",
        );
    }
    file.sync_all().expect("written out");
    on_every_loop(|model| {
        fadvise(&file, 0, None, Advice::DontNeed).expect("advised");
        let evserve = Evserve::http(model, directory.path(), &[]);
        assert!(evserve.get("/cold.bin").body == content);
        let log = evserve.stop().log;
        assert!(!log.contains("; 0 stretches of files"), "{model}: {log}");
    });
}
