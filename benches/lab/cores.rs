//! Which core is whose. The server and the load generator must not take turns on one: then each would be measured with
//! the other's pauses in it.

use super::Outcome;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::process::{Child, Command};

/// The two cores of a measurement.
#[derive(Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    /// The first two cores that this process may use: 0 and 1, unless someone has said otherwise (taskset, a container).
    ///
    /// # Errors
    /// There is only one.
    pub fn choose() -> Outcome<Cores> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next()) {
            (Some(server), Some(load)) => Ok(Cores { server, load }),
            _ => Err("two cores are needed: one for the server, one for wrk".into()),
        }
    }
}

/// Lets the calling thread run on this core only.
///
/// # Errors
/// Those of sched_setaffinity(2).
pub fn stay_on(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

/// Starts a program that may run on this core only, as may all that it starts itself.
///
/// A child inherits the affinity of the thread that makes it; so this thread goes there for a moment, which needs no
/// code between fork and exec.
///
/// # Errors
/// Those of sched_setaffinity(2) and of starting the program.
pub fn spawn_on(core: usize, command: &mut Command) -> io::Result<Child> {
    let before = sched_getaffinity(None)?;
    stay_on(core)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    child
}
