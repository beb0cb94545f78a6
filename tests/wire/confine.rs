//! What the process gives up before it serves, tested with the calls that an attacker would make.

use crate::common::{Evserve, Program, is_loop, is_not_root, on_every_model, skip};
use crate::rings;
use std::fs::{self, Permissions, read_dir, read_to_string, write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use tempfile::TempDir;

/// The id of the user `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

/// A root that everybody may read.
fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("set");
    write(root.path().join("page"), "page").expect("written");
    write(root.path().join("victim"), "").expect("written");
    write(root.path().join("large"), vec![b'x'; 400_000]).expect("written");
    root
}

/// Starts the program that tries to escape, with a model, and either `confined` or `free`.
fn escape(model: &str, how: &str, root: &Path, outside: &TcpListener, socket: &str) -> Evserve {
    let workers = if is_loop(model) { "2" } else { "1" };
    escape_with(model, workers, how, root, outside, socket)
}

/// [`escape`] with this many workers.
fn escape_with(
    model: &str,
    workers: &str,
    how: &str,
    root: &Path,
    outside: &TcpListener,
    socket: &str,
) -> Evserve {
    let outside = outside.local_addr().expect("bound").to_string();
    let program = Program::example("escape")
        .args([model, workers, how])
        .arg(root);
    let ours = std::process::id().to_string();
    program.args([&outside, &ours, socket]).start()
}

/// An abstract socket and its name.
fn abstract_listener() -> (UnixListener, String) {
    let name = format!("evserve-test-{}-{}", std::process::id(), fastrand::u64(..));
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("bound");
    (listener, name)
}

/// The version of Landlock, or the server's message why there is none.
fn landlock(evserve: &mut Evserve) -> Result<u32, String> {
    let line = evserve.wait_for_log("sandbox");
    let Some((_, rest)) = line.split_once("Landlock ABI ") else {
        return Err(line);
    };
    let digits = rest.split(')').next().expect("a part");
    Ok(digits.parse().expect("a number"))
}

#[test]
fn code_in_the_sandbox_cannot_escape() {
    on_every_model(|model| {
        let (root, outside) = (tree(), TcpListener::bind("127.0.0.1:0").expect("bound"));
        let (_listener, socket) = abstract_listener();
        let mut confined = escape(model, "confined", root.path(), &outside, &socket);
        let abi = match landlock(&mut confined) {
            Ok(abi) => abi,
            Err(why) => return skip("landlock", why),
        };
        // Several connections, so that each loop and thread serves some.
        for _ in 0..8 {
            let tried = confined.get("/try").body;
            let tried = String::from_utf8(tried).expect("text");
            for line in tried.lines() {
                let (what, outcome) = line.split_once(": ").expect("an outcome");
                let since = match what {
                    "connect" | "listen" => 4,
                    "signal" | "reach" => 6,
                    _ => 1,
                };
                let expected = match what {
                    "read what is served" => "done",
                    _ => "PermissionDenied",
                };
                assert!(
                    outcome == expected || abi < since,
                    "{model}: {what}: {outcome}"
                );
            }
            assert_eq!(tried.lines().count(), 11, "{tried}");
        }
        assert_eq!(confined.get("/page").body, b"page", "it still serves");
        confined.stop();
        assert!(!root.path().join("new").exists() && root.path().join("victim").exists());

        let mut free = escape(model, "free", root.path(), &outside, &socket);
        free.wait_for_log("no sandbox, as --sandbox off says");
        let tried = String::from_utf8(free.get("/try").body).expect("text");
        assert_eq!(tried.matches(": done\n").count(), 11, "{model}: {tried}");
        free.stop();
    });
}

#[test]
fn the_sandbox_restricts_no_service() {
    let root = tree();
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join("link");
    symlink(root.path(), &link).expect("linked");
    fs::create_dir(root.path().join("sub")).expect("made");
    on_every_model(|model| {
        let mut evserve = Evserve::http(model, &link, &[]);
        evserve.wait_for_log("sandbox");
        let page = root.path().join("sub/page");
        write(&page, "before").expect("written");
        for _ in 0..3 {
            assert_eq!(evserve.get("/sub/page").body, b"before");
        }
        write(&page, "after that").expect("written");
        assert_eq!(evserve.get("/sub/page").body, b"after that", "{model}");
        assert_eq!(evserve.get("/large").body.len(), 400_000);
        let listing = evserve.get("/sub/?format=text").body;
        assert!(listing.starts_with(b"page"), "{model}");
    });
}

#[test]
fn a_missing_sandbox_is_logged() {
    let root = tree();
    let mut evserve = Evserve::http("epoll", root.path(), &["--no-sandbox"]);
    let line = evserve.wait_for_log("no sandbox");
    assert!(line.contains("WARN"), "{line}");
}

/// The value of a line in /proc/PID/status.
fn status(path: &Path, name: &str) -> String {
    let status = read_to_string(path.join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect(name).split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// The directories in /proc of all threads of a process and of its children.
fn tasks(id: u32) -> Vec<std::path::PathBuf> {
    let processes = read_dir("/proc").expect("proc").filter_map(Result::ok);
    let is_ours = |path: &Path| {
        let status = read_to_string(path.join("status")).unwrap_or_default();
        let lines: Vec<_> = status.lines().collect();
        lines.contains(&&*format!("Pid:\t{id}")) || lines.contains(&&*format!("PPid:\t{id}"))
    };
    let ours = processes.map(|entry| entry.path()).filter(|p| is_ours(p));
    let tasks = ours.flat_map(|path| read_dir(path.join("task")).expect("it runs"));
    tasks.map(|task| task.expect("an entry").path()).collect()
}

#[test]
fn privileges_of_root_are_dropped_for_good() {
    if is_not_root() {
        return;
    }
    let root = tree();
    let directory = tempfile::tempdir().expect("a directory");
    chown(directory.path(), Some(NOBODY), None).expect("root's right");
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    on_every_model(|model| {
        let options = ["--user", "nobody", "--listen", &listen];
        let mut evserve = Evserve::http(model, root.path(), &options);
        evserve.wait_for_log("running as nobody (user 65534, group 65534)");
        evserve.wait_for_log("sandbox");
        let mut client = evserve.connect();
        client.send("GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().body, b"page");
        let all = tasks(evserve.id());
        assert!(!all.is_empty());
        for task in all {
            let ids = [NOBODY.to_string(), NOBODY.to_string()].join(" ");
            let ids = format!("{ids} {ids}");
            assert_eq!(status(&task, "Uid:"), ids, "{model}");
            assert_eq!(status(&task, "Gid:"), ids, "{model}");
            assert_eq!(status(&task, "Groups:"), NOBODY.to_string(), "{model}");
            assert_eq!(status(&task, "CapPrm:"), "0".repeat(16), "{model}");
            assert_eq!(status(&task, "NoNewPrivs:"), "1", "{model}");
        }
        let limits = read_to_string(format!("/proc/{}/limits", evserve.id())).expect("it runs");
        let core = limits.lines().find(|line| line.contains("core file size"));
        let core: Vec<_> = core.expect("a line").split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"], "{model}");
        drop(client);
        // A changed file must be reopened with the rights of the new user.
        write(root.path().join("page"), "changed").expect("written");
        assert_eq!(evserve.get("/page").body, b"changed", "{model}");
        write(root.path().join("page"), "page").expect("written");
        assert_eq!(evserve.get("/large").body.len(), 400_000);
        let owner = fs::symlink_metadata(&socket).expect("it exists");
        assert_eq!((owner.uid(), owner.gid()), (NOBODY, NOBODY));
        UnixStream::connect(&socket).expect("it listens");
        let log = evserve.stop().log;
        assert!(!socket.exists(), "{model}: {log}");
    });
}

#[test]
fn an_unusable_user_is_reported() {
    let root = tree();
    let refusal = |user: &str, root: &Path| {
        let program = Program::evserve("--listen 127.0.0.1:0 --user").arg(user);
        program.arg(root).fails(1)
    };
    let said = refusal("no-such-user", root.path());
    assert!(said.contains("there is no user no-such-user"), "{said}");
    let said = refusal("root", root.path());
    assert!(
        said.contains("is root; name an unprivileged user"),
        "{said}"
    );
    if !rustix::process::geteuid().is_root() {
        let said = refusal("nobody", root.path());
        return assert!(said.contains("only root can switch to nobody"), "{said}");
    }
    fs::set_permissions(root.path(), Permissions::from_mode(0o700)).expect("set");
    let said = refusal("nobody", root.path());
    assert!(said.contains("nobody cannot read what is served"), "{said}");
}

/// Opcodes that the server asks for: POLL_ADD, SENDMSG, ACCEPT, ASYNC_CANCEL, SEND and RECV.
const ASKED_FOR: [&str; 6] = ["6", "9", "13", "14", "26", "27"];

/// A server that registers its sockets also asks for this.
const FILES_UPDATE: &str = "20";

#[test]
fn the_ring_of_the_server_does_what_the_server_asks_for_and_no_more() {
    let (root, outside) = (tree(), TcpListener::bind("127.0.0.1:0").expect("bound"));
    let (_listener, socket) = abstract_listener();
    for how in ["confined", "free", "registered"] {
        let registers = how == "registered";
        if registers && !rings::is_there("--uring-fds ring") {
            continue;
        }
        let program = escape_with("io-uring", "1", how, root.path(), &outside, &socket);
        let tried = String::from_utf8(program.get("/ring").body).expect("text");
        let (operations, others): (Vec<_>, Vec<_>) = tried
            .lines()
            .map(|line| line.split_once(' ').expect("an outcome"))
            .partition(|(what, _)| what.parse::<u8>().is_ok());
        let opcodes: Vec<_> = operations.iter().map(|(opcode, _)| *opcode).collect();
        let with_files = ["6", "9", "13", "14", FILES_UPDATE, "26", "27"];
        let expected: &[_] = if registers { &with_files } else { &ASKED_FOR };
        assert_eq!(opcodes, expected, "{how}: {tried}");
        assert_eq!(others.len(), 5, "{how}: {tried}");
        for (what, outcome) in others {
            // EBADF
            let is_allowed = registers && what == "FIXED_FILE";
            let is_refused = outcome == "Err(PermissionDenied)";
            assert!(is_refused != is_allowed, "{how}: {what} {outcome}");
        }
        assert_eq!(program.get("/page").body, b"page", "it still serves");
        program.stop();
    }
}

/// What no version of Landlock refuses so far. Of these, only fsetxattr changes a file, and needs
/// the right to write to it.
const NOT_COVERED: [&str; 4] = ["socket", "listen", "statx", "fsetxattr"];

#[test]
fn the_sandbox_holds_for_a_ring_that_the_process_makes() {
    let (root, outside) = (tree(), TcpListener::bind("127.0.0.1:0").expect("bound"));
    let (_listener, socket) = abstract_listener();
    let mut confined = escape("io-uring", "confined", root.path(), &outside, &socket);
    let abi = match landlock(&mut confined) {
        Ok(abi) => abi,
        Err(why) => return skip("landlock", why),
    };
    let tried = String::from_utf8(confined.get("/new-ring").body).expect("text");
    for line in tried.lines() {
        let (what, outcome) = line.split_once(": ").expect("an outcome");
        let since = if ["connect", "bind"].contains(&what) {
            4
        } else {
            1
        };
        let expected = match what == "openat what is served" || NOT_COVERED.contains(&what) {
            true => "done",
            false => "PermissionDenied",
        };
        assert!(outcome == expected || abi < since, "{what}: {outcome}");
    }
    confined.stop();
    let free = escape("io-uring", "free", root.path(), &outside, &socket);
    let tried = String::from_utf8(free.get("/new-ring").body).expect("text");
    assert_eq!(tried.matches(": done\n").count(), 16, "{tried}");
    free.stop();
}
