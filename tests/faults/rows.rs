//! Which calls fail, and with which errors.

use crate::common::{completes, row};
use crate::rings::opcode;
use crate::tracer::Arguments;
use evserve::model::Executor;
use nix::errno::Errno::{self, *};
use nix::libc;

/// System calls with the same purpose. Which one is made depends on the libc or crate.
pub type Kind = &'static [i64];

pub const ACCEPT: Kind = &[libc::SYS_accept, libc::SYS_accept4];
pub const CLONE_PROCESS: Kind = &[libc::SYS_clone, libc::SYS_fork, libc::SYS_vfork];
pub const CLONE_THREAD: Kind = &[libc::SYS_clone3];
pub const EPOLL_CREATE: Kind = &[libc::SYS_epoll_create, libc::SYS_epoll_create1];
pub const EPOLL_WAIT: Kind = &[
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];
pub const EVENTFD: Kind = &[libc::SYS_eventfd, libc::SYS_eventfd2];
pub const INOTIFY_INIT: Kind = &[libc::SYS_inotify_init, libc::SYS_inotify_init1];
pub const POLL: Kind = &[libc::SYS_poll, libc::SYS_ppoll];
pub const PREADV: Kind = &[libc::SYS_preadv, libc::SYS_preadv2];
pub const SELECT: Kind = &[libc::SYS_select, libc::SYS_pselect6];
pub const WAIT: Kind = &[libc::SYS_wait4, libc::SYS_waitid];
pub const WRITE: Kind = &[libc::SYS_write];

/// A kind of system call and the errors that its man page lists.
pub struct Row {
    pub name: &'static str,
    pub calls: Kind,
    /// The operations on a ring (io_uring(7)) with this purpose, by their opcodes, instead of
    /// calls. Their errors are those at their completion.
    pub operations: &'static [u8],
    /// What the call is made for, if it has several uses.
    pub about: &'static str,
    pub counts: fn(&Arguments) -> bool,
    pub errors: &'static [Errno],
    pub scenario: Scenario,
    /// Options that the server needs to make the call.
    pub options: &'static str,
    /// No error of this call may harm a client.
    pub spares_all: bool,
    /// EAGAIN from this call means that an event will follow. An edge-triggered poller reports that
    /// event only on a change. If EAGAIN is injected while the socket is ready, no event follows
    /// and the connection waits forever.
    pub told_later: bool,
    pub late: bool,
    /// The call is made before the server is ready.
    pub from_start: bool,
    pub and: Option<(Kind, Errno)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Clients of http and echo.
    Files,
    /// The same with files that the server caches and watches.
    Watched,
    /// Clients of http and echo that don't read until the server must wait before it can send.
    SlowReaders,
    /// Three members of a chat.
    Chat,
    /// A client that sends datagrams. It may not learn that one was lost.
    Datagrams,
}

/// Whether an operation that fails is simply repeated.
const PASSES: &str = "that is repeated";
const FAILS: &str = "that fails";

/// IORING_POLL_ADD_MULTI, in the length of the operation.
fn is_multishot_poll(arguments: &Arguments) -> bool {
    arguments[3] & 1 != 0
}

/// A splice with an offset to read from, which a pipe has not.
fn is_fill(arguments: &Arguments) -> bool {
    arguments[2] != u64::MAX
}

const ROW: Row = Row {
    name: "",
    calls: &[],
    operations: &[],
    about: "",
    counts: |_| true,
    errors: &[],
    scenario: Scenario::Files,
    options: "",
    spares_all: false,
    told_later: false,
    late: false,
    from_start: false,
    and: None,
};

pub const ROWS: &[Row] = &[
    Row {
        name: "accept",
        calls: ACCEPT,
        errors: &[
            EINTR,
            EAGAIN,
            ECONNABORTED,
            EPROTO,
            EPERM,
            ENOSYS,
            EMFILE,
            ENFILE,
            ENOBUFS,
            ENOMEM,
        ],
        spares_all: true,
        told_later: true,
        ..ROW
    },
    Row {
        name: "epoll_wait",
        calls: EPOLL_WAIT,
        errors: &[EINTR],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "poll",
        calls: POLL,
        errors: &[EINTR, ENOMEM],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "poll",
        calls: POLL,
        about: "in a chat",
        errors: &[EINTR, ENOMEM],
        scenario: Scenario::Chat,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "select",
        calls: SELECT,
        errors: &[EINTR, ENOMEM],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "io_uring_enter",
        calls: &[libc::SYS_io_uring_enter],
        errors: &[EINTR, EAGAIN, EBUSY, ENOMEM],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "io_uring_enter",
        calls: &[libc::SYS_io_uring_enter],
        about: "in a chat",
        errors: &[EINTR, EAGAIN, EBUSY, ENOMEM],
        scenario: Scenario::Chat,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "RECV",
        operations: &[opcode::RECV],
        about: PASSES,
        errors: &[EINTR, EAGAIN, ECANCELED, ENOBUFS],
        scenario: Scenario::Watched,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "RECV",
        operations: &[opcode::RECV],
        about: FAILS,
        errors: &[
            ECONNRESET,
            ECONNREFUSED,
            ETIMEDOUT,
            ENOTCONN,
            ENOMEM,
            EFAULT,
        ],
        scenario: Scenario::Watched,
        ..ROW
    },
    Row {
        name: "RECV",
        operations: &[opcode::RECV],
        about: "that fails, in a chat",
        errors: &[ECANCELED, ENOBUFS, ECONNRESET, ENOMEM],
        scenario: Scenario::Chat,
        ..ROW
    },
    Row {
        name: "RECV",
        operations: &[opcode::RECV],
        about: "that is repeated, with `--uring single`",
        errors: &[EINTR, EAGAIN, ECANCELED, ENOBUFS],
        scenario: Scenario::Watched,
        options: "--uring single",
        spares_all: true,
        ..ROW
    },
    Row {
        name: "RECV",
        operations: &[opcode::RECV],
        about: "in a chat, with `--uring single`",
        errors: &[ECANCELED, ENOBUFS, ECONNRESET, ENOMEM],
        scenario: Scenario::Chat,
        options: "--uring single",
        ..ROW
    },
    Row {
        name: "SEND, SENDMSG",
        operations: &[opcode::SEND, opcode::SENDMSG],
        about: PASSES,
        errors: &[EINTR, EAGAIN, ECANCELED],
        scenario: Scenario::Watched,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "SEND, SENDMSG",
        operations: &[opcode::SEND, opcode::SENDMSG],
        about: FAILS,
        errors: &[ECONNRESET, EPIPE, ENOBUFS, ENOMEM, EFAULT],
        scenario: Scenario::Watched,
        ..ROW
    },
    Row {
        name: "SEND, SENDMSG",
        operations: &[opcode::SEND, opcode::SENDMSG],
        about: "that fails, in a chat",
        errors: &[EAGAIN, ECANCELED, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scenario: Scenario::Chat,
        ..ROW
    },
    Row {
        name: "POLL_ADD",
        operations: &[opcode::POLL_ADD],
        about: "of a socket that takes no more",
        counts: |arguments| !is_multishot_poll(arguments),
        errors: &[EINTR, ECANCELED, ENOMEM],
        scenario: Scenario::SlowReaders,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "POLL_ADD",
        operations: &[opcode::POLL_ADD],
        about: "of listeners, signals and file events",
        counts: is_multishot_poll,
        errors: &[EINTR, ECANCELED, ENOMEM],
        scenario: Scenario::Watched,
        spares_all: true,
        from_start: true,
        ..ROW
    },
    Row {
        name: "SPLICE",
        operations: &[opcode::SPLICE],
        about: "that is repeated, with `--uring-file splice`",
        errors: &[EINTR, EAGAIN, ECANCELED],
        options: "--uring-file splice",
        spares_all: true,
        ..ROW
    },
    Row {
        name: "SPLICE",
        operations: &[opcode::SPLICE],
        about: "that fails, with `--uring-file splice`",
        errors: &[ECONNRESET, EPIPE, EIO, ENOMEM],
        options: "--uring-file splice",
        ..ROW
    },
    Row {
        name: "SPLICE",
        operations: &[opcode::SPLICE],
        about: "of a file that it cannot send, with `--uring-file splice`",
        counts: is_fill,
        errors: &[EINVAL, EOPNOTSUPP, EPERM, EACCES],
        options: "--uring-file splice",
        spares_all: true,
        ..ROW
    },
    Row {
        name: "pipe2",
        calls: &[libc::SYS_pipe2],
        about: "with `--uring-file splice`",
        errors: &[EMFILE, ENFILE, ENOMEM],
        options: "--uring-file splice",
        spares_all: true,
        ..ROW
    },
    Row {
        name: "FILES_UPDATE",
        operations: &[opcode::FILES_UPDATE],
        about: "with `--uring-fds ring`",
        errors: &[ENOMEM, EBADF],
        options: "--uring-fds ring",
        spares_all: true,
        ..ROW
    },
    Row {
        name: "epoll_ctl",
        calls: &[libc::SYS_epoll_ctl],
        errors: &[ENOMEM, ENOSPC],
        ..ROW
    },
    Row {
        name: "recvfrom",
        calls: &[libc::SYS_recvfrom],
        errors: &[EINTR, EAGAIN, ECONNRESET, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "recvfrom",
        calls: &[libc::SYS_recvfrom],
        about: "in a chat",
        errors: &[EINTR, EAGAIN, ECONNRESET, ENOMEM],
        scenario: Scenario::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        calls: &[libc::SYS_sendto],
        // Not the single byte that a signal handler writes: it cannot be written later, and the
        // call never blocks.
        counts: |arguments| arguments[2] > 1,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendmsg",
        calls: &[libc::SYS_sendmsg],
        about: "of a head and what is in memory",
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scenario: Scenario::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        calls: &[libc::SYS_sendto],
        about: "in a chat",
        counts: |arguments| arguments[2] > 1,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scenario: Scenario::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "recvmsg",
        calls: &[libc::SYS_recvmsg],
        about: "of a datagram",
        errors: &[EINTR, EAGAIN, ECONNREFUSED, ENOMEM],
        scenario: Scenario::Datagrams,
        spares_all: true,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendmsg",
        calls: &[libc::SYS_sendmsg],
        about: "of a datagram",
        errors: &[EAGAIN, ECONNREFUSED, EPERM, ENOBUFS, ENOMEM],
        scenario: Scenario::Datagrams,
        ..ROW
    },
    Row {
        name: "sendfile",
        calls: &[libc::SYS_sendfile],
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, EIO, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendfile",
        calls: &[libc::SYS_sendfile],
        about: "of a file that it cannot send",
        errors: &[EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EACCES],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "setsockopt",
        calls: &[libc::SYS_setsockopt],
        errors: &[ENOMEM],
        ..ROW
    },
    Row {
        name: "ioctl",
        calls: &[libc::SYS_ioctl],
        about: "FIONBIO, in a chat",
        errors: &[ENOMEM],
        scenario: Scenario::Chat,
        ..ROW
    },
    Row {
        name: "shutdown",
        calls: &[libc::SYS_shutdown],
        about: "of a connection's one side",
        counts: |arguments| arguments[1] == libc::SHUT_WR as u64,
        errors: &[ENOTCONN],
        ..ROW
    },
    Row {
        name: "close",
        calls: &[libc::SYS_close],
        about: "closes and then says so",
        errors: &[EINTR, EIO],
        spares_all: true,
        late: true,
        ..ROW
    },
    Row {
        name: "openat2",
        calls: &[libc::SYS_openat2],
        errors: &[EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM, EIO],
        ..ROW
    },
    Row {
        name: "fstat",
        calls: &[libc::SYS_fstat],
        errors: &[ENOMEM, EIO],
        ..ROW
    },
    Row {
        name: "preadv",
        calls: PREADV,
        errors: &[EINTR, EAGAIN, EIO, ENOMEM],
        ..ROW
    },
    Row {
        name: "pread64",
        calls: &[libc::SYS_pread64],
        about: "of what is not in memory",
        errors: &[EINTR, EIO, ENOMEM],
        and: Some((PREADV, EAGAIN)),
        ..ROW
    },
    Row {
        name: "inotify_add_watch",
        calls: &[libc::SYS_inotify_add_watch],
        errors: &[ENOSPC, ENOMEM],
        scenario: Scenario::Watched,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "read",
        calls: &[libc::SYS_read],
        about: "of signals, wakes and file events",
        errors: &[EINTR, EAGAIN],
        scenario: Scenario::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "read",
        calls: &[libc::SYS_read],
        about: "in a chat",
        errors: &[EINTR, EAGAIN],
        scenario: Scenario::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "write",
        calls: WRITE,
        about: "of the access log",
        // Not writes to standard error: `eprintln!` panics on an error, which is caught. And not
        // the eight bytes that wake a thread.
        counts: |arguments| arguments[0] != 2 && arguments[2] > 8,
        errors: &[EINTR, EAGAIN, ENOSPC, EIO],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "eventfd",
        calls: EVENTFD,
        about: "the wake queue of a chat",
        errors: &[EMFILE, ENFILE, ENOMEM],
        scenario: Scenario::Chat,
        ..ROW
    },
    Row {
        name: "clone",
        calls: CLONE_THREAD,
        about: "a thread",
        errors: &[EAGAIN, ENOMEM],
        ..ROW
    },
    Row {
        name: "clone",
        calls: CLONE_PROCESS,
        about: "a process",
        // An old libc starts threads with it.
        counts: |arguments| arguments[0] & libc::CLONE_THREAD as u64 == 0,
        errors: &[EAGAIN, ENOMEM],
        ..ROW
    },
    Row {
        name: "wait",
        calls: WAIT,
        errors: &[EINTR],
        spares_all: true,
        ..ROW
    },
];

impl Row {
    /// True if this error may cost a client part of its data.
    pub fn may_spoil(&self, errno: Errno) -> bool {
        let is_passing = match errno {
            EINTR => true,
            ECANCELED | ENOBUFS if self.operations.contains(&opcode::RECV) => true,
            ECANCELED if !self.operations.is_empty() => true,
            // From fork(2) or clone(2), EAGAIN means that no process or thread can be started; from
            // recvmsg(2), that no datagram waits.
            EAGAIN => {
                self.scenario != Scenario::Datagrams
                    && ![CLONE_THREAD, CLONE_PROCESS].contains(&self.calls)
            }
            _ => false,
        };
        !self.spares_all && !is_passing
    }

    /// True if the call can fail like this under this model, and the model can run the scenario.
    pub fn can_say(&self, errno: Errno, model: &str) -> bool {
        let model = row(model);
        let tells_once = model.executor == Executor::Task
            || model.poller.is_some_and(|poller| poller.edge_triggered);
        if !self.operations.is_empty() {
            return completes(model);
        }
        if !self.options.is_empty() && !completes(model) {
            return false;
        }
        !(self.scenario == Scenario::Chat && model.isolated_because.is_some()
            || self.told_later && errno == EAGAIN && tells_once)
    }
}
