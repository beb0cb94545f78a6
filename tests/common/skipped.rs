//! Tests that cannot run here.

use std::fs::File;
use std::io::{Write, stderr};
use std::path::Path;

/// `tests/run` prints this file at its end.
const LIST: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");

/// Records that a test, or a part of it, is skipped because `missing` is missing.
///
/// # Panics
/// If `EVSERVE_MAY_SKIP` is set, as `.ci/run` sets it, and does not name `missing`. It is
/// a list separated by spaces.
pub fn skip(missing: &str, why: impl AsRef<str>) {
    let why = why.as_ref();
    if let Ok(allowed) = std::env::var("EVSERVE_MAY_SKIP") {
        let is_allowed = allowed.split_whitespace().any(|name| name == missing);
        assert!(is_allowed, "`{missing}` is missing here: {why}");
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{test}: `{missing}` is missing here: {why}\n");
    // Unlike the output of `eprintln!`, this is not captured.
    let _ = stderr().write_all(format!("skipped: {line}").as_bytes());
    let file = File::options().create(true).append(true).open(LIST);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{LIST}: {error}"));
}

/// Returns true, and calls [`skip`], if a program that a test needs is not installed.
pub fn is_missing(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |directory: &Path| directory.join(program).is_file();
    let missing = !std::env::split_paths(&paths).any(|directory| is_there(&directory));
    if missing {
        skip(program, "it is not installed");
    }
    missing
}

/// Returns true, and calls [`skip`], if the user is not root.
pub fn is_not_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", "only root may do that");
    }
    !is_root
}
