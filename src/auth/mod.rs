//! Who may: users, their hashed passwords, and which credentials were right.
//!
//! A password is hashed where that delays nobody else: [`Gate::check`] takes tens of milliseconds
//! and waits for others. What was right before is recognized at once by [`Gate::knows`], from a
//! keyed hash, so that no password stays in memory. This module knows neither HTTP nor models.
//! Without the feature `auth` no [`Gate`] can be opened.

#[cfg(not(feature = "auth"))]
mod absent;
mod attempts;
mod checks;
mod credentials;
#[cfg(feature = "auth")]
mod hashing;
mod shared;
mod users;

#[cfg(not(feature = "auth"))]
use absent as hashing;

pub use attempts::{ADDRESSES, ATTEMPT_INTERVAL, ATTEMPTS};
pub use credentials::{Credentials, Login};
pub use shared::CHECKS;
pub use users::{MAX_FILE, Users};

use crate::sys::untraced::monotonic_time;
use attempts::{Attempts, client_of};
use checks::Checks;
use hashing::{Key, Tag};
use shared::Shared;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The users of a service. Default: none, so everybody may.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Users whose passwords are known.
    pub logins: Vec<Login>,
    /// A file with a line `user:hash` for each user: argon2 (`$argon2id$...`) or bcrypt
    /// (`$2y$...`).
    pub file: Option<PathBuf>,
}

impl Access {
    /// True if no password is asked for.
    pub fn is_open(&self) -> bool {
        self.logins.is_empty() && self.file.is_none()
    }
}

/// Decides who may. All loops, threads and forked processes of a service share one.
#[derive(Debug)]
pub struct Gate {
    /// Those that are not in the file, hashed.
    fixed: Users,
    file: Option<PathBuf>,
    /// Replaced as a whole when the file is read again. Locked for a clone or a store.
    users: RwLock<Arc<Users>>,
    /// The keys of all [`Users`] follow from it.
    key: Key,
    attempts: Attempts,
    checks: Checks,
    /// What forked processes share.
    shared: Option<Shared>,
    /// The number of passwords that were hashed.
    hashed: AtomicU64,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user may.
    Right,
    /// There is no such user, or the password is another one.
    Wrong,
    /// Too many wrong passwords came from this client's address. The next one is checked after this
    /// time.
    TooMany(Duration),
    /// The users are not known at the moment.
    Unknown,
    /// There is not enough memory for a check at the moment.
    NoMemory,
}

impl Gate {
    /// Hashes the passwords of `access` and reads its file. With `forks` the gate can be shared
    /// with forked processes: call this before forking them.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn open(access: Access, forks: bool) -> Result<Gate, String> {
        let key = Key::new()?;
        let fixed = Users::of_logins(access.logins)?;
        let shared = match forks {
            true => Some(Shared::new().map_err(|errno| format!("no memory to share: {errno}"))?),
            false => None,
        };
        let gate = Gate {
            attempts: Attempts::new(forks),
            checks: Checks::new(),
            users: RwLock::default(),
            hashed: AtomicU64::new(0),
            file: access.file,
            fixed,
            key,
            shared,
        };
        gate.replace(gate.read()?);
        Ok(gate)
    }

    /// The file with users, which may change.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file. This may take long. Then [`replace`](Gate::replace) the users.
    ///
    /// # Errors
    /// A sentence about what is wrong with the file.
    pub fn read(&self) -> Result<Users, String> {
        match &self.file {
            Some(file) => self.fixed.and_those_of(file),
            None => Ok(self.fixed.clone()),
        }
    }

    /// Replaces the users. What was right before has to be checked again.
    pub fn replace(&self, users: Users) {
        self.store(users, self.users().generation + 1);
        if let Some(shared) = &self.shared {
            shared.set_generation(self.users().generation);
        }
    }

    fn store(&self, users: Users, generation: u64) {
        let key = self.key.derive(generation);
        let users = Arc::new(users.with_key(generation, key));
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
    }

    /// The users of the moment.
    pub fn users(&self) -> Arc<Users> {
        let users = self.users.read();
        users.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many passwords were hashed, right or wrong.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Relaxed)
    }

    /// True if these credentials were right before. Does not wait.
    pub fn knows(&self, credentials: &Credentials) -> bool {
        let users = self.users();
        !self.is_stale(&users) && users.know(credentials)
    }

    /// True in a forked process if the parent has replaced the users.
    fn is_stale(&self, users: &Users) -> bool {
        let mut shared = self.shared.iter();
        shared.any(|shared| shared.generation() != users.generation)
    }

    /// Checks credentials that came from `client`. Takes as long for a user that does not exist.
    /// Waits for other checks, and may wait for a file system: call it where that delays nobody.
    pub fn check(&self, credentials: &Credentials, client: Option<IpAddr>) -> Outcome {
        let mut users = self.users();
        if self.is_stale(&users) {
            match self.refresh() {
                Ok(fresh) => users = fresh,
                Err(_) => return Outcome::Unknown,
            }
        }
        // Another thread or process may have checked them meanwhile.
        if users.know(credentials) || self.is_shared(&users, credentials) {
            return Outcome::Right;
        }
        let client = client_of(client, &self.key);
        let shared = self.shared.as_ref();
        // Counted before it is checked: many at once must not be more than the limit.
        if let Err(wait) = self.attempts.begin(client, monotonic_time(), shared) {
            return Outcome::TooMany(wait);
        }
        let mut turn = self.checks.begin(shared);
        if !turn.memory.fit(users.memory_kib()) {
            self.attempts.forgive(client, monotonic_time(), shared);
            return Outcome::NoMemory;
        }
        self.hashed.fetch_add(1, Relaxed);
        let right = users.check(credentials, &mut turn.memory);
        drop(turn);
        let Some(tag) = right else {
            return Outcome::Wrong;
        };
        self.attempts.forgive(client, monotonic_time(), shared);
        self.share(&users, credentials, &tag);
        Outcome::Right
    }

    /// Reads the users again, in a forked process.
    fn refresh(&self) -> Result<Arc<Users>, String> {
        let generation = self.shared.as_ref().map_or(0, Shared::generation);
        self.store(self.read()?, generation);
        Ok(self.users())
    }

    /// True if another process has found these credentials right.
    fn is_shared(&self, users: &Users, credentials: &Credentials) -> bool {
        let place = self.shared.as_ref().zip(users.place(credentials));
        let tag = place.and_then(|(shared, place)| shared.tag(place));
        tag.is_some_and(|tag| users.accept(credentials, &tag))
    }

    fn share(&self, users: &Users, credentials: &Credentials, tag: &Tag) {
        if let Some((shared, place)) = self.shared.as_ref().zip(users.place(credentials)) {
            shared.set_tag(place, tag);
        }
    }
}

#[cfg(feature = "auth")]
#[cfg(test)]
mod tests;
