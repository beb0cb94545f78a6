//! Context switches of a program and its children (proc_pid_status(5)).

use crate::cpu_time::tree;
use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};

/// The context switches of each thread since its start, by its number.
pub struct Switches(BTreeMap<u32, Thread>);

#[derive(Clone, Copy, Default)]
struct Thread {
    /// It had to wait, so something woke it afterwards.
    voluntary: u64,
    /// Another one got its core.
    involuntary: u64,
}

impl Switches {
    /// Those of a process and all its descendants.
    pub fn of_tree(process: u32) -> Switches {
        let threads = tree(process).into_iter().flat_map(|process| {
            let all = read_dir(format!("/proc/{process}/task"));
            all.into_iter().flatten().flatten()
        });
        let of = |entry: std::fs::DirEntry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let status = read_to_string(entry.path().join("status")).ok()?;
            let count = |name: &str| {
                let mut lines = status.lines();
                lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            };
            let thread = Thread {
                voluntary: count("voluntary_ctxt_switches:")?,
                involuntary: count("nonvoluntary_ctxt_switches:")?,
            };
            Some((id, thread))
        };
        Switches(threads.filter_map(of).collect())
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let each = |thread: &Thread| thread.voluntary + thread.involuntary;
        self.0.values().map(each).sum()
    }

    /// How often each thread was woken since an earlier reading.
    pub fn woken_since(&self, earlier: &Switches) -> Vec<f64> {
        let woken = |(id, thread): (&u32, &Thread)| {
            let before = earlier.0.get(id).map_or(0, |before| before.voluntary);
            thread.voluntary.saturating_sub(before) as f64
        };
        self.0.iter().map(woken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Switches;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_thread_that_waits_is_woken() {
        let (send, receive) = channel();
        let (answer, answers) = channel();
        let waiting =
            thread::spawn(move || receive.iter().for_each(|()| answer.send(()).expect("")));
        let before = Switches::of_tree(std::process::id());
        for _ in 0..100 {
            send.send(()).expect("it listens");
            answers.recv().expect("an answer");
        }
        let after = Switches::of_tree(std::process::id());
        drop(send);
        waiting.join().expect("it ends");
        assert!(after.total() > before.total());
        // One of two that wait for each other sleeps.
        let woken: f64 = after.woken_since(&before).iter().sum();
        assert!(woken >= 1.0, "{woken}");
    }
}
