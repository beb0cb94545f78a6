//! The root is the directory that has its name now, and links are followed if they lead inside.

use crate::common::{
    Client, Evserve, Program, Response, is_loop, is_missing, is_not_root, on_every_model,
    serves_one_at_a_time, skip,
};
use std::fs::{self, create_dir, remove_dir_all, rename, write};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Two directories, and a link to the first of them.
fn releases() -> TempDir {
    let world = tempfile::tempdir().expect("a directory");
    for (release, text) in [("r1", "one"), ("r2", "two")] {
        create_dir(world.path().join(release)).expect("made");
        write(world.path().join(release).join("v"), text).expect("written");
        write(
            world.path().join(release).join("large"),
            text.repeat(100_000),
        )
        .expect("written");
        write(
            world.path().join(release).join("404.html"),
            format!("none in {text}"),
        )
        .expect("written");
    }
    symlink("r1", world.path().join("current")).expect("linked");
    world
}

fn switch(link: &Path, target: &str) {
    let new = link.with_file_name("new");
    symlink(target, &new).expect("linked");
    rename(&new, link).expect("switched");
}

/// A client that keeps its connection as long as the server does.
pub struct KeepAliveClient {
    address: SocketAddr,
    client: Option<Client>,
}

impl KeepAliveClient {
    pub fn new(address: SocketAddr) -> KeepAliveClient {
        let client = None;
        KeepAliveClient { address, client }
    }

    pub fn ask(&mut self, target: &str) -> Response {
        let address = self.address;
        let client = self.client.get_or_insert_with(|| Client::connect(address));
        // As a browser asks for a page: a fallback is for pages only.
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.5\r\n\r\n"
        ));
        let answer = client.response();
        if answer.field("Connection") == Some("close") {
            self.client = None;
        }
        answer
    }

    /// Repeats the request until the response is the expected one. A second is usually enough.
    pub fn wait_for(&mut self, target: &str, status: u16, body: &str) {
        let end = Instant::now() + crate::common::PATIENCE;
        loop {
            let answer = self.ask(target);
            if answer.status == status && (status != 200 || answer.body == body.as_bytes()) {
                return;
            }
            assert!(Instant::now() < end, "{target} is still {}", answer.head);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Several clients for each loop, all connected; one if the model serves one connection at a time.
fn clients(evserve: &Evserve, model: &str) -> Vec<KeepAliveClient> {
    let count = if serves_one_at_a_time(model) { 1 } else { 6 };
    let mut clients: Vec<_> = (0..count)
        .map(|_| KeepAliveClient::new(evserve.address()))
        .collect();
    for client in &mut clients {
        for target in ["/v", "/large", "/none"] {
            client.ask(target);
        }
    }
    clients
}

fn options(model: &str) -> Vec<&'static str> {
    let mut options = vec!["--error-page", "404=404.html", "--fallback", "v"];
    if is_loop(model) {
        options.extend(["--workers", "3"]);
    }
    options
}

#[test]
fn a_switched_link_to_the_root_is_followed() {
    on_every_model(|model| {
        let world = releases();
        let link = world.path().join("current");
        let mut evserve = Evserve::http(model, &link, &options(model));
        let mut clients = clients(&evserve, model);
        switch(&link, "r2");
        for client in &mut clients {
            client.wait_for("/v", 200, "two");
            client.wait_for("/none", 200, "two");
            client.wait_for("/large", 200, &"two".repeat(100_000));
        }
        evserve.wait_for_log("r2: serving that directory");
        remove_dir_all(world.path().join("r1")).expect("removed");
        for client in &mut clients {
            client.wait_for("/v", 200, "two");
        }
        // Changes in the new directory are noticed too.
        write(world.path().join("r2/v"), "two and more").expect("written");
        for client in &mut clients {
            assert_eq!(client.ask("/v").body, b"two and more", "{model}");
        }
        drop(clients);
        let log = evserve.stop().log;
        assert_eq!(
            log.matches("serving that directory").count(),
            1,
            "{model}: {log}"
        );
        assert!(!log.contains("WARN"), "{model}: {log}");
    });
}

#[test]
fn a_missing_root_gives_503() {
    type Change = fn(&Path);
    let changes: [(&str, Change, Change); 4] = [
        (
            "removed and made again",
            |at| remove_dir_all(at.join("site")).expect("removed"),
            |at| {
                create_dir(at.join("site")).expect("made");
                write(at.join("site/v"), "again").expect("written");
            },
        ),
        (
            "moved with its parent",
            |at| {
                write(at.join("site/v"), "again").expect("written");
                rename(at, at.with_file_name("moved")).expect("moved");
            },
            |at| rename(at.with_file_name("moved"), at).expect("moved back"),
        ),
        (
            "a link that leads nowhere",
            |at| {
                rename(at.join("site"), at.join("old")).expect("moved");
                symlink("nowhere", at.join("site")).expect("linked");
            },
            |at| {
                rename(at.join("old"), at.join("nowhere")).expect("moved");
                write(at.join("nowhere/v"), "again").expect("written");
            },
        ),
        (
            "a file",
            |at| {
                remove_dir_all(at.join("site")).expect("removed");
                write(at.join("site"), "no directory").expect("written");
            },
            |at| {
                fs::remove_file(at.join("site")).expect("removed");
                create_dir(at.join("site")).expect("made");
                write(at.join("site/v"), "again").expect("written");
            },
        ),
    ];
    on_every_model(|model| {
        for (what, lose, restore) in changes {
            let world = tempfile::tempdir().expect("a directory");
            let parent = world.path().join("parent");
            fs::create_dir_all(parent.join("site")).expect("made");
            for name in ["v", "large", "404.html"] {
                write(parent.join("site").join(name), "as it was").expect("written");
            }
            let root = parent.join("site");
            let mut all = vec!["--status", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
            all.push(root.to_str().expect("UTF-8"));
            all.extend(options(model));
            let mut evserve = Evserve::start(model, &all);
            let status = evserve.addresses[1];
            let health = |code| KeepAliveClient::new(status).wait_for("/healthz", code, "ok\n");
            let mut clients = clients(&evserve, model);
            health(200);
            lose(&parent);
            health(503);
            for client in &mut clients {
                client.wait_for("/v", 503, "");
                for target in ["/v", "/large", "/none", "/", "/404.html", "//%"] {
                    let answer = client.ask(target);
                    assert!(answer.status >= 400, "{model}, {what}: {target}");
                    assert!(
                        !answer.body.starts_with(b"as it"),
                        "{model}, {what}: {target}"
                    );
                }
            }
            evserve.wait_for_log("requests get 503 until it is back");
            restore(&parent);
            for client in &mut clients {
                client.wait_for("/v", 200, "again");
            }
            evserve.wait_for_log("is back: serving");
            health(200);
            drop(clients);
            let log = evserve.stop().log;
            assert_eq!(log.matches(" WARN ").count(), 1, "{model}, {what}: {log}");
            assert_eq!(
                log.matches("is back: serving").count(),
                1,
                "{model}, {what}: {log}"
            );
        }
    });
}

/// A root behind a link, with links inside that name it in every way.
fn linked() -> TempDir {
    let world = tempfile::tempdir().expect("a directory");
    let at = |name: &str| world.path().join(name);
    for directory in ["site", "site/real", "site/other", "site/sub", "outside"] {
        create_dir(at(directory)).expect("made");
    }
    write(at("site/real/v"), "real").expect("written");
    write(at("site/other/v"), "other").expect("written");
    write(at("outside/v"), "outside").expect("written");
    symlink("site", at("current")).expect("linked");
    let links = [
        ("absolute", at("site/real")),
        ("given", at("current/real")),
        ("parent", "../site/real".into()),
        ("sub/parent", "../../current/real".into()),
        ("index.html", at("site/real/v")),
        ("404.html", "../current/other/v".into()),
        ("out", at("outside")),
        ("gone", at("nothing")),
        ("nowhere", at("site/nothing")),
        ("circle", at("site/circle")),
    ];
    for (name, target) in links {
        symlink(target, at("site").join(name)).expect("linked");
    }
    world
}

#[test]
fn links_inside_the_root_are_followed() {
    on_every_model(|model| {
        let world = linked();
        let options = ["--error-page", "403=404.html", "--sandbox", "strict"];
        let evserve = Evserve::http(model, &world.path().join("current"), &options);
        let mut client = KeepAliveClient::new(evserve.address());
        for target in ["/absolute/v", "/given/v", "/parent/v", "/sub/parent/v", "/"] {
            for _ in 0..3 {
                let answer = client.ask(target);
                assert_eq!(
                    (answer.status, &*answer.body),
                    (200, &b"real"[..]),
                    "{target}"
                );
            }
        }
        let listing = client.ask("/absolute/?format=text");
        assert_eq!(listing.body, b"v\n", "{model}");
        // Whether the target exists must not show.
        let refused = client.ask("/out/v");
        assert_eq!(
            (refused.status, &*refused.body),
            (403, &b"other"[..]),
            "{model}"
        );
        for target in ["/out/none", "/out", "/gone", "/gone/v", "/circle"] {
            let answer = client.ask(target);
            assert_eq!(
                (answer.status, &answer.body),
                (403, &refused.body),
                "{target}"
            );
        }
        assert_eq!(client.ask("/nowhere").status, 404, "{model}");
        assert!(
            evserve
                .stop()
                .log
                .lines()
                .all(|line| !line.contains("ERROR"))
        );
    });
}

#[test]
fn a_fallback_may_be_a_link() {
    let world = linked();
    let options = ["--fallback", "sub/parent/v", "--index", "none"];
    let evserve = Evserve::http("epoll", &world.path().join("current"), &options);
    let mut client = KeepAliveClient::new(evserve.address());
    assert_eq!(client.ask("/no-such-file").body, b"real");
    let options = ["--error-page", "404=absolute/v"];
    let evserve = Evserve::http("epoll", &world.path().join("site"), &options);
    assert_eq!(evserve.get("/no-such-file").body, b"real");
}

/// If anything changes on the way of such a link, the next request sees it.
#[test]
fn no_response_through_a_link_is_stale() {
    type Change = fn(&Path);
    let changes: [(&str, Change, u16, &str); 7] = [
        (
            "another target",
            |at| {
                switch(
                    &at.join("absolute"),
                    at.join("other").to_str().expect("UTF-8"),
                );
            },
            200,
            "other",
        ),
        (
            "one that leads out",
            |at| switch(&at.join("absolute"), "../outside"),
            403,
            "",
        ),
        (
            "one that leads inside again",
            |at| switch(&at.join("absolute"), "../site/real"),
            200,
            "real",
        ),
        (
            "another content",
            |at| write(at.join("real/v"), "more").expect("written"),
            200,
            "more",
        ),
        (
            "no file",
            |at| fs::remove_file(at.join("real/v")).expect("removed"),
            404,
            "",
        ),
        (
            "a directory",
            |at| {
                fs::remove_file(at.join("absolute")).expect("removed");
                rename(at.join("other"), at.join("absolute")).expect("moved");
            },
            200,
            "other",
        ),
        (
            "a link in the place of the target",
            |at| {
                rename(at.join("absolute"), at.join("kept")).expect("moved");
                symlink(at.join("sub"), at.join("absolute")).expect("linked");
                fs::remove_file(at.join("sub/parent")).expect("removed");
                fs::remove_dir(at.join("sub")).expect("removed");
                symlink(at.join("kept"), at.join("sub")).expect("linked");
            },
            200,
            "other",
        ),
    ];
    on_every_model(|model| {
        let world = linked();
        let site = world.path().join("site");
        // Files without recent changes are cached for longer.
        std::thread::sleep(Duration::from_millis(1100));
        let evserve = Evserve::http(model, &site, &["--access-log", "off"]);
        let mut client = KeepAliveClient::new(evserve.address());
        for (what, change, status, body) in changes {
            for _ in 0..3 {
                client.ask("/absolute/v");
            }
            change(&site);
            let answer = client.ask("/absolute/v");
            assert_eq!(answer.status, status, "{model}, {what}");
            assert!(
                status != 200 || answer.body == body.as_bytes(),
                "{model}, {what}: stale"
            );
        }
    });
}

/// True if the sandbox is active. Without Landlock there is nothing to test.
fn is_confined(evserve: &mut Evserve) -> bool {
    let line = evserve.wait_for_log("sandbox");
    let is_confined = line.contains("Landlock ABI");
    if !is_confined {
        skip("landlock", line);
    }
    is_confined
}

#[test]
fn the_sandbox_allows_a_replacement_of_the_root() {
    on_every_model(|model| {
        let world = tempfile::tempdir().expect("a directory");
        let at = |name: &str| world.path().join(name);
        for (directory, text) in [("r/1", "one"), ("r/2", "two"), ("elsewhere/3", "three")] {
            fs::create_dir_all(at(directory)).expect("made");
            write(at(directory).join("v"), text).expect("written");
            write(at(directory).join("404.html"), text).expect("written");
        }
        create_dir(at("names")).expect("made");
        let link = at("names/current");
        symlink("../r/1", &link).expect("linked");
        let in_detail = [&options(model)[..], &["--log-level", "debug"]].concat();
        let mut evserve = Evserve::http(model, &link, &in_detail);
        let line = evserve.wait_for_log("sandbox");
        if !line.contains("Landlock ABI") {
            return skip("landlock", line);
        }
        let line = evserve.wait_for_log("sandbox: ");
        let [names, releases] = ["names", "r"].map(|name| at(name).display().to_string());
        assert!(line.contains(&format!("{names} and {releases}")), "{line}");
        let mut clients = clients(&evserve, model);
        switch(&link, "../r/2");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 200, "two"));
        switch(&link, "../elsewhere/3");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 503, ""));
        evserve.wait_for_log("the sandbox keeps this process from reading the new directory");
        switch(&link, "../r/1");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 200, "one"));
        rename(at("r/1"), at("r/old")).expect("moved");
        fs::create_dir_all(at("r/1")).expect("made");
        write(at("r/1/v"), "new").expect("written");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 200, "new"));
    });
}

#[test]
fn a_strict_sandbox_allows_one_directory() {
    on_every_model(|model| {
        let world = releases();
        let mut all = options(model);
        all.extend(["--sandbox", "strict"]);
        let link = world.path().join("current");
        let mut evserve = Evserve::http(model, &link, &all);
        if !is_confined(&mut evserve) {
            return;
        }
        let mut clients = clients(&evserve, model);
        switch(&link, "r2");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 503, ""));
        evserve.wait_for_log("the sandbox keeps this process from reading the new directory");
        switch(&link, "r1");
        clients
            .iter_mut()
            .for_each(|client| client.wait_for("/v", 200, "one"));
        drop(clients);
        let log = evserve.stop().log;
        assert_eq!(log.matches(" WARN ").count(), 1, "{model}: {log}");
    });
}

#[test]
fn a_sandbox_that_would_allow_too_much_is_strict() {
    let world = tempfile::tempdir().expect("a directory");
    let (open, home) = (world.path().join("open"), world.path().join("home"));
    for root in [open.join("site"), home.join("site")] {
        fs::create_dir_all(&root).expect("made");
        write(root.join("v"), "text").expect("written");
    }
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).expect("set");
    for (root, why) in [(&open, "everyone can write to"), (&home, "is a home")] {
        let program = Program::evserve("--listen 127.0.0.1:0");
        let program = program.arg(root.join("site"));
        let mut evserve = program.env("HOME", &home).start();
        let line = evserve.wait_for_log("sandbox");
        if line.contains("no sandbox") {
            return;
        }
        assert!(
            line.contains("is replaced, the server needs a restart ("),
            "{line}"
        );
        assert!(line.contains(why), "{line}");
        let mut client = KeepAliveClient::new(evserve.address());
        client.wait_for("/v", 200, "text");
        rename(root.join("site"), root.join("old")).expect("moved");
        create_dir(root.join("site")).expect("made");
        client.wait_for("/v", 503, "");
    }
}

#[test]
fn the_root_is_followed_everywhere_without_a_sandbox() {
    let world = releases();
    let elsewhere = tempfile::tempdir().expect("a directory");
    write(elsewhere.path().join("v"), "elsewhere").expect("written");
    let link = world.path().join("current");
    for off in [&["--sandbox", "off"][..], &["--no-sandbox"]] {
        let evserve = Evserve::http("epoll", &link, off);
        let mut client = KeepAliveClient::new(evserve.address());
        switch(&link, elsewhere.path().to_str().expect("UTF-8"));
        client.wait_for("/v", 200, "elsewhere");
        switch(&link, "r1");
        client.wait_for("/v", 200, "one");
    }
}

/// Root may still read it, so the server runs as another user.
#[test]
fn an_unreadable_root_gives_503() {
    if !is_not_root() {
        let world = releases();
        let at = |name: &str| world.path().join(name);
        for name in ["", "r1"] {
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).expect("set");
        }
        let mut evserve = Evserve::http("epoll", &at("r1"), &["--user", "nobody"]);
        let mut client = KeepAliveClient::new(evserve.address());
        client.wait_for("/v", 200, "one");
        fs::set_permissions(at("r1"), fs::Permissions::from_mode(0o700)).expect("set");
        client.wait_for("/v", 503, "");
        evserve.wait_for_log(": Permission denied (os error 13); requests get 503");
        fs::set_permissions(at("r1"), fs::Permissions::from_mode(0o755)).expect("set");
        client.wait_for("/v", 200, "one");
    }
}

/// Files of procfs and sysfs have another length than stat(2) reports.
#[test]
fn procfs_files_arrive_whole() {
    on_every_model(|model| {
        for (root, target) in [
            ("/proc/sys/kernel", "/ostype"),
            ("/proc/sys/kernel", "/random/boot_id"),
            ("/sys/kernel", "/mm/transparent_hugepage/enabled"),
            ("/proc", "/version"),
        ] {
            let Ok(expected) = fs::read(format!("{root}{target}")) else {
                skip(target, format!("there is no {root}{target}"));
                continue;
            };
            let evserve = Evserve::http(model, Path::new(root), &["--sandbox", "strict"]);
            let mut client = KeepAliveClient::new(evserve.address());
            for _ in 0..2 {
                let answer = client.ask(target);
                assert_eq!(answer.status, 200, "{model}: {target}");
                assert!(answer.body == expected, "{model}: {target}");
            }
            let mut client = evserve.connect();
            client.send(format!(
                "GET {target} HTTP/1.1\r\nHost: h\r\nRange: bytes=1-3\r\nConnection: close\r\n\r\n"
            ));
            let answer = client.response();
            assert_eq!((answer.status, &*answer.body), (206, &expected[1..4]));
            assert!(client.rest().is_empty(), "{model}: nothing behind it");
        }
    });
}

/// A client's copy is never declared current.
#[test]
fn procfs_files_are_read_for_each_request() {
    let evserve = Evserve::http("epoll", Path::new("/proc/sys/kernel/random"), &[]);
    let mut client = evserve.connect();
    client.send("GET /uuid HTTP/1.1\r\nHost: h\r\n\r\n");
    let first = client.response();
    assert_eq!(first.body.len(), 37, "{}", first.head);
    let tag = first.field("ETag").expect("a tag");
    assert!(tag.starts_with("W/"), "{tag}");
    client.send(format!(
        "GET /uuid HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\n\r\n"
    ));
    let second = client.response();
    assert_eq!((second.status, second.body.len()), (200, 37));
    assert_ne!(first.body, second.body);
}

/// Opening a file under a lease would wait for its holder. Such a file gets 503, and is served once
/// the lease is gone.
#[test]
fn a_leased_file_delays_nothing() {
    const LEASE: &str = "import fcntl, signal, sys\n\
        signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
        file = open(sys.argv[1], 'r+')\n\
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
        print('held', flush=True)\n\
        sys.stdin.read()\n";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("leased");
    on_every_model(|model| {
        write(&path, "free again").expect("written");
        if is_missing("python3") {
            return;
        }
        let mut holder = Command::new("python3");
        holder.args(["-c", LEASE]).arg(&path);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = holder.expect("it starts");
        let mut said = [0; 5];
        let stdout = holder.stdout.as_mut().expect("piped");
        if stdout.read_exact(&mut said).is_err() {
            holder.wait().expect("it ends");
            return skip("lease", "the file system grants none");
        }
        let mut evserve = Evserve::http(model, directory.path(), &[]);
        let mut client = KeepAliveClient::new(evserve.address());
        for _ in 0..20 {
            assert_eq!(client.ask("/leased").status, 503, "{model}");
        }
        evserve.wait_for_log("leased");
        drop(holder.stdin.take());
        holder.wait().expect("it ends");
        client.wait_for("/leased", 200, "free again");
        let log = evserve.stop().log;
        let lines = log.lines().filter(|line| line.contains("\"leased\""));
        assert!((1..20).contains(&lines.count()), "{model}: {log}");
    });
}

/// A mount. Dropping it unmounts.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Option<Mount> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "none"]).arg(at);
        let done = mount.stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
            .then(|| Mount(at.into()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_mount_over_the_root_is_served() {
    on_every_model(|model| {
        let world = releases();
        let root = world.path().join("r1");
        let evserve = Evserve::http(model, &root, &options(model));
        let mut clients = clients(&evserve, model);
        let Some(mount) = Mount::new(&root) else {
            return skip("mount", "nothing can be mounted");
        };
        write(root.join("v"), "mounted").expect("written");
        for client in &mut clients {
            client.wait_for("/v", 200, "mounted");
        }
        drop(mount);
        for client in &mut clients {
            client.wait_for("/v", 200, "one");
        }
    });
}
