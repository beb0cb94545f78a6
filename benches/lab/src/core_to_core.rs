//! How far apart the two cores of a measurement are: the time in which a cache line goes from one to
//! the other and back.
//!
//! Each response goes from the server's core to the load's. On a virtual machine the host may move
//! its cores between two that share a cache and two that do not, every few seconds or minutes. On
//! the machine of docs/io-models/experiments.md a line then takes 440 ns in place of 45, and each
//! request costs a quarter more, though neither arithmetic nor system calls become slower. So
//! measurements are compared only if their cores were at the same distance.

use crate::cores::{Cores, stay_on};
use serde::{Deserialize, Serialize};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

/// The name of this figure in samples, in nanoseconds.
pub const FIGURE: &str = "core_to_core_ns";

/// Cores that share a cache need less than this, on all processors that we know figures of: 20 to
/// 120 ns. Those that do not need more: 200 to 1000 ns.
const FAR_NS: f64 = 150.0;

/// Round trips whose time is taken at once, and how often. The shortest time counts: in the others
/// something else ran.
const ROUND_TRIPS: u32 = 500;
const TIMES: u32 = 6;

/// With other programs on the cores there may be no undisturbed time.
const LIMIT: Duration = Duration::from_millis(40);

/// Where two cores are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Distance {
    Near,
    Far,
}

impl Distance {
    pub fn of(nanoseconds: f64) -> Distance {
        match nanoseconds < FAR_NS {
            true => Distance::Near,
            false => Distance::Far,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Distance::Near => "cores that share a cache",
            Distance::Far => "cores that share no cache",
        }
    }
}

/// A line of its own, also where two lines are fetched at once.
#[repr(align(256))]
struct Line(AtomicU32);

/// Returns the time of a round trip in nanoseconds, in 3 to 40 ms. `None` if the cores were too busy
/// to tell, or must not be used.
pub fn latency_ns(cores: Cores) -> Option<f64> {
    let (line, stop) = (Line(AtomicU32::new(0)), AtomicBool::new(false));
    scope(|scope| {
        scope.spawn(|| answer(cores.load, &line.0, &stop));
        let asked = scope.spawn(|| {
            let shortest = ask(cores.server, &line.0);
            stop.store(true, Ordering::Release);
            shortest
        });
        asked.join().ok()?
    })
}

/// Adds one to every odd number.
fn answer(core: usize, line: &AtomicU32, stop: &AtomicBool) {
    if stay_on(core).is_err() {
        return;
    }
    let mut due = 1;
    loop {
        while line.load(Ordering::Acquire) != due {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            spin_loop();
        }
        line.store(due + 1, Ordering::Release);
        due += 2;
    }
}

fn ask(core: usize, line: &AtomicU32) -> Option<f64> {
    stay_on(core).ok()?;
    let (end, mut shortest) = (Instant::now() + LIMIT, None);
    let mut next = 1;
    // The first time is that in which the other one starts.
    for time in 0..=TIMES {
        let start = Instant::now();
        for _ in 0..ROUND_TRIPS {
            line.store(next, Ordering::Release);
            while line.load(Ordering::Acquire) != next + 1 {
                if next % 64 == 1 && Instant::now() > end {
                    return shortest;
                }
                spin_loop();
            }
            next += 2;
        }
        let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUND_TRIPS);
        if time > 0 {
            shortest = Some(shortest.map_or(each, |least: f64| least.min(each)));
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::{Distance, latency_ns};
    use crate::cores::Cores;

    #[test]
    fn a_line_takes_a_time_between_cores() {
        let Ok(cores) = Cores::choose() else { return };
        // `None` beside other load.
        if let Some(time) = latency_ns(cores) {
            assert!((1.0..1e7).contains(&time), "{time}");
        }
    }

    #[test]
    fn cores_that_share_a_cache_are_near() {
        assert_eq!(Distance::of(45.0), Distance::Near);
        assert_eq!(Distance::of(440.0), Distance::Far);
    }
}
