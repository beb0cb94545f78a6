//! The choice of a certificate for a client.

use super::certificate::Certificate;
use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificates in use. A handshake holds the lock to clone the `Arc`, and a renewal to store
/// another one.
#[derive(Debug, Default)]
pub(super) struct Resolver(RwLock<Arc<Vec<Arc<Certificate>>>>);

impl Resolver {
    pub fn certificates(&self) -> Arc<Vec<Arc<Certificate>>> {
        self.0.read().clone()
    }

    pub fn set(&self, certificates: Vec<Arc<Certificate>>) {
        let new = Arc::new(certificates);
        let old = std::mem::replace(&mut *self.0.write(), new);
        // Without the lock.
        drop(old);
    }
}

impl ResolvesServerCert for Resolver {
    /// Returns the first certificate that has the name and a key that the client can check, then
    /// the first one with such a key, then the first one of all.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.certificates();
        let name = hello.server_name();
        let schemes = hello.signature_schemes();
        let fits = |one: &&Arc<Certificate>| one.certified.key.choose_scheme(schemes).is_some();
        let has_name = |one: &&Arc<Certificate>| name.is_some_and(|name| one.is_for(name));
        let of_name = all.iter().filter(has_name).find(fits);
        let chosen = of_name.or_else(|| all.iter().find(fits)).or(all.first());
        chosen.map(|one| one.certified.clone())
    }
}
