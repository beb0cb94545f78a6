//! Without the feature `auth`: no password can be checked.

use std::convert::Infallible;

const ABSENT: &str = "this evserve was built without passwords; build it with --features auth";

/// A keyed hash.
pub type Tag = [u8; 32];

/// There is none.
#[derive(Debug)]
pub struct Key(Infallible);

impl Key {
    pub fn new() -> Result<Key, String> {
        Err(ABSENT.into())
    }

    pub fn derive(&self, _: u64) -> Key {
        match self.0 {}
    }

    pub fn tag(&self, _: &[&[u8]]) -> Tag {
        match self.0 {}
    }
}

/// None is needed.
#[derive(Debug, Default)]
pub struct Memory;

impl Memory {
    pub fn fit(&mut self, _: usize) -> bool {
        true
    }
}

/// There is none.
#[derive(Clone, Debug)]
pub struct PasswordHash(Infallible);

impl PasswordHash {
    pub fn parse(_: &str) -> Result<PasswordHash, String> {
        Err(ABSENT.into())
    }

    pub fn of(_: &[u8], _: &[u8]) -> Result<PasswordHash, String> {
        Err(ABSENT.into())
    }

    pub fn memory_kib(&self) -> usize {
        match self.0 {}
    }

    pub fn fits(&self, _: &[u8], _: &mut Memory) -> bool {
        match self.0 {}
    }

    pub fn rank(&self, _: &[u8]) -> Tag {
        match self.0 {}
    }
}

pub fn decode_base64(_: &[u8]) -> Option<Vec<u8>> {
    None
}

pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
}
