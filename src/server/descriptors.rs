//! The limit of open files, and how many connections and cached files it allows.

use crate::config::{Config, UringFile};
use crate::model::MAX_PIPES;
use crate::sys::untraced::{getrlimit, setrlimit};
use crate::sys::{Resource, Rlimit};

/// Raises the soft limit, usually 1,024, to the hard limit, which is what the administrator allows.
/// Returns the number of descriptors that the process may have.
pub(super) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let result = setrlimit(Resource::Nofile, raised);
    if let Err(errno) = result {
        log::warn!("cannot raise the limit of open files: {errno}");
    }
    let allowed = if result.is_ok() { raised } else { limit };
    let descriptors = allowed.current.unwrap_or(u64::MAX);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

/// Descriptors that each worker needs: root, log, poller, signals, and standard streams.
const OWN_DESCRIPTORS: usize = 16;

/// Descriptors that are kept for files at most. Few connections send a file at the same moment.
const FILE_DESCRIPTORS: usize = 1024;

/// The number of files that each worker keeps open: together at most an eighth of the descriptors.
pub(super) fn cache_files(config: &Config, descriptors: usize) -> usize {
    let possible = descriptors / 8 / config.workers.max(1);
    config.http.cache_files.min(possible)
}

/// The most connections that the descriptors allow, with `listeners` for each worker. Some
/// descriptors are kept for files: as many as connections if there are few.
pub(super) fn max_connections(config: &Config, descriptors: usize, listeners: usize) -> usize {
    let pipes = match config.uring.file {
        UringFile::Splice => MAX_PIPES,
        UringFile::Sendfile | UringFile::Read => 0,
    };
    let of_worker = OWN_DESCRIPTORS + listeners + config.http.cache_files + 2 * pipes;
    let spare = descriptors.saturating_sub(of_worker * config.workers.max(1));
    (spare / 2)
        .max(spare.saturating_sub(FILE_DESCRIPTORS))
        .max(1)
}
