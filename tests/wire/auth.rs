//! Passwords: who may, and what is kept from everybody else.

use crate::common::{Client, Evserve, Program, is_loop, on_every_model, row, serves_one_at_a_time};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::ffi::OsStr;
use std::fs::{create_dir, rename, write};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tempfile::TempDir;

/// me:secret, you:second, me:wrong.
const ME: &str = "Authorization: Basic bWU6c2VjcmV0";
const YOU: &str = "Authorization: Basic eW91OnNlY29uZA==";
const WRONG: &str = "Authorization: Basic bWU6d3Jvbmc=";

/// The content of every file.
const CONTENT: &str = "ONLY FOR USERS";

const CHALLENGE: &str = "Basic realm=\"evserve\", charset=\"UTF-8\"";

fn tree() -> TempDir {
    let all = tempfile::tempdir().expect("a directory");
    let path = |name: &str| all.path().join(name);
    for directory in ["root", "root/dir"] {
        create_dir(path(directory)).expect("made");
    }
    for name in ["a.txt", "a.txt.gz", "dir/b.txt", "404.html", "app.html"] {
        write(path("root").join(name), CONTENT).expect("written");
    }
    set_users(all.path(), &[("me", "secret", 4), ("you", "second", 4)]);
    all
}

/// Replaces the file with users. The costs are those of bcrypt.
fn set_users(directory: &Path, users: &[(&str, &str, u32)]) {
    let lines = users.iter().map(|(user, password, cost)| {
        let hash = bcrypt::hash(password, *cost).expect("hashed");
        format!("{user}:{hash}\n")
    });
    let next = directory.join("users.next");
    write(&next, lines.collect::<String>()).expect("written");
    rename(next, directory.join("users")).expect("renamed");
}

fn start(model: &str, tree: &TempDir, options: &[&str]) -> Evserve {
    let users = tree.path().join("users");
    let users = users.to_str().expect("UTF-8");
    let all = [&["--auth-file", users], options].concat();
    Evserve::http(model, &tree.path().join("root"), &all)
}

fn shows(response: &crate::common::Response, text: &str) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    body.contains(text) || response.head.contains(text)
}

#[test]
fn without_a_password_nothing_is_told() {
    let tree = tree();
    on_every_model(|model| {
        let options = [
            "--error-page",
            "404=404.html",
            "--error-page",
            "400=404.html",
            "--error-page",
            "401=404.html",
            "--fallback",
            "app.html",
        ];
        let evserve = start(model, &tree, &options);
        let requests = [
            ("GET", "/"),
            ("GET", "/a.txt"),
            ("GET", "/none.txt"),
            ("GET", "/none"),
            ("GET", "/dir"),
            ("GET", "/dir/"),
            ("GET", "/.hidden"),
            ("GET", "/.well-known/acme-challenge/x"),
            ("GET", "/%"),
            ("GET", "http://other/a.txt"),
            ("HEAD", "/a.txt"),
            ("OPTIONS", "/"),
            ("OPTIONS", "*"),
            ("POST", "/a.txt"),
            ("DELETE", "/a.txt"),
        ];
        for (method, target) in requests {
            for more in [
                "Accept: text/html",
                "Accept-Encoding: gzip",
                "Range: bytes=0-3",
                "Origin: http://x\r\nAccess-Control-Request-Method: GET",
                "Content-Length: 3\r\n\r\nabc",
            ] {
                let response = evserve.ask(method, target, &[more]);
                let why = format!("{model}: {method} {target} {more}: {response:?}");
                assert_eq!(response.status, 401, "{why}");
                assert_eq!(response.field("WWW-Authenticate"), Some(CHALLENGE), "{why}");
                for secret in [CONTENT, "a.txt", "dir/", "Location", "ETag", "Allow"] {
                    assert!(!shows(&response, secret), "{why}");
                }
            }
        }
        // Refused before anybody could show who asks.
        let bad = evserve.ask("GET", "/\u{7f}", &[]);
        assert_eq!(bad.status, 400);
        assert!(!shows(&bad, CONTENT), "{model}: {bad:?}");
        let old = {
            let mut client = evserve.connect();
            client.send("GET /a.txt HTTP/1.0\r\n\r\n");
            client.rest()
        };
        assert!(old.starts_with(b"HTTP/1.1 401 "), "{model}");
    });
}

#[test]
fn with_a_password_everything_is_as_without_passwords() {
    let tree = tree();
    on_every_model(|model| {
        let evserve = start(model, &tree, &["--error-page", "404=404.html"]);
        for user in [ME, YOU, ME] {
            for (method, target, status) in [
                ("GET", "/a.txt", 200),
                ("GET", "/", 200),
                ("GET", "/dir", 301),
                ("GET", "/none", 404),
                ("HEAD", "/a.txt", 200),
                ("OPTIONS", "*", 200),
                ("POST", "/", 405),
            ] {
                let response = evserve.ask(method, target, &[user]);
                assert_eq!(response.status, status, "{model}: {method} {target}");
                assert_eq!(response.field("WWW-Authenticate"), None);
                assert_eq!(response.field("Cache-Control"), Some("private"), "{model}");
            }
        }
        let body = "Content-Length: 3\r\n\r\nabc";
        assert_eq!(
            evserve.ask("GET", "/a.txt", &[ME, body]).status,
            200,
            "{model}"
        );
        assert_eq!(
            evserve.ask("GET", "/a.txt", &[WRONG]).status,
            401,
            "{model}"
        );
        for odd in [
            "Authorization: Basic",
            "Authorization: Bearer bWU6c2VjcmV0",
            "Authorization: Basic bWU6c2VjcmV0=",
            "Proxy-Authorization: Basic bWU6c2VjcmV0",
            "X: Authorization: Basic bWU6c2VjcmV0",
            "Authorization: Basic bWU6c2VjcmV0\r\nAuthorization: Basic bWU6c2VjcmV0",
        ] {
            assert_eq!(
                evserve.ask("GET", "/a.txt", &[odd]).status,
                401,
                "{model}: {odd}"
            );
        }
        let log = evserve.stop().access_log;
        let lines = |user: &str, status: &str| {
            let is_such = |line: &&str| line.contains(user) && line.contains(status);
            log.lines().filter(is_such).count()
        };
        assert_eq!(
            lines(" - me [", "/a.txt HTTP/1.1\" 200"),
            5,
            "{model}: {log}"
        );
        assert_eq!(
            lines(" - you [", "/a.txt HTTP/1.1\" 200"),
            2,
            "{model}: {log}"
        );
        assert_eq!(lines(" - - [", "\" 401 "), 7, "{model}: {log}");
    });
}

/// The body of a refused request is no request.
#[test]
fn requests_behind_a_refused_one_are_judged_alone() {
    let tree = tree();
    on_every_model(|model| {
        let evserve = start(model, &tree, &[]);
        let get = |fields: &str| format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let smuggled = get(&format!("{ME}\r\n"));
        let length = format!("Content-Length: {}\r\n", smuggled.len());
        let requests = [
            (get(""), 401),
            (get(&length) + &smuggled, 401),
            (get(&format!("{ME}\r\n")), 200),
            (get(""), 401),
            (get(&format!("{WRONG}\r\n")), 401),
            (get(&format!("{ME}\r\n")), 200),
            (get(&format!("{YOU}\r\nConnection: close\r\n")), 200),
        ];
        let mut client = evserve.connect();
        let all: String = requests.iter().map(|(bytes, _)| &**bytes).collect();
        client.send(all);
        let answered = match serves_one_at_a_time(model) && !is_loop(model) {
            true => 1,
            false => requests.len(),
        };
        for (number, (_, status)) in requests.iter().take(answered).enumerate() {
            let response = client.response();
            assert_eq!(response.status, *status, "{model}: {number}");
            assert_eq!(
                shows(&response, CONTENT),
                *status == 200,
                "{model}: {number}"
            );
        }
        client.rest();
    });
}

#[test]
fn wrong_passwords_are_bounded_for_each_client() {
    let tree = tree();
    on_every_model(|model| {
        let options = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1"];
        let evserve = start(model, &tree, &options);
        let ask = |client: &str, field: &str| ask_as(evserve.address(), client, field);
        let mut refused = 0;
        // One more may be allowed every six seconds, however slow this test is.
        for _ in 0..1000 {
            let response = ask("192.0.2.7", WRONG);
            if response.status == 429 {
                let wait = response
                    .field("Retry-After")
                    .and_then(|wait| wait.parse().ok());
                assert!(
                    wait.is_some_and(|wait: u32| (1..=6).contains(&wait)),
                    "{model}"
                );
                break;
            }
            assert_eq!(response.status, 401, "{model}");
            refused += 1;
        }
        assert!(refused >= 10, "{model}: {refused}");
        assert_eq!(
            ask("192.0.2.8", WRONG).status,
            401,
            "{model}: another client"
        );
        assert_eq!(ask("192.0.2.8", ME).status, 200, "{model}: another client");
    });
}

/// Whatever else responses are sent with.
#[test]
fn no_cache_keeps_a_refusal() {
    let tree = tree();
    let options = ["--header", "Cache-Control: public, max-age=9"];
    on_every_model(|model| {
        for options in [&[][..], &options] {
            let evserve = start(model, &tree, options);
            let mut statuses = Vec::new();
            while statuses.last() != Some(&429) {
                let refused = evserve.ask("GET", "/a.txt", &["Accept: text/html", WRONG]);
                let lines = refused.head.lines();
                let lines: Vec<_> = lines.filter(|line| line.starts_with("Cache-")).collect();
                assert_eq!(lines, ["Cache-Control: no-store"], "{model}: {refused:?}");
                let page = String::from_utf8_lossy(&refused.body);
                assert!(page.contains("password"), "{model}: {page}");
                statuses.push(refused.status);
                assert!(statuses.len() < 1000, "{model}: no bound");
            }
            assert_eq!(statuses[0], 401, "{model}");
        }
    });
}

/// Also for a connection that is open, and, under `forking`, for the process that serves it.
#[test]
fn passwords_are_read_again_at_sighup() {
    on_every_model(|model| {
        let tree = tree();
        let mut evserve = start(model, &tree, &[]);
        let get = |client: &mut Client, field: &str| {
            client.send(format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n"));
            client.response().status
        };
        let mut open = evserve.connect();
        assert_eq!(get(&mut open, YOU), 200, "{model}");
        set_users(tree.path(), &[("me", "secret", 4)]);
        assert_eq!(
            evserve.ask("GET", "/a.txt", &[YOU]).status,
            200,
            "{model}: too early"
        );
        evserve.signal(Signal::HUP);
        evserve.wait_for_log("/users have been read again: 1 user");
        if !serves_one_at_a_time(model) {
            assert_eq!(get(&mut open, YOU), 401, "{model}: the open connection");
            assert_eq!(get(&mut open, ME), 200, "{model}: the open connection");
        }
        assert_eq!(evserve.ask("GET", "/a.txt", &[YOU]).status, 401, "{model}");
        assert_eq!(evserve.ask("GET", "/a.txt", &[ME]).status, 200, "{model}");
        write(tree.path().join("users"), "me").expect("written");
        evserve.signal(Signal::HUP);
        let line = evserve.wait_for_log("expected user:hash");
        assert!(line.contains("read before stay in use"), "{line}");
        assert_eq!(evserve.ask("GET", "/a.txt", &[ME]).status, 200, "{model}");
    });
}

/// While passwords are hashed, everybody else is served. Each of these checks takes a second of
/// CPU time, and the requests beside them a millisecond.
#[test]
fn a_loop_serves_others_during_a_check() {
    on_every_model(|model| {
        if !is_loop(model) || !row(model).name.starts_with("e") {
            return;
        }
        let tree = tree();
        set_users(tree.path(), &[("me", "secret", 13), ("you", "second", 4)]);
        let evserve = start(model, &tree, &[]);
        assert_eq!(evserve.ask("GET", "/a.txt", &[YOU]).status, 200);
        let mut slow: Vec<_> = (0..4).map(|_| evserve.connect()).collect();
        for client in &mut slow {
            client.send(format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{WRONG}\r\n\r\n"));
        }
        for _ in 0..10 {
            assert_eq!(evserve.ask("GET", "/a.txt", &[YOU]).status, 200);
            assert_eq!(evserve.ask("GET", "/a.txt", &[]).status, 401);
        }
        let last = slow[3].stream();
        last.set_nonblocking(true).expect("a socket");
        let waits = last.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(
            waits,
            Err(ErrorKind::WouldBlock),
            "{model}: it was checked before"
        );
        last.set_nonblocking(false).expect("a socket");
        for client in &mut slow {
            assert_eq!(client.response().status, 401);
        }
    });
}

/// A preflight request carries no credentials (Fetch, "CORS-preflight fetch").
#[test]
fn preflight_requests_need_no_password() {
    let tree = tree();
    on_every_model(|model| {
        let evserve = start(model, &tree, &["--cors"]);
        let preflight = ["Origin: http://x", "Access-Control-Request-Method: GET"];
        let allowed = evserve.ask("OPTIONS", "/a.txt", &preflight);
        assert_eq!(allowed.status, 200, "{model}");
        let fields = allowed.field("Access-Control-Allow-Headers");
        assert!(
            fields.is_some_and(|fields| fields.contains("Authorization")),
            "{model}"
        );
        for part in preflight {
            assert_eq!(
                evserve.ask("OPTIONS", "/a.txt", &[part]).status,
                401,
                "{model}"
            );
        }
        let get = evserve.ask("GET", "/a.txt", &preflight);
        assert_eq!(get.status, 401, "{model}");
        assert_eq!(
            get.field("Access-Control-Allow-Origin"),
            Some("*"),
            "{model}"
        );
    });
}

#[test]
fn the_status_has_users_of_its_own() {
    let tree = tree();
    let users = tree.path().join("status-users");
    write(
        &users,
        format!("you:{}", bcrypt::hash("second", 4).expect("hashed")),
    )
    .expect("written");
    let mut line = vec!["--status", "127.0.0.1:0", "--status-auth-file"];
    line.push(users.to_str().expect("UTF-8"));
    let evserve = start("epoll", &tree, &line);
    let lines = evserve.startup_log().iter();
    let status = lines.skip_while(|line| !line.contains("serving status"));
    let address = status
        .filter_map(|line| crate::common::address_in(line))
        .next();
    let address = address.expect("its address").parse().expect("an address");
    let ask = |path: &str, field: &str| {
        let mut client = Client::connect(address);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{field}\r\n\r\n"
        ));
        client.head().status
    };
    assert_eq!(ask("/healthz", "X: y"), 200);
    for path in [
        "/",
        "/metrics",
        "/status.json",
        "/events",
        "/live.js",
        "/healthz/",
    ] {
        assert_eq!(ask(path, "X: y"), 401, "{path}");
        assert_eq!(ask(path, ME), 401, "{path}: a user of the files");
    }
    let mut press = Client::connect(address);
    press.send("POST /record HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(press.response().status, 401, "whatever its token");
    assert_eq!(ask("/", YOU), 200);
    assert_eq!(evserve.ask("GET", "/a.txt", &[]).status, 401);
}

#[cfg(feature = "tls")]
#[test]
fn a_redirect_to_https_asks_for_no_password() {
    let tree = tree();
    let challenges = tree.path().join("root/.well-known");
    create_dir(&challenges).expect("made");
    create_dir(challenges.join("acme-challenge")).expect("made");
    write(challenges.join("acme-challenge/x"), "token").expect("written");
    let identity = crate::common::Identity::new();
    let options = identity.options();
    let mut line: Vec<&str> = options.iter().map(String::as_str).collect();
    line.extend(["--listen", "tls:127.0.0.1:0", "--redirect-to-https"]);
    let evserve = start("epoll", &tree, &line);
    let redirect = evserve.ask("GET", "/a.txt", &[]);
    assert_eq!(
        (redirect.status, redirect.field("WWW-Authenticate")),
        (308, None)
    );
    let token = evserve.ask("GET", "/.well-known/acme-challenge/x", &[]);
    assert_eq!((token.status, &token.body[..]), (200, &b"token"[..]));
}

#[test]
fn a_password_from_the_environment_or_the_command_line() {
    let tree = tree();
    let program = || Program::evserve("-p 0").arg(tree.path().join("root"));
    for program in [
        program().env("EVSERVE_AUTH", "me:secret"),
        program().options("--auth me:secret"),
    ] {
        let evserve = program.start();
        assert_eq!(evserve.ask("GET", "/a.txt", &[]).status, 401);
        assert_eq!(evserve.ask("GET", "/a.txt", &[WRONG]).status, 401);
        assert_eq!(evserve.ask("GET", "/a.txt", &[ME]).status, 200);
        let log = evserve.stop().log;
        assert!(log.contains("http asks for a password: 1 user"), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }
    let error = program().options("--auth-file /none").fails(1);
    assert!(error.contains("cannot read /none"), "{error}");
    let both = program().options("--auth me:other");
    let evserve = both.env("EVSERVE_AUTH", "me:secret").start();
    assert_eq!(evserve.ask("GET", "/a.txt", &[ME]).status, 401);
    let error = program().options("--auth me:").fails(2);
    assert!(error.contains("--auth: the password is empty"), "{error}");
    for wrong in [&b"secret"[..], b":secret", b"", b"me:secret\xff"] {
        let variable = OsStr::from_bytes(wrong);
        let error = program().env("EVSERVE_AUTH", variable).fails(2);
        assert!(
            error.contains("EVSERVE_AUTH in the environment: "),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
        let error = program().arg("--auth").arg(variable).fails(2);
        assert!(error.contains("--auth: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// Sends a request as if it came from this client, through a proxy. Returns the response without its
/// content.
fn ask_as(address: SocketAddr, client: &str, field: &str) -> crate::common::Response {
    let mut connection = Client::connect(address);
    connection.send(format!(
        "PROXY TCP4 {client} 10.0.0.1 258 80\r\n\
         GET /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{field}\r\n\r\n"
    ));
    let head = connection.head();
    connection.rest();
    head
}

const PROXY: &str = "--proxy-protocol --trusted-proxy 127.0.0.1 -p 0";

/// At most two passwords are checked at once, and each takes 19 MiB.
#[test]
fn wrong_passwords_take_the_memory_of_two_checks() {
    const CHECKS_KIB: u64 = 2 * 19 * 1024;
    const MARGIN_KIB: u64 = 16 * 1024;
    let tree = tree();
    for model in ["pool", "epoll"] {
        let program = Program::model(model, PROXY).options("--auth me:secret");
        let evserve = program.arg(tree.path().join("root")).start();
        assert_eq!(ask_as(evserve.address(), "192.0.2.1", ME).status, 200);
        let before = evserve.proc_status("VmRSS");
        std::thread::scope(|scope| {
            for client in 0..6 {
                let address = evserve.address();
                scope.spawn(move || {
                    for network in 0..10 {
                        let client = format!("198.51.{network}.{client}");
                        assert_eq!(ask_as(address, &client, WRONG).status, 401, "{model}");
                    }
                });
            }
        });
        let grown = evserve.proc_status("VmHWM").saturating_sub(before);
        assert!(grown < CHECKS_KIB + MARGIN_KIB, "{model}: {grown} KiB");
    }
}

/// Of `secret`. Each check takes 64 MiB.
const COSTLY: &str = "$argon2id$v=19$m=65536,t=1,p=1$c2FsdHNhbHQ$+07e4xXYU6G3CuyBO+9rcA";

/// A right password is not called wrong, nor counted as a guess.
#[test]
fn without_memory_for_a_check_the_client_gets_503() {
    let tree = tree();
    write(tree.path().join("users"), format!("me:{COSTLY}\n")).expect("written");
    on_every_model(|model| {
        let mut evserve = start(model, &tree, &[]);
        let pid = Pid::from_raw(evserve.id() as i32);
        let limit = |most: Option<u64>| {
            let limit = Rlimit {
                current: most,
                maximum: None,
            };
            prlimit(pid, Resource::As, limit).expect("a limit");
        };
        assert_eq!(evserve.ask("GET", "/a.txt", &[]).status, 401, "{model}");
        limit(Some((evserve.proc_status("VmSize") + 32 * 1024) * 1024));
        for _ in 0..12 {
            let response = evserve.ask("GET", "/a.txt", &[ME]);
            assert_eq!(response.status, 503, "{model}");
            assert_eq!(response.field("Retry-After"), Some("1"), "{model}");
        }
        evserve.wait_for_log("cannot check a password: there is not enough memory");
        limit(None);
        assert_eq!(evserve.ask("GET", "/a.txt", &[ME]).status, 200, "{model}");
    });
}
