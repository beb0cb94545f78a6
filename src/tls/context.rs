//! What encrypts connections: the configuration that rustls needs for each of them.

use super::certificate::{self, Certificate};
use super::resolver::Resolver;
use crate::config::Certificates;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use std::sync::Arc;

/// The protocol that HTTP/1.1 is called in ALPN (RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// The certificates of a server, and what encrypts its connections with them.
#[derive(Debug)]
pub struct Tls {
    resolver: Arc<Resolver>,
    plain: Arc<Context>,
    http: Arc<Context>,
}

/// What encrypts the connections of a protocol. All its connections share it.
#[derive(Debug)]
pub struct Context(Arc<ServerConfig>);

impl Tls {
    /// Loads the certificates and their keys.
    ///
    /// # Errors
    /// A sentence for the user about what is wrong with them.
    pub fn load(certificates: &Certificates) -> Result<Tls, String> {
        let files = match certificates {
            Certificates::Files(files) => &files[..],
            Certificates::None | Certificates::SelfSigned => &[],
        };
        let loaded = files.iter().map(Certificate::load);
        Tls::new(loaded.collect::<Result<_, _>>()?)
    }

    fn new(certificates: Vec<Certificate>) -> Result<Tls, String> {
        let resolver = Arc::new(Resolver::new(certificates));
        let chosen_by = resolver.clone();
        let mut config = ServerConfig::builder_with_provider(certificate::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(chosen_by);
        // A session can be resumed by a ticket, which the client keeps.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let plain = Arc::new(Context(Arc::new(config.clone())));
        config.alpn_protocols = vec![HTTP.into()];
        let http = Arc::new(Context(Arc::new(config)));
        Ok(Tls {
            resolver,
            plain,
            http,
        })
    }

    /// When each certificate ceases to be valid, in seconds since the epoch.
    pub fn ends(&self) -> Vec<i64> {
        let all = self.resolver.certificates();
        all.iter().map(|one| one.validity.end).collect()
    }

    /// What encrypts the connections of a protocol. HTTP is agreed on by its name (ALPN); others
    /// have none.
    pub fn context(&self, is_http: bool) -> Arc<Context> {
        match is_http {
            true => self.http.clone(),
            false => self.plain.clone(),
        }
    }
}

impl Context {
    /// The configuration of a new connection. It chooses among the certificates of the moment in
    /// which the client's first message is read.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }
}
