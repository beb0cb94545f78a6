//! Hashes of passwords, and keyed hashes: the only file that names the crates that compute them.

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc};
use argon2::{Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};
use zeroize::Zeroize;

/// The most memory that the check of one password may take, in bytes.
const MAX_MEMORY: usize = 256 << 20;

/// The largest time parameter of an argon2 hash, and the largest cost of a bcrypt hash, whose time
/// doubles with each one. Either takes seconds.
const MAX_PASSES: u32 = 64;
const MAX_COST: u32 = 14;

/// A keyed hash.
pub type Tag = [u8; 32];

/// A random key for [`tag`](Key::tag), of which no one outside of this process knows anything.
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    pub fn new() -> Result<Key, String> {
        let random = || password_hash::try_generate_salt().map_err(|error| error.to_string());
        let mut key = [0; 32];
        key[..16].copy_from_slice(&random()?);
        key[16..].copy_from_slice(&random()?);
        Ok(Key(key))
    }

    /// A key that follows from this one.
    pub fn derive(&self, number: u64) -> Key {
        Key(self.tag(&[b"derive", &number.to_le_bytes()]))
    }

    /// The keyed hash of these parts (BLAKE2s, RFC 7693). Parts are told apart by their lengths.
    pub fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut mac = Blake2sMac256::new(&self.0.into());
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The hash of a password.
#[derive(Clone)]
pub enum PasswordHash {
    Argon2(Box<phc::PasswordHash>),
    Bcrypt(Box<str>),
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// Reads a hash in the format of crypt(5) or PHC.
    pub fn parse(text: &str) -> Result<PasswordHash, String> {
        if text.starts_with("$argon2") {
            return argon2(text);
        }
        if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|one| text.starts_with(one))
        {
            return bcrypt(text);
        }
        Err(
            "its hash is neither argon2 ($argon2id$...) nor bcrypt ($2y$...); \
             `htpasswd -nB NAME` makes one"
                .into(),
        )
    }

    /// Hashes a password with argon2id and the parameters that OWASP advises.
    pub fn of(password: &[u8]) -> Result<PasswordHash, String> {
        let made = Argon2::default().hash_password(password);
        let made = made.map_err(|error| format!("cannot hash a password: {error}"))?;
        Ok(PasswordHash::Argon2(Box::new(made)))
    }

    /// True if this is the hash of `password`. Takes tens of milliseconds.
    pub fn fits(&self, password: &[u8]) -> bool {
        match self {
            PasswordHash::Argon2(hash) => {
                let verifier = Argon2::default();
                verifier.verify_password(password, &**hash).is_ok()
            }
            PasswordHash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }
}

fn argon2(text: &str) -> Result<PasswordHash, String> {
    let hash =
        phc::PasswordHash::new(text).map_err(|error| format!("its hash is no PHC: {error}"))?;
    let parameters =
        Params::try_from(&hash).map_err(|error| format!("its hash is not valid: {error}"))?;
    let known = ["argon2d", "argon2i", "argon2id"];
    if hash.hash.is_none() || hash.salt.is_none() || !known.contains(&hash.algorithm.as_str()) {
        return Err("its argon2 hash is not complete".into());
    }
    if parameters.m_cost() as usize > MAX_MEMORY / 1024 || parameters.t_cost() > MAX_PASSES {
        return Err(format!(
            "each check of its argon2 hash would take more than {} MiB or {MAX_PASSES} passes",
            MAX_MEMORY >> 20
        ));
    }
    Ok(PasswordHash::Argon2(Box::new(hash)))
}

fn bcrypt(text: &str) -> Result<PasswordHash, String> {
    let parts: bcrypt::HashParts = text
        .parse()
        .map_err(|error| format!("its bcrypt hash is not valid: {error}"))?;
    if !(4..=MAX_COST).contains(&parts.get_cost()) {
        return Err(format!(
            "the cost of its bcrypt hash is not from 4 to {MAX_COST}"
        ));
    }
    Ok(PasswordHash::Bcrypt(text.into()))
}

/// Decodes base64 (RFC 4648 section 4). `None` unless it is exactly what an encoder makes.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Overwrites a password.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}
