//! The cores of the server and of the load generator. They must not share one, or each would be
//! measured with the other's work in it.

use crate::Outcome;
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
    /// The first two cores that this process may use: 0 and 1, unless restricted (taskset, a
    /// container).
    ///
    /// # Errors
    /// There is only one core.
    pub fn choose() -> Outcome<Cores> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next()) {
            (Some(server), Some(load)) => Ok(Cores { server, load }),
            _ => Err("two cores are needed: one for the server, one for wrk".into()),
        }
    }
}

/// Binds the calling thread to this core.
///
/// # Errors
/// Errors of sched_setaffinity(2).
pub fn stay_on(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

/// Starts a program on this core. Its children stay there too.
///
/// A child inherits the affinity of the thread that starts it. So this thread moves there for a
/// moment, which needs no code between fork and exec.
///
/// # Errors
/// Errors of sched_setaffinity(2), or the program does not start.
pub fn spawn_on(core: usize, command: &mut Command) -> io::Result<Child> {
    let before = sched_getaffinity(None)?;
    stay_on(core)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    child
}
