//! The limits of the system bound threads and processes, and the server survives when it gets none.

use crate::common::{
    Client, Evserve, PATIENCE, Program, READY, is_not_root, on_every_model, on_every_task_model,
    row, skip,
};
use evserve::model::Executor;
use std::fs::{create_dir, read_to_string, remove_dir, write};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A user id without other processes, one for each test.
fn user(test: u32) -> String {
    (60_000 + (std::process::id() + test) % 4000).to_string()
}

const GET: &str = "GET /style.css HTTP/1.1\r\nHost: h\r\n\r\n";

fn program(model: &str) -> Program {
    let options = "--listen 127.0.0.1:0 --idle-timeout 1h --access-log off docs/site";
    Program::model(model, options)
}

/// Runs the program as a user with a limit of threads. Returns `None` if this is not root.
fn as_limited_user(model: &str, user: &str, threads: usize) -> Option<Evserve> {
    if is_not_root() {
        return None;
    }
    let become_user = format!("setpriv --reuid {user} --regid {user} --clear-groups");
    let script = format!("ulimit -u {threads}; exec {become_user} \"$@\"");
    Some(program(model).in_shell(&script).start())
}

/// A control group with a limit of processes. Dropping it removes it.
struct Group(PathBuf);

impl Group {
    fn new(name: &str, most: usize) -> Option<Group> {
        for parent in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"] {
            let directory =
                Path::new(parent).join(format!("evserve-{name}-{}", std::process::id()));
            if create_dir(&directory).is_err() {
                continue;
            }
            let group = Group(directory);
            if write(group.0.join("pids.max"), most.to_string()).is_ok() {
                return Some(group);
            }
        }
        skip("cgroup", "no control group for pids can be made");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is busy until its last process has been waited for.
        let end = Instant::now() + PATIENCE;
        while remove_dir(&self.0).is_err() && Instant::now() < end {
            std::thread::yield_now();
        }
    }
}

/// All clients are answered, although they are more than threads or processes are allowed, and all
/// keep their connections open.
fn serve_many(evserve: &Evserve) {
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let mut client = evserve.connect();
            client.send(GET);
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn the_process_limit_of_the_user_is_kept() {
    on_every_task_model(|model| {
        let Some(mut evserve) = as_limited_user(model, &user(1), 48) else {
            return;
        };
        let line = evserve.wait_for_log(READY);
        assert!(
            line.contains("(the limit of processes (ulimit -u) allows no more)"),
            "{line}"
        );
        serve_many(&evserve);
        let log = evserve.stop().log;
        assert!(!log.contains("can be started"), "{model}: {log}");
        assert!(!log.contains("fork(2) failed"), "{model}: {log}");
    });
}

#[test]
fn the_limit_of_the_cgroup_is_kept() {
    on_every_task_model(|model| {
        let Some(group) = Group::new(model, 40) else {
            return;
        };
        let procs = group.0.join("cgroup.procs");
        let script = format!("echo $$ > {}; exec \"$@\"", procs.display());
        let mut evserve = program(model).in_shell(&script).start();
        let line = evserve.wait_for_log(READY);
        assert!(
            line.contains("(pids.max of the control group allows no more)"),
            "{line}"
        );
        serve_many(&evserve);
        let log = evserve.stop().log;
        assert!(!log.contains("can be started"), "{model}: {log}");
        assert!(!log.contains("fork(2) failed"), "{model}: {log}");
        drop(group);
    });
}

/// Other programs may use up the threads. A connection without a thread or process is closed. The
/// server goes on when there are threads again.
#[test]
fn the_server_survives_a_lack_of_threads() {
    on_every_task_model(|model| {
        // The threads of a pool are started at the beginning.
        if row(model).limit_option == Some("threads") {
            return;
        }
        let user = user(2);
        let Some(mut evserve) = as_limited_user(model, &user, 100) else {
            return;
        };
        assert_eq!(evserve.get("/style.css").status, 200, "{model}");
        let limit = |most: &str| {
            let id = evserve.id().to_string();
            // The user itself may do this; root may not everywhere.
            let status = Command::new("setpriv")
                .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
                .args(["prlimit", "--pid", &id, &format!("--nproc={most}")])
                .status();
            assert!(status.expect("util-linux is there").success());
        };
        limit("1:100");
        let mut closed = evserve.connect();
        closed.try_send(GET);
        closed.wait_for_close();
        limit("100:100");
        assert_eq!(evserve.get("/style.css").status, 200, "{model}: afterwards");
        evserve.wait_for_log(match row(model).executor {
            Executor::Process => "fork(2) failed: Resource temporarily unavailable",
            _ => "no thread can be started: Resource temporarily unavailable",
        });
        assert!(evserve.stop().status.success());
    });
}

/// The limit of connections relies on this figure.
#[test]
fn a_thread_uses_at_most_four_memory_maps() {
    let evserve = Evserve::http("threaded", Path::new("docs/site"), &["--access-log", "off"]);
    let maps = || {
        let maps = read_to_string(format!("/proc/{}/maps", evserve.id()));
        maps.expect("it runs").lines().count()
    };
    let serve = || -> Client {
        let mut client = evserve.connect();
        client.send(GET);
        assert_eq!(client.response().status, 200);
        client
    };
    // By then each arena of the allocator exists.
    let mut clients: Vec<_> = (0..300).map(|_| serve()).collect();
    let before = maps();
    clients.extend((0..200).map(|_| serve()));
    let each = (maps() - before) as f64 / 200.0;
    // A full arena takes another map now and then.
    assert!(each <= 4.1, "{each} maps for a thread");
}

/// The access log counts only the bytes that were sent.
#[test]
fn a_client_that_stops_reading_times_out_alike_on_every_model() {
    let root = tempfile::tempdir().expect("a directory");
    let huge = std::fs::File::create(root.path().join("huge")).expect("made");
    huge.set_len(1 << 30).expect("sparse");
    on_every_model(|model| {
        let options = ["--send-timeout", "700ms", "--trace-requests", "1"];
        let evserve = Evserve::http(model, root.path(), &options);
        let mut client = evserve.connect();
        client.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200, "{model}");
        let stream: &TcpStream = client.stream();
        // The client does not read, so it learns of the close only when a write fails.
        let end = Instant::now() + PATIENCE;
        while { stream }.write_all(b"x").is_ok() {
            assert!(Instant::now() < end, "{model}: the client was not dropped");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let ended = evserve.stop();
        let line = ended.access_log.lines().find(|line| line.contains("/huge"));
        let sent = line.and_then(|line| line.split(' ').nth(9)?.parse().ok());
        assert!(
            sent.is_some_and(|sent: u64| sent < 1 << 30),
            "{model}: {line:?}"
        );
        if std::env::var("EVSERVE_OPTIONS").is_ok_and(|options| options.contains("--uring-file")) {
            // Perhaps without sendfile(2).
            return;
        }
        // After the last byte there is one wait, not longer than the timeout.
        let sends = ended
            .log
            .lines()
            .skip_while(|line| !line.contains("sendfile("));
        let sends: Vec<_> = sends.collect();
        let is_sent = |line: &&str| {
            let result = line
                .rsplit(" = ")
                .next()
                .and_then(|n| n.parse::<u64>().ok());
            line.contains("sendfile(") && result.is_some_and(|count| count >= 4096)
        };
        let last = sends.iter().rposition(is_sent).expect("something was sent");
        let refused = |line: &&&str| line.contains("sendfile(") && line.contains("EAGAIN");
        let refused = sends[last..].iter().filter(refused).count();
        assert!((1..=3).contains(&refused), "{model}: {:#?}", &sends[last..]);
    });
}
