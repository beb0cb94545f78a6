//! The steps: how much the ring does, from a poller to everything.

use super::workloads::Workload;

/// One way to use the ring.
pub struct Step {
    /// Its name for `--step`, and the head of its column.
    pub name: &'static str,
    /// The options of evserve.
    pub options: &'static str,
    pub matters: Matters,
}

/// Where a step can make a difference.
pub type Matters = fn(&Workload) -> bool;

const EVERYWHERE: Matters = |_| true;

/// Files that are not in the cache.
const FILES: Matters = |workload| workload.name == "10m";

/// What is in memory.
const BYTES: Matters = |workload| !FILES(workload);

/// What each step is compared with.
pub const EPOLL: Step = step("epoll", "--model epoll", EVERYWHERE);

/// All steps. Those from `zc` on change one thing in the default, `multishot`.
#[rustfmt::skip]
pub const STEPS: &[Step] = &[
    step("poll", "--model io-uring --uring poll", EVERYWHERE),
    step("single", "--model io-uring --uring single", EVERYWHERE),
    step("multishot", "--model io-uring --uring multishot", EVERYWHERE),
    step("fds", "--model io-uring --uring-fds ring", EVERYWHERE),
    step("zc", "--model io-uring --uring-send zc", BYTES),
    step("read", "--model io-uring --uring-file read", FILES),
    step("splice", "--model io-uring --uring-file splice", FILES),
    step("sqpoll", "--model io-uring --uring-sqpoll 10ms", EVERYWHERE),
];

const fn step(name: &'static str, options: &'static str, matters: Matters) -> Step {
    Step {
        name,
        options,
        matters,
    }
}
