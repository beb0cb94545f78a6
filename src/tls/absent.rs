//! What there is of TLS in a program that was built without it.

use crate::config::Certificates;
use std::sync::Arc;

/// Certificates. There are none.
#[derive(Debug)]
pub enum Tls {}

/// What encrypts the connections of a protocol. There is none.
#[derive(Debug)]
pub enum Context {}

impl Tls {
    /// Fails.
    ///
    /// # Errors
    /// Always: a sentence for the user.
    pub fn load(_: &Certificates) -> Result<Tls, String> {
        Err("this evserve was built without TLS (feature `tls`)".into())
    }

    /// Cannot be called.
    pub fn context(&self, _: bool) -> Arc<Context> {
        match *self {}
    }
}
