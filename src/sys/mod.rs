//! The server's system calls, each in one place.
//!
//! Each function makes one call, converts its result, and writes a line to the trace
//! ([`crate::trace`]) if one is on. Calls without such a line are in [`untraced`]. Some libraries
//! make calls of their own: mio epoll(7), socket2 those that set up sockets, landlock those of the
//! sandbox, and signal-hook sigaction(2).
//!
//! This module knows neither its callers nor their purpose.

mod connect;
mod datagram;
mod epoll;
mod eventfd;
mod file;
mod process;
mod stream;
pub mod untraced;
mod wait;

pub use connect::{connect, take_error, tcp_socket};
pub use datagram::{
    Route, lost_datagrams, receive_udp, receive_unix, report_routes, send_udp, send_unix,
};
pub use epoll::{epoll_change, epoll_create, epoll_wait_untraced};
pub use eventfd::EventFd;
pub use file::{
    add_watch, close, fstat, is_in_memory, lock_byte, open_beneath, open_if_in_memory, pipe, read,
    read_at, read_link, read_now, wait_for_byte,
};
pub use nix::ifaddrs::InterfaceAddress;
pub use nix::libc::{FD_SETSIZE, MSG_WAITALL, iovec, msghdr};
pub use nix::net::if_::InterfaceFlags;
pub use nix::sys::select::FdSet;
pub use process::{
    block_signals, cpu_time, is_controlling_terminal, kill, message_pair, reap, thread_id,
    unblock_signals,
};
pub use rustix::event::epoll::{Event as EpollEvent, EventFlags as EpollFlags};
pub use rustix::event::{PollFd, PollFlags};
pub use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader as WatchReader, WatchFlags};
pub use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, FlockOperation, FsWord, Gid, MemfdFlags, Mode, OFlags,
    RenameFlags, ResolveFlags, Stat, StatxFlags, Uid,
};
pub use rustix::io::{Errno, retry_on_intr};
pub use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags};
pub use rustix::pipe::PIPE_BUF;
pub use rustix::process::{Pid, Resource, Rlimit, Signal, WaitStatus};
pub use stream::{
    SENDFILE_REFUSED, accept, disconnect, has_unread, is_gone, is_refused, limit_unsent,
    peer_address, peer_process, receive, receive_now, send, send_file, set_defer_accept,
    set_nonblocking, set_receive_timeout, set_send_timeout, shutdown_both, shutdown_read,
    shutdown_write,
};
pub use wait::{is_readable, poll, poll_untraced, select, sleep};
