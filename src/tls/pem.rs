//! Certificates and keys in files: PEM (RFC 7468).
//!
//! What was read of a key is overwritten with zeros before its memory is freed, as far as it is in
//! our hands: ring keeps the key itself until the server ends.

use crate::sys::untraced::{fstat, open, read};
use crate::sys::{Errno, Mode, OFlags, PollFd, PollFlags, poll_untraced, retry_on_intr};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use std::path::Path;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// The longest file of certificates or keys, in bytes. A chain takes a few KiB.
const MAX_FILE: usize = 1 << 20;

/// How long a pipe may take to bring more bytes. (A pipe without a writer is empty.)
const PIPE_WAIT: Duration = Duration::from_secs(5);

/// A private key in DER. Zeroed when it is dropped.
pub(super) struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    pub fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Reads the certificates of a file, in their order. At least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_file(path).map_err(|why| format!("cannot read the certificate {why}"))?;
    let shown = path.display();
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| format!("{shown} is not valid PEM: {error}"))?;
    if !all.is_empty() {
        return Ok(all);
    }
    let hint = match private_key_in(&text) {
        Ok(_) | Err(KeyError::Encrypted) => {
            "it contains a key; --tls-cert and --tls-key may be swapped".into()
        }
        Err(_) => not_pem(&text, path, "x509"),
    };
    Err(format!("{shown} contains no certificate: {hint}"))
}

/// Reads the private key of a file: the first one in it.
pub(super) fn private_key(path: &Path) -> Result<PrivateKey, String> {
    let text = read_file(path).map_err(|why| format!("cannot read the key {why}"))?;
    let shown = path.display();
    private_key_in(&text).map_err(|error| match error {
        KeyError::Encrypted => format!(
            "the key {shown} is encrypted, and evserve asks for no password; write it without one: \
             openssl pkey -in {shown} -out NEW"
        ),
        KeyError::Missing => {
            let hint = not_pem(&text, path, "pkey");
            format!("{shown} contains no private key: {hint}")
        }
        KeyError::Malformed(why) => format!("the key {shown} is not valid PEM: {why}"),
    })
}

enum KeyError {
    Encrypted,
    Missing,
    Malformed(String),
}

fn private_key_in(text: &[u8]) -> Result<PrivateKey, KeyError> {
    // Of traditional keys (RFC 1421), only a line between the markers says that they are encrypted.
    let is_encrypted = [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "Proc-Type: 4,ENCRYPTED",
    ]
    .iter()
    .any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some());
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text);
    let key = sections.find_map(|section| match section {
        Ok((SectionKind::PrivateKey, der)) => Some(Ok(PrivatePkcs8KeyDer::from(der).into())),
        Ok((SectionKind::EcPrivateKey, der)) => Some(Ok(PrivateSec1KeyDer::from(der).into())),
        Ok((SectionKind::RsaPrivateKey, der)) => Some(Ok(PrivatePkcs1KeyDer::from(der).into())),
        Ok(_) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    match key {
        _ if is_encrypted => Err(KeyError::Encrypted),
        Some(Ok(key)) => Ok(PrivateKey(key)),
        Some(Err(why)) => Err(KeyError::Malformed(why)),
        None => Err(KeyError::Missing),
    }
}

/// What to do about a file in which nothing was found. `openssl` has the `command` to convert it.
fn not_pem(text: &[u8], path: &Path, command: &str) -> String {
    const SEQUENCE: u8 = 0x30;
    let shown = path.display();
    match text.first() {
        None => "it is empty".into(),
        Some(&SEQUENCE) => format!(
            "it seems to be DER; convert it: openssl {command} -inform der -in {shown} -out NEW"
        ),
        Some(_) => "expected PEM, text between lines such as -----BEGIN CERTIFICATE-----".into(),
    }
}

/// Reads a whole file. The error begins with its path.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = path.display();
    let error = |errno: Errno| format!("{shown}: {errno}");
    // A pipe without a writer would hold up the open, and then the reader, without an end.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty()).map_err(error)?;
    let length = fstat(&file).map_err(error)?.st_size;
    let length = usize::try_from(length).unwrap_or_default().min(MAX_FILE);
    // One byte more shows the end without another call, or that the file has grown.
    let mut text = Zeroizing::new(vec![0; length.max(4096) + 1]);
    let mut filled = 0;
    loop {
        match retry_on_intr(|| read(&file, &mut text[filled..])) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::AGAIN) => {
                let mut watched = [PollFd::new(&file, PollFlags::IN)];
                if poll_untraced(&mut watched, Some(PIPE_WAIT)).map_err(error)? == 0 {
                    return Err(format!("{shown}: it is a pipe, and nothing comes"));
                }
            }
            Err(errno) => return Err(error(errno)),
        }
        if filled > MAX_FILE {
            return Err(format!("{shown}: it has more than {MAX_FILE} bytes"));
        }
        if filled == text.len() {
            // Not by resize(), which would leave a copy behind.
            let mut larger = Zeroizing::new(vec![0; text.len() * 2]);
            larger[..filled].copy_from_slice(&text);
            text = larger;
        }
    }
    text.truncate(filled);
    Ok(text)
}
