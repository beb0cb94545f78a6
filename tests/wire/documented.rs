//! Runs the commands in README.md and in the pages for users. Only ports and paths are replaced.

use crate::common::{Client, Evserve, Program, is_missing};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

const PAGES: &[&str] = &[
    "README.md",
    "docs/usage.md",
    "docs/http.md",
    "docs/logging.md",
    "docs/status.md",
    "docs/trace.md",
];

/// The beginnings of commands that are not run here, and the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("tests/run", "it runs this test"),
    ("tests/demo ", "run by tests/wire/demos.rs"),
    ("cargo install --path .", "builds the program again"),
    ("cargo bench", "takes a minute or more"),
    ("cargo run --example ", "run by tests/wire/examples.rs"),
    (
        "evserve --listen '[fe80::1%eth0]:8080'",
        "needs that interface: see tests/wire/addresses.rs",
    ),
    (
        "evserve --listen :80 --user nobody",
        "needs root: see tests/wire/confine.rs",
    ),
    (
        "systemd-socket-activate",
        "needs systemd: see tests/wire/inherited.rs",
    ),
    ("evserve --auth me:secret", "see tests/wire/auth.rs"),
    ("read -rs EVSERVE_AUTH", "reads from a terminal"),
    ("htpasswd ", "needs apache2-utils: see tests/wire/auth.rs"),
    ("mv access.log", "see tests/wire/access_log.rs"),
    ("nc ", "needs netcat: see tests/wire/unix.rs"),
    ("echo ", "needs netcat: see tests/wire/datagrams.rs"),
];

/// A server that a command started. Later commands of the page use it.
struct Running {
    evserve: Evserve,
    /// The ports in the page, and the address that replaces each.
    ports: Vec<(String, SocketAddr)>,
}

/// The commands of a page: the indented lines, without their comments.
fn commands(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(path).expect(page);
    let is_code = |line: &&str| line.starts_with("    ") && !line.trim_start().starts_with('<');
    let lines = text.lines().filter(is_code).map(str::trim);
    let command = |line: &str| line.split("  #").next().unwrap_or(line).trim().to_owned();
    // The output of programs is indented too.
    let is_output =
        |line: &String| line.starts_with(|c: char| c.is_ascii_digit()) || line.contains("INFO");
    lines
        .map(command)
        .filter(|line| !is_output(line) && !line.starts_with("sandbox ("))
        .filter(|line| cfg!(feature = "tls") || !line.contains("tls:"))
        .collect()
}

/// The words of a command, as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {command}");
    let output = Command::new("sh").args(["-c", &script]).output();
    let text = String::from_utf8(output.expect("a shell").stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// The port at the end of an address.
fn port(address: &str) -> Option<&str> {
    let port = address.rsplit(':').next()?;
    port.parse::<u16>().is_ok().then_some(port)
}

/// Starts a server on free ports, and notes which address replaces which port of the page.
fn start(arguments: &[String], home: &Path) -> Running {
    let mut options = Vec::new();
    let (mut tcp, mut udp, mut status) = (Vec::new(), Vec::new(), None);
    let mut before = "";
    for argument in arguments {
        let is_address = ["--listen", "-l", "--status", "--port", "-p"].contains(&before);
        let mut option = argument.replace("/tmp/", &format!("{}/", home.display()));
        if let Some(port) = port(argument).filter(|_| is_address) {
            option.truncate(option.len() - port.len());
            option.push('0');
            match (before, argument.contains("udp:")) {
                ("--status", _) => status = Some(port.to_owned()),
                (_, true) => udp.push(port.to_owned()),
                (_, false) => tcp.push(port.to_owned()),
            }
        }
        if is_address && argument.parse::<IpAddr>().is_ok() {
            option += ":0";
        }
        options.push(option);
        before = argument;
    }
    let listens = |word: &String| ["--listen", "-l", "--port", "-p"].contains(&&**word);
    if !arguments.iter().any(listens) {
        let mut modes = Vec::new();
        for pair in arguments.windows(2).filter(|pair| pair[0] == "--mode") {
            modes.push(&*pair[1]);
        }
        if modes.is_empty() {
            modes.push("http");
        }
        for mode in modes {
            let row = evserve::service::find(mode).expect(mode);
            options.extend(["--listen".into(), format!("{mode}=127.0.0.1:0")]);
            tcp.push(row.port.to_string());
        }
    }
    let evserve = Program::evserve("").args(&options).current_dir(home);
    let evserve = evserve.env("XDG_STATE_HOME", home.join("state")).start();
    let tcp = tcp.into_iter().zip(evserve.addresses.iter().copied());
    let udp = udp.into_iter().zip(evserve.udp.iter().copied());
    // The status listens last.
    let status = status.into_iter().zip(evserve.addresses.last().copied());
    let ports = tcp.chain(udp).chain(status).collect();
    Running { evserve, ports }
}

/// Sends a request to a server that has just started, if it serves HTTP.
fn is_served(running: &Running, arguments: &[String]) {
    let takes_requests = |word: &String| {
        let others = ["--proxy-protocol", "echo", "daytime", "--trace-requests"];
        !others.contains(&&**word) && !word.starts_with("--tls")
    };
    if arguments.iter().all(takes_requests) && !running.evserve.addresses.is_empty() {
        let mut client = Client::connect(running.evserve.address());
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200, "{arguments:?}");
    }
}

/// Runs a client, which must succeed.
fn ask(command: &str, running: &[Running], home: &Path) {
    let program = command.split(' ').next().expect("a word");
    if is_missing(program) {
        return;
    }
    // A second of load is enough.
    let mut words = words(command);
    for word in &mut words {
        if word.starts_with("-d") && word.ends_with('s') {
            *word = "-d1s".into();
        }
        *word = word.replace("/tmp/", &format!("{}/", home.display()));
        // The server that was started last has the port.
        let ports = running.iter().rev().flat_map(|one| &one.ports);
        let known = |(port, _): &&(String, SocketAddr)| word.contains(&format!(":{port}"));
        if let Some((port, address)) = ports.into_iter().find(known) {
            *word = word.replace(&format!(":{port}"), &format!(":{}", address.port()));
        }
    }
    if program == "curl" {
        words.extend(["--fail".into(), "--silent".into(), "--show-error".into()]);
    }
    let output = Command::new(program).args(&words[1..]).output();
    let output = output.expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    let is_well = output.status.success() && !printed.contains("Socket errors");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(is_well, "{command}: {printed}{said}");
}

/// A directory with the files that the commands serve.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/site");
    for folder in ["public", "app", "docs/site", "docs/lessons"] {
        let folder = home.path().join(folder);
        std::fs::create_dir_all(&folder).expect("made");
        for file in ["index.html", "style.css", "error.html"] {
            std::fs::copy(site.join(file), folder.join(file)).expect("copied");
        }
        std::fs::copy(site.join("error.html"), folder.join("404.html")).expect("copied");
    }
    for picture in ["photo.jpg", "docs/listing.png"] {
        std::fs::write(home.path().join(picture), b"a picture").expect("written");
    }
    home
}

#[test]
fn commands_on_the_pages_work() {
    let mut used = vec![false; NOT_RUN.len()];
    for page in PAGES {
        let (home, mut running) = (home(), Vec::<Running>::new());
        for command in commands(page) {
            eprintln!("{page}: {command}");
            let why = |(begin, _): &(&str, &str)| command.starts_with(begin);
            if let Some(index) = NOT_RUN.iter().position(why) {
                used[index] = true;
                continue;
            }
            // The program is built already.
            let command = command.replace("cargo run --release -- ", "evserve ");
            let Some(arguments) = command.strip_prefix("evserve ") else {
                ask(&command, &running, home.path());
                continue;
            };
            let arguments = words(arguments);
            if ["--help", "-h", "--man", "--completions"].contains(&&*arguments[0]) {
                let output = Program::evserve("").args(&arguments).output();
                assert!(output.status.success() && !output.stdout.is_empty());
                continue;
            }
            let one = start(&arguments, home.path());
            is_served(&one, &arguments);
            // The new server takes over its ports.
            let (replaced, rest): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|old: &Running| {
                    let taken = |(port, _): &(String, SocketAddr)| {
                        one.ports.iter().any(|(new, _)| new == port)
                    };
                    old.ports.iter().any(taken)
                });
            replaced.into_iter().for_each(|old| {
                old.evserve.stop();
            });
            running = rest;
            running.push(one);
        }
        running.into_iter().for_each(|one| {
            one.evserve.stop();
        });
    }
    for ((begin, _), used) in NOT_RUN.iter().zip(used) {
        assert!(used, "no page says {begin}");
    }
}

/// Options of the benchmarks and of other programs that the pages name.
const OTHER_OPTIONS: &[&str] = &[
    "--against",
    "--device",
    "--release",
    "--rounds",
    "--seconds",
    "--test",
    "--write",
];

/// Each option that a page names between backticks exists.
#[test]
fn options_on_the_pages_exist() {
    let help = Program::evserve("--help").output().stdout;
    let help = String::from_utf8(help).expect("text");
    let known: Vec<_> = help
        .split(|c: char| c != '-' && !c.is_ascii_alphanumeric())
        .collect();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let docs = std::fs::read_dir(docs)
        .expect("it exists")
        .map(|entry| entry.expect("it exists").path());
    let pages = docs.chain(["README.md".into(), "CONTRIBUTING.md".into()]);
    for page in pages.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&page).expect("text");
        for (at, mark) in text.match_indices("`--") {
            let rest = &text[at + mark.len() - 2..];
            let is_end = |c: char| c != '-' && !c.is_ascii_alphanumeric();
            let name = rest.split(is_end).next().unwrap_or(rest);
            let exists = known.contains(&name) || OTHER_OPTIONS.contains(&name);
            assert!(exists, "{}: there is no {name}", page.display());
        }
    }
}
