//! What cannot be tested here.

use std::fs::File;
use std::io::{Write, stderr};
use std::path::Path;

/// Where `tests/run` reads what was left out.
const LIST: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/left-out");

/// Says that a test, or a part of it, is left out for want of something.
///
/// # Panics
/// If `EVSERVE_MAY_SKIP` is set, as `.ci/run` does, and does not name what is missing, between spaces.
pub fn left_out(missing: &str, why: impl AsRef<str>) {
    let why = why.as_ref();
    if let Ok(allowed) = std::env::var("EVSERVE_MAY_SKIP") {
        let is_allowed = allowed.split_whitespace().any(|name| name == missing);
        assert!(is_allowed, "`{missing}` is missing here: {why}");
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{test}: `{missing}` is missing here: {why}\n");
    // This is not captured, as what a macro prints is.
    let _ = stderr().write_all(format!("left out: {line}").as_bytes());
    let file = File::options().create(true).append(true).open(LIST);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{LIST}: {error}"));
}

/// True if a program that a test needs is not installed; then that is [`left_out`].
pub fn is_missing(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |directory: &Path| directory.join(program).is_file();
    let missing = !std::env::split_paths(&paths).any(|directory| is_there(&directory));
    if missing {
        left_out(program, "it is not installed");
    }
    missing
}

/// True if this is not root; then that is [`left_out`].
pub fn is_not_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        left_out("root", "only root may do that");
    }
    !is_root
}
