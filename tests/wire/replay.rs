//! The command `evserve replay`: the page that it writes, and what it says otherwise.

use crate::common::Program;
use evserve::recording::Contents;
use std::fs::{create_dir, read_to_string, write};

fn replay(folder: &std::path::Path, arguments: &[&str]) -> Program {
    let program = Program::evserve("replay").args(arguments);
    program.current_dir(folder)
}

#[test]
fn a_page_is_written_for_up_to_three_recordings() {
    let folder = tempfile::tempdir().expect("a directory");
    let recording = Contents::default().to_bytes();
    write(folder.path().join("a"), &recording).expect("written");
    for recordings in [&["a"][..], &["a", "a"], &["a", "a", "a"]] {
        let arguments = [recordings, &["-o", "page.html"]].concat();
        let output = replay(folder.path(), &arguments).output();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let page = read_to_string(folder.path().join("page.html")).expect("a page");
        let shown = page.matches("data-name=\"a\"").count();
        assert_eq!(shown, recordings.len());
    }
}

#[test]
fn a_text_stands_above_a_replay() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path().join("a"), Contents::default().to_bytes()).expect("written");
    let text =
        "title: Nothing\nside: one\n\nIt made {count A call} calls.\n\nquestion: Why?\n\nSo.\n";
    write(folder.path().join("text"), text).expect("written");
    let arguments = ["a", "--lesson", "text", "-o", "page.html"];
    let output = replay(folder.path(), &arguments).output();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = read_to_string(folder.path().join("page.html")).expect("a page");
    for part in ["<h1>Nothing</h1>", "data-name=\"one\"", ">0</span> calls."] {
        assert!(page.contains(part), "{part}");
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
        (
            &["whole", "--lesson", "text", "-o", "page"],
            1,
            "cannot make a page of text: it has no empty line after its head",
        ),
        (
            &["whole", "--lesson", "none", "-o", "page"],
            1,
            "cannot read none: No such file",
        ),
        (
            &["whole", "whole", "whole", "whole", "-o", "page"],
            2,
            "no more were expected",
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
