//! The tests and functions that the pages name exist, and their pictures are as the code draws them.

use std::fs::read_to_string;
use std::path::Path;

pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a file in one step: other tests read the pages meanwhile.
pub fn write(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, path).expect("renamed");
}

/// The paths of all pages: those at the top, and those below docs.
pub fn pages() -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut folders = vec![String::from("docs")];
    let mut look = |folder: &str, folders: &mut Vec<String>| {
        for entry in
            std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect(folder)
        {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("text");
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            if path.ends_with(".md") {
                found.push(path);
            } else if !folder.is_empty() && entry.path().is_dir() {
                folders.push(path);
            }
        }
    };
    look("", &mut folders);
    while let Some(folder) = folders.pop() {
        look(&folder, &mut folders);
    }
    found.sort_unstable();
    found.into_iter()
}

/// The sources below `folder`, by their paths.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("an entry").path();
        match path.extension() {
            None if path.is_dir() => sources(&path, found),
            Some(extension) if extension == "rs" => {
                let text = read_to_string(&path).expect("text");
                found.push((path.to_str().expect("text").to_owned(), text));
            }
            _ => {}
        }
    }
}

/// Each row of the table of limits names a test, or a file of tests, that exists.
#[test]
fn limits_are_held_by_tests_that_exist() {
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut all,
        );
    }
    let page = read("docs/limits.md");
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .collect();
    assert!(rows.len() > 35, "a row for each resource");
    for row in rows {
        let tests = row.rsplit('|').nth(1).expect("the last column");
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let last = name.rsplit([' ', ':']).next().expect("a part");
            let (function, file) = (format!("fn {last}"), format!("/{last}.rs"));
            let exists =
                |(path, text): &(String, String)| path.ends_with(&file) || text.contains(&function);
            assert!(all.iter().any(exists), "there is no test {name}");
        }
    }
}

/// The walk of a request through the code names functions that exist.
#[test]
fn the_walk_names_functions_that_exist() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let page = read("docs/architecture.md");
    let (_, walk) = page
        .split_once("## One request, by function names\n")
        .expect("the walk");
    let (walk, _) = walk.split_once("\n## ").expect("its end");
    let names = walk.split('`').skip(1).step_by(2);
    let functions: Vec<_> = names
        .map(|name| name.rsplit("::").next().unwrap_or(name))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert!(functions.len() > 30, "from the event to the log's line");
    for name in functions {
        let function = format!("fn {name}");
        let exists = all.iter().any(|(_, text)| text.contains(&function));
        assert!(exists, "there is no function {name}");
    }
}

/// The pictures of the states are drawn from the tables that the simulation holds the sessions to: of each service whose
/// sessions have more than one state. `EVSERVE_WRITE=1 cargo test --test layers` draws them.
#[test]
fn the_states_are_drawn_as_the_code_has_them() {
    let config = evserve::config::Config::default();
    for row in evserve::service::SERVICES {
        let service = (row.start)(&config).expect("it starts");
        if service.steps().len() <= 2 {
            continue;
        }
        let picture = evserve::service::diagram(row.name, service.steps());
        let picture = picture.replacen("<svg ", "<svg style=\"background:#fff\" ", 1) + "\n";
        let path = format!("docs/states-{}.svg", row.name);
        check_picture(&path, &picture);
    }
}

/// A picture is what the code draws. With `EVSERVE_WRITE` it is written.
pub fn check_picture(path: &str, picture: &str) {
    if std::env::var_os("EVSERVE_WRITE").is_some() {
        write(path, picture);
    }
    assert!(read(path) == picture, "{path} is not what the code has");
}
