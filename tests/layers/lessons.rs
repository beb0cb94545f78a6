//! Checks that each page of docs/lessons is what `replay` makes of its recordings and its text.
//! `EVSERVE_WRITE=1 cargo test --test layers lessons` writes the pages.

#[path = "../../docs/lessons/record/pages.rs"]
mod pages;

use super::docs::read;
use evserve::recording::VERSION;
use std::path::Path;

/// The most that a page may have, in bytes.
const MAX_PAGE: usize = 1 << 20;

/// The names of all lessons: their folders.
fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lessons");
    let entries = std::fs::read_dir(folder).expect("lessons");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let lessons = paths.filter(|path| path.join("lesson.txt").exists());
    let name = |path: std::path::PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .map(String::from)
    };
    let mut names: Vec<_> = lessons.filter_map(name).collect();
    names.sort();
    names
}

#[test]
fn pages_of_lessons_are_what_replay_makes_of_their_recordings() {
    for name in names() {
        if std::env::var_os("EVSERVE_WRITE").is_some() {
            pages::write(&name).unwrap_or_else(|error| panic!("{error}"));
        }
        let page = pages::page(&name).unwrap_or_else(|error| panic!("{error}"));
        assert!(page.len() < MAX_PAGE, "{name}: {} bytes", page.len());
        let file = std::fs::read_to_string(pages::file(&name)).unwrap_or_default();
        assert!(
            file == page,
            "docs/lessons/{name}.html is not what replay makes of its recordings; \
             EVSERVE_WRITE=1 cargo test --test layers lessons writes it"
        );
    }
}

#[test]
fn a_recording_of_another_version_says_how_to_record_it_again() {
    let mut bytes = evserve::recording::Contents::default().to_bytes();
    bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("1.evrec"), &bytes).expect("written");
    std::fs::write(
        folder.path().join("lesson.txt"),
        "title: T\n\nA.\n\nquestion: Q\n\nB.\n",
    )
    .expect("written");
    let error = pages::page(folder.path().to_str().expect("text")).expect_err("another version");
    assert!(
        error.contains(&format!("has version {}", VERSION + 1)),
        "{error}"
    );
    assert!(error.contains("cargo run --example lessons"), "{error}");
}

#[test]
fn the_index_of_lessons_has_each_page_once_and_each_page_leads_on() {
    let index = read("docs/lessons/README.md");
    let scenes = read("docs/lessons/record/scenes.rs");
    for name in names() {
        assert_eq!(
            index.matches(&format!("]({name}.html)")).count(),
            1,
            "{name}"
        );
        assert!(
            scenes.contains(&format!("\"{name}\",")),
            "{name} has no scene"
        );
    }
    let listed = index.matches(".html)").count();
    assert_eq!(listed, names().len(), "a lesson without a page");
}
