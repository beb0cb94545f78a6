//! A certificate that the server makes itself, for tests and for a network at home.
//!
//! It is kept, so that clients need to check its fingerprint only once. The file with
//! certificate and key is the truth, and it is written as a whole or not at all. The file with the
//! certificate alone is for clients, and is written from it.

use super::certificate::Certificate;
use super::pem::read_file;
use crate::config::CertificateFiles;
use crate::net::external_addresses;
use crate::sys::untraced::{fsync, getpid, mkdir, open, renameat_with, stat, unlink, write};
use crate::sys::{CWD, Errno, Mode, OFlags, RenameFlags, retry_on_intr};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const DAY: i64 = 24 * 60 * 60;

/// How long it is valid. Apple's systems accept no more than 825 days.
const VALID_DAYS: i64 = 820;

/// How long before its end a start makes a new one.
const RENEWED_DAYS: i64 = 30;

/// The most addresses of the machine that it is for. A machine with containers can have hundreds.
const MAX_ADDRESSES: usize = 16;

/// The files of a self-signed certificate.
#[derive(Debug)]
pub(super) struct SelfSigned {
    /// Certificate and key, for the server only.
    pub both: PathBuf,
    /// The certificate, for clients.
    pub certificate: PathBuf,
}

impl SelfSigned {
    /// Those in the state directory of the user, or of the service under systemd (systemd.exec(5),
    /// XDG Base Directory Specification).
    pub fn in_state_directory() -> Result<SelfSigned, String> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let absolute = |name: &str| {
            let path = variable(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        // systemd separates several ones by colons.
        let of_service = variable("STATE_DIRECTORY");
        let of_service = of_service.and_then(|all| env::split_paths(&all).next());
        let directory = of_service
            .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("evserve")))
            .or_else(|| Some(absolute("HOME")?.join(".local/state/evserve")))
            .ok_or(
                "there is no place for a self-signed certificate: none of STATE_DIRECTORY, \
                 XDG_STATE_HOME and HOME is set",
            )?;
        Ok(SelfSigned {
            both: directory.join("self-signed.pem"),
            certificate: directory.join("self-signed.crt"),
        })
    }

    /// Loads the certificate. Makes one first if there is none or if it ends soon.
    pub fn load_or_make(&self, now: i64) -> Result<Certificate, String> {
        let kept = match stat(&self.both) {
            Err(Errno::NOENT) => None,
            _ => Some(self.load()?),
        };
        let replaces = kept.is_some();
        let lasts = |one: &Certificate| one.validity.end - now > RENEWED_DAYS * DAY;
        let certificate = match kept {
            Some(kept) if lasts(&kept) => kept,
            _ => {
                let directory = self.both.parent().unwrap_or(&self.both);
                self.make(now, replaces).map_err(|why| {
                    format!(
                        "cannot keep a self-signed certificate in {}: {why}; the environment \
                         variable XDG_STATE_HOME can name another place",
                        directory.display()
                    )
                })?;
                // Another server may have been faster.
                self.load()?
            }
        };
        let both = read_file(&self.both)?;
        let begin = memchr::memmem::find(&both, b"-----BEGIN CERTIFICATE-----");
        let pem = &both[begin.unwrap_or(both.len())..];
        if !read_file(&self.certificate).is_ok_and(|text| *text == pem) {
            let written = write_whole(&self.certificate, pem, 0o644, true);
            written.map_err(|why| format!("cannot write {}: {why}", self.certificate.display()))?;
        }
        Ok(certificate)
    }

    /// The names and addresses that this machine has now and the certificate lacks.
    pub fn lacks(&self, certificate: &Certificate) -> Vec<String> {
        let names = own_names(host_name().as_deref()).into_iter();
        let names = names.filter(|name| !certificate.names.contains(name));
        let addresses = own_addresses().into_iter();
        let addresses = addresses.filter(|address| !certificate.addresses.contains(address));
        names
            .chain(addresses.map(|address| address.to_string()))
            .collect()
    }

    fn load(&self) -> Result<Certificate, String> {
        let files = CertificateFiles {
            certificate: self.both.clone(),
            key: self.both.clone(),
        };
        Certificate::load(&files).map_err(|why| {
            let shown = self.both.display();
            format!("the self-signed certificate cannot be used: {why}; without the file {shown}, a new one is made")
        })
    }

    fn make(&self, now: i64, replaces: bool) -> Result<(), String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let certificate = parameters(now).self_signed(&key);
        let certificate = certificate.map_err(|error| error.to_string())?;
        // The certificate comes last: what follows its first line is for clients.
        let key = Zeroizing::new(key.serialize_pem());
        let both = Zeroizing::new([key.as_bytes(), certificate.pem().as_bytes()].concat());
        make_directories(self.both.parent().unwrap_or(&self.both)).map_err(shown)?;
        match write_whole(&self.both, &both, 0o600, replaces) {
            Err(Errno::EXIST) => Ok(()),
            result => result.map_err(shown),
        }
    }
}

fn shown(errno: Errno) -> String {
    errno.to_string()
}

/// What the certificate says.
fn parameters(now: i64) -> CertificateParams {
    let host = host_name();
    let mut parameters = CertificateParams::default();
    let owner = host.clone().unwrap_or("localhost".into());
    parameters.distinguished_name = DistinguishedName::new();
    let name = format!("evserve on {owner}");
    parameters.distinguished_name.push(DnType::CommonName, name);
    let names = own_names(host.as_deref()).into_iter();
    let names = names.filter_map(|name| Some(SanType::DnsName(name.try_into().ok()?)));
    let addresses = own_addresses().into_iter().map(SanType::IpAddress);
    parameters.subject_alt_names = names.chain(addresses).collect();
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    // A day ago, for clients whose clock is behind.
    parameters.not_before = time(now - DAY);
    parameters.not_after = time(now + VALID_DAYS * DAY);
    parameters.use_authority_key_identifier_extension = true;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

/// The names of this machine. On a network without a name server, others find it by the name that
/// ends with `.local` (RFC 6762).
fn own_names(host: Option<&str>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(host) = host.filter(|host| *host != "localhost") {
        names.push(host.into());
        if !host.contains('.') {
            names.push(format!("{host}.local"));
        }
    }
    names
}

fn own_addresses() -> Vec<IpAddr> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let own = external_addresses(any, false).into_iter();
    let own = own.map(|address| address.ip()).take(MAX_ADDRESSES);
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback.into_iter().chain(own).collect()
}

/// The name of this machine, if it can be a DNS name.
fn host_name() -> Option<String> {
    let name = read_file(Path::new("/proc/sys/kernel/hostname")).ok()?;
    let name = str::from_utf8(&name)
        .ok()?
        .trim_ascii()
        .to_ascii_lowercase();
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() < 64 && label.chars().all(fits)
    };
    (name.len() < 254 && name.split('.').all(is_label)).then_some(name)
}

/// Makes a directory, and those that lead to it, for this user only.
fn make_directories(directory: &Path) -> Result<(), Errno> {
    let make = || match mkdir(directory, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    };
    match (make(), directory.parent()) {
        (Err(Errno::NOENT), Some(parent)) => {
            make_directories(parent)?;
            make()
        }
        (result, _) => result,
    }
}

/// Writes a file as a whole or not at all. Fails with EEXIST if it exists, unless it `replaces` it.
fn write_whole(path: &Path, bytes: &[u8], mode: u32, replaces: bool) -> Result<(), Errno> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", getpid().as_raw_pid()));
    // One that another process of this number has left behind.
    let _ = unlink(&new);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = open(&new, flags, Mode::from_raw_mode(mode))?;
    let written = write_all(&file, bytes).and_then(|()| fsync(&file));
    let flags = match replaces {
        true => RenameFlags::empty(),
        false => RenameFlags::NOREPLACE,
    };
    let result = written.and_then(|()| match renameat_with(CWD, &new, CWD, path, flags) {
        // Not every file system can.
        Err(Errno::INVAL) => renameat_with(CWD, &new, CWD, path, RenameFlags::empty()),
        result => result,
    });
    if result.is_err() {
        let _ = unlink(&new);
    }
    result
}

fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = retry_on_intr(|| write(file, rest))?;
        rest = &rest[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{metadata, read, read_dir, remove_file, write};
    use std::os::unix::fs::PermissionsExt;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn it_is_kept_until_it_ends_soon() {
        let all = tempfile::tempdir().expect("a directory");
        let directory = all.path().join("state/evserve");
        let files = SelfSigned {
            both: directory.join("both"),
            certificate: directory.join("certificate"),
        };
        let made = |now| files.load_or_make(now).map(|one| one.fingerprint());
        let first = made(NOW).expect("it is made");
        let mode = |path| metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&files.both), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(made(NOW + 789 * DAY), Ok(first.clone()), "kept");
        let certificate = read(&files.certificate).expect("there");
        assert!(memchr::memmem::find(&certificate, b"PRIVATE").is_none());
        remove_file(&files.certificate).expect("removed");
        assert_eq!(made(NOW), Ok(first.clone()));
        assert_eq!(
            read(&files.certificate).expect("written again"),
            certificate
        );
        let second = made(NOW + 791 * DAY).expect("it is made");
        assert_ne!(second, first, "it would have ended soon");
        assert_eq!(made(NOW + 791 * DAY), Ok(second));
        assert_eq!(
            read_dir(&directory).expect("there").count(),
            2,
            "nothing is left behind"
        );
        write(&files.both, "damaged").expect("written");
        let why = made(NOW).expect_err("it is damaged");
        assert!(why.ends_with("a new one is made"), "{why}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused() {
        let why = SelfSigned {
            both: "/proc/evserve/both".into(),
            certificate: "/proc/evserve/certificate".into(),
        };
        let why = why
            .load_or_make(NOW)
            .expect_err("nothing can be made there");
        assert!(why.contains("/proc/evserve: No such file"), "{why}");
        assert!(why.contains("XDG_STATE_HOME"), "{why}");
    }

    #[test]
    fn a_server_that_was_slower_takes_the_certificate_of_the_other() {
        let all = tempfile::tempdir().expect("a directory");
        let path = all.path().join("file");
        assert_eq!(write_whole(&path, b"first", 0o600, false), Ok(()));
        assert_eq!(
            write_whole(&path, b"second", 0o600, false),
            Err(Errno::EXIST)
        );
        assert_eq!(read(&path).expect("there"), b"first");
        assert_eq!(write_whole(&path, b"third", 0o600, true), Ok(()));
        assert_eq!(read(&path).expect("there"), b"third");
        assert_eq!(read_dir(all.path()).expect("there").count(), 1);
    }
}
