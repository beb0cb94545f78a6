//! Why no ring can be made here, and what to do about it.

use super::restrictions::{Uses, build_disabled};
use crate::sys::untraced::{getrlimit, open, read};
use crate::sys::{Errno, Mode, OFlags, Resource};
use std::io;

/// Checks that a ring with room for `capacity` requests can be made for these uses.
///
/// # Errors
/// A sentence for the user about the cause, and what to do.
pub fn check(capacity: usize, uses: Uses) -> Result<(), String> {
    // Without a kernel thread: the process is not confined yet, and must have no other thread then.
    let ring = build_disabled(capacity, None).map_err(|error| explain(&error).to_string())?;
    // Of Linux 6.15. What is needed is of 6.13: before, a socket that has left the table stays open
    // until all older operations have ended, such as the receive of an idle client.
    if uses.contains(Uses::REGISTERED) && !ring.params().is_feature_no_iowait() {
        return Err(
            "--uring-fds ring needs Linux 6.15 or later; take --uring-fds process".to_owned(),
        );
    }
    match uses.missing(&ring) {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => Err(format!(
            "this kernel lacks IORING_OP_{}; {OTHER_MODEL}",
            missing.join(", IORING_OP_")
        )),
        Err(error) => Err(explain(&error).to_string()),
    }
}

/// Adds its cause, and what to do, to an error of io_uring_setup(2) or io_uring_register(2).
pub(super) fn explain(error: &io::Error) -> io::Error {
    let Some(errno) = Errno::from_io_error(error) else {
        return io::Error::new(error.kind(), error.to_string());
    };
    let surroundings = Surroundings {
        disabled: kernel_setting("/proc/sys/kernel/io_uring_disabled"),
        group: kernel_setting("/proc/sys/kernel/io_uring_group"),
        locked_memory: getrlimit(Resource::Memlock).current,
    };
    io::Error::new(error.kind(), surroundings.reason(errno))
}

const OTHER_MODEL: &str = "or take another model, such as --model epoll";

/// What the kernel looks at before it makes a ring.
struct Surroundings {
    disabled: Setting,
    group: Setting,
    /// The limit in bytes; `None` if there is none.
    locked_memory: Option<u64>,
}

/// A setting of the kernel (sysctl(8)).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    Value(i64),
    /// This kernel does not have it.
    Missing,
    /// It cannot be read; in the sandbox, for example.
    Unreadable,
}

fn kernel_setting(path: &str) -> Setting {
    let mut text = [0; 32];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let length = match open(path, flags, Mode::empty()).and_then(|file| read(&file, &mut text)) {
        Ok(length) => length,
        Err(Errno::NOENT) => return Setting::Missing,
        Err(_) => return Setting::Unreadable,
    };
    let text = str::from_utf8(&text[..length]).unwrap_or_default();
    text.trim()
        .parse()
        .map_or(Setting::Unreadable, Setting::Value)
}

impl Surroundings {
    /// The cause of an error, and what to do.
    fn reason(&self, errno: Errno) -> String {
        let cause = match errno {
            Errno::NOSYS => self.unknown(),
            Errno::PERM => self.forbidden(),
            Errno::NOMEM => match self.locked_memory {
                Some(limit) => format!(
                    "no memory for a ring; many kernels charge rings to the limit of locked \
                     memory, which is {limit} bytes for all processes of this user; raise it \
                     (ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock of docker)"
                ),
                None => "the kernel has no memory for a ring; free some".into(),
            },
            Errno::INVAL => "this kernel's io_uring(7) is too old; take Linux 6.1 or later".into(),
            other => format!("no ring can be made: {other}"),
        };
        format!("{cause}, {OTHER_MODEL}")
    }

    fn unknown(&self) -> String {
        match self.disabled {
            // The kernel has it.
            Setting::Value(_) => format!("{FILTER}; {ALLOW}"),
            Setting::Missing | Setting::Unreadable => format!(
                "this kernel has no io_uring(7), or a seccomp filter hides it; take Linux 6.1 or \
                 later, built with CONFIG_IO_URING, and {ALLOW}"
            ),
        }
    }

    fn forbidden(&self) -> String {
        match (self.disabled, self.group) {
            (Setting::Value(0) | Setting::Missing, _) => format!("{FILTER}; {ALLOW}"),
            (Setting::Value(1), Setting::Value(group @ 0..)) => format!(
                "kernel.io_uring_disabled is 1: only root and the group {group} may use \
                 io_uring(7); run the server in that group (kernel.io_uring_group), set it to 0"
            ),
            (Setting::Value(1), _) => "kernel.io_uring_disabled is 1: only root may use \
                 io_uring(7), since kernel.io_uring_group names no group; name one that the \
                 server is in, set it to 0"
                .into(),
            (Setting::Value(_), _) => {
                "kernel.io_uring_disabled is 2: no one may use io_uring(7); set it to 0".into()
            }
            (Setting::Unreadable, _) => format!(
                "the user may not use io_uring(7), because of kernel.io_uring_disabled \
                 (sysctl(8) shows it) or of a seccomp filter; set it to 0, {ALLOW}"
            ),
        }
    }
}

const FILTER: &str = "a seccomp filter forbids io_uring_setup(2), as the defaults of docker and \
                      podman do, and evserve.service";
const ALLOW: &str = "allow io_uring_setup, io_uring_enter and io_uring_register in the filter";

#[cfg(test)]
mod tests {
    use super::*;
    use Setting::{Missing, Unreadable, Value};

    #[test]
    fn each_cause_has_its_sentence() {
        let cases = [
            (
                Errno::PERM,
                Value(2),
                Value(-1),
                "io_uring_disabled is 2: no one",
            ),
            (Errno::PERM, Value(1), Value(-1), "names no group"),
            (Errno::PERM, Value(1), Value(7), "only root and the group 7"),
            (Errno::PERM, Value(0), Value(-1), "a seccomp filter forbids"),
            (Errno::PERM, Missing, Missing, "a seccomp filter forbids"),
            (
                Errno::PERM,
                Unreadable,
                Unreadable,
                "or of a seccomp filter",
            ),
            (
                Errno::NOSYS,
                Value(0),
                Value(-1),
                "a seccomp filter forbids",
            ),
            (
                Errno::NOSYS,
                Missing,
                Missing,
                "this kernel has no io_uring(7)",
            ),
            (Errno::NOMEM, Value(0), Value(-1), "which is 65536 bytes"),
            (Errno::INVAL, Missing, Missing, "take Linux 6.1 or later"),
            (
                Errno::MFILE,
                Value(0),
                Value(-1),
                "no ring can be made: Too many open files",
            ),
        ];
        for (errno, disabled, group, expected) in cases {
            let surroundings = Surroundings {
                disabled,
                group,
                locked_memory: Some(65536),
            };
            let said = surroundings.reason(errno);
            assert!(said.contains(expected), "{errno}: {said}");
            assert!(said.ends_with(OTHER_MODEL), "{said}");
        }
    }

    #[test]
    fn missing_settings_are_told_from_unreadable_ones() {
        assert!(kernel_setting("/proc/sys/kernel/no-such-setting") == Missing);
        assert!(kernel_setting("/proc/sys/kernel/pid_max") != Missing);
        assert!(kernel_setting("/proc/self/mem") == Unreadable);
    }
}
