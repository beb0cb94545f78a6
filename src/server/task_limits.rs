//! The number of threads or processes that may be started: the lowest of all limits that apply.
//!
//! If the kernel refuses to start a thread, one connection is lost. If a started thread gets no
//! memory map for its signal stack, the whole process aborts. So the limits are read in advance,
//! with a reserve.

use super::cgroup;
use crate::sys::Resource;
use crate::sys::untraced::{getrlimit, getuid};
use procfs::process::{Process, all_processes};
use procfs::sys::{kernel, vm};
use procfs::{Current, LoadAverage, Meminfo};
use std::fmt;

/// Memory maps of a thread: its stack, its signal stack, and a guard for each.
const MAPS_PER_THREAD: u64 = 4;

/// Maps in reserve for files, large buffers and arenas of the allocator.
const SPARE_MAPS: u64 = 4096;

/// Threads in reserve besides those for connections and listeners.
const SPARE_TASKS: u64 = 16;

/// Memory of a thread with an idle connection, in bytes, with its kernel stack and socket.
/// Measured: 56 KiB and 33 KiB.
const THREAD_BYTES: u64 = 96 * 1024;

/// The same for a process. Measured: 180 KiB and 100 KiB.
const PROCESS_BYTES: u64 = 288 * 1024;

/// What serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskKind {
    Thread,
    Process,
}

/// What a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitSource {
    OpenFiles,
    User,
    Threads,
    Ids,
    Group,
    Maps,
    Memory,
}

impl fmt::Display for LimitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LimitSource::OpenFiles => "the limit of open files (ulimit -n)",
            LimitSource::User => "the limit of processes (ulimit -u)",
            LimitSource::Threads => "kernel.threads-max",
            LimitSource::Ids => "kernel.pid_max",
            LimitSource::Group => "pids.max of the control group",
            LimitSource::Maps => "vm.max_map_count",
            LimitSource::Memory => "half of the memory",
        })
    }
}

/// A limit and what it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub number: usize,
    pub by: LimitSource,
}

impl Limit {
    /// The limit for each of several parts.
    pub fn divided_by(self, parts: usize) -> Limit {
        Limit {
            number: (self.number / parts.max(1)).max(1),
            ..self
        }
    }

    /// The lower of two limits.
    pub fn or_lower(self, other: Option<Limit>) -> Limit {
        match other {
            Some(other) if other.number < self.number => other,
            _ => self,
        }
    }
}

/// The limits of the system. `None` where it has none, or does not say.
#[derive(Clone, Copy, Debug, Default)]
struct KernelLimits {
    /// The limit of this user, and how many threads the user has.
    user: Option<(u64, u64)>,
    threads_max: Option<u64>,
    pid_max: Option<u64>,
    /// Threads on the whole machine.
    running: u64,
    /// What is left in the control group that has the least.
    group: Option<u64>,
    max_map_count: Option<u64>,
    /// Maps of this process.
    maps: u64,
    /// Memory of the machine, or of the control group that has the least, in bytes.
    memory: Option<u64>,
}

/// The number of threads or processes that may be started for connections, besides one for each
/// listener. `None` if nothing limits them.
pub(super) fn limit(kind: TaskKind, listeners: usize) -> Option<Limit> {
    least(kind, listeners as u64, &KernelLimits::read())
}

fn least(kind: TaskKind, listeners: u64, allowed: &KernelLimits) -> Option<Limit> {
    // Not all that is left on the machine: an administrator must be able to log in.
    let of_machine = |most: u64| most.saturating_sub(allowed.running) / 4 * 3;
    let maps = allowed.max_map_count.filter(|_| kind == TaskKind::Thread);
    let each = match kind {
        TaskKind::Thread => THREAD_BYTES,
        TaskKind::Process => PROCESS_BYTES,
    };
    let of_maps = |most: u64| {
        let spare = SPARE_MAPS.min(most / 4);
        most.saturating_sub(allowed.maps + spare) / MAPS_PER_THREAD
    };
    let all = [
        (
            LimitSource::User,
            allowed.user.map(|(most, are)| most.saturating_sub(are)),
        ),
        (LimitSource::Threads, allowed.threads_max.map(of_machine)),
        (LimitSource::Ids, allowed.pid_max.map(of_machine)),
        (LimitSource::Group, allowed.group),
        (LimitSource::Maps, maps.map(of_maps)),
        (
            LimitSource::Memory,
            allowed.memory.map(|bytes| bytes / 2 / each),
        ),
    ];
    let limits = all.into_iter().filter_map(|(by, number)| {
        let own = SPARE_TASKS + listeners;
        let number = usize::try_from(number?.saturating_sub(own).max(1));
        Some(Limit {
            number: number.unwrap_or(usize::MAX),
            by,
        })
    });
    limits.min_by_key(|limit| limit.number)
}

impl KernelLimits {
    fn read() -> KernelLimits {
        let in_group = |directory: &std::path::PathBuf| {
            let most = cgroup::number(directory, "pids.max")?;
            Some(most.saturating_sub(cgroup::number(directory, "pids.current")?))
        };
        let maps = Process::myself().and_then(|process| process.maps());
        KernelLimits {
            user: of_user(),
            threads_max: kernel::threads_max().ok().map(u64::from),
            pid_max: kernel::pid_max().ok().and_then(|most| most.try_into().ok()),
            running: LoadAverage::current().map_or(0, |average| average.max.into()),
            group: cgroup::directories("pids")
                .iter()
                .filter_map(in_group)
                .min(),
            max_map_count: vm::max_map_count().ok(),
            maps: maps.map_or(0, |maps| maps.len() as u64),
            memory: memory(),
        }
    }
}

/// The memory of the machine or its control groups, in bytes. Versions 1 and 2 have different
/// names.
pub(super) fn memory() -> Option<u64> {
    let groups = cgroup::directories("memory");
    let each = |name| {
        groups
            .iter()
            .filter_map(move |group| cgroup::number(group, name))
    };
    let machine = Meminfo::current().ok().map(|memory| memory.mem_total);
    let in_groups = each("memory.max").chain(each("memory.limit_in_bytes"));
    in_groups.chain(machine).min()
}

/// The user's limit and number of threads. Root has no limit (setrlimit(2)).
fn of_user() -> Option<(u64, u64)> {
    let user = getuid();
    let limit = getrlimit(Resource::Nproc).current?;
    if user.is_root() {
        return None;
    }
    let all = all_processes().ok()?.flatten();
    let own = all.filter(|process| process.uid().is_ok_and(|uid| uid == user.as_raw()));
    let threads = own.filter_map(|process| u64::try_from(process.stat().ok()?.num_threads).ok());
    Some((limit, threads.sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts_and_has_a_name() {
        let machine = KernelLimits {
            user: None,
            threads_max: Some(192_730),
            pid_max: Some(32_768),
            running: 768,
            group: None,
            max_map_count: Some(65_530),
            maps: 130,
            memory: Some(64 << 30),
        };
        let with = |change: fn(&mut KernelLimits)| {
            let mut allowed = machine;
            change(&mut allowed);
            allowed
        };
        let cases = [
            (TaskKind::Thread, machine, 15_308, LimitSource::Maps),
            (TaskKind::Process, machine, 23_982, LimitSource::Ids),
            (
                TaskKind::Thread,
                with(|a| a.user = Some((1000, 300))),
                682,
                LimitSource::User,
            ),
            (
                TaskKind::Process,
                with(|a| a.user = Some((1000, 300))),
                682,
                LimitSource::User,
            ),
            (
                TaskKind::Process,
                with(|a| a.group = Some(50)),
                32,
                LimitSource::Group,
            ),
            // At least one, even if it cannot be started.
            (
                TaskKind::Process,
                with(|a| a.group = Some(3)),
                1,
                LimitSource::Group,
            ),
            (
                TaskKind::Thread,
                with(|a| a.user = Some((100, 300))),
                1,
                LimitSource::User,
            ),
            (
                TaskKind::Thread,
                with(|a| a.threads_max = Some(1768)),
                732,
                LimitSource::Threads,
            ),
            (
                TaskKind::Thread,
                with(|a| a.max_map_count = Some(4096)),
                717,
                LimitSource::Maps,
            ),
            (
                TaskKind::Thread,
                with(|a| a.memory = Some(64 << 20)),
                323,
                LimitSource::Memory,
            ),
            (
                TaskKind::Process,
                with(|a| a.memory = Some(64 << 20)),
                95,
                LimitSource::Memory,
            ),
        ];
        for (kind, allowed, number, by) in cases {
            let limit = Limit { number, by };
            assert_eq!(least(kind, 2, &allowed), Some(limit), "{allowed:?}");
        }
        assert_eq!(least(TaskKind::Thread, 1, &KernelLimits::default()), None);
    }

    #[test]
    fn this_machine_says_something() {
        let allowed = KernelLimits::read();
        assert!(allowed.running > 0 && allowed.maps > 10, "{allowed:?}");
        assert!(limit(TaskKind::Thread, 1).is_some_and(|limit| limit.number >= 1));
    }
}
