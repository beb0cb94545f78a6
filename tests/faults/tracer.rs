//! Injects a fault: traces a process (ptrace(2)) and makes one of its system calls fail without
//! being executed.
//!
//! The program needs no support for this. strace(1) counts calls per thread, so it would inject a
//! fault into several connections at once. This tracer counts the calls of all threads and child
//! processes together and fails exactly one.

use crate::rings::{Rings, restricts};
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

/// The arguments of a system call, or those of an operation that [`Rings`] finds.
pub type Arguments = [u64; 6];

/// Which call fails, and how.
#[derive(Clone, Copy)]
pub struct Fault {
    /// The system calls that are counted together.
    pub calls: &'static [i64],
    /// The operations on rings that are counted together, by their opcodes. Attach before the
    /// program makes its ring.
    pub operations: &'static [u8],
    /// Which of these calls count.
    pub counts: fn(&Arguments) -> bool,
    pub errno: Errno,
    /// Which call fails first; the first is 1.
    pub nth: usize,
    /// How many fail from there on.
    pub times: usize,
    /// The call is executed, and then reports the error.
    pub late: bool,
    /// Another call that always fails, so that the program makes the first one.
    pub and: Option<(&'static [i64], Errno)>,
}

/// Traces a process, its threads and its children until they exit.
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
    /// Starts to trace a process. Counting starts with [`arm`](Tracer::arm), or with execve(2) if
    /// `arm_at_exec` is set.
    pub fn attach(process: u32, fault: Fault, arm_at_exec: bool) -> Tracer {
        let shared = Arc::<Shared>::default();
        let (attached, is_attached) = channel();
        let work = Work {
            fault,
            arm_at_exec,
            shared: shared.clone(),
            count: 0,
            failing: HashMap::new(),
            rings: Rings::default(),
        };
        let tracer = Tracer {
            // ptrace(2) requires that one thread makes all calls for a process.
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

    /// Starts counting.
    pub fn arm(&self) {
        self.shared.armed.store(true, SeqCst);
    }

    /// True once a call was made to fail.
    pub fn has_struck(&self) -> bool {
        self.shared.struck.load(SeqCst)
    }

    /// Waits until all traced processes have exited. Returns true if a call was made to fail.
    pub fn end(self) -> bool {
        self.thread.join().expect("it traced");
        self.shared.struck.load(SeqCst)
    }
}

impl Shared {
    /// Counts a call. Returns true if it fails.
    fn fails(&self, fault: &Fault, count: &mut usize) -> bool {
        if !self.armed.load(SeqCst) {
            return false;
        }
        *count += 1;
        let fails = (fault.nth..fault.nth + fault.times).contains(count);
        if fails {
            self.struck.store(true, SeqCst);
        }
        fails
    }
}

struct Work {
    fault: Fault,
    arm_at_exec: bool,
    shared: Arc<Shared>,
    count: usize,
    /// Threads inside a call, and what it will return.
    failing: HashMap<Pid, i64>,
    rings: Rings,
}

impl Work {
    fn run(mut self, process: u32, attached: &Sender<Result<(), Errno>>) {
        let mut to_stop = match seize(process) {
            Ok(threads) => threads,
            Err(errno) => return attached.send(Err(errno)).expect("a client waits"),
        };
        // Only processes traced by this thread, not all children of the test.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(flags)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("waitpid: {errno}"),
            };
            // A killed process may be gone before it is resumed.
            match self.go_on(status) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => panic!("ptrace: {errno}"),
            }
            if to_stop > 0 && matches!(status, WaitStatus::PtraceEvent(..)) {
                to_stop -= 1;
                if to_stop == 0 {
                    attached.send(Ok(())).expect("a client waits");
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
            // Its parent must receive its exit status, not this thread.
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

    /// A system call starts or ends.
    fn see_call(&mut self, pid: Pid) -> Result<(), Errno> {
        let mut registers = ptrace::getregs(pid)?;
        let is_begin = ptrace::syscall_info(pid)?.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
        let call = registers.orig_rax.cast_signed();
        let r = &registers;
        let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        if !is_begin {
            if let Some(result) = self.failing.remove(&pid) {
                registers.rax = result.cast_unsigned();
                ptrace::setregs(pid, registers)?;
            }
            return self.rings.see_end(pid, call, &arguments, registers.rax);
        }
        if !self.fault.operations.is_empty() {
            if restricts(call, &arguments) {
                self.failing.insert(pid, 0);
                registers.orig_rax = u64::MAX;
                return ptrace::setregs(pid, registers);
            }
            if call == libc::SYS_io_uring_enter {
                let (fault, shared, count) = (&self.fault, &self.shared, &mut self.count);
                return self
                    .rings
                    .see_enter(pid, arguments[1], |operation, arguments| {
                        let counts =
                            fault.operations.contains(&operation) && (fault.counts)(arguments);
                        (counts && shared.fails(fault, count)).then_some(fault.errno)
                    });
            }
        }
        let Some((errno, late)) = self.decide(call, &arguments) else {
            return Ok(());
        };
        self.failing.insert(pid, i64::from(-(errno as i32)));
        if !late {
            // No call has this number, so the kernel does nothing.
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
        let counts = fault.calls.contains(&call) && (fault.counts)(arguments);
        if counts && self.shared.fails(fault, &mut self.count) {
            return Some((fault.errno, fault.late));
        }
        let (_, errno) = fault.and.filter(|(others, _)| others.contains(&call))?;
        Some((errno, false))
    }
}

/// Attaches to all threads of a process, which stops each of them. Returns their number.
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
