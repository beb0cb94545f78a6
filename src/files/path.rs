//! Converts the path of a request target to a path below the root (pure).

use arrayvec::ArrayVec;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel's limit for a path, in bytes with the closing NUL (`PATH_MAX`, path_resolution(7)).
const PATH_MAX: usize = 4096;

/// All characters but RFC 3986's unreserved ones. The result is safe anywhere in a URL and in an
/// HTML attribute, and a colon in a relative link cannot be taken for a scheme.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path with a slash in front, and perhaps one at the end.
pub type NormalizedTarget = ArrayVec<u8, { PATH_MAX + 1 }>;

/// A path below the root without empty names, `.`, `..`, NUL or a leading slash. Needs no
/// allocation.
#[derive(Clone, Debug)]
pub struct RelativePath {
    /// The names, separated by slashes and closed by a NUL.
    bytes: ArrayVec<u8, PATH_MAX>,
    names_directory: bool,
}

/// Why a request's path is not a path below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The path is not well-formed, or leaves the root.
    Malformed,
    /// The path is well-formed, but no file can have this name.
    NoSuchName,
}

impl RelativePath {
    /// Decodes the path of a request target, which begins with a slash.
    ///
    /// The target is split at its slashes before decoding. So `%2F` is part of a name, which no
    /// file can have, and never a separator. `.` and `..`, encoded or not, are resolved as in RFC
    /// 3986 section 5.2.4.
    ///
    /// # Errors
    /// [`PathError::Malformed`] for a percent sign without two hexadecimal digits, a NUL, or a `..`
    /// that leads above the root. [`PathError::NoSuchName`] for a slash within a name, and for
    /// paths longer than the kernel's limit.
    pub fn decode(target_path: &[u8]) -> Result<RelativePath, PathError> {
        let mut path = RelativePath {
            bytes: ArrayVec::new(),
            names_directory: true,
        };
        let mut possible = true;
        for segment in target_path.split(|&b| b == b'/') {
            path.names_directory = true;
            let before = path.bytes.len();
            possible &= path.push_decoded(segment)?;
            let name = &path.bytes[before..];
            match name.strip_prefix(b"/").unwrap_or(name) {
                b"" | b"." => path.bytes.truncate(before),
                b".." => {
                    path.bytes.truncate(before);
                    let parent = memchr::memrchr(b'/', &path.bytes).unwrap_or(0);
                    if path.bytes.is_empty() {
                        return Err(PathError::Malformed);
                    }
                    path.bytes.truncate(parent);
                }
                _ => path.names_directory = false,
            }
        }
        if path.bytes.is_empty() {
            path.bytes.push(b'.');
        }
        possible &= path.bytes.try_push(0).is_ok();
        match possible {
            true => Ok(path),
            false => Err(PathError::NoSuchName),
        }
    }

    /// The path of a file in the root itself. `None` if no file can have this name.
    pub(super) fn of_name(name: &OsStr) -> Option<RelativePath> {
        let mut bytes = ArrayVec::new();
        bytes.try_extend_from_slice(name.as_bytes()).ok()?;
        let is_name = !bytes.is_empty() && !bytes.contains(&b'/') && !bytes.contains(&0);
        bytes.try_push(0).ok()?;
        is_name.then_some(RelativePath {
            bytes,
            names_directory: false,
        })
    }

    /// Appends the decoded segment, after a slash if needed. Returns false if no file can have that
    /// name.
    fn push_decoded(&mut self, segment: &[u8]) -> Result<bool, PathError> {
        let mut possible = self.bytes.is_empty() || self.bytes.try_push(b'/').is_ok();
        let mut rest = segment.iter();
        while let Some(&byte) = rest.next() {
            let decoded = match byte {
                b'%' => {
                    let high = rest.next().and_then(hex).ok_or(PathError::Malformed)?;
                    let low = rest.next().and_then(hex).ok_or(PathError::Malformed)?;
                    high << 4 | low
                }
                plain => plain,
            };
            possible &= decoded != b'/';
            if decoded == 0 {
                return Err(PathError::Malformed);
            }
            possible &= self.bytes.try_push(decoded).is_ok();
        }
        Ok(possible)
    }

    /// The path for a system call; `.` for the root itself.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes).expect("the one NUL is at the end")
    }

    /// The same path for the standard library.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.as_c_str().to_bytes()))
    }

    /// True if the target ended in a slash, `.` or `..`, and so can only mean a directory.
    pub fn names_directory(&self) -> bool {
        self.names_directory
    }

    /// The equivalent target without percent-encoding, empty names and dots. Targets with the same
    /// meaning have the same normalized form.
    pub fn normalized(&self) -> NormalizedTarget {
        let mut name = NormalizedTarget::new();
        let path = self.as_c_str().to_bytes();
        let ends = match path {
            b"." => [&b"/"[..], b"", b""],
            _ if self.names_directory => [b"/", path, b"/"],
            _ => [b"/", path, b""],
        };
        for part in ends {
            let fits = name.try_extend_from_slice(part);
            fits.expect("a path leaves room for two slashes");
        }
        name
    }

    /// Appends `tail` as it is; begin it with a slash to name an entry of a directory. Returns the
    /// length for [`truncate`](RelativePath::truncate), which undoes this.
    ///
    /// # Errors
    /// [`PathError::NoSuchName`] if the result exceeds the kernel's limit. The path is then
    /// unchanged.
    pub fn append(&mut self, tail: &[u8]) -> Result<usize, PathError> {
        let before = self.bytes.len() - 1;
        if tail.len() > self.bytes.remaining_capacity() {
            return Err(PathError::NoSuchName);
        }
        self.bytes.pop();
        let room = self
            .bytes
            .try_extend_from_slice(tail)
            .and_then(|()| self.bytes.try_extend_from_slice(b"\0"));
        room.map_err(|_| PathError::NoSuchName)?;
        Ok(before)
    }

    /// Removes what [`append`](RelativePath::append) added.
    pub fn truncate(&mut self, before: usize) {
        self.bytes.truncate(before);
        self.bytes.push(0);
    }

    /// True if a name begins with a dot, except `.well-known` as the first one (RFC 8615).
    pub fn is_hidden(&self) -> bool {
        let hidden = |(index, name): (usize, &[u8])| {
            name.starts_with(b".") && !(index == 0 && name == b".well-known")
        };
        self.names().enumerate().any(hidden)
    }

    /// Returns the reference from this directory's URL without the closing slash to the one with it
    /// (RFC 3986 section 4.2): the last name and a slash.
    ///
    /// The reference names no host, so it also works behind a proxy that serves the root below a
    /// prefix. A colon is encoded and cannot be taken for the end of a scheme.
    pub fn slash_reference(&self) -> String {
        let name = self.names().last().unwrap_or(b".");
        format!("{}/", RelativePath::reference(name))
    }

    /// Returns the reference to a file of this name from a URL in the same directory. Such a
    /// reference has the properties of [`slash_reference`](RelativePath::slash_reference).
    pub fn reference(name: &[u8]) -> String {
        percent_encode(name, ENCODED).to_string()
    }

    /// The names in the path; none for the root.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.as_c_str().to_bytes();
        bytes.split(|&b| b == b'/').filter(|name| *name != b".")
    }
}

fn hex(digit: &u8) -> Option<u8> {
    (*digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding() {
        use PathError::{Malformed, NoSuchName};
        let cases: &[(&str, Result<(&str, bool), PathError>)] = &[
            ("/", Ok((".", true))),
            ("/a", Ok(("a", false))),
            ("/a/", Ok(("a", true))),
            ("/a/b.txt", Ok(("a/b.txt", false))),
            ("//a///b//", Ok(("a/b", true))),
            ("/./a/./b/.", Ok(("a/b", true))),
            ("/a/../b", Ok(("b", false))),
            ("/a/b/..", Ok(("a", true))),
            ("/a/..", Ok((".", true))),
            ("/a%20b%25%23%3f", Ok(("a b%#?", false))),
            ("/%41%c3%a9", Ok(("Aé", false))),
            ("/...", Ok(("...", false))),
            ("/..a/.b", Ok(("..a/.b", false))),
            ("/a\\..\\b", Ok(("a\\..\\b", false))),
            ("/..%5c..%5cx", Ok(("..\\..\\x", false))),
            ("/..", Err(Malformed)),
            ("/../a", Err(Malformed)),
            ("/a/../../b", Err(Malformed)),
            ("/%2e%2e/a", Err(Malformed)),
            ("/.%2E/a", Err(Malformed)),
            ("/a/%2e./%2e%2e/b", Err(Malformed)),
            ("/a%00b", Err(Malformed)),
            ("/a%", Err(Malformed)),
            ("/a%4", Err(Malformed)),
            ("/a%4g", Err(Malformed)),
            ("/a%+1", Err(Malformed)),
            ("/a%2fb", Err(NoSuchName)),
            ("/..%2f..%2fetc", Err(NoSuchName)),
            ("/%2f", Err(NoSuchName)),
        ];
        for (target, expected) in cases {
            let decoded = RelativePath::decode(target.as_bytes());
            let shown = decoded
                .as_ref()
                .map(|path| {
                    (
                        path.as_path().to_str().expect("UTF-8"),
                        path.names_directory(),
                    )
                })
                .map_err(|error| *error);
            assert_eq!(shown, *expected, "{target}");
        }
    }

    #[test]
    fn the_longest_path() {
        let longest = format!("/{}", "a".repeat(PATH_MAX - 1));
        assert!(RelativePath::decode(longest.as_bytes()).is_ok());
        let longer = format!("{longest}a");
        assert_eq!(
            RelativePath::decode(longer.as_bytes()).err(),
            Some(PathError::NoSuchName)
        );
        let mut nearly = RelativePath::decode(&longest.as_bytes()[..PATH_MAX - 8]).expect("a path");
        assert!(nearly.append(b"/12345678").is_err());
        let before = nearly.append(b"/1234567").expect("it fits");
        assert!(nearly.as_path().ends_with("1234567"));
        nearly.truncate(before);
        assert_eq!(nearly.as_path().as_os_str().len(), PATH_MAX - 9);
    }

    #[test]
    fn normalized_targets() {
        let name = |target: &str| {
            let path = RelativePath::decode(target.as_bytes()).expect("a path");
            String::from_utf8(path.normalized().to_vec()).expect("UTF-8")
        };
        for target in ["/", "/a", "/a/", "/a b/c"] {
            assert_eq!(name(target), target);
        }
        for (target, expected) in [("//", "/"), ("/%61/./b/..", "/a/"), ("//a//%62", "/a/b")] {
            assert_eq!(name(target), expected);
        }
        let longest = format!("/{}/", "a".repeat(PATH_MAX - 1));
        assert_eq!(name(&longest), longest);
    }

    #[test]
    fn hidden_names() {
        let hidden = |target: &str| {
            RelativePath::decode(target.as_bytes())
                .expect("a path")
                .is_hidden()
        };
        for target in [
            "/.git/config",
            "/a/.env",
            "/.x/",
            "/a/.well-known/x",
            "/%2ea",
        ] {
            assert!(hidden(target), "{target}");
        }
        for target in [
            "/",
            "/a.b/c",
            "/a./",
            "/.well-known/acme",
            "/./a",
            "/x/../b",
        ] {
            assert!(!hidden(target), "{target}");
        }
    }

    #[test]
    fn references_to_directories() {
        let reference = |target: &str| {
            RelativePath::decode(target.as_bytes())
                .expect("a path")
                .slash_reference()
        };
        assert_eq!(reference("/a"), "a/");
        assert_eq!(reference("/a/b"), "b/");
        assert_eq!(reference("//evil.example"), "evil.example/");
        assert_eq!(reference("/%5cevil"), "%5Cevil/");
        assert_eq!(reference("/a b/<x>\"\n"), "%3Cx%3E%22%0A/");
        assert_eq!(reference("/a/../b:c"), "b%3Ac/");
        assert_eq!(reference("/http%3a"), "http%3A/");
        assert_eq!(reference("/%3fq"), "%3Fq/");
        assert_eq!(reference("/100%25"), "100%25/");
        assert_eq!(reference("/.well-known"), ".well-known/");
    }
}
