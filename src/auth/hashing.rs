//! Hashes of passwords, and keyed hashes: the only file that names the crates that compute them.

use argon2::password_hash::{self, phc};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};
use zeroize::Zeroize;

/// The most memory that the check of one password may take.
const MAX_MEMORY_KIB: usize = 256 << 10;

/// What is reserved for a check at least. The C library maps an allocation of more than 32 MiB alone
/// and unmaps it when it is freed, whatever was freed before (mallopt(3), M_MMAP_THRESHOLD). Smaller
/// ones stay with the thread or process that freed them. What is reserved and not used takes no
/// memory.
const MAPPED_KIB: usize = 33 << 10;

// Memory is counted in blocks.
const _: () = assert!(Block::SIZE == 1024);

/// The largest time parameter of an argon2 hash, and the largest cost of a bcrypt hash, whose time
/// doubles with each one. Either takes seconds.
const MAX_PASSES: u32 = 64;
const MAX_COST: u32 = 14;

/// A keyed hash.
pub type Tag = [u8; 32];

/// A random key for [`tag`](Key::tag), of which no one outside of this process knows anything.
#[derive(Clone)]
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

    /// A key that follows from these secrets, each time the same one.
    fn of(secrets: &[&[u8]]) -> Key {
        Key(Key([0; 32]).tag(secrets))
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

/// The memory that checks fill, which each one needs alone. Checks reuse it.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory({} KiB)", self.0.len())
    }
}

impl Memory {
    /// Makes this as many KiB long. Memory of another length is freed first. Returns false if there
    /// is not as much.
    pub fn fit(&mut self, kib: usize) -> bool {
        if self.0.len() == kib {
            return true;
        }
        self.0 = Vec::new();
        let is_there = self.0.try_reserve_exact(kib.max(MAPPED_KIB)).is_ok();
        if is_there {
            self.0.resize(kib, Block::new());
        }
        is_there
    }
}

/// The hash of a password.
#[derive(Clone)]
pub struct PasswordHash {
    function: Function,
    /// Known to nobody who knows neither the password nor the hash.
    secret: Key,
}

#[derive(Clone)]
enum Function {
    Argon2(Box<Argon2Hash>),
    Bcrypt(Box<str>),
}

#[derive(Clone)]
struct Argon2Hash {
    argon2: Argon2<'static>,
    salt: phc::Salt,
    output: phc::Output,
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// Reads a hash in the format of crypt(5) or PHC.
    pub fn parse(text: &str) -> Result<PasswordHash, String> {
        let is_bcrypt = |text: &str| {
            ["$2a$", "$2b$", "$2y$"]
                .iter()
                .any(|id| text.starts_with(id))
        };
        let function = match text {
            _ if text.starts_with("$argon2") => Function::Argon2(Box::new(argon2(text)?)),
            _ if is_bcrypt(text) => Function::Bcrypt(bcrypt(text)?),
            _ => {
                return Err(
                    "its hash is neither argon2 ($argon2id$...) nor bcrypt ($2y$...); \
                     `htpasswd -nB NAME` makes one"
                        .into(),
                );
            }
        };
        Ok(PasswordHash {
            function,
            secret: Key::of(&[b"hash", text.as_bytes()]),
        })
    }

    /// Hashes a user's password with argon2id and the parameters that OWASP advises.
    pub fn of(user: &[u8], password: &[u8]) -> Result<PasswordHash, String> {
        let why = |error: &dyn std::fmt::Display| format!("cannot hash a password: {error}");
        let salt = password_hash::try_generate_salt().map_err(|error| why(&error))?;
        let mut hash = Argon2Hash {
            argon2: Argon2::default(),
            salt: phc::Salt::new(&salt).map_err(|error| why(&error))?,
            output: phc::Output::new(&[0; Params::DEFAULT_OUTPUT_LEN])
                .map_err(|error| why(&error))?,
        };
        let mut memory = Memory::default();
        if !memory.fit(hash.argon2.params().block_count()) {
            return Err(why(&"out of memory"));
        }
        let output = hash.output(password, &mut memory);
        hash.output = output.ok_or_else(|| why(&"argon2 refuses it"))?;
        Ok(PasswordHash {
            function: Function::Argon2(Box::new(hash)),
            secret: Key::of(&[b"login", user, password]),
        })
    }

    /// How many KiB of memory a check takes.
    pub fn memory_kib(&self) -> usize {
        match &self.function {
            Function::Argon2(hash) => hash.argon2.params().block_count(),
            Function::Bcrypt(_) => 0,
        }
    }

    /// True if this is the hash of `password`. Takes tens of milliseconds. `memory` must have at
    /// least [`memory_kib`](PasswordHash::memory_kib).
    pub fn fits(&self, password: &[u8], memory: &mut Memory) -> bool {
        match &self.function {
            // Output compares in constant time.
            Function::Argon2(hash) => hash.output(password, memory).as_ref() == Some(&hash.output),
            Function::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }

    /// A number that depends on the hash and this name alone, and that nobody can know in advance.
    pub fn rank(&self, name: &[u8]) -> Tag {
        self.secret.tag(&[name])
    }
}

impl Argon2Hash {
    /// What the password's hash is with these parameters. `None` if argon2 refuses it.
    fn output(&self, password: &[u8], memory: &mut Memory) -> Option<phc::Output> {
        let mut bytes = [0; phc::Output::MAX_LENGTH];
        let out = &mut bytes[..self.output.len()];
        self.argon2
            .hash_password_into_with_memory(password, &self.salt, out, &mut memory.0[..])
            .ok()?;
        phc::Output::new(out).ok()
    }
}

fn argon2(text: &str) -> Result<Argon2Hash, String> {
    let hash =
        phc::PasswordHash::new(text).map_err(|error| format!("its hash is no PHC: {error}"))?;
    let not_valid = |error: &dyn std::fmt::Display| format!("its hash is not valid: {error}");
    let parameters = Params::try_from(&hash).map_err(|error| not_valid(&error))?;
    let (Some(output), Some(salt)) = (hash.hash, hash.salt) else {
        return Err("its argon2 hash is not complete".into());
    };
    if parameters.block_count() > MAX_MEMORY_KIB || parameters.t_cost() > MAX_PASSES {
        return Err(format!(
            "each check of its argon2 hash would take more than {} MiB or {MAX_PASSES} passes",
            MAX_MEMORY_KIB >> 10
        ));
    }
    let algorithm = Algorithm::try_from(hash.algorithm.as_str());
    let version = hash.version.map(Version::try_from).transpose();
    Ok(Argon2Hash {
        argon2: Argon2::new(
            algorithm.map_err(|error| not_valid(&error))?,
            version
                .map_err(|error| not_valid(&error))?
                .unwrap_or_default(),
            parameters,
        ),
        salt,
        output,
    })
}

fn bcrypt(text: &str) -> Result<Box<str>, String> {
    let parts: bcrypt::HashParts = text
        .parse()
        .map_err(|error| format!("its bcrypt hash is not valid: {error}"))?;
    if !(4..=MAX_COST).contains(&parts.get_cost()) {
        return Err(format!(
            "the cost of its bcrypt hash is not from 4 to {MAX_COST}"
        ));
    }
    Ok(text.into())
}

/// Decodes base64 (RFC 4648 section 4). `None` unless it is exactly what an encoder makes.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Overwrites a password.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}
