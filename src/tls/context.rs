//! What encrypts connections: the configuration that rustls needs for each of them.

use super::certificate::Certificate;
use super::resolver::Resolver;
use super::self_signed::SelfSigned;
use super::tickets::Tickets;
use crate::config::{CertificateFiles, Certificates};
use crate::observe::{CertificateInfo, CertificateList};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use std::path::Path;
use std::sync::Arc;

/// The protocol that HTTP/1.1 is called in ALPN (RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// The certificates of a server, and what encrypts its connections with them.
#[derive(Debug)]
pub struct Tls {
    source: Source,
    resolver: Arc<Resolver>,
    list: CertificateList,
    tickets: Arc<Tickets>,
    plain: Arc<Context>,
    http: Arc<Context>,
}

/// Where the certificates come from.
#[derive(Debug)]
enum Source {
    Files(Vec<CertificateFiles>),
    SelfSigned(SelfSigned),
}

/// What encrypts the connections of a protocol. All its connections share it.
#[derive(Debug)]
pub struct Context(Arc<ServerConfig>);

/// Certificates that were loaded again: for each one itself, or what is wrong with it.
#[derive(Debug)]
pub struct Reloaded(Vec<Result<Certificate, String>>);

impl Tls {
    /// Loads the certificates and their keys. Makes a self-signed one if there is none yet, or if
    /// it ends soon after `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// A sentence for the user about what is wrong with them.
    pub fn load(certificates: &Certificates, now: i64) -> Result<Tls, String> {
        let (source, all) = match certificates {
            Certificates::None => return Err("there is no certificate".into()),
            Certificates::Files(files) => {
                let all = files.iter().map(Certificate::load);
                let all = all.collect::<Result<Vec<_>, _>>()?;
                (Source::Files(files.clone()), all)
            }
            Certificates::SelfSigned => {
                let files = SelfSigned::in_state_directory()?;
                let certificate = files.load_or_make(now)?;
                (Source::SelfSigned(files), vec![certificate])
            }
        };
        let resolver = Arc::new(Resolver::default());
        let tickets = Tickets::new().map_err(|_| "there are no random bytes for TLS")?;
        let tickets = Arc::new(tickets);
        let config = configuration(resolver.clone(), tickets.clone())?;
        let mut of_http = config.clone();
        of_http.alpn_protocols = vec![HTTP.into()];
        let tls = Tls {
            source,
            resolver,
            list: CertificateList::default(),
            tickets,
            http: Arc::new(Context(Arc::new(of_http))),
            plain: Arc::new(Context(Arc::new(config))),
        };
        tls.set(all.into_iter().map(Arc::new).collect());
        Ok(tls)
    }

    /// What encrypts the connections of a protocol. HTTP is agreed on by its name (ALPN); others
    /// have none.
    pub fn context(&self, is_http: bool) -> Arc<Context> {
        match is_http {
            true => self.http.clone(),
            false => self.plain.clone(),
        }
    }

    /// The certificates in use.
    pub fn certificates(&self) -> &CertificateList {
        &self.list
    }

    /// The file in which clients find the certificate that the server has made itself.
    pub fn self_signed(&self) -> Option<&Path> {
        match &self.source {
            Source::Files(_) => None,
            Source::SelfSigned(files) => Some(&files.certificate),
        }
    }

    /// What this machine is called now, and the certificate that the server has made itself does not
    /// say; and the file without which a new one is made. `None` if it says everything.
    pub fn lacking_names(&self) -> Option<(Vec<String>, &Path)> {
        let Source::SelfSigned(files) = &self.source else {
            return None;
        };
        let all = self.resolver.certificates();
        let lacks = files.lacks(all.first()?);
        (!lacks.is_empty()).then_some((lacks, &files.both))
    }

    /// Loads the files again, and replaces nothing yet. May wait for a file system.
    pub fn reload(&self) -> Reloaded {
        Reloaded(match &self.source {
            Source::Files(files) => files.iter().map(Certificate::load).collect(),
            Source::SelfSigned(_) => Vec::new(),
        })
    }

    /// Replaces each certificate that could be loaded again. Returns what is wrong with the others,
    /// in whose place the old ones stay. Connections that are open are not affected.
    pub fn replace(&self, reloaded: Reloaded) -> Vec<String> {
        let mut wrong = Vec::new();
        let old = self.resolver.certificates();
        let old = old.iter().cloned();
        let new = old.zip(reloaded.0).map(|(old, new)| match new {
            Ok(new) => Arc::new(new),
            Err(why) => {
                wrong.push(why);
                old
            }
        });
        let new: Vec<_> = new.collect();
        if !new.is_empty() {
            self.set(new);
        }
        wrong
    }

    /// Forgets the keys of past tickets. They are never used again, but stay in memory while no
    /// client comes.
    pub fn forget_past_tickets(&self) {
        self.tickets.forget_past();
    }

    fn set(&self, all: Vec<Arc<Certificate>>) {
        let files: Vec<&Path> = match &self.source {
            Source::Files(files) => files.iter().map(|pair| &*pair.certificate).collect(),
            Source::SelfSigned(files) => vec![&files.certificate],
        };
        let infos = all.iter().zip(files).map(|(one, file)| {
            let addresses = one.addresses.iter().map(ToString::to_string);
            CertificateInfo {
                file: file.into(),
                names: one.names.iter().cloned().chain(addresses).collect(),
                fingerprint: one.fingerprint(),
                validity: one.validity.clone(),
            }
        });
        self.list.set(infos.collect());
        self.resolver.set(all);
    }
}

fn configuration(resolver: Arc<Resolver>, tickets: Arc<Tickets>) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // A session is resumed by a ticket, which the client keeps. A client without tickets makes a
    // full handshake each time.
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

impl Context {
    /// The configuration of a new connection. It chooses among the certificates of the moment in
    /// which the client's first message is read.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }
}
