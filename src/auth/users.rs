//! The users, and what was found right.

use super::credentials::{Credentials, Login};
use super::hashing::{Key, Memory, PasswordHash, Tag};
use crate::sys::untraced::{fstat, open, read};
use crate::sys::{Errno, FileType, Mode, OFlags, retry_on_intr};
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

/// The longest file of users, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// Users, and which credentials were found right. Both are dropped together.
#[derive(Debug, Default)]
pub struct Users {
    pub(super) generation: u64,
    key: Option<Key>,
    places: HashMap<Box<[u8]>, usize>,
    all: Vec<User>,
    /// The most that the check of one user's password takes.
    memory_kib: usize,
}

#[derive(Debug)]
struct User {
    hash: PasswordHash,
    /// The keyed hash of the credentials that were right. There is at most one per user: bcrypt
    /// may accept others as well, which are checked each time.
    right: OnceLock<Tag>,
}

/// Without what was found right.
impl Clone for Users {
    fn clone(&self) -> Users {
        let fresh = |user: &User| User {
            hash: user.hash.clone(),
            right: OnceLock::new(),
        };
        Users {
            generation: self.generation,
            key: None,
            places: self.places.clone(),
            all: self.all.iter().map(fresh).collect(),
            memory_kib: self.memory_kib,
        }
    }
}

impl Users {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Users whose passwords are known.
    pub(super) fn of_logins(logins: Vec<Login>) -> Result<Users, String> {
        let mut users = Users::default();
        for login in logins {
            let (user, password) = (login.user.as_bytes(), login.password.as_bytes());
            users.add(user, PasswordHash::of(user, password)?)?;
        }
        Ok(users)
    }

    /// These, and those in a file.
    pub(super) fn and_those_of(&self, file: &Path) -> Result<Users, String> {
        let shown = file.display();
        let text = read_file(file).map_err(|why| format!("cannot read {shown}: {why}"))?;
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        let mut users = self.clone();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            users
                .add_line(line)
                .map_err(|why| format!("{shown}, line {}: {why}", number + 1))?;
        }
        match users.all.is_empty() {
            true => Err(format!("{shown} names no user")),
            false => Ok(users),
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), String> {
        let colon = memchr::memchr(b':', line).unwrap_or_default();
        let (user, hash) = line.split_at(colon);
        if user.is_empty() || user.iter().any(u8::is_ascii_control) {
            return Err("expected user:hash".into());
        }
        let hash = str::from_utf8(&hash[1..]).map_err(|_| "expected user:hash")?;
        let named = |why| format!("user {}: {why}", String::from_utf8_lossy(user));
        let hash = PasswordHash::parse(hash).map_err(named)?;
        self.add(user, hash)
    }

    fn add(&mut self, user: &[u8], hash: PasswordHash) -> Result<(), String> {
        let place = self.all.len();
        if self.places.insert(user.into(), place).is_some() {
            let name = String::from_utf8_lossy(user);
            return Err(format!("there are two users {name}"));
        }
        self.memory_kib = self.memory_kib.max(hash.memory_kib());
        self.all.push(User {
            hash,
            right: OnceLock::new(),
        });
        Ok(())
    }

    pub(super) fn with_key(self, generation: u64, key: Key) -> Users {
        Users {
            generation,
            key: Some(key),
            ..self
        }
    }

    /// The number of the user that the credentials name.
    pub(super) fn place(&self, credentials: &Credentials) -> Option<usize> {
        self.places.get(&credentials.user[..]).copied()
    }

    /// True if these credentials were right before.
    pub(super) fn know(&self, credentials: &Credentials) -> bool {
        let known = self
            .place(credentials)
            .and_then(|at| self.all[at].right.get());
        let tag = known.zip(self.tag(credentials));
        tag.is_some_and(|(known, tag)| is_same(known, &tag))
    }

    /// True if `tag` is that of these credentials, which another process has found right.
    pub(super) fn accept(&self, credentials: &Credentials, tag: &Tag) -> bool {
        let is_right = self.tag(credentials).is_some_and(|own| is_same(&own, tag));
        if let (true, Some(place)) = (is_right, self.place(credentials)) {
            self.all[place].right.get_or_init(|| *tag);
        }
        is_right
    }

    /// How many KiB of memory a check takes.
    pub(super) fn memory_kib(&self) -> usize {
        self.memory_kib
    }

    /// Hashes the password once, whether there is such a user or not. Returns the tag of credentials
    /// that are right. `memory` must have [`memory_kib`](Users::memory_kib).
    pub(super) fn check(&self, credentials: &Credentials, memory: &mut Memory) -> Option<Tag> {
        let place = self.place(credentials);
        // Sought for users that exist as well, so that the search takes no less time for them.
        let stand_in = self.stand_in(&credentials.user);
        let hashed = &self.all[place.unwrap_or(stand_in)].hash;
        let fits = hashed.fits(&credentials.password, memory);
        let place = place.filter(|_| fits)?;
        let tag = self.tag(credentials)?;
        self.all[place].right.get_or_init(|| tag);
        Some(tag)
    }

    /// The number of the user whose hash is computed for this name if there is no such user.
    ///
    /// Hashes may differ in cost, so a name whose time changes tells that nobody has it. The choice
    /// therefore depends on the users alone: it is the same when the file is read again and after a
    /// restart, and another user changes it only for the names that fall to that one (rendezvous
    /// hashing). Takes one keyed hash per user.
    pub(super) fn stand_in(&self, name: &[u8]) -> usize {
        let all = 0..self.all.len();
        all.max_by_key(|&at| self.all[at].hash.rank(name))
            .unwrap_or(0)
    }

    fn tag(&self, credentials: &Credentials) -> Option<Tag> {
        let Credentials { user, password } = credentials;
        Some(self.key.as_ref()?.tag(&[b"right", user, password]))
    }
}

/// Compares without a hint, by the time it takes, where they differ.
fn is_same(one: &Tag, other: &Tag) -> bool {
    let different = one.iter().zip(other).map(|(a, b)| a ^ b);
    different.fold(0, |all, bits| all | bits) == 0
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let text = |errno: Errno| errno.to_string();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(text)?;
    let stat = fstat(&file).map_err(text)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is not a regular file".into());
    }
    let mut bytes = vec![0; MAX_FILE + 1];
    let mut length = 0;
    while length < bytes.len() {
        match retry_on_intr(|| read(&file, &mut bytes[length..])).map_err(text)? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    match length > MAX_FILE {
        true => Err(format!("it has more than {MAX_FILE} bytes")),
        false => Ok(bytes),
    }
}
