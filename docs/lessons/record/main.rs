//! Records the lessons: starts each server of a scene with `--record`, plays its clients, and writes
//! the recordings to docs/lessons/SCENE, and the pages beside them.
//!
//!     cargo run --example lessons                 # all
//!     cargo run --example lessons silent-client   # one, or several
//!
//! A page is made of the recordings and of `lesson.txt` beside them. If only that text or the page's
//! script has changed, no new recordings are needed: EVSERVE_WRITE=1 cargo test --test layers lessons

mod client;
mod forgetful;
mod pages;
mod scenes;
mod server;
// Not all of it is needed here.
#[allow(dead_code)]
#[path = "../../../tests/common/tls.rs"]
mod tls;

use client::Stage;
use evserve::recording::{Contents, Event, Kind, Syscall};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use scenes::{LARGE, OLD_SITE, Props, SCENES, SITE, Scene};
use server::Server;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// How often a scene is recorded at most.
const MAX_RECORDINGS: usize = 20;

fn main() -> ExitCode {
    if let Some(code) = server::serve_if_asked() {
        return code;
    }
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let unknown = wanted
        .iter()
        .find(|name| SCENES.iter().all(|scene| scene.name != **name));
    if let Some(name) = unknown {
        let known: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
        eprintln!("there is no scene {name}; there are {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    let is_wanted = |name| wanted.is_empty() || wanted.iter().any(|one| one == name);
    for scene in SCENES.iter().filter(|scene| is_wanted(scene.name)) {
        if let Err(error) = record_until_true(scene) {
            eprintln!("{error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Records a scene, again if the text is not true of the recordings: a scene can be disturbed.
fn record_until_true(scene: &Scene) -> Result<(), String> {
    let mut result = Ok(());
    for _ in 0..MAX_RECORDINGS {
        record(scene);
        result = pages::write(scene.name);
        match &result {
            Ok(()) => {
                println!("docs/lessons/{}.html", scene.name);
                break;
            }
            Err(error) => println!("once more: {error}"),
        }
    }
    result
}

/// Plays a scene with each of its servers, and writes the recordings.
fn record(scene: &Scene) {
    let folder = pages::folder(scene.name);
    std::fs::create_dir_all(&folder).expect("made");
    for (side, (name, options)) in scene.sides.iter().enumerate() {
        let place = tempfile::tempdir().expect("a folder");
        let site = site(place.path());
        let identity = tls::Identity::new();
        let mut words = vec!["--listen", "127.0.0.1:0", "--access-log", "off"];
        let certificate = identity.options();
        for word in options.split_whitespace() {
            match word {
                SITE => words.push(site.to_str().expect("text")),
                OLD_SITE => words.push(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/site")),
                "--tls" => {
                    words[1] = "tls:127.0.0.1:0";
                    words.extend(certificate.iter().map(String::as_str));
                }
                _ => words.push(word),
            }
        }
        // The server inherits it.
        let processors = sched_getaffinity(None).expect("processors");
        if scene.shares_processor {
            sched_setaffinity(None, &first_of(&processors)).expect("a processor");
        }
        let server = match server::FORGETFUL.contains(options) {
            true => Server::start(options, place.path()),
            false => Server::start(&words.join(" "), place.path()),
        };
        // Until all its threads wait.
        sleep(Duration::from_millis(30));
        let stage = Stage::new(server.address);
        let props = Props {
            server,
            side,
            identity,
        };
        let clients = (scene.play)(&stage, &props);
        sched_setaffinity(None, &processors).expect("processors");
        let mut recording = props.server.end();
        if scene.name != "graceful-stop" {
            leave_out_idle_main(&mut recording);
        }
        stage.add(&mut recording, clients, scene.names);
        let file = folder.join(format!("{name}.evrec"));
        std::fs::write(file, recording.to_bytes()).expect("written");
    }
}

/// The first one of some processors.
fn first_of(processors: &CpuSet) -> CpuSet {
    let mut first = CpuSet::new();
    let number = (0..CpuSet::MAX_CPU).find(|number| processors.is_set(*number));
    first.set(number.expect("a processor"));
    first
}

/// Leaves out a main thread that does nothing but wait for signals.
fn leave_out_idle_main(recording: &mut Contents) {
    let main = recording.process;
    let parts = recording.parts.iter().filter(|part| part.thread == main);
    let serves = |words: &[u64; 4]| {
        Event::from_words(*words).is_ok_and(|event| match event.kind {
            Kind::Turn | Kind::Opened => true,
            // At the end it looks for clients that still wait.
            Kind::Call => event.code == Syscall::Accept as u8 && event.value >= 0,
            _ => false,
        })
    };
    let is_idle = !parts.flat_map(|part| &part.events).any(serves);
    recording
        .parts
        .retain(|part| !is_idle || part.thread != main);
}

/// A folder to serve: the example site's style, and a large file.
fn site(place: &Path) -> PathBuf {
    let site = place.join("site");
    let style = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/site/style.css");
    std::fs::create_dir(&site).expect("made");
    std::fs::copy(style, site.join("style.css")).expect("copied");
    std::fs::write(site.join(LARGE.0), vec![b'x'; LARGE.1]).expect("written");
    site
}
