//! A kernel that makes no rings: `--model io-uring` says why, and never serves in another way.

use crate::common::{Program, is_not_root};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::env::consts::ARCH;
use std::thread;

/// Starts the program under a seccomp filter that fails io_uring_setup(2) with an error, and returns
/// what it says. The filter holds for this thread and what it starts.
fn filtered(errno: nix::libc::c_int, options: &str) -> String {
    let options = options.to_owned();
    let run = move || {
        let refused = [(nix::libc::SYS_io_uring_setup, Vec::new())].into();
        let refuse = SeccompAction::Errno(errno as u32);
        let arch = ARCH.try_into().expect("a known processor");
        let filter = SeccompFilter::new(refused, SeccompAction::Allow, refuse, arch);
        let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
        apply_filter(&filter).expect("the kernel has seccomp");
        Program::evserve(&options).fails(1)
    };
    thread::spawn(run).join().expect("it says something")
}

#[test]
fn a_seccomp_filter_is_named() {
    for errno in [nix::libc::EPERM, nix::libc::ENOSYS] {
        let said = filtered(errno, "--model io-uring --listen 127.0.0.1:0 --mode echo");
        let causes = ["a seccomp filter", "kernel.io_uring_disabled is"];
        assert!(causes.iter().any(|cause| said.contains(cause)), "{said}");
        assert!(
            said.contains("cannot serve with --model io-uring"),
            "{said}"
        );
        assert!(said.contains("such as --model epoll"), "{said}");
        assert!(!said.contains("127.0.0.1"), "nothing was announced: {said}");
    }
}

#[test]
fn a_limit_of_locked_memory_is_named() {
    if is_not_root() {
        return;
    }
    // Root is not charged, but the user that it becomes is.
    let options = "--model io-uring --listen 127.0.0.1:0 --mode echo --user nobody";
    let program = Program::evserve(options).in_shell("ulimit -l 0; exec \"$@\"");
    let said = program.fails(1);
    assert!(said.contains("locked memory, which is 0 bytes"), "{said}");
}
