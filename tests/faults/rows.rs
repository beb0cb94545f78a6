//! Which calls are made to fail, and what they may say.

use crate::common::row;
use crate::tracer::Arguments;
use nix::errno::Errno::{self, *};
use nix::libc;

/// System calls that do the same: which of them is made is up to a libc or a crate.
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

/// A kind of system call and what it may say, by its man page.
pub struct Row {
    pub name: &'static str,
    pub calls: Kind,
    /// What it is called for, if it is called for several things.
    pub about: &'static str,
    pub counts: fn(&Arguments) -> bool,
    pub errors: &'static [Errno],
    pub scene: Scene,
    /// Whatever it says, no client may suffer.
    pub spares_all: bool,
    /// Who hears EAGAIN is told later when to try again. An edge-triggered poller tells that once, when it becomes
    /// true; said of what is there already it would be a lie, and wait for ever.
    pub told_later: bool,
    pub late: bool,
    pub and: Option<(Kind, Errno)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Clients of http and echo.
    Files,
    /// The same with files that the server remembers and watches.
    Watched,
    /// Three who chat.
    Chat,
    /// One who sends datagrams. Whether it hears of one that is lost is not promised.
    Datagrams,
}

const ROW: Row = Row {
    name: "",
    calls: &[],
    about: "",
    counts: |_| true,
    errors: &[],
    scene: Scene::Files,
    spares_all: false,
    told_later: false,
    late: false,
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
        scene: Scene::Chat,
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
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        calls: &[libc::SYS_sendto],
        // Not the one byte that a signal handler sends: nobody else could send it later, and it never waits.
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
        scene: Scene::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        calls: &[libc::SYS_sendto],
        about: "in a chat",
        counts: |arguments| arguments[2] > 1,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "recvmsg",
        calls: &[libc::SYS_recvmsg],
        about: "of a datagram",
        errors: &[EINTR, EAGAIN, ECONNREFUSED, ENOMEM],
        scene: Scene::Datagrams,
        spares_all: true,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendmsg",
        calls: &[libc::SYS_sendmsg],
        about: "of a datagram",
        errors: &[EAGAIN, ECONNREFUSED, EPERM, ENOBUFS, ENOMEM],
        scene: Scene::Datagrams,
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
        scene: Scene::Chat,
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
        scene: Scene::Watched,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "read",
        calls: &[libc::SYS_read],
        about: "of signals, wakes and file events",
        errors: &[EINTR, EAGAIN],
        scene: Scene::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "read",
        calls: &[libc::SYS_read],
        about: "in a chat",
        errors: &[EINTR, EAGAIN],
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "write",
        calls: WRITE,
        about: "of the access log",
        // Not what the standard error is told: the library that prints there panics, which is caught. And not the eight
        // bytes that wake a thread.
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
        scene: Scene::Chat,
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
        // An old libc makes threads by it.
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
    /// True if a client may get less than all.
    pub fn may_spoil(&self, errno: Errno) -> bool {
        let is_passing = match errno {
            EINTR => true,
            // Said of a process or a thread it means that there can be none now; and no datagram waits.
            EAGAIN => {
                self.scene != Scene::Datagrams
                    && ![CLONE_THREAD, CLONE_PROCESS].contains(&self.calls)
            }
            _ => false,
        };
        !self.spares_all && !is_passing
    }

    /// True if the call can say this to a server of this model, and the model can play the scene.
    pub fn can_say(&self, errno: Errno, model: &str) -> bool {
        let model = row(model);
        let tells_once = model.poller.is_some_and(|poller| poller.edge_triggered);
        !(self.scene == Scene::Chat && model.isolated_because.is_some()
            || self.told_later && errno == EAGAIN && tells_once)
    }
}
