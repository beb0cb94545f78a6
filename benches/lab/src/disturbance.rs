//! What else happened to the cores of a measurement: CPU time that is neither ours nor idle, time
//! that a hypervisor took, and how far apart it put them.

use crate::core_to_core::{Distance, latency_ns};
use crate::cores::Cores;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::fs::{read_dir, read_to_string};

/// A tick of /proc (USER_HZ: 100 on every Linux).
const TICK_S: f64 = 0.01;

/// Other programs may take this part of one core. What /proc counts in ticks is about as uncertain.
const OTHERS_PERCENT: f64 = 10.0;

/// A hypervisor may take this part of one core.
const STOLEN_PERCENT: f64 = 2.0;

/// A measurement during which it is watched. All programs that it starts must have ended at its end.
pub struct Watch {
    cores: Cores,
    core_to_core_ns: Option<f64>,
    before: Reading,
}

/// What a measurement met.
pub struct Met {
    /// What disturbed it, as a phrase. `None` if nothing did, or if it was too short to tell.
    pub disturbed: Option<String>,
    /// How long a cache line takes from core to core and back. `None` if they were too busy to tell.
    pub core_to_core_ns: Option<f64>,
}

/// Times in seconds.
struct Reading {
    /// Of both cores, by anybody, and stolen.
    busy: f64,
    stolen: f64,
    /// Of both cores, whatever they did.
    all: f64,
    ours: f64,
    throttled: u64,
}

impl Watch {
    pub fn start(cores: Cores) -> Watch {
        let core_to_core_ns = latency_ns(cores);
        Watch {
            cores,
            core_to_core_ns,
            before: Reading::now(cores),
        }
    }

    pub fn end(self) -> Met {
        let disturbed = Reading::now(self.cores).since(&self.before);
        let (before, after) = (self.core_to_core_ns, latency_ns(self.cores));
        Met {
            disturbed: disturbed.or_else(|| moved(before?, after?)),
            core_to_core_ns: before.zip(after).map(|(one, other)| one.max(other)),
        }
    }
}

fn moved(before: f64, after: f64) -> Option<String> {
    (Distance::of(before) != Distance::of(after)).then(|| {
        format!(
            "the host moved the cores: a cache line took {before:.0} ns between them, then {after:.0} ns"
        )
    })
}

impl Reading {
    fn now(cores: Cores) -> Reading {
        let stat = read_to_string("/proc/stat").unwrap_or_default();
        let mut reading = Reading {
            busy: 0.0,
            stolen: 0.0,
            all: 0.0,
            ours: ours() + soft_interrupts(cores),
            throttled: throttled(cores),
        };
        for core in [cores.server, cores.load] {
            reading.add(&stat, core);
        }
        reading
    }

    /// Adds the line of a core (proc_stat(5)).
    fn add(&mut self, stat: &str, core: usize) {
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name));
        let ticks: Vec<f64> = line
            .unwrap_or_default()
            .split_whitespace()
            // Guests are in user time already.
            .take(8)
            .filter_map(|word| word.parse().ok())
            .collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0) * TICK_S;
        let (idle, stolen) = (at(3) + at(4), at(7));
        let all = ticks.iter().sum::<f64>() * TICK_S;
        self.all += all;
        self.stolen += stolen;
        self.busy += all - idle - stolen;
    }

    fn since(&self, before: &Reading) -> Option<String> {
        let core = (self.all - before.all) / 2.0;
        if core < 5.0 * TICK_S {
            return None;
        }
        let percent = |part: f64| 100.0 * part / core;
        let others = percent((self.busy - before.busy) - (self.ours - before.ours));
        let stolen = percent(self.stolen - before.stolen);
        if others > OTHERS_PERCENT {
            Some(format!("other programs took {others:.0} % of a core"))
        } else if stolen > STOLEN_PERCENT {
            Some(format!("the hypervisor took {stolen:.0} % of a core"))
        } else if self.throttled > before.throttled {
            Some("the processor was throttled for its temperature".to_owned())
        } else {
            None
        }
    }
}

/// The CPU time of this process and of those it has started and waited for.
fn ours() -> f64 {
    let of = |who: UsageWho| {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        getrusage(who).map_or(0.0, |used| {
            seconds(used.user_time()) + seconds(used.system_time())
        })
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// The CPU time of the kernel's threads that finish what packets began: on loopback it is ours.
fn soft_interrupts(cores: Cores) -> f64 {
    let names = [cores.server, cores.load].map(|core| format!("(ksoftirqd/{core})"));
    let of = |entry: std::fs::DirEntry| {
        // Kernel threads are among the first processes, and their directories are cheap to read.
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = (id < 1000).then(|| read_to_string(entry.path().join("stat")).ok())??;
        let (name, rest) = (
            stat.split(' ').nth(1)?.to_owned(),
            stat.rsplit_once(") ")?.1,
        );
        let ticks: f64 = rest.split(' ').nth(12)?.parse().ok()?;
        names.contains(&name).then_some(ticks * TICK_S)
    };
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(of).sum()
}

/// How often the processor was throttled, where the kernel counts it.
fn throttled(cores: Cores) -> u64 {
    let of = |core: usize| {
        let folder = format!("/sys/devices/system/cpu/cpu{core}/thermal_throttle");
        read_to_string(format!("{folder}/core_throttle_count"))
            .ok()
            .and_then(|count| count.trim().parse::<u64>().ok())
    };
    [cores.server, cores.load].into_iter().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::{Reading, moved};

    fn reading(busy: f64, stolen: f64, ours: f64) -> Reading {
        Reading {
            busy,
            stolen,
            all: 2.0,
            ours,
            throttled: 0,
        }
    }

    fn said(busy: f64, stolen: f64, ours: f64) -> Option<String> {
        let before = Reading {
            all: 0.0,
            ..reading(0.0, 0.0, 0.0)
        };
        reading(busy, stolen, ours).since(&before)
    }

    #[test]
    fn what_is_neither_ours_nor_idle_disturbs() {
        assert_eq!(said(1.8, 0.0, 1.75), None);
        let others = said(1.9, 0.0, 1.0);
        assert_eq!(
            others.as_deref(),
            Some("other programs took 90 % of a core")
        );
    }

    #[test]
    fn stolen_time_disturbs() {
        let stolen = said(1.0, 0.1, 1.0);
        assert_eq!(
            stolen.as_deref(),
            Some("the hypervisor took 10 % of a core")
        );
    }

    #[test]
    fn cores_that_are_moved_disturb() {
        assert_eq!(moved(45.0, 61.0), None);
        assert!(moved(45.0, 440.0).is_some_and(|why| why.contains("45 ns between them, then 440")));
    }

    #[test]
    fn a_line_of_proc_stat_is_read_whole() {
        let mut sum = Reading {
            all: 0.0,
            ..reading(0.0, 0.0, 0.0)
        };
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 100 10 200 500 50 1 39 100 0 0\n";
        sum.add(stat, 1);
        assert!((sum.all - 10.0).abs() < 1e-9);
        assert!((sum.busy - 3.5).abs() < 1e-9);
        assert!((sum.stolen - 1.0).abs() < 1e-9);
    }
}
