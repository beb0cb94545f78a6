//! Checks that tests and functions named in the docs exist, and that diagrams match the code.

use std::fs::read_to_string;
use std::path::Path;

pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a file atomically, since other tests read the pages at the same time.
pub fn write(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, path).expect("renamed");
}

/// The paths of all Markdown pages at the top and below docs.
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

/// All Rust files below `folder`, with their paths.
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

/// All Rust files in src and tests.
fn all_sources() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut all,
        );
    }
    all
}

/// True if a test has this name. `module::test` names a test, `module` a file of tests. A trailing
/// `…` stands for the rest of a name.
fn exists(name: &str, all: &[(String, String)]) -> bool {
    let (module, last) = match name.rsplit_once([' ', ':']) {
        Some((module, last)) => (Some(module.trim_end_matches(':')), last),
        None => (None, name),
    };
    let module = module.and_then(|module| module.rsplit([' ', ':']).next());
    let is_module = |path: &str, module: &str| {
        ["", "/mod", "/tests"]
            .iter()
            .any(|end| path.ends_with(&format!("/{module}{end}.rs")))
    };
    let function = match last.strip_suffix('…') {
        Some(beginning) => format!("fn {beginning}"),
        None => format!("fn {last}("),
    };
    all.iter().any(|(path, text)| {
        is_module(path, last)
            || text.contains(&function) && module.is_none_or(|module| is_module(path, module))
    })
}

/// The names between backticks in the last column of a page's tables. Paths are left out.
fn names_of_tests(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|row| !row.starts_with("| ---") && !row.ends_with("| test |"));
    rows.map(|row| {
        let tests = row.rsplit('|').nth(1).expect("the last column");
        let names = tests.split('`').skip(1).step_by(2);
        names.filter(|name| !name.contains('/')).collect()
    })
    .collect()
}

/// The tables of limits (docs/limits.md) and of HTTP's rules (docs/http.md) name the tests that
/// check them.
#[test]
fn tests_named_in_docs_exist() {
    let all = all_sources();
    let page = read("docs/limits.md");
    let bounds = names_of_tests(&page);
    assert!(bounds.len() > 35, "a row for each resource");
    assert!(
        bounds.iter().all(|names| !names.is_empty()),
        "a bound without a test"
    );
    let page = read("docs/http.md");
    let rules = names_of_tests(&page);
    assert!(rules.len() > 50, "a row for each rule");
    let names = bounds.iter().chain(&rules).flatten();
    let missing: Vec<_> = names.filter(|name| !exists(name, &all)).collect();
    assert!(
        missing.is_empty(),
        "the docs name tests that do not exist: {missing:#?}"
    );
}

/// Every path below `tests/` that a page names exists.
#[test]
fn paths_of_tests_named_in_docs_exist() {
    for page in pages() {
        for part in read(&page).split('`').skip(1).step_by(2) {
            let path = part.split_whitespace().next().unwrap_or_default();
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let exists = !path.starts_with("tests/") || file.exists();
            assert!(exists, "{page} names {path}");
        }
    }
}

/// The walk through a request (docs/architecture.md) names functions that exist.
#[test]
fn functions_named_in_the_walk_exist() {
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

/// State diagrams are drawn from the table of steps that the simulation checks, for each service
/// with more than one state. `EVSERVE_WRITE=1 cargo test --test layers` draws them.
#[test]
fn state_diagrams_match_the_code() {
    let config = evserve::config::Config::default();
    for row in evserve::service::SERVICES {
        let service = (row.start)(&config).expect("it starts");
        if service.transitions().len() <= 2 {
            continue;
        }
        let picture = evserve::service::diagram(row.name, service.transitions());
        let picture = picture.replacen("<svg ", "<svg style=\"background:#fff\" ", 1) + "\n";
        let path = format!("docs/states-{}.svg", row.name);
        check_picture(&path, &picture);
    }
}

/// Compares a picture with what the code draws. With `EVSERVE_WRITE`, writes it.
pub fn check_picture(path: &str, picture: &str) {
    if std::env::var_os("EVSERVE_WRITE").is_some() {
        write(path, picture);
    }
    assert!(
        read(path) == picture,
        "{path} differs from what the code draws; update it with EVSERVE_WRITE=1"
    );
}
