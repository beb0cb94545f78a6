//! A directory as a page.

use super::Root;
use super::path::{ENCODED, RelativePath};
use maud::{DOCTYPE, Render, html};
use percent_encoding::{PercentEncode, percent_encode};
use rustix::fs::{Dir, FileType};
use std::io;
use std::os::fd::BorrowedFd;

/// One line of a listing. Directories come before files, each in the order of their bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    is_file: bool,
    name: Vec<u8>,
}

/// The directory of `root` at `path`, open for reading, as an HTML page whose links lead to each entry, whatever its
/// name. Names that begin with a dot are in it only if `hidden` ones are to be shown.
///
/// # Errors
/// Those of reading a directory.
pub fn listing(
    root: &Root,
    path: &mut RelativePath,
    hidden: bool,
    directory: BorrowedFd<'_>,
) -> io::Result<String> {
    let mut entries = read(root, path, directory)?;
    entries.retain(|entry| hidden || !entry.name.starts_with(b"."));
    let shown: Vec<_> = path.names().map(String::from_utf8_lossy).collect();
    let title = format!("/{}", shown.join("/"));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta name="color-scheme" content="light dark";
                title { "Index of " (title) }
            }
            body {
                h1 { "Index of " (title) }
                ul {
                    @if !shown.is_empty() { li { a href="../" { "../" } } }
                    @for entry in &entries {
                        @let slash = if entry.is_file { "" } else { "/" };
                        li { a href={ (Url(&entry.name)) (slash) } { (Name(&entry.name)) (slash) } }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn read(root: &Root, path: &mut RelativePath, directory: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let is_directory = match entry.file_type() {
            // Only for these does the directory itself not say what a request would find; and nothing else may be said
            // of them, wherever they lead.
            FileType::Symlink | FileType::Unknown => is_directory_behind(root, path, name),
            known => known == FileType::Directory,
        };
        entries.push(Entry {
            is_file: !is_directory,
            name: name.to_vec(),
        });
    }
    entries.sort_unstable();
    Ok(entries)
}

fn is_directory_behind(root: &Root, path: &mut RelativePath, name: &[u8]) -> bool {
    let Ok(before) = path.append(&[b"/", name].concat()) else {
        return false;
    };
    let is_directory = root.is_directory(path);
    path.truncate(before);
    is_directory
}

/// A name in a link.
struct Url<'a>(&'a [u8]);

impl Render for Url<'_> {
    fn render_to(&self, page: &mut String) {
        let encoded: PercentEncode<'_> = percent_encode(self.0, ENCODED);
        page.extend(encoded);
    }
}

/// A name as text, with what is no UTF-8 replaced.
struct Name<'a>(&'a [u8]);

impl Render for Name<'_> {
    fn render_to(&self, page: &mut String) {
        String::from_utf8_lossy(self.0).render_to(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_of_all_kinds() {
        let all = tempfile::tempdir().expect("a directory");
        let directory = all.path().join("<i>");
        std::fs::create_dir(&directory).expect("made");
        let names: [&[u8]; 7] = [
            b"b.txt",
            b"a b",
            b"<script>\"'&",
            b"new\nline",
            b"100%",
            b"x:y",
            b"\xff",
        ];
        for name in names {
            std::fs::write(directory.join(OsStr::from_bytes(name)), "").expect("written");
        }
        std::fs::create_dir(directory.join("z")).expect("made");
        for (target, name) in [("../<i>/z", "to z"), ("/", "out")] {
            std::os::unix::fs::symlink(target, directory.join(name)).expect("linked");
        }
        let mut path = RelativePath::decode(b"/<i>/").expect("a path");
        let root = Root::open(all.path(), Vec::new()).expect("a root");
        let descriptor = std::fs::File::open(&directory).expect("opened");
        let page = listing(&root, &mut path, true, descriptor.as_fd()).expect("a page");
        let links: Vec<&str> = page
            .split("<li>")
            .skip(1)
            .map(|item| item.split("</li>").next().expect("an item"))
            .collect();
        let expected = [
            r#"<a href="../">../</a>"#,
            r#"<a href="to%20z/">to z/</a>"#,
            r#"<a href="z/">z/</a>"#,
            r#"<a href="100%25">100%</a>"#,
            r#"<a href="%3Cscript%3E%22%27%26">&lt;script&gt;&quot;'&amp;</a>"#,
            r#"<a href="a%20b">a b</a>"#,
            r#"<a href="b.txt">b.txt</a>"#,
            "<a href=\"new%0Aline\">new\nline</a>",
            r#"<a href="out">out</a>"#,
            r#"<a href="x%3Ay">x:y</a>"#,
            "<a href=\"%FF\">\u{fffd}</a>",
        ];
        assert_eq!(links, expected);
        assert!(page.contains("<title>Index of /&lt;i&gt;</title>"));
    }
}
