//! What the kernel says of this process and its threads.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::Duration;

/// gettid(2): the number of this thread, which no other thread of the machine has.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_pid()
}

/// getrusage(2): the time spent by this process, all its threads, and its children that have ended.
pub fn cpu_time() -> Duration {
    let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN];
    let times = both.into_iter().filter_map(|who| getrusage(who).ok());
    let times = times.flat_map(|usage| [usage.user_time(), usage.system_time()]);
    let micros: i64 = times.map(|time| time.num_microseconds()).sum();
    Duration::from_micros(micros.unsigned_abs())
}
