//! Checks that a model in a file keeps the contract between models and connections, and names the
//! promises that it breaks. The file is the one in `EVSERVE_MODEL`, or `docs/examples/model.rs`.

#![allow(missing_docs)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The model that is written from the documentation alone.
const MODEL: &str = "docs/examples/model.rs";

/// Mistakes in copies of it: the text, its replacement, and the promise that must be named.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("Ok(connection.linger())", "break", "unread"),
    ("connection.expired(&mut worker),", "{}", "deadline"),
    (
        "let result = match action {",
        "let result = match action {\n_ if left == Some(Duration::ZERO) => Err(Errno::AGAIN),",
        "last try",
    ),
    (
        "=> connection.send_refused(&mut worker)",
        "=> connection.abort()",
        "send_refused",
    ),
    (
        "            Action::Load => load(",
        "            Action::Load if left.is_some() => { connection.abort(); Ok(()) }\n            Action::Load => load(",
        "send_refused",
    ),
    (
        "Err(Errno::AGAIN) => connection.woken(&mut worker)",
        "Err(Errno::AGAIN) => {}",
        "woken",
    ),
    ("Ok(connection.woken(&mut worker))", "Ok(())", "job"),
    (
        "connection.release(&mut worker);",
        "drop(connection);",
        "release",
    ),
    (
        "    connection.close(&mut worker);\n    drop(socket);",
        "    drop(socket);\n    connection.close(&mut worker);",
        "close",
    ),
    ("    connection.close(&mut worker);\n", "", "close"),
    (
        "acceptor.begin_turn(&mut worker);\n        let left",
        "let stopping = worker.stopping; acceptor.begin_turn(&mut worker); worker.stopping = stopping;\n        let left",
        "stopping",
    ),
    (
        "acceptor.begin_turn(&mut worker);\n        let left",
        "let work = worker.work; acceptor.begin_turn(&mut worker); worker.work = work;\n        let left",
        "work",
    ),
    (
        "shutdown_write(&socket).map(|()| connection.write_shut_down())",
        "Ok(connection.write_shut_down())",
        "shut",
    ),
    (
        "Ok(0) => Ok(connection.input_ended(&mut worker)),",
        "Ok(0) => Err(Errno::AGAIN),",
        "ended",
    ),
    (
        ".map(|count| connection.sent(count, &mut worker)),",
        ".map(|_| match connection.front() { evserve::session::Piece::Bytes { bytes, then, .. } => { let count = bytes.len() + then.len(); connection.sent(count, &mut worker) } _ => connection.abort() }),",
        "sent",
    ),
    ("scratch[..connection.room()]", "scratch", "room"),
    (
        ".map(|count| connection.sent(count, &mut worker)),",
        ".map(|count| if count > 0 { connection.sent(count, &mut worker) }),",
        "short file",
    ),
    ("Err(_) => connection.abort(),", "Err(_) => {}", "abort"),
];

/// Libraries by name: evserve, and the checks.
struct Libraries {
    evserve: PathBuf,
    check: PathBuf,
}

/// Compiles a program with rustc. Returns its error message if that fails.
fn rustc(arguments: &[&str], evserve: &Path) -> Result<(), String> {
    let directory = evserve.parent().expect("a directory");
    let dependencies = match directory.ends_with("deps") {
        true => directory.into(),
        false => directory.join("deps"),
    };
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--cap-lints", "allow", "-L"])
        .arg(format!("dependency={}", dependencies.display()))
        .arg(format!("--extern=evserve={}", evserve.display()))
        .args(arguments)
        .output()
        .expect("rustc is there");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

fn libraries() -> &'static Libraries {
    static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        // Together with the examples it is built as it is for tests.
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "--example",
                "model",
                "--message-format=json",
            ])
            .output()
            .expect("cargo is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let evserve = library(&output, "evserve");
        let check = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libcheck.rlib");
        let out = check.to_str().expect("UTF-8");
        let arguments = [
            "--crate-type=rlib",
            "--crate-name=check",
            "-o",
            out,
            "tests/model/lib.rs",
        ];
        rustc(&arguments, &evserve).unwrap_or_else(|error| panic!("{error}"));
        Libraries { evserve, check }
    })
}

/// The path of a library in cargo's output.
fn library(output: &Output, name: &str) -> PathBuf {
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built =
        messages.filter(|one| one["target"]["name"] == name && one["target"]["kind"][0] == "lib");
    let files = built.flat_map(|one| one["filenames"].as_array().cloned().unwrap_or_default());
    let mut paths = files.filter_map(|one| one.as_str().map(PathBuf::from));
    let is_library = |path: &PathBuf| path.extension().is_some_and(|it| it == "rlib");
    paths.find(is_library).expect("it was built")
}

/// Checks the model in a file, or one promise of it. Returns the output and whether all is well.
fn check(file: &Path, name: &str, only: Option<&str>) -> (String, bool) {
    let libraries = libraries();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (main, program) = (directory.join(format!("{name}.rs")), directory.join(name));
    let text = format!(
        "#[path = {file:?}]\nmod model;\nfn main() -> std::process::ExitCode {{ check::main(&model::MODEL) }}\n"
    );
    std::fs::write(&main, text).expect("written");
    let external = format!("--extern=check={}", libraries.check.display());
    let (program, main) = (
        program.to_str().expect("UTF-8"),
        main.to_str().expect("UTF-8"),
    );
    if let Err(error) = rustc(&[&external, "-o", program, main], &libraries.evserve) {
        return (
            format!("{} does not compile:\n{error}", file.display()),
            false,
        );
    }
    let mut command = Command::new(program);
    let output = command
        .args(["--only"].iter().filter(|_| only.is_some()))
        .args(only)
        .output();
    let output = output.expect("it starts");
    (
        String::from_utf8_lossy(&output.stdout).into(),
        output.status.success(),
    )
}

fn absolute(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[test]
fn the_model_keeps_the_contract() {
    let file = std::env::var("EVSERVE_MODEL").unwrap_or(MODEL.into());
    let (said, is_well) = check(&absolute(&file), "checked-model", None);
    // Also builds a program with this model for the tests in tests/wire.
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("served-model");
    let (program, source) = (program.to_str().expect("UTF-8"), absolute(&file));
    let source = source.to_str().expect("UTF-8");
    rustc(&["-o", program, source], &libraries().evserve).unwrap_or_else(|error| panic!("{error}"));
    println!("{said}");
    assert!(
        is_well,
        "{file} breaks the contract of src/session/connection.rs:\n{said}"
    );
}

#[test]
fn each_broken_promise_is_named() {
    let model = std::fs::read_to_string(absolute(MODEL)).expect("it exists");
    let one = |(number, (right, wrong, promise)): (usize, &(&str, &str, &str))| {
        assert_eq!(model.matches(right).count(), 1, "{right}");
        let name = format!("mistake-{number}");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-model.rs"));
        std::fs::write(&file, model.replace(right, wrong)).expect("written");
        let (said, is_well) = check(&file, &name, Some(promise));
        let named = format!("{promise}: this promise is broken");
        (is_well || !said.contains(&named))
            .then(|| format!("{wrong}\ndoes not break {promise}:\n{said}"))
    };
    libraries();
    let mistakes: Vec<_> = MISTAKES.iter().enumerate().collect();
    let mut missed = Vec::new();
    for some in mistakes.chunks(9) {
        std::thread::scope(|scope| {
            let threads = some.iter().map(|mistake| scope.spawn(|| one(*mistake)));
            let threads: Vec<_> = threads.collect();
            missed.extend(
                threads
                    .into_iter()
                    .filter_map(|one| one.join().expect("no panic")),
            );
        });
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_checks_quote_the_contract() {
    let words = |text: &str| {
        text.replace("///", " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let read = |file| std::fs::read_to_string(absolute(file)).expect("it exists");
    let documentation =
        words(&(read("src/session/connection.rs") + &read("src/session/worker.rs")));
    let checks = read("tests/model/check.rs");
    let promises = checks
        .split("promise: \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let promises: Vec<_> = promises.map(|one| words(&one.replace('\\', " "))).collect();
    assert!(promises.len() > 10);
    for promise in promises {
        assert!(
            documentation.contains(&promise),
            "{promise:?} is not in the documentation"
        );
    }
}
