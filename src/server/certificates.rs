//! The certificates of encrypted addresses: loaded at the start, announced, and checked for their
//! end.

use super::urls;
use crate::config::{Certificates, Config, StartError};
use crate::confine;
use crate::net::Address;
use crate::observe::CertificateInfo;
use crate::sys::Stat;
use crate::sys::untraced::stat;
use crate::tls::Tls;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Certificates that were loaded from files.
pub(super) struct LoadedCertificates {
    pub tls: Arc<Tls>,
    pub files: Vec<PathBuf>,
    /// What the files were before they were loaded.
    pub states: Vec<Option<FileState>>,
}

/// What changes when a file is written to or replaced: device, inode, length, mtime, ctime.
#[derive(PartialEq, Eq)]
pub(super) struct FileState([i128; 5]);

/// Loads the certificates if an address needs them. From then on other processes of this user
/// cannot read the memory of this one.
pub(super) fn load<'a>(
    config: &'a Config,
    addresses: impl Iterator<Item = &'a Address>,
) -> Result<Option<LoadedCertificates>, StartError> {
    let mut all = addresses.chain(&config.status);
    let Some(address) = all.find(|address| address.is_encrypted()) else {
        return Ok(None);
    };
    if config.certificates == Certificates::None && cfg!(feature = "tls") {
        return Err(StartError(format!(
            "{address} needs a certificate: --tls-cert and --tls-key, or --tls-self-signed"
        )));
    }
    confine::protect_memory()
        .map_err(|error| StartError(format!("cannot protect the keys in memory: {error}")))?;
    let files = config.certificates.files();
    let states = file_states(&files);
    let tls = Tls::load(&config.certificates, now()).map_err(StartError)?;
    warn_of_ends(&tls);
    Ok(Some(LoadedCertificates {
        tls: Arc::new(tls),
        files,
        states,
    }))
}

/// The states of files now. `None` for a missing one.
pub(super) fn file_states(files: &[PathBuf]) -> Vec<Option<FileState>> {
    let state = |file: &PathBuf| Some(FileState::of(&stat(file).ok()?));
    files.iter().map(state).collect()
}

impl FileState {
    fn of(stat: &Stat) -> FileState {
        let time = |seconds: i64, nanos: i128| i128::from(seconds) * 1_000_000_000 + nanos;
        FileState([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            time(stat.st_mtime, stat.st_mtime_nsec.into()),
            time(stat.st_ctime, stat.st_ctime_nsec.into()),
        ])
    }
}

/// The lines about a certificate that the server has made itself.
pub(super) fn announcement(tls: &Tls) -> Vec<String> {
    let Some(file) = tls.self_signed() else {
        return Vec::new();
    };
    let all = tls.certificates().current();
    let lines = |one: &CertificateInfo| {
        [
            format!("self-signed certificate for {}", one.names.join(", ")),
            format!("  SHA-256 {}", one.fingerprint),
            format!(
                "  browsers warn of it once: compare this fingerprint; curl trusts it with --cacert {}",
                urls::quoted_path(file)
            ),
        ]
    };
    let lacking = tls.lacking_names().map(|(names, file)| {
        format!(
            "  it is not for {}; remove {} to have a new one made",
            names.join(", "),
            urls::quoted_path(file)
        )
    });
    all.iter().flat_map(lines).chain(lacking).collect()
}

/// Logs a warning for each certificate that has expired or will soon.
pub(super) fn warn_of_ends(tls: &Tls) {
    let hint = match tls.self_signed() {
        Some(_) => "a start makes a new one",
        None => "renew it",
    };
    let (all, now) = (tls.certificates().current(), now());
    for warning in all.iter().filter_map(|one| one.warning(now)) {
        log::warn!("{warning}; {hint}");
    }
}

/// The time in seconds since the epoch.
fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs().try_into().unwrap_or(i64::MAX))
}
