//! Default budgets of memory and of inotify(7) watches.
//!
//! The kernel kills a process that exceeds the memory of its control group, and all programs of a
//! user share the watches. So the defaults are parts of what the system has.

use super::cgroup::number;
use super::task_limits::memory;
use crate::config::{Config, DEFAULT_MEMORY_BYTES, MAX_WATCHES};
use crate::model::{Executor, ModelRow};
use crate::sys::Resource;
use crate::sys::untraced::getrlimit;
use bytesize::ByteSize;
use std::path::Path;

/// Cached files take at most one part in so many of the memory.
const PART_OF_MEMORY: u64 = 8;

/// All loops together take at most one part in so many of the user's watches.
const PART_OF_WATCHES: u64 = 8;

/// The same for the user's inotify instances. Each loop needs one.
const PART_OF_INSTANCES: u64 = 4;

/// What the system has. `None` where it does not say.
struct Available {
    /// In bytes.
    memory: Option<u64>,
    watches: Option<u64>,
    instances: Option<u64>,
}

/// Sets the budgets that the configuration leaves open. Returns lines for the log about those that
/// are smaller than usual.
pub(super) fn set(config: &mut Config, model: &ModelRow) -> Vec<String> {
    let limits = [Resource::As, Resource::Data];
    let limits = limits.into_iter().filter_map(|one| getrlimit(one).current);
    let inotify = |file| number(Path::new("/proc/sys/fs/inotify"), file);
    let available = Available {
        memory: limits.chain(memory()).min(),
        watches: inotify("max_user_watches"),
        instances: inotify("max_user_instances"),
    };
    divide(config, model, &available)
}

fn divide(config: &mut Config, model: &ModelRow, available: &Available) -> Vec<String> {
    let mut lines = Vec::new();
    let is_forking = model.executor == Executor::Process;
    // Each loop or process has its own cache.
    let workers = match is_forking {
        true => config.max_children.max(1),
        false => config.workers.max(1),
    };
    let http = &mut config.http;
    if http.cache_bytes.is_none() {
        let part = available
            .memory
            .map_or(u64::MAX, |all| all / PART_OF_MEMORY);
        let part = usize::try_from(part).unwrap_or(usize::MAX) / workers;
        if part < DEFAULT_MEMORY_BYTES {
            let memory = ByteSize(available.memory.unwrap_or(0));
            lines.push(format!(
                "cached files take up to {} of {memory} of memory in each {} (--cache-bytes)",
                ByteSize(part as u64),
                if is_forking { "process" } else { "loop" }
            ));
        }
        http.cache_bytes = Some(part.min(DEFAULT_MEMORY_BYTES));
    }
    http.watches = match is_forking {
        // A process ends with its connection, too early for a watch to pay.
        true => 0,
        false => watches(available, workers),
    };
    if !is_forking && http.watches < MAX_WATCHES {
        lines.push(format!(
            "each loop watches up to {} files and directories, and checks others at each request: \
             fs.inotify.max_user_watches and max_user_instances allow no more",
            http.watches
        ));
    }
    lines
}

/// The number of watches that each loop may set.
fn watches(available: &Available, loops: usize) -> usize {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let instances = available.instances.map(|all| all / PART_OF_INSTANCES);
    if instances.is_some_and(|instances| count(instances) < loops) {
        return 0;
    }
    let watches = available.watches.map(|all| all / PART_OF_WATCHES);
    let each = watches.map_or(MAX_WATCHES, |all| count(all) / loops);
    each.min(MAX_WATCHES)
}

/// The memory for the listings of each loop: of all loops together at most a quarter of the memory.
/// The default would be all of it in a container of 64 MiB.
pub(super) fn listing_bytes(config: &Config, memory: Option<u64>) -> usize {
    let quarter = memory.map_or(u64::MAX, |memory| memory / 4);
    let quarter = usize::try_from(quarter).unwrap_or(usize::MAX);
    config.http.listing_bytes.min(quarter) / config.workers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::find;

    const MIB: u64 = 1024 * 1024;

    fn divided(model: &str, workers: usize, memory: u64, watches: u64) -> (Config, Vec<String>) {
        let mut config = Config {
            workers,
            ..Config::default()
        };
        let available = Available {
            memory: Some(memory),
            watches: Some(watches),
            instances: Some(128),
        };
        let model = find(model).expect("a model");
        let lines = divide(&mut config, model, &available);
        (config, lines)
    }

    #[test]
    fn memory_is_divided() {
        for (model, workers, memory, cache) in [
            ("epoll", 1, 1 << 40, 64 * MIB),
            ("epoll", 1, 64 * MIB, 8 * MIB),
            ("epoll", 4, 64 * MIB, 2 * MIB),
            ("epoll", 4, 1 << 40, 64 * MIB),
            ("threaded", 1, 256 * MIB, 32 * MIB),
            ("forking", 1, 320 * MIB, MIB),
            ("epoll", 1, 1, 0),
        ] {
            let (config, lines) = divided(model, workers, memory, 1 << 20);
            let expected = Some(cache as usize);
            let is = config.http.cache_bytes;
            assert_eq!(is, expected, "{model}, {workers}, {memory}");
            assert_eq!(lines.is_empty(), cache == 64 * MIB, "{lines:?}");
        }
    }

    #[test]
    fn what_the_user_wants_stays() {
        let mut config = Config::default();
        config.http.cache_bytes = Some(1 << 30);
        let available = Available {
            memory: Some(64 * MIB),
            watches: None,
            instances: None,
        };
        let lines = divide(&mut config, find("epoll").expect("a model"), &available);
        assert_eq!(config.http.cache_bytes, Some(1 << 30));
        assert_eq!(config.http.watches, MAX_WATCHES);
        assert_eq!(lines, [""; 0]);
    }

    #[test]
    fn watches_are_divided() {
        for (model, workers, all, expected) in [
            ("epoll", 1, 1 << 20, 4096),
            ("epoll", 1, 8192, 1024),
            ("epoll", 4, 8192, 256),
            ("epoll", 32, 1 << 20, 4096),
            // Each needs one of 128 instances.
            ("epoll", 33, 1 << 20, 0),
            ("threaded", 1, 7, 0),
            ("forking", 1, 1 << 20, 0),
        ] {
            let (config, lines) = divided(model, workers, 1 << 40, all);
            assert_eq!(config.http.watches, expected, "{model}, {workers}, {all}");
            let is_said = expected < MAX_WATCHES && model != "forking";
            assert_eq!(lines.len(), usize::from(is_said), "{lines:?}");
        }
    }

    #[test]
    fn listings_take_a_part_of_the_memory_that_there_is() {
        const MIB: usize = 1024 * 1024;
        let cases = [
            (1, None, 64 * MIB),
            (1, Some(16 << 30), 64 * MIB),
            (4, Some(16 << 30), 16 * MIB),
            (1, Some(64 << 20), 16 * MIB),
            (2, Some(64 << 20), 8 * MIB),
        ];
        for (workers, memory, expected) in cases {
            let config = Config {
                workers,
                ..Config::default()
            };
            assert_eq!(listing_bytes(&config, memory), expected, "{memory:?}");
        }
    }
}
