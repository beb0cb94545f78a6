//! The directories in which a name can be replaced: its parent directories, and those of the links
//! on its path.
//!
//! To follow such a replacement, a process must be allowed to read below these directories. That is
//! more than it needs now, so it is refused where it would expose too much.

use rustix::fs::{CWD, Mode, OFlags, RawMode, fstat, open, readlinkat};
use rustix::io::{Errno, read};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The most links in one path, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The most bytes read of /etc/passwd. It is read whole at the start.
const MAX_PASSWD: usize = 4 << 20;

/// A directory that contains a name.
#[derive(Debug)]
pub struct ParentDirectory {
    /// Its path.
    pub path: PathBuf,
    /// Opened with O_PATH.
    pub directory: OwnedFd,
}

/// Returns the parent directory of an absolute name, and those of all links that the name leads
/// through.
///
/// # Errors
/// A sentence if one of these directories must not be allowed: `/`, a home directory, a directory
/// that contains home directories, or one that everyone can write to. Only the directories of the
/// last name and of the links at its end count. Those of links in the middle of the name, such as
/// `/var/run`, are left out instead.
pub fn parent_directories(name: &Path) -> Result<Vec<ParentDirectory>, String> {
    let walked =
        walk(name).map_err(|errno| format!("cannot follow {}: {errno}", name.display()))?;
    let homes = homes();
    let mut parent_directories: Vec<ParentDirectory> = Vec::new();
    for (path, is_last) in walked {
        if parent_directories.iter().any(|known| known.path == path) {
            continue;
        }
        match open_if_safe(&path, &homes) {
            Ok(directory) => parent_directories.push(ParentDirectory { path, directory }),
            Err(why) if is_last => return Err(why),
            Err(_) => {}
        }
    }
    Ok(parent_directories)
}

/// Returns the directories in which opening this absolute name can create a file: its parent
/// directory, and those of the links at its end. Unlike [`parent_directories`], refuses none.
///
/// # Errors
/// Those of readlink(2) and open(2).
pub fn directories_for_file(name: &Path) -> Result<Vec<ParentDirectory>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let of_file = walk(name)?.into_iter().filter(|(_, is_last)| *is_last);
    let opened = of_file.map(|(path, _)| {
        let directory = open(&path, flags, Mode::empty())?;
        Ok(ParentDirectory { path, directory })
    });
    opened.collect()
}

/// Returns the directories in which a link that this absolute name leads through can be replaced,
/// and the last one, by paths without links.
///
/// # Errors
/// Those of readlink(2).
pub fn directories_on_path(name: &Path) -> Result<Vec<PathBuf>, Errno> {
    Ok(walk(name)?.into_iter().map(|(path, _)| path).collect())
}

/// Returns the directories, by paths without links, and whether each contains the last name of the
/// path.
fn walk(name: &Path) -> Result<Vec<(PathBuf, bool)>, Errno> {
    // The next name is at the end. True if a name or link target ends with it.
    let mut rest = reversed(name);
    let mut here = PathBuf::from("/");
    let mut found = Vec::new();
    let mut links = 0;
    while let Some((name, is_end)) = rest.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let place = here.join(&name);
        let target = match readlinkat(CWD, &place, Vec::new()) {
            Ok(target) => Some(target),
            Err(Errno::INVAL) => None,
            Err(errno) => return Err(errno),
        };
        if target.is_some() || is_end {
            found.push((here.clone(), rest.is_empty()));
        }
        let Some(target) = target else {
            here = place;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target = Path::new(OsStr::from_bytes(target.to_bytes()));
        if target.is_absolute() {
            here = "/".into();
        }
        rest.extend(reversed(target));
    }
    Ok(found)
}

fn reversed(path: &Path) -> Vec<(OsString, bool)> {
    let names = path.components().rev().filter_map(|name| match name {
        Component::Normal(name) => Some(name.into()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut is_end = true;
    names
        .map(|name| (name, std::mem::take(&mut is_end)))
        .collect()
}

/// Opens a directory with O_PATH, unless it must not be allowed.
fn open_if_safe(path: &Path, homes: &[PathBuf]) -> Result<OwnedFd, String> {
    const WRITABLE_BY_ALL: RawMode = 0o002;
    let shown = path.display();
    if path == Path::new("/") {
        return Err("/ contains everything".into());
    }
    if homes.iter().any(|home| home == path) {
        return Err(format!("{shown} is a home directory"));
    }
    if homes.iter().any(|home| home.starts_with(path)) {
        return Err(format!("{shown} contains home directories"));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(path, flags, Mode::empty()).and_then(|fd| Ok((fstat(&fd)?, fd)));
    let (stat, directory) = opened.map_err(|errno| format!("cannot open {shown}: {errno}"))?;
    match stat.st_mode & WRITABLE_BY_ALL {
        0 => Ok(directory),
        _ => Err(format!("everyone can write to {shown}")),
    }
}

/// The home directories of users who can log in, and of the user who started this program, by paths
/// without links.
fn homes() -> Vec<PathBuf> {
    let passwd = read_passwd().unwrap_or_default();
    let of_users = passwd.split(|&byte| byte == b'\n').filter_map(home_of_user);
    let own = std::env::var_os("HOME").map(PathBuf::from);
    let all = of_users.chain(own).filter(|home| home.is_absolute());
    all.filter_map(|home| home.canonicalize().ok())
        .filter(|home| home != Path::new("/"))
        .collect()
}

/// The home directory in a line of passwd(5), if its user can log in. System users have none: their
/// directory is often what they serve.
fn home_of_user(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|&byte| byte == b':').skip(5);
    let (home, shell) = (fields.next()?, fields.next()?);
    let no_shell = [&b"nologin"[..], b"false", b"sync"];
    let can_log_in = !no_shell.iter().any(|name| shell.ends_with(name));
    can_log_in.then(|| OsStr::from_bytes(home).into())
}

fn read_passwd() -> Result<Vec<u8>, Errno> {
    let file = open(
        "/etc/passwd",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while all.len() < MAX_PASSWD {
        match read(&file, &mut buffer)? {
            0 => break,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn parents_of_a_name_and_its_links() {
        let all = tempfile::tempdir().expect("a directory");
        let at = all.path().canonicalize().expect("there");
        for directory in [
            "a",
            "a/b",
            "c",
            "c/root",
            "open",
            "open/root",
            "home",
            "home/root",
        ] {
            create_dir(at.join(directory)).expect("made");
        }
        set_permissions(at.join("open"), Permissions::from_mode(0o1777)).expect("set");
        let links = [
            ("a/b/current", "../../c/root".into()),
            ("absolute", at.join("a/b/current")),
            ("c/to-b", at.join("a/b")),
            ("open/link", at.join("c/root")),
            ("to-open", at.join("open/root")),
            ("open/middle", at.join("a")),
            ("loop", at.join("loop")),
        ];
        for (name, target) in &links {
            symlink(target, at.join(name)).expect("linked");
        }
        let cases: [(&str, &[&str]); 5] = [
            ("c/root", &["c"]),
            ("a/b/current", &["a/b", "c"]),
            ("absolute", &["", "a/b", "c"]),
            ("c/to-b/../b/current", &["c", "a", "a/b"]),
            ("open/middle/b", &["", "a"]),
        ];
        for (name, expected) in cases {
            let parent_directories = parent_directories(&at.join(name)).expect(name);
            let paths: Vec<PathBuf> = parent_directories.into_iter().map(|one| one.path).collect();
            let expected: Vec<_> = expected.iter().map(|path| at.join(path)).collect();
            assert_eq!(paths, expected, "{name}");
        }
        for (name, why) in [
            ("open/root", "everyone can write to"),
            ("open/link", "everyone can write to"),
            ("to-open", "everyone can write to"),
            ("loop", "cannot follow"),
            ("none/root", "cannot follow"),
        ] {
            let error = parent_directories(&at.join(name)).expect_err(name);
            assert!(error.contains(why), "{name}: {error}");
        }
        let error = parent_directories(Path::new("/usr")).expect_err("too much");
        assert!(error.starts_with("/ contains"), "{error}");
    }

    #[test]
    fn home_directories_are_refused() {
        let all = tempfile::tempdir().expect("a directory");
        let at = all.path().canonicalize().expect("there");
        create_dir(at.join("user")).expect("made");
        let homes = [at.join("user")];
        let fails = |path: &Path| open_if_safe(path, &homes).expect_err("too much");
        assert!(fails(&at.join("user")).ends_with("is a home directory"));
        assert!(fails(&at).ends_with("contains home directories"));
        create_dir(at.join("user/site")).expect("made");
        open_if_safe(&at.join("user/site"), &homes).expect("fit");
        let cases: [(&[u8], Option<&str>); 4] = [
            (b"u:x:1000:1000:,,,:/home/u:/bin/bash", Some("/home/u")),
            (
                b"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin",
                None,
            ),
            (b"x:x:1:1::/x:/bin/false", None),
            (b"# a comment", None),
        ];
        for (line, expected) in cases {
            assert_eq!(home_of_user(line), expected.map(PathBuf::from));
        }
    }
}
