//! A certificate, and clients that trust it.

use evserve::config::{CertificateFiles, Certificates};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A certificate for `h` and `127.0.0.1` with its key, in files.
pub struct Identity {
    directory: TempDir,
    roots: Arc<RootCertStore>,
}

impl Identity {
    pub fn new() -> Identity {
        let directory = tempfile::tempdir().expect("a directory");
        let names = ["h".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("made");
        let files = [
            ("cert.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a certificate");
        Identity {
            directory,
            roots: Arc::new(roots),
        }
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// The certificate and its key as a server loads them.
    pub fn certificates(&self) -> Certificates {
        Certificates::Files(vec![CertificateFiles {
            certificate: self.certificate(),
            key: self.directory.path().join("key.pem"),
        }])
    }

    /// The options of a server with this certificate.
    pub fn options(&self) -> [String; 4] {
        let path = |name| self.directory.path().join(name).display().to_string();
        let [certificate, key] = ["cert.pem", "key.pem"].map(path);
        ["--tls-cert".into(), certificate, "--tls-key".into(), key]
    }

    /// A client's configuration for all versions.
    pub fn any_version(&self) -> Arc<ClientConfig> {
        self.client(rustls::ALL_VERSIONS)
    }

    /// A client's configuration, whose connections resume each other.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_protocol_versions(versions).expect("known");
        let client = client.with_root_certificates(self.roots.clone());
        Arc::new(client.with_no_client_auth())
    }
}

/// A client's side of a connection to `h`.
pub fn client_side(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("h").expect("a name");
    ClientConnection::new(config.clone(), name).expect("a client")
}
