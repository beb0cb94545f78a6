//! A fault where a test wants it: a process is traced (ptrace(2)), and one of its system calls fails without being made.
//!
//! This needs nothing in the program. What strace(1) injects is counted by each thread for itself, so that it would hit
//! several connections at once; here the calls of all threads and child processes are counted together, and exactly one
//! of them fails.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::read_dir;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

/// The arguments of a system call.
pub type Arguments = [u64; 6];

/// Which call is to fail, and how.
#[derive(Clone, Copy)]
pub struct Fault {
    /// The system calls that count as one.
    pub calls: &'static [i64],
    /// Which of these calls are counted.
    pub counts: fn(&Arguments) -> bool,
    pub errno: Errno,
    /// The first is 1.
    pub nth: usize,
    /// The call does its work, and only then says that it has failed.
    pub late: bool,
    /// Another call that always fails, so that the first one is made at all.
    pub and: Option<(&'static [i64], Errno)>,
}

/// Traces a process, its threads and its children to their ends.
pub struct Tracer {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    armed: AtomicBool,
    struck: AtomicBool,
}

impl Tracer {
    /// Begins to trace a process. Its calls are not counted before [`arm`](Tracer::arm); or, if so wanted, before it
    /// becomes another program by execve(2).
    pub fn attach(process: u32, fault: Fault, arm_at_exec: bool) -> Tracer {
        let shared = Arc::<Shared>::default();
        let (attached, is_attached) = channel();
        let work = Work {
            fault,
            arm_at_exec,
            shared: shared.clone(),
            count: 0,
            failing: HashMap::new(),
        };
        let tracer = Tracer {
            // ptrace(2) wants all of its calls for a process to come from one thread.
            thread: thread::spawn(move || work.run(process, &attached)),
            shared,
        };
        let result: Result<(), Errno> = is_attached.recv().expect("the thread says so");
        result.unwrap_or_else(|errno| {
            panic!(
                "no process can be traced here: {errno}; these tests need ptrace(2), which containers may forbid \
                 (docker run --cap-add SYS_PTRACE) and so may kernel.yama.ptrace_scope"
            )
        });
        tracer
    }

    /// From now on calls are counted.
    pub fn arm(&self) {
        self.shared.armed.store(true, SeqCst);
    }

    /// The call has been made to fail.
    pub fn has_struck(&self) -> bool {
        self.shared.struck.load(SeqCst)
    }

    /// Waits for the end of all that is traced. True if the call has been made to fail.
    pub fn end(self) -> bool {
        self.thread.join().expect("it traced");
        self.shared.struck.load(SeqCst)
    }
}

struct Work {
    fault: Fault,
    arm_at_exec: bool,
    shared: Arc<Shared>,
    count: usize,
    /// Who is within a call that is going to have failed.
    failing: HashMap<Pid, Errno>,
}

impl Work {
    fn run(mut self, process: u32, attached: &Sender<Result<(), Errno>>) {
        let mut to_stop = match seize(process) {
            Ok(threads) => threads,
            Err(errno) => return attached.send(Err(errno)).expect("somebody waits"),
        };
        // Only what this thread traces, and not the children of all others.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(flags)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("waitpid: {errno}"),
            };
            // A process that is being killed may be gone before it is told to go on.
            match self.go_on(status) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => panic!("ptrace: {errno}"),
            }
            if to_stop > 0 && matches!(status, WaitStatus::PtraceEvent(..)) {
                to_stop -= 1;
                if to_stop == 0 {
                    attached.send(Ok(())).expect("somebody waits");
                }
            }
        }
    }

    fn go_on(&mut self, status: WaitStatus) -> Result<(), Errno> {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.see_call(pid)?;
                ptrace::syscall(pid, None)
            }
            // Whoever waits for it as its parent is to hear of the end, and not this thread.
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXIT) => ptrace::detach(pid, None),
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == libc::PTRACE_EVENT_EXEC && self.arm_at_exec {
                    self.shared.armed.store(true, SeqCst);
                }
                ptrace::syscall(pid, None)
            }
            WaitStatus::Stopped(pid, signal) => ptrace::syscall(pid, signal),
            _ => Ok(()),
        }
    }

    /// A call begins or ends.
    fn see_call(&mut self, pid: Pid) -> Result<(), Errno> {
        let mut registers = ptrace::getregs(pid)?;
        let is_begin = ptrace::syscall_info(pid)?.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
        if !is_begin {
            if let Some(errno) = self.failing.remove(&pid) {
                registers.rax = i64::from(-(errno as i32)).cast_unsigned();
                ptrace::setregs(pid, registers)?;
            }
            return Ok(());
        }
        let call = registers.orig_rax.cast_signed();
        let r = &registers;
        let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        let Some((errno, late)) = self.decide(call, &arguments) else {
            return Ok(());
        };
        self.failing.insert(pid, errno);
        if !late {
            // There is no such call, so nothing is done.
            registers.orig_rax = u64::MAX;
            ptrace::setregs(pid, registers)?;
        }
        Ok(())
    }

    fn decide(&mut self, call: i64, arguments: &Arguments) -> Option<(Errno, bool)> {
        let fault = &self.fault;
        if !self.shared.armed.load(SeqCst) {
            return None;
        }
        if fault.calls.contains(&call) && (fault.counts)(arguments) {
            self.count += 1;
            if self.count == fault.nth {
                self.shared.struck.store(true, SeqCst);
                return Some((fault.errno, fault.late));
            }
        }
        let (_, errno) = fault.and.filter(|(others, _)| others.contains(&call))?;
        Some((errno, false))
    }
}

/// Takes hold of all threads of a process, and says how many there are; each of them stops.
fn seize(process: u32) -> Result<usize, Errno> {
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT;
    let threads = read_dir(format!("/proc/{process}/task")).map_err(|_| Errno::ESRCH)?;
    let mut count = 0;
    for entry in threads.flatten() {
        let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
        let thread = Pid::from_raw(id.expect("a number"));
        ptrace::seize(thread, options)?;
        ptrace::interrupt(thread)?;
        count += 1;
    }
    Ok(count)
}
