//! Directories, files and links are exchanged while requests look them up: nothing outside the root
//! is sent.
//!
//! Runs the real program with and without its sandbox. Content, name and length of what is outside
//! occur nowhere inside.

use crate::common::{Client, Evserve, number, on_one_model_of_each_kind};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{create_dir_all, rename, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tempfile::TempDir;

/// How many requests an ordinary run sends. `EVSERVE_REQUESTS=1000000` sends more.
const REQUESTS: u64 = 20_000;

/// The content of every file outside the root, and of none inside.
const SECRET: &[u8] = b"OUTSIDE THE ROOT";

/// How many requests are sent at once.
const BATCH: usize = 40;

/// The length of a file outside, in bytes.
const OUTSIDE: usize = 7777;

/// The directories below the root that are exchanged.
const PLACES: &[&str] = &[
    "d",
    "e",
    "in-relative",
    "in-absolute",
    "in-parent",
    "in-given",
    "in-chain",
    "out-relative",
    "out-absolute",
    "out-parent",
    "out-chain",
    "sub/in-parent",
    "sub/out-parent",
    "sub/d",
];

/// The same for files. None of them is behind a link: the renames themselves would move files from
/// outside into the root.
const FILES: &[&str] = &["f", "g", "in-file", "out-file", "out-file-relative"];

fn world() -> TempDir {
    let world = tempfile::tempdir().expect("a directory");
    let at = |name: &str| world.path().join(name);
    for directory in ["root/d", "root/e", "root/sub/d", "outside"] {
        create_dir_all(at(directory)).expect("made");
        write(at(directory).join("f"), "inside").expect("written");
    }
    for name in ["root/f", "root/g"] {
        write(at(name), "inside").expect("written");
    }
    let secret = SECRET.repeat(OUTSIDE / SECRET.len() + 1);
    for name in ["outside/f", "outside/hidden-from-all", "outside/index.html"] {
        write(at(name), &secret[..OUTSIDE]).expect("written");
    }
    symlink("root", at("current")).expect("linked");
    let links = [
        ("in-relative", "d".into()),
        ("in-absolute", at("root/d")),
        ("in-parent", "../root/e".into()),
        ("in-given", at("current/d")),
        ("in-chain", at("root/in-parent")),
        ("out-relative", "../outside".into()),
        ("out-absolute", at("outside")),
        ("out-parent", "../root/../outside".into()),
        ("out-chain", at("current/out-absolute")),
        ("sub/in-parent", "../../root/d".into()),
        ("sub/out-parent", "../../outside".into()),
        ("in-file", at("root/d/f")),
        ("out-file", at("outside/f")),
        ("out-file-relative", "../outside/f".into()),
    ];
    for (name, target) in links {
        symlink(target, at("root").join(name)).expect("linked");
    }
    world
}

/// Exchanges two of these, or moves one away and back. Some may be missing at the moment.
fn disturb(root: &Path, random: &mut fastrand::Rng) {
    let set = if random.u8(..3) == 0 { FILES } else { PLACES };
    let (one, other) = (random.choice(set), random.choice(set));
    let place = |name: Option<&&str>| root.join(name.expect("not empty"));
    let (one, other) = (place(one), place(other));
    if random.u8(..8) == 0 {
        let aside = root.join("aside");
        if rename(&one, &aside).is_ok() {
            rename(&aside, &one).expect("no other thread renames here");
        }
    } else {
        let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
    }
}

fn target(random: &mut fastrand::Rng) -> String {
    let place = |random: &mut fastrand::Rng| *random.choice(PLACES).expect("not empty");
    match random.u8(..8) {
        0 => format!("/{}", random.choice(FILES).expect("not empty")),
        1 => format!("/{}/", place(random)),
        2 => format!("/{}/?format=json", place(random)),
        3 => "/?format=json".into(),
        4 => format!("/{}/hidden-from-all", place(random)),
        5 => format!("/sub/{}/f", place(random)),
        _ => format!("/{}/f", place(random)),
    }
}

/// Sends `count` requests. Returns how many were successful.
fn ask(client: &mut Client, count: u64, random: &mut fastrand::Rng) -> u64 {
    let mut brought = 0;
    for _ in 0..count.div_ceil(BATCH as u64) {
        let targets: Vec<_> = (0..BATCH).map(|_| target(random)).collect();
        let requests = targets
            .iter()
            .map(|target| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.send(requests.collect::<String>());
        for target in &targets {
            let answer = client.response();
            let body = String::from_utf8_lossy(&answer.body);
            let secret = String::from_utf8_lossy(SECRET);
            for outside in [&*secret, "hidden-from-all", &OUTSIDE.to_string()] {
                assert!(
                    !body.contains(outside),
                    "{target} brought {outside}: {body}"
                );
            }
            assert!(
                [200, 301, 403, 404, 503].contains(&answer.status),
                "{target}: {}",
                answer.head
            );
            brought += u64::from(answer.status == 200 && body == "inside");
        }
    }
    brought
}

#[test]
fn renames_during_lookups_do_not_escape_the_root() {
    let all = number("EVSERVE_REQUESTS").unwrap_or(REQUESTS);
    on_one_model_of_each_kind(|model| {
        for sandbox in ["follow", "off"] {
            let world = world();
            let options = ["--access-log", "off", "--sandbox", sandbox];
            let evserve = Evserve::http(model, &world.path().join("current"), &options);
            let (over, disturbed) = (AtomicBool::new(false), AtomicU64::new(0));
            let brought = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut random = fastrand::Rng::with_seed(1);
                    while !over.load(Relaxed) {
                        disturb(&world.path().join("root"), &mut random);
                        disturbed.fetch_add(1, Relaxed);
                    }
                });
                let asked = std::panic::catch_unwind(|| {
                    let mut random = fastrand::Rng::with_seed(2);
                    ask(&mut evserve.connect(), all / 6, &mut random)
                });
                over.store(true, Relaxed);
                asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            let disturbed = disturbed.into_inner();
            println!(
                "{model}, sandbox {sandbox}: {} requests, {disturbed} renames; {brought} brought a file",
                all / 6
            );
            assert!(brought > 0, "links that lead inside are followed meanwhile");
        }
    });
}
