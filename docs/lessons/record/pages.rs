//! Makes the pages of lessons from their recordings and texts. The tests use this file, too.

use evserve::replay::{Replayed, lesson};
use std::fs::{read, read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// The folder with a lesson's text and recordings.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/lessons")
        .join(name)
}

/// The file of a lesson's page.
pub fn file(name: &str) -> PathBuf {
    folder(&format!("{name}.html"))
}

/// The page of a lesson. Its recordings are in the order of their names.
pub fn page(name: &str) -> Result<String, String> {
    let folder = folder(name);
    let text = folder.join("lesson.txt");
    let text = read_to_string(&text).map_err(|error| format!("{}: {error}", text.display()))?;
    let entries = read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_recording = |path: &PathBuf| path.extension().is_some_and(|end| end == "evrec");
    let mut paths: Vec<_> = paths.filter(is_recording).collect();
    paths.sort();
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let files = paths.iter().map(read).collect::<Result<Vec<_>, _>>();
    let files = files.map_err(|error| format!("{name}: {error}"))?;
    let recordings = names
        .iter()
        .zip(&files)
        .map(|(name, bytes)| Replayed { name, bytes });
    lesson(&text, &recordings.collect::<Vec<_>>()).map_err(|error| {
        format!(
            "docs/lessons/{name}: {error}. To record it again: cargo run --example lessons {name}"
        )
    })
}

/// Writes the page of a lesson.
pub fn write(name: &str) -> Result<(), String> {
    let file = file(name);
    std::fs::write(&file, page(name)?).map_err(|error| format!("{}: {error}", file.display()))
}
