//! The command `evserve replay`: the page that it writes, and what it says otherwise.

use crate::common::Program;
use evserve::recording::Contents;
use std::fs::{create_dir, read_to_string, write};

fn replay(folder: &std::path::Path, arguments: &[&str]) -> Program {
    let program = Program::evserve("replay").args(arguments);
    program.current_dir(folder)
}

#[test]
fn a_page_is_written_for_one_recording_or_two() {
    let folder = tempfile::tempdir().expect("a directory");
    let recording = Contents::default().to_bytes();
    write(folder.path().join("a"), &recording).expect("written");
    for recordings in [&["a"][..], &["a", "a"]] {
        let arguments = [recordings, &["-o", "page.html"]].concat();
        let output = replay(folder.path(), &arguments).output();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let page = read_to_string(folder.path().join("page.html")).expect("a page");
        let shown = page.matches("data-name=\"a\"").count();
        assert_eq!(shown, recordings.len());
    }
}

#[test]
fn a_recording_is_written_as_json_for_other_viewers() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path().join("a"), Contents::default().to_bytes()).expect("written");
    let arguments = ["a", "--trace-json", "-o", "a.json"];
    let output = replay(folder.path(), &arguments).output();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json = read_to_string(folder.path().join("a.json")).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid");
    assert!(json["traceEvents"].is_array());
}

#[test]
fn what_cannot_be_replayed_is_told() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path().join("text"), "GET / HTTP/1.1").expect("written");
    let recording = Contents::default().to_bytes();
    write(
        folder.path().join("half"),
        &recording[..recording.len() - 1],
    )
    .expect("written");
    write(folder.path().join("whole"), &recording).expect("written");
    for (arguments, code, expected) in [
        (
            &["text", "-o", "page"][..],
            1,
            "cannot replay text: this is no recording of evserve",
        ),
        (
            &["whole", "half", "-o", "page"],
            1,
            "cannot replay half: it ends too early",
        ),
        (&["none", "-o", "page"], 1, "cannot read none: No such file"),
        (&["whole", "-o", "none/page"], 1, "cannot write none/page"),
        (&["whole"], 2, "--output <FILE>"),
        (
            &["whole", "whole", "--trace-json", "-o", "page"],
            2,
            "--trace-json writes one recording",
        ),
        (&[], 2, "<RECORDING>"),
    ] {
        let said = replay(folder.path(), arguments).fails(code);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("page").exists());
}

#[test]
fn a_directory_called_replay_is_served_as_a_path() {
    let folder = tempfile::tempdir().expect("a directory");
    create_dir(folder.path().join("replay")).expect("made");
    let said = replay(folder.path(), &[]).fails(2);
    assert!(said.contains("evserve ./replay"), "{said}");
}
