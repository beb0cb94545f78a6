//! The walls of the house: which room may import which, and what each must not know.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// What each room may import, from the bottom up. A room that is not here may import nothing and be imported by none.
const ROOMS: &[(&str, &[&str])] = &[
    ("trace", &[]),
    ("sys", &["trace"]),
    ("lines", &["sys"]),
    ("offload", &[]),
    ("net", &["sys"]),
    ("config", &["net"]),
    ("session", &[]),
    ("http1", &[]),
    ("files", &["sys", "trace"]),
    ("observe", &["session", "config", "lines", "sys", "trace"]),
    ("confine", &["config"]),
    (
        "service",
        &["session", "http1", "files", "config", "observe", "offload"],
    ),
    ("poller", &["sys", "trace"]),
    (
        "model",
        &[
            "service", "poller", "session", "net", "config", "observe", "offload", "sys", "trace",
        ],
    ),
    (
        "server",
        &[
            "model", "service", "session", "net", "config", "observe", "confine", "sys",
        ],
    ),
    ("cli", &["model", "service", "http1", "net", "config"]),
    ("main", &["cli", "server", "model", "observe", "net"]),
];

/// Words, and the only places where they may stand.
const WORDS: &[(&str, &[&str])] = &[
    ("mio::", &["poller/epoll.rs"]),
    ("httparse::", &["http1/request.rs"]),
    (
        "Instant::now",
        &[
            "model/",
            "lines/",
            "observe/",
            "server.rs",
            "server/",
            "trace.rs",
        ],
    ),
    (
        "SystemTime::now",
        &["model/clock.rs", "observe/operator_log.rs"],
    ),
    ("landlock::", &["confine/"]),
    ("ppp::", &["service/proxy_header.rs"]),
    ("std::fs", &[]),
    (
        "std::thread",
        &["observe/operator_log.rs", "model/", "offload.rs"],
    ),
    ("TcpStream", &[]),
    ("TcpListener", &[]),
    ("socket2::", &["net/"]),
    // The trace names errors.
    ("rustix::", &["sys/", "confine/", "trace.rs"]),
    // fork(2) and signal handlers need `unsafe`.
    (
        "nix::",
        &["sys/", "confine/", "model/process.rs", "trace.rs"],
    ),
];

/// The program text of a file, without its tests and its comments.
fn code(path: &Path) -> String {
    let text = read_to_string(path).expect("a source file");
    let program = text.split("#[cfg(test)]").next().expect("a part");
    let lines = program
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            found.push(path);
        }
    }
    found
}

fn each_source(mut see: impl FnMut(&str, &str)) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let name = path.strip_prefix(&src).expect("below src");
        see(name.to_str().expect("UTF-8"), &code(&path));
    }
}

fn is_word(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The rooms that a file's code names behind `crate::` (the program says `evserve::`), in braces too.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    let paths = code.split("crate::").chain(code.split("evserve::"));
    for after in paths.filter(|part| !part.is_empty()).skip(1) {
        let list = match after.strip_prefix('{') {
            Some(list) => list.split_once("};").map_or(list, |(inside, _)| inside),
            None => after
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .expect("a part"),
        };
        let names = list
            .split(',')
            .map(|name| name.trim().split(':').next().expect("a part"));
        imports.extend(
            names
                .map(String::from)
                .filter(|name| ROOMS.iter().any(|(room, _)| room == name)),
        );
    }
    imports
}

#[test]
fn imports_point_down() {
    let mut rooms = BTreeSet::new();
    each_source(|name, code| {
        let room = name.split(['/', '.']).next().expect("a part");
        if room == "lib" {
            return;
        }
        rooms.insert(room.to_owned());
        let allowed = ROOMS.iter().find(|(known, _)| *known == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is in no plan"));
        for import in imports(code) {
            assert!(
                import == room || allowed.contains(&&*import),
                "{name} must not import {import}"
            );
        }
    });
    let planned: BTreeSet<_> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, planned, "the plan and the house differ");
}

/// The plan itself has no circle: a room imports only rooms that stand before it.
#[test]
fn the_plan_points_down() {
    for (index, (room, allowed)) in ROOMS.iter().enumerate() {
        for import in *allowed {
            let below = ROOMS[..index].iter().any(|(known, _)| known == import);
            assert!(below, "{room} imports {import}, which is not below it");
        }
    }
}

#[test]
fn nobody_knows_what_it_must_not_know() {
    each_source(|name, code| {
        for (word, places) in WORDS {
            let allowed = places.iter().any(|place| name.starts_with(place));
            let used = code.match_indices(word).any(|(at, _)| {
                (word.ends_with("::") || is_word(&code[at + word.len()..]))
                    && code[..at]
                        .chars()
                        .next_back()
                        .is_none_or(|c| is_word(&c.to_string()))
            });
            assert!(allowed || !used, "{name} must not know {word}");
        }
    });
}
