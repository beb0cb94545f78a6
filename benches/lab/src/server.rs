//! A server's process, from its start to its end.

use crate::Outcome;
use crate::cores::spawn_on;
use crate::cpu_time::{CpuTime, tree};
use crate::late::Late;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs::{File, read_to_string};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to end before it is killed.
const END_LIMIT: Duration = Duration::from_secs(3);

/// How long its work for disconnected clients may continue before the measurement ends anyway.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// A running server. Dropping it ends it, also in a panic.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server on a core and waits until it accepts connections at `address`. Its output
    /// goes to `log`.
    ///
    /// # Errors
    /// It cannot be started, ended at once, or does not listen in time; the error has the end of
    /// its output.
    pub fn start(
        core: usize,
        command: &mut Command,
        address: SocketAddr,
        log: &Path,
    ) -> Outcome<Server> {
        let said = File::create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let program = command.get_program().to_string_lossy().into_owned();
        let child =
            spawn_on(core, command).map_err(|error| format!("cannot start {program}: {error}"))?;
        // From here on, dropping it ends the process.
        let mut server = Server { child, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = ended_within(&mut server.child, Duration::from_millis(2))?;
            if ended.is_some() || begin.elapsed() > START_LIMIT {
                let said = read_to_string(log).unwrap_or_default();
                let said = said.trim_end();
                return Err(match ended {
                    Some(status) => format!("{program} ended, {status}: {said}").into(),
                    None => Late(format!("{program} does not listen: {said}")).into(),
                });
            }
        }
        Ok(server)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and waits. Its log is complete then.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn end(mut self) -> Outcome<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        match ended_within(&mut self.child, END_LIMIT)? {
            Some(_) => Ok(()),
            None => Err(Late("the server does not end in time".to_owned()).into()),
        }
    }

    /// The address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time of all its processes and threads, once it is idle: closing the connections of
    /// clients that have just left is part of serving them.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_time(&mut self) -> Outcome<CpuTime> {
        let pause = Duration::from_millis(4);
        let begin = Instant::now();
        let mut before = CpuTime::of_tree(self.child.id())?;
        loop {
            if let Some(status) = ended_within(&mut self.child, pause)? {
                return Err(format!("the server has ended, {status}").into());
            }
            let now = CpuTime::of_tree(self.child.id())?;
            // A process is taken for idle after it has been for a while. One per cent of CPU time
            // is allowed for its own timers.
            if now.since(&before).total < pause / 100 || begin.elapsed() > SETTLE_LIMIT {
                return Ok(now);
            }
            before = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let processes = tree(self.child.id());
        let tell = |id: &u32, signal| Pid::from_raw(*id as i32).map(|id| kill_process(id, signal));
        let _ = tell(&self.child.id(), Signal::TERM);
        if !matches!(ended_within(&mut self.child, END_LIMIT), Ok(Some(_))) {
            for id in &processes {
                let _ = tell(id, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }
}

/// Waits for the end of a child, at most this long.
///
/// # Errors
/// Errors of pidfd_open(2), poll(2) and waitpid(2).
pub fn ended_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let end = Instant::now() + limit;
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))
            .map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        match poll(&mut watched, Some(&left)) {
            Ok(_) => return child.try_wait(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A free address. Another program could take it before the server does; then the server reports
/// that.
///
/// # Errors
/// Errors of bind(2).
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
