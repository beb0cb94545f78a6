//! The choice of a certificate for a client.

use super::certificate::Certificate;
use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificates of now. Those who choose one hold the lock for a clone of the `Arc`, and those
/// who replace them hold it to store another one, so nobody waits for anything else.
#[derive(Debug)]
pub(super) struct Resolver(RwLock<Arc<[Certificate]>>);

impl Resolver {
    pub fn new(certificates: Vec<Certificate>) -> Resolver {
        Resolver(RwLock::new(certificates.into()))
    }

    pub fn certificates(&self) -> Arc<[Certificate]> {
        self.0.read().clone()
    }
}

impl ResolvesServerCert for Resolver {
    /// Returns the first certificate that has the name and a key that the client can check, then
    /// the first one with such a key, then the first one of all.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.certificates();
        let name = hello.server_name();
        let schemes = hello.signature_schemes();
        let fits = |one: &&Certificate| one.certified.key.choose_scheme(schemes).is_some();
        let has_name = |one: &&Certificate| name.is_some_and(|name| one.is_for(name));
        let of_name = all.iter().filter(has_name).find(fits);
        let chosen = of_name.or_else(|| all.iter().find(fits)).or(all.first());
        chosen.map(|one| one.certified.clone())
    }
}
