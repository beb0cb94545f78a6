//! What the pages quote from the source is still there, word for word, and so are the tests that they name.

use std::fs::read_to_string;
use std::path::Path;

/// A quotation: `<!-- excerpt: FILE: FIRST LINE -->`, and then its lines between fences.
struct Excerpt<'a> {
    file: &'a str,
    first: &'a str,
    lines: Vec<&'a str>,
}

const MARK: &str = "<!-- excerpt: ";

fn page() -> String {
    read("docs/io-models.md")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn excerpts(page: &str) -> Vec<Excerpt<'_>> {
    let each = |part| {
        let (mark, rest): (&str, &str) =
            str::split_once(part, " -->\n").expect("a mark has an end");
        let (file, first) = mark.split_once(": ").expect("a file and a first line");
        let body = rest
            .trim_start()
            .strip_prefix("```rust\n")
            .expect("code behind a mark");
        let (body, _) = body.split_once("\n```").expect("code has an end");
        Excerpt {
            file,
            first,
            lines: body.lines().collect(),
        }
    };
    page.split(MARK).skip(1).map(each).collect()
}

/// Whether the lines stand there one after the other, all indented by as much as the first one is.
fn stand_in(lines: &[&str], source: &str) -> bool {
    let source: Vec<_> = source.lines().collect();
    source.windows(lines.len()).any(|window| {
        let depth = window[0].len() - window[0].trim_start().len();
        let same = |(theirs, ours): (&&str, &&str)| {
            theirs.is_empty() && ours.is_empty() || theirs.get(depth..) == Some(ours)
        };
        window.iter().zip(lines).all(same)
    })
}

#[test]
fn excerpts_are_still_in_the_source() {
    let page = page();
    let excerpts = excerpts(&page);
    assert!(excerpts.len() >= 8, "a loop for each model");
    for Excerpt { file, first, lines } in &excerpts {
        assert_eq!(lines.first(), Some(first), "{file}");
        assert!(
            stand_in(lines, &read(file)),
            "docs/io-models.md quotes {file} as it no longer is, from `{first}` on"
        );
    }
}

#[test]
fn all_rust_in_the_course_is_quoted() {
    let page = page();
    let fences = page.matches("```rust\n").count();
    assert_eq!(fences, excerpts(&page).len(), "code without a mark");
}

#[test]
fn a_changed_line_is_noticed() {
    let source = "fn f() {\n    let a = 1;\n\n    if a {\n        g();\n    }\n}\n";
    assert!(stand_in(
        &["let a = 1;", "", "if a {", "    g();", "}"],
        source
    ));
    assert!(!stand_in(&["let a = 2;"], source));
    assert!(!stand_in(&["if a {", "g();"], source));
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

/// Each row of the table of what outsiders can spend names a test, or a file of them, that exists.
#[test]
fn bounds_are_held_by_tests_that_exist() {
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut all,
        );
    }
    let page = read("docs/operations.md");
    let (_, table) = page
        .split_once("## What an outsider can spend\n")
        .expect("the table");
    let (table, _) = table.split_once("\n## ").expect("its end");
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .collect();
    assert!(rows.len() > 30, "a row for each resource");
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
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::write(path, picture).expect("written");
    }
    assert!(read(path) == picture, "{path} is not what the code has");
}
