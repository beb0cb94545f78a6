//! Which calls are made to fail, and what they may say.

use crate::tracer::Arguments;
use nix::errno::Errno::{self, *};
use nix::libc;

/// A system call and what it may say, by its man page.
pub struct Row {
    pub name: &'static str,
    pub call: i64,
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
    pub and: Option<(i64, Errno)>,
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
    call: 0,
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
        name: "accept4",
        call: libc::SYS_accept4,
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
        call: libc::SYS_epoll_wait,
        errors: &[EINTR],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "ppoll",
        call: libc::SYS_ppoll,
        errors: &[EINTR, ENOMEM],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "ppoll",
        call: libc::SYS_ppoll,
        about: "in a chat",
        errors: &[EINTR, ENOMEM],
        scene: Scene::Chat,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "pselect6",
        call: libc::SYS_pselect6,
        errors: &[EINTR, ENOMEM],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "epoll_ctl",
        call: libc::SYS_epoll_ctl,
        errors: &[ENOMEM, ENOSPC],
        ..ROW
    },
    Row {
        name: "recvfrom",
        call: libc::SYS_recvfrom,
        errors: &[EINTR, EAGAIN, ECONNRESET, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "recvfrom",
        call: libc::SYS_recvfrom,
        about: "in a chat",
        errors: &[EINTR, EAGAIN, ECONNRESET, ENOMEM],
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        call: libc::SYS_sendto,
        // Not the one byte that a signal handler sends: nobody else could send it later, and it never waits.
        counts: |arguments| arguments[2] > 1,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendmsg",
        call: libc::SYS_sendmsg,
        about: "of a head and what is in memory",
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scene: Scene::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendto",
        call: libc::SYS_sendto,
        about: "in a chat",
        counts: |arguments| arguments[2] > 1,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM],
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "recvmsg",
        call: libc::SYS_recvmsg,
        about: "of a datagram",
        errors: &[EINTR, EAGAIN, ECONNREFUSED, ENOMEM],
        scene: Scene::Datagrams,
        spares_all: true,
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendmsg",
        call: libc::SYS_sendmsg,
        about: "of a datagram",
        errors: &[EAGAIN, ECONNREFUSED, EPERM, ENOBUFS, ENOMEM],
        scene: Scene::Datagrams,
        ..ROW
    },
    Row {
        name: "sendfile",
        call: libc::SYS_sendfile,
        errors: &[EINTR, EAGAIN, ECONNRESET, EPIPE, EIO, ENOMEM],
        told_later: true,
        ..ROW
    },
    Row {
        name: "sendfile",
        call: libc::SYS_sendfile,
        about: "of a file that it cannot send",
        errors: &[EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EACCES],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "setsockopt",
        call: libc::SYS_setsockopt,
        errors: &[ENOMEM],
        ..ROW
    },
    Row {
        name: "ioctl",
        call: libc::SYS_ioctl,
        about: "FIONBIO, in a chat",
        errors: &[ENOMEM],
        scene: Scene::Chat,
        ..ROW
    },
    Row {
        name: "shutdown",
        call: libc::SYS_shutdown,
        about: "of a connection's one side",
        counts: |arguments| arguments[1] == libc::SHUT_WR as u64,
        errors: &[ENOTCONN],
        ..ROW
    },
    Row {
        name: "close",
        call: libc::SYS_close,
        about: "closes and then says so",
        errors: &[EINTR, EIO],
        spares_all: true,
        late: true,
        ..ROW
    },
    Row {
        name: "openat2",
        call: libc::SYS_openat2,
        errors: &[EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM, EIO],
        ..ROW
    },
    Row {
        name: "fstat",
        call: libc::SYS_fstat,
        errors: &[ENOMEM, EIO],
        ..ROW
    },
    Row {
        name: "preadv2",
        call: libc::SYS_preadv2,
        errors: &[EINTR, EAGAIN, EIO, ENOMEM],
        ..ROW
    },
    Row {
        name: "pread64",
        call: libc::SYS_pread64,
        about: "of what is not in memory",
        errors: &[EINTR, EIO, ENOMEM],
        and: Some((libc::SYS_preadv2, EAGAIN)),
        ..ROW
    },
    Row {
        name: "inotify_add_watch",
        call: libc::SYS_inotify_add_watch,
        errors: &[ENOSPC, ENOMEM],
        scene: Scene::Watched,
        spares_all: true,
        ..ROW
    },
    Row {
        name: "read",
        call: libc::SYS_read,
        about: "of signals, wakes and file events",
        errors: &[EINTR, EAGAIN],
        scene: Scene::Watched,
        told_later: true,
        ..ROW
    },
    Row {
        name: "read",
        call: libc::SYS_read,
        about: "in a chat",
        errors: &[EINTR, EAGAIN],
        scene: Scene::Chat,
        told_later: true,
        ..ROW
    },
    Row {
        name: "write",
        call: libc::SYS_write,
        about: "of the access log",
        // Not what the standard error is told: the library that prints there panics, which is caught. And not the eight
        // bytes that wake a thread.
        counts: |arguments| arguments[0] != 2 && arguments[2] > 8,
        errors: &[EINTR, EAGAIN, ENOSPC, EIO],
        spares_all: true,
        ..ROW
    },
    Row {
        name: "eventfd2",
        call: libc::SYS_eventfd2,
        about: "the wake queue of a chat",
        errors: &[EMFILE, ENFILE, ENOMEM],
        scene: Scene::Chat,
        ..ROW
    },
    Row {
        name: "clone3",
        call: libc::SYS_clone3,
        about: "a thread",
        errors: &[EAGAIN, ENOMEM],
        ..ROW
    },
    Row {
        name: "clone",
        call: libc::SYS_clone,
        about: "a process",
        errors: &[EAGAIN, ENOMEM],
        ..ROW
    },
    Row {
        name: "wait4",
        call: libc::SYS_wait4,
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
                    && ![libc::SYS_clone3, libc::SYS_clone].contains(&self.call)
            }
            _ => false,
        };
        !self.spares_all && !is_passing
    }

    /// True if the call can say this to a server of this model, and the model can play the scene.
    pub fn can_say(&self, errno: Errno, model: &str) -> bool {
        let is_apart = evserve::model::find(model).is_some_and(|m| m.apart.is_some());
        !(self.scene == Scene::Chat && is_apart
            || self.told_later && errno == EAGAIN && model == "epoll")
    }
}
