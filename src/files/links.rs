//! Symbolic links that lead inside by a way that openat2(2) does not go beneath a directory: absolute ones, and those
//! through a parent of the root.
//!
//! Such a path is rewritten: its links are read one by one, and what they lead to is named from the root. Nothing is
//! opened here. The new path is opened beneath the root like any other, so a link that changes meanwhile can make it
//! wrong, but not lead out. What lies outside is only compared as text: it is never looked at, so nobody learns whether
//! it is there.

use crate::sys::Errno;
use std::ffi::{CStr, CString};

/// The most links on one way, as in the kernel (path_resolution(7)): links may lead in a circle.
pub(super) const MAX_LINKS: usize = 40;

/// The most names that may be looked at for one path, all tries together: each costs three system calls, and links can
/// multiply the names of a path.
pub(super) const MAX_NAMES: usize = 1024;

/// What [`rewrite`] needs to know of the root.
pub(super) trait Tree {
    /// True if this absolute path, without a slash at its end, is one of the root's own; the empty path is `/`.
    fn is_root(&self, path: &[u8]) -> bool;

    /// The root's absolute path, in the same form.
    fn root(&self) -> &[u8];

    /// What the link at this path below the root says; `None` if it is no link. No other name of the path is one.
    fn read_link(&self, path: &CStr) -> Result<Option<CString>, Errno>;
}

/// Where the walk has come to.
enum Place {
    /// Below the root, by this path without links; empty at the root itself.
    Inside(Vec<u8>),
    /// Elsewhere, at this absolute path; empty at `/`.
    Outside(Vec<u8>),
}

/// The path without links to what `path` leads to. `names` is how many names may still be looked at.
///
/// # Errors
/// XDEV if it leads out, LOOP after too many links or names, and those of `Tree::read_link`.
pub(super) fn rewrite(tree: &impl Tree, path: &CStr, names: &mut usize) -> Result<CString, Errno> {
    let mut place = Place::Inside(Vec::new());
    // The names that are yet to be walked.
    let mut rest = path.to_bytes().to_vec();
    let mut links = 0;
    while !rest.is_empty() {
        let end = memchr::memchr(b'/', &rest).unwrap_or(rest.len());
        let name: Vec<u8> = rest.drain(..rest.len().min(end + 1)).take(end).collect();
        match &*name {
            b"" | b"." => {}
            b".." => place = place.parent(tree),
            _ => {
                place = place.child(tree, &name);
                let inside = match &place {
                    // The root itself, come to from outside, is no link.
                    Place::Inside(path) if !path.is_empty() => path,
                    Place::Inside(_) | Place::Outside(_) => continue,
                };
                *names = names.checked_sub(1).ok_or(Errno::LOOP)?;
                let Some(target) = tree.read_link(&c_string(inside)?)? else {
                    continue;
                };
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                place = match target.to_bytes().starts_with(b"/") {
                    true => Place::outside(tree, Vec::new()),
                    false => place.parent(tree),
                };
                rest = [target.to_bytes(), b"/", &rest].concat();
            }
        }
    }
    match place {
        Place::Inside(path) if path.is_empty() => Ok(c".".into()),
        Place::Inside(path) => c_string(&path),
        Place::Outside(_) => Err(Errno::XDEV),
    }
}

impl Place {
    /// The place at an absolute path.
    fn outside(tree: &impl Tree, path: Vec<u8>) -> Place {
        match tree.is_root(&path) {
            true => Place::Inside(Vec::new()),
            false => Place::Outside(path),
        }
    }

    fn parent(self, tree: &impl Tree) -> Place {
        match self {
            Place::Inside(path) if path.is_empty() => {
                Place::outside(tree, parent(tree.root()).to_vec())
            }
            Place::Inside(path) => Place::Inside(parent(&path).to_vec()),
            Place::Outside(path) => Place::outside(tree, parent(&path).to_vec()),
        }
    }

    fn child(self, tree: &impl Tree, name: &[u8]) -> Place {
        match self {
            Place::Inside(path) if path.is_empty() => Place::Inside(name.to_vec()),
            Place::Inside(path) => Place::Inside([&path, &b"/"[..], name].concat()),
            Place::Outside(path) => Place::outside(tree, [&path, &b"/"[..], name].concat()),
        }
    }
}

/// No name has a NUL, neither in a C string nor in a link.
fn c_string(path: &[u8]) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// A path without its last name.
fn parent(path: &[u8]) -> &[u8] {
    &path[..memchr::memrchr(b'/', path).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Links by their paths below the root.
    struct Links(HashMap<&'static str, &'static str>, &'static str);

    impl Tree for Links {
        fn is_root(&self, path: &[u8]) -> bool {
            path == self.1.as_bytes() || path == b"/srv/current"
        }

        fn root(&self) -> &[u8] {
            self.1.as_bytes()
        }

        fn read_link(&self, path: &CStr) -> Result<Option<CString>, Errno> {
            assert!(!path.is_empty(), "that names nothing");
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
    fn links_lead_where_their_text_says() {
        let tree = Links(LINKS.iter().copied().collect(), "/srv/root");
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
            let found = rewrite(&tree, path, &mut MAX_NAMES.clone());
            let found = found.map(|path| path.into_string().expect("text"));
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{path:?}");
        }
    }

    #[test]
    fn all_of_the_file_system_is_a_root_too() {
        let tree = Links(HashMap::from([("l", "/x/../y"), ("up", "../..")]), "");
        let found = |path| rewrite(&tree, path, &mut MAX_NAMES.clone()).expect("inside");
        assert_eq!(&*found(c"l/v"), c"y/v");
        assert_eq!(&*found(c"up/v"), c"v");
    }

    #[test]
    fn the_work_is_bounded() {
        let tree = Links(HashMap::new(), "/srv/root");
        let path = CString::new(vec!["d"; MAX_NAMES + 1].join("/")).expect("no NUL");
        let mut names = MAX_NAMES;
        assert_eq!(rewrite(&tree, &path, &mut names), Err(Errno::LOOP));
        assert_eq!(names, 0);
    }
}
