//! The CPU time of a program and its children, and of a core.
//!
//! The sum comes from the clock of each process (clock_getcpuclockid(3)), which counts nanoseconds
//! and includes ended threads. The split into user and system time is known only in ticks of 10 ms:
//! of each process (/proc/PID/stat), or of a core (/proc/stat).

use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{read_dir, read_to_string};
use std::io;
use std::time::Duration;

/// A tick of /proc (USER_HZ: 100 on every Linux).
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of a tree of processes since its start.
#[derive(Clone, Copy, Default)]
pub struct CpuTime {
    total: Duration,
    user_ticks: u64,
    system_ticks: u64,
}

/// The CPU time between two readings.
#[derive(Clone, Copy)]
pub struct Used {
    pub total: Duration,
    /// The share spent in the program and not in the kernel, as sampled by the kernel.
    pub user_share: f64,
}

/// The fields of /proc/PID/stat that are used here (proc_pid_stat(5)).
struct Stat {
    parent: i32,
    user_ticks: u64,
    system_ticks: u64,
    /// Of children that have been waited for.
    ended_user_ticks: u64,
    ended_system_ticks: u64,
}

impl CpuTime {
    /// Adds up a process and all its descendants.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of_tree(process: u32) -> io::Result<CpuTime> {
        // A child that ends between two readings of the list would be counted twice or not at all.
        let mut members = tree(process);
        loop {
            let sum = CpuTime::of(&members);
            let now = tree(process);
            if now == members {
                return sum;
            }
            members = now;
        }
    }

    /// Reads that of these processes, without others.
    ///
    /// # Errors
    /// One has ended.
    pub fn of(processes: &[u32]) -> io::Result<CpuTime> {
        let mut sum = CpuTime::default();
        for process in processes {
            let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(*process as i32))?;
            let stat = stat(*process).ok_or(io::ErrorKind::NotFound)?;
            let ended = stat.ended_user_ticks + stat.ended_system_ticks;
            sum.total += Duration::from(clock.now()?) + TICK * ended as u32;
            sum.user_ticks += stat.user_ticks + stat.ended_user_ticks;
            sum.system_ticks += stat.system_ticks + stat.ended_system_ticks;
        }
        Ok(sum)
    }

    /// Returns the CPU time since an earlier reading of the same tree.
    pub fn since(&self, earlier: &CpuTime) -> Used {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks);
        let system = self.system_ticks.saturating_sub(earlier.system_ticks);
        Used {
            total: self.total.saturating_sub(earlier.total),
            user_share: user as f64 / (user + system).max(1) as f64,
        }
    }
}

/// What a core did, whichever processes ran there. With each of its ticks, the kernel notes whether it
/// has interrupted a program or itself (/proc/stat).
///
/// Of a process this says little: its times are rounded down to 10 ms, and most processes of a
/// server with many use less than that.
#[derive(Clone, Copy)]
pub struct CoreTime {
    user_ticks: u64,
    kernel_ticks: u64,
}

impl CoreTime {
    /// # Errors
    /// Errors of reading, or there is no such core.
    pub fn of(core: usize) -> io::Result<CoreTime> {
        CoreTime::read(&read_to_string("/proc/stat")?, core)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read(stat: &str, core: usize) -> Option<CoreTime> {
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [user, nice, system, _idle, _iowait, hard, soft, ..] = ticks[..] else {
            return None;
        };
        Some(CoreTime {
            user_ticks: user + nice,
            kernel_ticks: system + hard + soft,
        })
    }

    /// The share spent in programs since an earlier reading. `None` if the core was idle.
    pub fn user_share_since(&self, earlier: &CoreTime) -> Option<f64> {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks);
        let kernel = self.kernel_ticks.saturating_sub(earlier.kernel_ticks);
        (user + kernel > 0).then(|| user as f64 / (user + kernel) as f64)
    }
}

/// A process and all its descendants, parents first.
pub fn tree(process: u32) -> Vec<u32> {
    let all: Vec<(u32, i32)> = read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?.parent)))
        .collect();
    let mut members = vec![process];
    let mut next = 0;
    while let Some(parent) = members.get(next).map(|id| *id as i32) {
        members.extend(
            all.iter()
                .filter(|(_, its)| *its == parent)
                .map(|(id, _)| *id),
        );
        next += 1;
    }
    members
}

fn stat(process: u32) -> Option<Stat> {
    let line = read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name comes second, in parentheses, and may contain anything.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: ticks(11)?,
        system_ticks: ticks(12)?,
        ended_user_ticks: ticks(13)?,
        ended_system_ticks: ticks(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::CoreTime;

    #[test]
    fn the_share_of_programs_is_that_of_one_core() {
        let stat =
            |one: &str| format!("cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 {one} 0 0 0\ncpu11 9 9 9 9\n");
        let read = |one: &str| CoreTime::read(&stat(one), 1).expect("a line");
        let before = read("100 10 200 5000 50 1 39");
        assert_eq!(before.user_share_since(&before), None);
        let after = read("102 11 220 5000 60 2 45");
        assert_eq!(after.user_share_since(&before), Some(0.1));
        let idle = read("100 10 200 6000 50 1 39");
        assert_eq!(idle.user_share_since(&before), None);
        assert!(CoreTime::read(&stat("1 2 3"), 2).is_none());
    }
}
