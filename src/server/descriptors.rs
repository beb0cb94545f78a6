//! How many files may be open, and how many connections that allows.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

/// The descriptors that the program itself needs: its streams, listeners, root, poller and signals.
const OWN_DESCRIPTORS: usize = 16;

/// The most descriptors that are kept for files. Few connections send a file of their own at the same moment.
const FILE_DESCRIPTORS: usize = 1024;

/// How many files each share may keep open: they may not take more than an eighth of the descriptors.
pub(super) fn cache_files(config: &Config, descriptors: usize) -> usize {
    let possible = descriptors / 8 / config.workers.max(1);
    config.http.cache_files.min(possible)
}

/// Connections must leave some descriptors to the files they ask for: one each, where there are not that many.
fn most_connections(config: &Config, descriptors: usize) -> usize {
    let cached = config.http.cache_files * config.workers;
    let spare = descriptors.saturating_sub(OWN_DESCRIPTORS + cached);
    (spare / 2)
        .max(spare.saturating_sub(FILE_DESCRIPTORS))
        .max(1)
}

/// How many connections there may be at once.
pub(super) fn max_connections(config: &Config, descriptors: usize) -> usize {
    let possible = most_connections(config, descriptors);
    let wanted = config.max_connections.unwrap_or(possible);
    if wanted > possible {
        log::warn!(
            "{wanted} connections need more than the {descriptors} open files that are allowed: {possible} will do"
        );
    }
    wanted.min(possible)
}

/// How many threads of `pool` each of so many listeners may have: each serves a connection, which needs descriptors.
pub(super) fn threads(config: &Config, descriptors: usize, listeners: usize) -> usize {
    let possible = (most_connections(config, descriptors) / listeners.max(1)).max(1);
    if config.threads > possible {
        log::warn!(
            "{} threads for each address need more than the {descriptors} open files that are allowed: {possible} will do",
            config.threads
        );
    }
    config.threads.min(possible)
}
