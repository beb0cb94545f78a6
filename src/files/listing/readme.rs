//! The README of a directory, shown below its listing as text.

use super::entries::DirectoryEntry;
use super::rows::write_escaped;
use crate::files::{Dependencies, Mounts, OpenFile, RelativePath, Root, read_whole};
use maud::html;

/// How much of a README is shown, in bytes.
const MAX_SHOWN: usize = 64 * 1024;

/// The names of a README in lower case, best first.
const NAMES: &[&str] = &["readme.md", "readme", "readme.txt"];

/// A README to read.
#[derive(Debug)]
pub(super) struct ReadmeSource {
    /// The path of the directory.
    pub path: RelativePath,
    pub name: String,
}

/// The result of reading a README without permission to wait: it takes a disk or another mount.
#[derive(Debug)]
pub(super) struct MustWait;

/// The rank of an entry as the README of its directory, best first. `None` if it is none.
pub(super) fn rank(entry: DirectoryEntry<'_>) -> Option<usize> {
    let is_one = |name: &&str| entry.name.eq_ignore_ascii_case(name.as_bytes());
    NAMES
        .iter()
        .position(is_one)
        .filter(|_| !entry.is_directory)
}

impl ReadmeSource {
    /// Reads the README. Returns it as HTML, or `None` if it is not UTF-8, or is not served under
    /// its name.
    ///
    /// # Errors
    /// [`MustWait`] with [`Mounts::Own`]. Then try again with [`Mounts::All`] where waiting is
    /// allowed.
    pub fn read(&mut self, root: &Root, mounts: Mounts) -> Result<Option<Vec<u8>>, MustWait> {
        let mut dependencies = Dependencies::new(mounts);
        let suffix = format!("/{}", self.name);
        let file = root.find_sibling(&mut self.path, &suffix, &mut dependencies);
        let Some(file) = file.map_err(|_| MustWait)? else {
            return Ok(None);
        };
        let length = file.length;
        let content = beginning(file, mounts)?;
        Ok(content.and_then(|content| {
            let is_cut = (content.len() as u64) < length;
            let text = utf8(&content, is_cut)?;
            Some(self.html(text, is_cut))
        }))
    }

    fn html(&self, text: &str, is_cut: bool) -> Vec<u8> {
        let link = RelativePath::reference(self.name.as_bytes());
        let head = html! { h2 { a href=(link) { (self.name) } } };
        let mut page = format!("<article>{}<pre dir=auto>\n", head.into_string()).into_bytes();
        // A byte order mark is not part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
        write_escaped(&text.replace(is_odd, "\u{fffd}"), &mut page);
        let rest = html! { p { a href=(link) { "The rest of " (self.name) } } };
        page.extend_from_slice(b"</pre>");
        if is_cut {
            page.extend_from_slice(rest.into_string().as_bytes());
        }
        page.extend_from_slice(b"</article>");
        page
    }
}

/// The first [`MAX_SHOWN`] bytes of the content. `None` if they cannot be read.
fn beginning(mut file: OpenFile, mounts: Mounts) -> Result<Option<Vec<u8>>, MustWait> {
    let content = match file.generated.take() {
        Some(mut content) => {
            content.truncate(MAX_SHOWN);
            Ok(Some(content))
        }
        None => {
            let mut content = vec![0; file.length.min(MAX_SHOWN as u64) as usize];
            let now = file.beginning_now(&mut content).map(<[u8]>::len);
            match mounts {
                _ if now == Some(content.len()) => Ok(Some(content)),
                Mounts::Own => Err(MustWait),
                Mounts::All => Ok(read_whole(&file.file, content.len() as u64)),
            }
        }
    };
    file.close();
    content
}

/// The text of a content whose end may be missing. `None` if it is not UTF-8.
fn utf8(content: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(content) {
        Ok(text) => Some(text),
        // The end of the content is within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&content[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn read(content: &[u8]) -> Option<String> {
        let all = tempfile::tempdir().expect("a directory");
        std::fs::write(all.path().join("README"), content).expect("written");
        read_at(all.path())
    }

    fn read_at(all: &std::path::Path) -> Option<String> {
        let root = Root::open(all, Vec::new()).expect("a root");
        let mut source = ReadmeSource {
            path: RelativePath::decode(b"/").expect("a path"),
            name: "README".into(),
        };
        let html = source.read(&root, Mounts::All).expect("it may wait");
        html.map(|html| String::from_utf8(html).expect("UTF-8"))
    }

    #[test]
    fn a_readme_is_text_and_nothing_else() {
        let html = read(b"\xef\xbb\xbf<b>&\"\n\x1b[31m\x00\tx").expect("a README");
        let expected = "<article><h2><a href=\"README\">README</a></h2><pre dir=auto>\n\
            &lt;b&gt;&amp;&quot;\n\u{fffd}[31m\u{fffd}\tx</pre></article>";
        assert_eq!(html, expected);
        assert_eq!(read(b"caf\xe9"), None);
        assert_eq!(read(b"caf\xc3"), None);
    }

    /// The end of what is shown may be within a character.
    #[test]
    fn a_long_readme_is_cut() {
        let text = format!("x{}", "\u{e9}".repeat(MAX_SHOWN));
        let html = read(text.as_bytes()).expect("a README");
        assert_eq!(html.matches('\u{e9}').count(), MAX_SHOWN / 2 - 1);
        assert!(html.ends_with("<p><a href=\"README\">The rest of README</a></p></article>"));
    }

    /// It is read as a request for it would read it.
    #[test]
    fn a_readme_outside_the_root_is_not_read() {
        let all = tempfile::tempdir().expect("a directory");
        let root = all.path().join("root");
        std::fs::create_dir(&root).expect("made");
        std::fs::write(all.path().join("secret"), "secret").expect("written");
        symlink("../secret", root.join("README")).expect("linked");
        assert_eq!(read_at(&root), None);
        std::fs::write(root.join("inside"), "inside").expect("written");
        std::fs::remove_file(root.join("README")).expect("removed");
        symlink("inside", root.join("README")).expect("linked");
        assert!(read_at(&root).is_some_and(|html| html.contains("inside")));
    }

    #[test]
    fn ranks() {
        let ranked = ["README.md", "readme", "ReadMe.TXT"];
        for (index, name) in ranked.iter().enumerate() {
            let mut entry = DirectoryEntry::new(name.as_bytes(), None);
            assert_eq!(rank(entry), Some(index), "{name}");
            entry.is_directory = true;
            assert_eq!(rank(entry), None);
        }
        assert_eq!(rank(DirectoryEntry::new(b"README.html", None)), None);
    }
}
