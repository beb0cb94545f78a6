//! A certificate with its key: loaded, checked, and asked for its names and its end.

use super::pem;
use crate::config::CertificateFiles;
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::CertificateDer;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Certificate {
    /// What rustls needs of it.
    pub certified: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case. A name may begin with `*.`.
    pub names: Vec<String>,
    /// The addresses that it is for. No client asks for an address by name, so none is chosen by
    /// it.
    pub addresses: Vec<IpAddr>,
    /// When it is valid, in seconds since the epoch.
    pub validity: Range<i64>,
}

impl Certificate {
    /// Loads a certificate and its key, and checks that they belong together.
    pub fn load(files: &CertificateFiles) -> Result<Certificate, String> {
        let chain = pem::certificates(&files.certificate)?;
        let key = pem::private_key(&files.key)?;
        let (shown, shown_key) = (files.certificate.display(), files.key.display());
        let signing = any_supported_type(key.der()).map_err(|_| {
            format!(
                "the key {shown_key} cannot be used: expected RSA of at least 2048 bits, ECDSA \
                 with P-256 or P-384, or Ed25519"
            )
        })?;
        let leaf = Leaf::read(&chain[0]).ok_or_else(|| {
            format!("the first certificate of {shown} cannot be read: it is not X.509 version 3")
        })?;
        let mut certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                let fits_later = (1..certified.cert.len()).any(|index| {
                    certified.cert.swap(0, index);
                    certified.keys_match().is_ok()
                });
                return Err(match fits_later {
                    true => format!(
                        "the key {shown_key} belongs to a later certificate of {shown}; put that \
                         one first, and those that lead to its root behind it"
                    ),
                    false => {
                        format!("the key {shown_key} does not belong to the certificate {shown}")
                    }
                });
            }
            Err(error) => return Err(format!("the certificate {shown} cannot be used: {error}")),
        }
        Ok(Certificate {
            certified: Arc::new(certified),
            names: leaf.names,
            addresses: leaf.addresses,
            validity: leaf.validity,
        })
    }

    /// SHA-256 of the certificate, as browsers and openssl(1) show it.
    pub fn fingerprint(&self) -> String {
        let hash = digest(&SHA256, &self.certified.cert[0]);
        let bytes = hash.as_ref().iter().map(|byte| format!("{byte:02X}"));
        bytes.collect::<Vec<_>>().join(":")
    }

    /// True if it is for this name.
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| matches(own, name))
    }
}

/// True if a client that asks for `name` accepts a certificate for `own`. A wildcard stands for one
/// whole label (RFC 9525 section 6.3).
fn matches(own: &str, name: &str) -> bool {
    match own.strip_prefix("*.") {
        Some(rest) => {
            let below = name.split_once('.').map(|(_, below)| below);
            below.is_some_and(|below| below.eq_ignore_ascii_case(rest))
        }
        None => own.eq_ignore_ascii_case(name),
    }
}

/// What a certificate says.
struct Leaf {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    validity: Range<i64>,
}

impl Leaf {
    fn read(der: &CertificateDer<'_>) -> Option<Leaf> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let mut leaf = Leaf {
            names: Vec::new(),
            addresses: Vec::new(),
            validity: validity.not_before.timestamp()..validity.not_after.timestamp(),
        };
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.map_or(&[][..], |names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => leaf.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => leaf.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Some(leaf)
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or(<[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs::write;
    use std::path::Path;

    /// A certificate for these names, and its key.
    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names).and_then(|all| all.self_signed(&key));
        let certificate = certificate.expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// What is said of these files.
    fn loaded(at: &Path, certificate: &[u8], key: &[u8]) -> Result<Vec<String>, String> {
        let files = CertificateFiles {
            certificate: at.join("c.pem"),
            key: at.join("k.pem"),
        };
        write(&files.certificate, certificate).expect("written");
        write(&files.key, key).expect("written");
        let loaded = Certificate::load(&files);
        let at = format!("{}/", at.display());
        loaded
            .map(|one| one.names)
            .map_err(|why| why.replace(&at, ""))
    }

    #[test]
    fn a_pair_is_loaded_or_refused_in_a_sentence() {
        let all = tempfile::tempdir().expect("a directory");
        let at = all.path();
        let (certificate, key) = made(&["Example.org", "*.example.net"]);
        let (other, other_key) = made(&["other"]);
        let names = ["example.org", "*.example.net"].map(str::to_owned);
        let loaded =
            |certificate: &str, key: &str| loaded(at, certificate.as_bytes(), key.as_bytes());
        assert_eq!(loaded(&certificate, &key), Ok(names.to_vec()));
        let both = format!("{key}{certificate}");
        assert_eq!(loaded(&both, &both), Ok(names.to_vec()), "both in one file");
        let chain = format!("{certificate}{other}");
        assert_eq!(loaded(&chain, &key), Ok(names.to_vec()));
        let encrypted = key.replace(" PRIVATE", " ENCRYPTED PRIVATE");
        let cut = certificate.split_once("-----END").expect("an end").0;
        let no_base64 = certificate.replace("MII", "!!!");
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let large = "x".repeat((1 << 20) + 1);
        let cases = [
            (
                &*certificate,
                &*other_key,
                "the key k.pem does not belong to the certificate c.pem",
            ),
            (
                &*chain,
                &*other_key,
                "the key k.pem belongs to a later certificate of c.pem; put that",
            ),
            (
                &*key,
                &*key,
                "c.pem contains no certificate: it contains a key; --tls-cert and",
            ),
            (
                &*certificate,
                &*certificate,
                "k.pem contains no private key: expected PEM",
            ),
            (
                &*certificate,
                &*encrypted,
                "the key k.pem is encrypted, and evserve asks for no pass",
            ),
            ("", &*key, "c.pem contains no certificate: it is empty"),
            (
                "hello",
                &*key,
                "c.pem contains no certificate: expected PEM",
            ),
            (
                "0\x01",
                &*key,
                "c.pem contains no certificate: it seems to be DER",
            ),
            (cut, &*key, "c.pem is not valid PEM: "),
            (&*no_base64, &*key, "c.pem is not valid PEM: "),
            (
                empty,
                &*key,
                "the first certificate of c.pem cannot be read",
            ),
            (
                &*large,
                &*key,
                "cannot read the certificate c.pem: it has more than 1048576 bytes",
            ),
        ];
        for (certificate, key, expected) in cases {
            let why = loaded(certificate, key).expect_err(expected);
            assert!(why.starts_with(expected), "{why}");
        }
        let missing = CertificateFiles {
            certificate: at.join("none"),
            key: at.join("none"),
        };
        let why = Certificate::load(&missing).expect_err("it is missing");
        assert!(
            why.ends_with("none: No such file or directory (os error 2)"),
            "{why}"
        );
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let cases = [
            ("example.org", "example.org", true),
            ("example.org", "EXAMPLE.org", true),
            ("example.org", "www.example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "WWW.Example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "org", false),
        ];
        for (own, name, expected) in cases {
            assert_eq!(matches(own, name), expected, "{own} {name}");
        }
    }
}
