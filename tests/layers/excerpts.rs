//! Checks that the pages quote code as it is. `EVSERVE_WRITE=1 cargo test --test layers` updates
//! the quotations.
//!
//! A quotation is a mark, an empty line, and a fence of Rust. The mark is
//! `<!-- excerpt: FILE: FIRST -->` or `<!-- excerpt: FILE: FIRST ... LAST -->`. `FIRST` is the
//! beginning of the first line. `LAST` is the beginning of the line that opens the last block, at
//! the same indentation; without it the quotation is one block. Leave out `pub` in `FIRST` and
//! `LAST`. The documentation of an item is quoted with it.

use super::docs::{pages, read, write};

const MARK: &str = "<!-- excerpt: ";
const FENCE: &str = "```rust\n";

/// Returns the page with its quotations updated from the sources.
///
/// # Errors
/// The first mark without matching code.
fn renewed(page: &str, source: impl Fn(&str) -> String) -> Result<String, String> {
    let mut parts = page.split(MARK);
    let mut renewed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let broken = || format!("{MARK}{}", part.lines().next().unwrap_or_default());
        let (mark, rest) = part.split_once(" -->\n").ok_or_else(broken)?;
        let (file, lines) = mark.split_once(": ").ok_or_else(broken)?;
        let (_, after) = rest
            .trim_start()
            .strip_prefix(FENCE)
            .and_then(|body| body.split_once("```\n"))
            .ok_or_else(broken)?;
        let (first, last) = lines.split_once(" ... ").unwrap_or((lines, lines));
        let code = excerpt(&source(file), first, last).ok_or_else(broken)?;
        renewed += &format!("{MARK}{mark} -->\n\n{FENCE}{code}```\n{after}");
    }
    Ok(renewed)
}

/// The lines of `source` from the one that begins with `first` to the end of the block that begins
/// with `last`, with the indentation of the first line removed.
fn excerpt(source: &str, first: &str, last: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &&str, how: &str| {
        let line = line.trim_start();
        let item = line
            .strip_prefix("pub ")
            .or(line.strip_prefix("pub(crate) "));
        line.starts_with(how) || item.is_some_and(|item| item.starts_with(how))
    };
    let found = |begin: usize| {
        let indent = depth(lines[begin]);
        let is_inside = |at: &usize| lines[*at].is_empty() || depth(lines[*at]) >= indent;
        let mut here = (begin..lines.len()).take_while(is_inside);
        let at_depth = |line: &&str| !line.is_empty() && depth(line) == indent;
        let block = here.find(|at| at_depth(&lines[*at]) && begins(&lines[*at], last))?;
        let is_end = |at: &usize| {
            let line = lines[*at];
            let closes = *at == block || line.trim_start().starts_with(['}', ']', ')']);
            at_depth(&line) && closes && !line.ends_with(['{', '[', '('])
        };
        let end = (block..lines.len()).find(is_end)?;
        Some((begin, end))
    };
    let mut begins_first = (0..lines.len()).filter(|at| begins(&lines[*at], first));
    let (mut begin, end) = begins_first.find_map(found)?;
    let indent = depth(lines[begin]);
    if first.starts_with("fn ") {
        let is_about = |line: &str| line.trim_start().starts_with(['/', '#']);
        while begin > 0 && is_about(lines[begin - 1]) {
            begin -= 1;
        }
    }
    let quoted = lines[begin..=end].iter();
    quoted
        .map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n")
        .reduce(|all, line| all + &line)
}

#[test]
fn quoted_code_matches_the_source() {
    let mut quoted = 0;
    for path in pages() {
        let page = read(&path);
        quoted += page.matches(MARK).count();
        let renewed = renewed(&page, read)
            .unwrap_or_else(|mark| panic!("{path}: there is no such code: {mark}"));
        if std::env::var_os("EVSERVE_WRITE").is_some() {
            if page != renewed {
                write(&path, &renewed);
            }
        } else {
            assert!(
                page == renewed,
                "{path} quotes code that has changed; EVSERVE_WRITE=1 cargo test --test layers writes it"
            );
        }
    }
    assert!(quoted >= 8, "a loop for each model");
}

#[test]
fn all_rust_in_the_course_is_a_marked_quotation() {
    for path in pages().filter(|path| path.starts_with("docs/io-models")) {
        let page = read(&path);
        let (fences, marks) = (page.matches(FENCE).count(), page.matches(MARK).count());
        assert_eq!(fences, marks, "{path}: code without a mark");
    }
}

#[test]
fn a_changed_excerpt_is_rewritten() {
    let source = "/// About f.\npub fn f(\n    a: u8,\n) {\n    let b = 1;\n\n    if b {\n        g();\n    }\n    h();\n}\n";
    let page = |mark: &str, code: &str| {
        format!("Before.\n\n{MARK}a.rs: {mark} -->\n\n{FENCE}{code}```\n\nAfter.\n")
    };
    let renew = |mark: &str| renewed(&page(mark, "old\n"), |_| source.to_owned());
    for (mark, code) in [
        ("let b", "let b = 1;\n"),
        ("if b", "if b {\n    g();\n}\n"),
        ("let b ... if b", "let b = 1;\n\nif b {\n    g();\n}\n"),
        ("fn f(", source),
    ] {
        assert_eq!(renew(mark), Ok(page(mark, code)));
    }
    assert!(renew("let c").is_err());
}
