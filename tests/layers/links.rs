//! Checks links between pages and links to headings.

use super::docs::{pages, read};
use std::path::{Component, Path, PathBuf};

/// A page without its code.
fn prose(page: &str) -> String {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !is_fence && !in_code && !line.starts_with("    ")
    };
    page.lines()
        .filter(is_prose)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The targets of a page's links, inline and by reference.
fn targets(prose: &str) -> Vec<&str> {
    let inline = prose.split("](").skip(1);
    let inline = inline
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target);
    let named = prose.lines().filter(|line| line.starts_with('['));
    let named = named
        .filter_map(|line| line.split_once("]: "))
        .map(|(_, target)| target);
    inline.chain(named).collect()
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(prose: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    for heading in headings {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let same = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if same == 0 {
            anchor
        } else {
            format!("{anchor}-{same}")
        });
    }
    anchors
}

/// The file that `target` means on `page`.
fn file(page: &str, target: &str) -> PathBuf {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{page}: {target} is outside"),
            other => path.push(other),
        }
    }
    path
}

#[test]
fn links_in_docs_lead_to_existing_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in pages() {
        let text = prose(&read(&page));
        for target in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => PathBuf::from(&page),
                path => file(&page, path),
            };
            let exists = root.join(&path).exists();
            let is_anchor = anchor.is_empty()
                || exists && {
                    let there = prose(&read(path.to_str().expect("text")));
                    anchors(&there).iter().any(|one| one == anchor)
                };
            if !exists || !is_anchor {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(followed > 50, "{followed} links");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn anchors_follow_the_rules_of_github() {
    let page = "# One `fn` at a time, or two?\n## Who waits\n```\n# code\n```\n## Who waits\n";
    let expected = ["one-fn-at-a-time-or-two", "who-waits", "who-waits-1"];
    assert_eq!(anchors(&prose(page)), expected);
}
