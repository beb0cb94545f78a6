//! A certificate for the servers, and clients that trust it.

use crate::Outcome;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs::write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name in the certificate.
const NAME: &str = "localhost";

/// The timeout for a connection and for each part of a handshake.
const LIMIT: Duration = Duration::from_secs(5);

/// A certificate with its key (ECDSA, P-256), in files.
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Both in one file, as lighttpd wants them.
    pub both: PathBuf,
    pub client: TlsClient,
}

/// Makes clients that trust the certificate.
pub struct TlsClient(Arc<ClientConfig>);

/// A connection that is encrypted.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

impl Tls {
    /// Makes a certificate and writes it into a folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make(folder: &Path) -> Outcome<Tls> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let (text, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let at = |name| folder.join(name);
        let (certificate, both) = (at("certificate.pem"), at("both.pem"));
        write(&certificate, &text)?;
        write(at("key.pem"), &key)?;
        write(&both, key + &text)?;
        Ok(Tls {
            client: TlsClient::trusting(&certificate)?,
            certificate,
            key: at("key.pem"),
            both,
        })
    }
}

impl TlsClient {
    /// Clients that trust the certificate in a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn trusting(certificate: &Path) -> Outcome<TlsClient> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsClient(Arc::new(config)))
    }

    /// Encrypts a connection. The handshake is made with the first bytes.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn wrap(&self, stream: TcpStream) -> Outcome<TlsStream> {
        let name = ServerName::try_from(NAME)?;
        let connection = ClientConnection::new(self.0.clone(), name)?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// Connects, makes a handshake, and leaves.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub fn shake_hands(&self, address: SocketAddr) -> Outcome<()> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut stream = self.wrap(stream)?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(())
    }
}
