//! Packaging: what the program prints for packages, and the files that `Cargo.toml` names.

use crate::common::{Program, is_missing};
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the program, which must succeed, and returns its output.
fn printed(arguments: &[&str]) -> String {
    // In an empty directory, so that nothing is served.
    let program = Program::evserve("").args(arguments);
    let output = program.current_dir("/proc").output();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// All long options in --help, without their dashes.
fn options() -> BTreeSet<String> {
    let help = printed(&["--help"]);
    let lines = help.lines().map(str::trim_start);
    let named = lines.filter_map(|line| {
        let line = match line.split_once(", --") {
            Some((short, _)) if short.len() == 2 => &line[4..],
            _ => line,
        };
        let name = line
            .strip_prefix("--")?
            .split(|c: char| c != '-' && !c.is_alphanumeric());
        name.map(String::from).next()
    });
    let options: BTreeSet<String> = named.collect();
    assert!(
        options.len() > 30 && options.contains("help"),
        "{options:?}"
    );
    options
}

/// The errors of a program that reads `text`. Returns `None` if it is not installed.
fn errors_of(program: &str, arguments: &[&str], text: &str) -> Option<String> {
    if is_missing(program) {
        return None;
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(text.as_bytes())
        .expect("it reads all of it");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    Some(said)
}

#[test]
fn completions_name_every_option() {
    // elvish and PowerShell cannot check a script without running it.
    for (shell, program, arguments) in [
        ("bash", Some("bash"), &["-n"][..]),
        ("zsh", Some("zsh"), &["-n", "/dev/stdin"]),
        ("fish", Some("fish"), &["--no-execute"]),
        ("elvish", None, &[]),
        ("powershell", None, &[]),
    ] {
        let text = printed(&["--completions", shell]);
        for option in options() {
            assert!(text.contains(&option), "{shell}: no --{option}");
        }
        for model in evserve::model::MODELS {
            let values_are_named = matches!(shell, "bash" | "zsh" | "fish");
            assert!(!values_are_named || text.contains(model.name), "{shell}");
        }
        if let Some(program) = program {
            let said = errors_of(program, arguments, &text).unwrap_or_default();
            assert_eq!(said, "", "{shell}");
        }
    }
}

/// Also an environment that the server would refuse.
#[test]
fn what_only_prints_works_in_any_environment() {
    let variables = [
        ("EVSERVE_AUTH", "no login"),
        ("EVSERVE_AUTH", "me:secret"),
        ("LISTEN_FDS", "1"),
    ];
    for arguments in [
        "--help",
        "-h",
        "--version",
        "-V",
        "--man",
        "--completions bash",
    ] {
        let expected = printed(&arguments.split(' ').collect::<Vec<_>>());
        for (name, value) in variables {
            let program = Program::evserve(arguments).env(name, value);
            // LISTEN_PID must be its own id. Descriptor 3 is no socket.
            let script = "exec 3</dev/null; LISTEN_PID=$$ exec \"$@\"";
            let output = program.in_shell(script).output();
            assert!(output.status.success(), "{name} {arguments}: {output:?}");
            assert_eq!(output.stdout, expected.as_bytes(), "{name} {arguments}");
        }
    }
}

#[test]
fn the_manual_names_every_option() {
    let page = printed(&["--man"]);
    assert!(page.contains(".TH EVSERVE 1"), "{page}");
    for option in options() {
        let name = format!("\\-\\-{}", option.replace('-', "\\-"));
        assert!(page.contains(&name), "no --{option}: {page}");
    }
    let titles = page.lines().filter_map(|line| line.strip_prefix(".SH "));
    let titles: Vec<_> = titles.map(|title| title.trim_matches('"')).collect();
    let expected = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "EXAMPLES",
        "EXIT STATUS",
        "SIGNALS",
        "ENVIRONMENT",
        "FILES",
        "SEE ALSO",
    ];
    assert_eq!(titles, expected);
    let groups = page.lines().filter(|line| line.starts_with(".SS "));
    assert_eq!(groups.count(), 8, "{page}");
    assert!(page.lines().all(|line| line.len() <= 100), "{page}");
    let said = errors_of("groff", &["-man", "-ww", "-Tutf8"], &page).unwrap_or_default();
    assert_eq!(said, "");
}

/// Each file in the Debian package exists, or is made by the script that builds it.
#[test]
fn every_file_of_the_package_exists() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| read_to_string(home.join(path)).expect(path);
    let manifest = read("Cargo.toml");
    let (_, assets) = manifest.split_once("\nassets = [\n").expect("assets");
    let (assets, _) = assets.split_once("\n]\n").expect("an end");
    let script = read("docs/packaging/build-deb");
    for line in assets.lines() {
        let path = line.split('"').nth(1).expect("a path");
        let is_made = match path.strip_prefix("target/") {
            Some("release/evserve") => true,
            Some(made) => script.contains(&made.replace("packaging/", "> \"$made/")),
            None => home.join(path).is_file(),
        };
        assert!(is_made, "{path}");
    }
}
