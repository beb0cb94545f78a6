//! What there is of TLS in a program that was built without it.

use crate::config::Certificates;
use crate::observe::CertificateList;
use crate::session::{Layer, Layers};
use std::path::Path;
use std::sync::Arc;

/// Certificates. There are none.
#[derive(Debug)]
pub enum Tls {}

/// What encrypts the connections of a protocol. There is none.
#[derive(Debug)]
pub enum Context {}

impl Layers for Context {
    fn layer(&self) -> Option<Box<dyn Layer>> {
        match *self {}
    }
}

/// Certificates that were loaded again. There are none.
#[derive(Debug)]
pub struct Reloaded(());

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "no one but `load` can be called"
)]
impl Tls {
    /// Fails, with a sentence for the user.
    pub fn load(_: &Certificates, _: i64) -> Result<Tls, String> {
        Err("this evserve was built without TLS (feature `tls`)".into())
    }

    pub fn context(&self, _: bool) -> Arc<Context> {
        match *self {}
    }

    pub fn certificates(&self) -> &CertificateList {
        match *self {}
    }

    pub fn self_signed(&self) -> Option<&Path> {
        match *self {}
    }

    pub fn lacking_names(&self) -> Option<(Vec<String>, &Path)> {
        match *self {}
    }

    pub fn reload(&self) -> Reloaded {
        match *self {}
    }

    pub fn replace(&self, _: Reloaded) -> Vec<String> {
        match *self {}
    }

    pub fn forget_past_tickets(&self) {
        match *self {}
    }
}
