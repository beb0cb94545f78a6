//! Symbolic links inside the root that openat2(2) with RESOLVE_BENEATH refuses: absolute ones, and
//! those that pass through a parent of the root.
//!
//! Such a path is resolved here, link by link, to a path from the root without links. This file
//! opens nothing. The new path is opened beneath the root like any other: a link that changes
//! meanwhile can make it wrong, but cannot lead out. Paths outside the root are only compared as
//! text, so no client learns whether they exist.

use crate::sys::Errno;
use std::ffi::{CStr, CString};

/// The most links in one path, as in the kernel (path_resolution(7)): links can form a cycle.
pub(super) const MAX_LINKS: usize = 40;

/// The most names checked for one path, over all attempts. Each costs three system calls, and links
/// can multiply the names of a path.
pub(super) const MAX_NAMES: usize = 1024;

/// What [`resolve_links`] needs to know of the root.
pub(super) trait LinkReader {
    /// True if this absolute path is one of the root's. It has no slash at its end; the empty path
    /// is `/`.
    fn is_root(&self, path: &[u8]) -> bool;

    /// The root's absolute path, in the same form.
    fn root(&self) -> &[u8];

    /// Returns the target of the link at this path below the root, or `None` if it is not a link.
    /// The path's other names are never links.
    fn read_link(&self, path: &CStr) -> Result<Option<CString>, Errno>;
}

/// How far the walk has come.
enum Position {
    /// Below the root, at this path without links; empty at the root itself.
    Inside(Vec<u8>),
    /// Outside the root, at this absolute path; empty at `/`.
    Outside(Vec<u8>),
}

/// Resolves `path` to a path without links. `names` is how many names may still be checked.
///
/// # Errors
/// XDEV if the path leads out of the root, LOOP after too many links or names, and those of
/// `LinkReader::read_link`.
pub(super) fn resolve_links(
    reader: &impl LinkReader,
    path: &CStr,
    names: &mut usize,
) -> Result<CString, Errno> {
    let mut position = Position::Inside(Vec::new());
    // The names not yet walked.
    let mut rest = path.to_bytes().to_vec();
    let mut links = 0;
    while !rest.is_empty() {
        let end = memchr::memchr(b'/', &rest).unwrap_or(rest.len());
        let name: Vec<u8> = rest.drain(..rest.len().min(end + 1)).take(end).collect();
        match &*name {
            b"" | b"." => {}
            b".." => position = position.parent(reader),
            _ => {
                position = position.child(reader, &name);
                let inside = match &position {
                    // The root itself, reached from outside, is not a link.
                    Position::Inside(path) if !path.is_empty() => path,
                    Position::Inside(_) | Position::Outside(_) => continue,
                };
                *names = names.checked_sub(1).ok_or(Errno::LOOP)?;
                let Some(target) = reader.read_link(&c_string(inside)?)? else {
                    continue;
                };
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                position = match target.to_bytes().starts_with(b"/") {
                    true => Position::outside(reader, Vec::new()),
                    false => position.parent(reader),
                };
                rest = [target.to_bytes(), b"/", &rest].concat();
            }
        }
    }
    match position {
        Position::Inside(path) if path.is_empty() => Ok(c".".into()),
        Position::Inside(path) => c_string(&path),
        Position::Outside(_) => Err(Errno::XDEV),
    }
}

impl Position {
    /// The position at an absolute path.
    fn outside(reader: &impl LinkReader, path: Vec<u8>) -> Position {
        match reader.is_root(&path) {
            true => Position::Inside(Vec::new()),
            false => Position::Outside(path),
        }
    }

    fn parent(self, reader: &impl LinkReader) -> Position {
        match self {
            Position::Inside(path) if path.is_empty() => {
                Position::outside(reader, parent(reader.root()).to_vec())
            }
            Position::Inside(path) => Position::Inside(parent(&path).to_vec()),
            Position::Outside(path) => Position::outside(reader, parent(&path).to_vec()),
        }
    }

    fn child(self, reader: &impl LinkReader, name: &[u8]) -> Position {
        match self {
            Position::Inside(path) if path.is_empty() => Position::Inside(name.to_vec()),
            Position::Inside(path) => Position::Inside([&path, &b"/"[..], name].concat()),
            Position::Outside(path) => Position::outside(reader, [&path, &b"/"[..], name].concat()),
        }
    }
}

/// Neither a C string nor a link contains a NUL.
fn c_string(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// The path without its last name.
fn parent(path: &[u8]) -> &[u8] {
    &path[..memchr::memrchr(b'/', path).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Links by their paths below the root.
    struct Links(HashMap<&'static str, &'static str>, &'static str);

    impl LinkReader for Links {
        fn is_root(&self, path: &[u8]) -> bool {
            path == self.1.as_bytes() || path == b"/srv/current"
        }

        fn root(&self) -> &[u8] {
            self.1.as_bytes()
        }

        fn read_link(&self, path: &CStr) -> Result<Option<CString>, Errno> {
            assert!(!path.is_empty(), "the path is empty");
            let target = self.0.get(path.to_str().expect("text"));
            Ok(target.map(|target| CString::new(*target).expect("no NUL")))
        }
    }

    const LINKS: &[(&str, &str)] = &[
        ("absolute", "/srv/root/real"),
        ("given", "/srv/current/real"),
        ("parent", "../root/real"),
        ("sub/parent", "../../root/real/"),
        ("relative", "sub/parent"),
        ("root", "/srv/root"),
        ("root-slashes", "//srv/./root/"),
        ("there-and-back", "/srv/root/../root/../../srv/current/real"),
        ("above", "../../../../../srv/root/real"),
        ("out", "/etc"),
        ("sibling", "/srv/root2/real"),
        ("short", "/srv"),
        ("up", ".."),
        ("loop", "/srv/root/loop"),
        ("a", "/srv/root/b"),
        ("b", "../root/a"),
        ("many", "/srv/root/many/x"),
        ("out-and-in", "/srv/other/../root/real"),
    ];

    #[test]
    fn links_resolve_to_paths_below_the_root() {
        let reader = Links(LINKS.iter().copied().collect(), "/srv/root");
        let cases: &[(&CStr, Result<&str, Errno>)] = &[
            (c".", Ok(".")),
            (c"x/y", Ok("x/y")),
            (c"absolute", Ok("real")),
            (c"absolute/v", Ok("real/v")),
            (c"given/v", Ok("real/v")),
            (c"parent/v", Ok("real/v")),
            (c"sub/parent/v", Ok("real/v")),
            (c"relative/v", Ok("real/v")),
            (c"root", Ok(".")),
            (c"root/root/absolute/v", Ok("real/v")),
            (c"root-slashes/v", Ok("v")),
            (c"there-and-back/v", Ok("real/v")),
            (c"above/v", Ok("real/v")),
            (c"out", Err(Errno::XDEV)),
            (c"out/passwd", Err(Errno::XDEV)),
            (c"out/../srv/root/x", Ok("x")),
            (c"sibling", Err(Errno::XDEV)),
            (c"short", Err(Errno::XDEV)),
            (c"short/root/v", Ok("v")),
            (c"up", Err(Errno::XDEV)),
            (c"up/root/v", Ok("v")),
            (c"loop", Err(Errno::LOOP)),
            (c"a", Err(Errno::LOOP)),
            (c"many", Err(Errno::LOOP)),
            (c"out-and-in", Ok("real")),
        ];
        for (path, expected) in cases {
            let found = resolve_links(&reader, path, &mut MAX_NAMES.clone());
            let found = found.map(|path| path.into_string().expect("text"));
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{path:?}");
        }
    }

    #[test]
    fn the_root_can_be_the_whole_file_system() {
        let reader = Links(HashMap::from([("l", "/x/../y"), ("up", "../..")]), "");
        let found = |path| resolve_links(&reader, path, &mut MAX_NAMES.clone()).expect("inside");
        assert_eq!(&*found(c"l/v"), c"y/v");
        assert_eq!(&*found(c"up/v"), c"v");
    }

    #[test]
    fn the_work_is_bounded() {
        let reader = Links(HashMap::new(), "/srv/root");
        let path = CString::new(vec!["d"; MAX_NAMES + 1].join("/")).expect("no NUL");
        let mut names = MAX_NAMES;
        assert_eq!(resolve_links(&reader, &path, &mut names), Err(Errno::LOOP));
        assert_eq!(names, 0);
    }
}
