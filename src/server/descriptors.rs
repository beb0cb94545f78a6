//! How many files may be open, and how many connections that allows.

use crate::config::Config;
use crate::sys::untraced::{getrlimit, setrlimit};
use crate::sys::{Resource, Rlimit};

/// The usual 1,024 descriptors are too few for a thousand connections. The hard limit is what the administrator allows.
/// Says how many there are.
pub(super) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let result = setrlimit(Resource::Nofile, raised);
    if let Err(errno) = result {
        log::warn!("the limit of open files cannot be raised: {errno}");
    }
    let allowed = if result.is_ok() { raised } else { limit };
    let descriptors = allowed.current.unwrap_or(u64::MAX);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

/// The descriptors that each worker needs for itself: its root, log, poller and signals, and one worker's the streams.
const OWN_DESCRIPTORS: usize = 16;

/// The most descriptors that are kept for files. Few connections send a file of their own at the same moment.
const FILE_DESCRIPTORS: usize = 1024;

/// How many files each worker may keep open: they may not take more than an eighth of the descriptors.
pub(super) fn cache_files(config: &Config, descriptors: usize) -> usize {
    let possible = descriptors / 8 / config.workers.max(1);
    config.http.cache_files.min(possible)
}

/// How many connections there may be, with so many listeners for each worker. They must leave some descriptors to the files
/// they ask for: one each, where there are not that many.
pub(super) fn max_connections(config: &Config, descriptors: usize, listeners: usize) -> usize {
    let of_worker = OWN_DESCRIPTORS + listeners + config.http.cache_files;
    let spare = descriptors.saturating_sub(of_worker * config.workers.max(1));
    (spare / 2)
        .max(spare.saturating_sub(FILE_DESCRIPTORS))
        .max(1)
}
