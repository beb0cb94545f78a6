//! The numbers of the format, each with its name: docs/recording.md explains them.
//!
//! A number is never used for something else. New ones may be added to a version.

use super::FormatError;

/// The first bytes of a recording.
pub const MAGIC: [u8; 8] = *b"\x89EVSREC\n";

/// The version of the format.
pub const VERSION: u32 = 1;

/// The size of the header, in bytes.
pub const HEADER_SIZE: usize = 80;

/// The size of an event, in bytes.
pub const EVENT_SIZE: usize = 32;

/// How many bytes of text an event of the kind [`Kind::Text`] has.
pub const TEXT_SIZE: usize = 16;

/// How many bytes of a request's method and target are recorded.
pub const MAX_TEXT: usize = 7 * TEXT_SIZE;

/// The number in place of a deadline or of a limit: there is none.
pub const NEVER: u64 = u64::MAX;

/// Declares an enum whose variants have numbers and names.
macro_rules! table {
    ($(#[$about:meta])* $table:ident { $($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $table { $($(#[$doc])* $variant = $number,)* }

        impl $table {
            /// All of them.
            pub const ALL: &'static [$table] = &[$($table::$variant,)*];

            /// The name in recordings.
            pub const fn name(self) -> &'static str {
                match self { $($table::$variant => $name,)* }
            }

            /// The one with this number.
            ///
            /// # Errors
            /// If this version does not know the number.
            pub const fn from_number(number: u8) -> Result<$table, FormatError> {
                match number {
                    $($number => Ok($table::$variant),)*
                    _ => Err(FormatError::UnknownNumber(stringify!($table), number)),
                }
            }
        }
    };
}

table! {
    /// What happened.
    Kind {
        /// A system call has returned.
        Call = 1 "call",
        /// The thread is about to make a call that may wait.
        Waits = 2 "waits",
        /// The wait has found this descriptor ready.
        Found = 3 "found",
        /// An operation is queued for the ring (io_uring(7)).
        Queued = 4 "queued",
        /// An operation has completed.
        Completed = 5 "completed",
        /// A connection begins to act.
        Turn = 6 "turn",
        /// A connection stops acting.
        Stop = 7 "stop",
        /// What the program's buffers of the connection hold. Follows a stop, unless they are empty.
        Buffers = 8 "buffers",
        /// A session has changed its state.
        Step = 9 "step",
        /// A connection is opened: a session begins.
        Opened = 10 "opened",
        /// A connection is closed.
        Closed = 11 "closed",
        /// The deadline of a connection has passed.
        Expired = 12 "expired",
        /// A connection was woken: by another connection, or by a thread that has worked for it.
        Woken = 13 "woken",
        /// The response to a request begins.
        Request = 14 "request",
        /// The next bytes of a request's method and target.
        Text = 15 "text",
        /// A response is sent completely.
        Answered = 16 "answered",
        /// A process was forked, which serves this connection.
        Forked = 17 "forked",
    }
}

table! {
    /// A system call.
    Syscall {
        /// A call that has no number of its own.
        Other = 0 "other",
        /// accept4(2).
        Accept = 1 "accept4",
        /// recv(2).
        Recv = 2 "recv",
        /// send(2).
        Send = 3 "send",
        /// sendmsg(2).
        Sendmsg = 4 "sendmsg",
        /// sendfile(2).
        Sendfile = 5 "sendfile",
        /// shutdown(2).
        Shutdown = 6 "shutdown",
        /// close(2). Recorded before it is made, without a duration.
        Close = 7 "close",
        /// connect(2).
        Connect = 8 "connect",
        /// setsockopt(2).
        Setsockopt = 9 "setsockopt",
        /// ioctl(2).
        Ioctl = 10 "ioctl",
        /// getpeername(2).
        Getpeername = 11 "getpeername",
        /// poll(2).
        Poll = 12 "poll",
        /// select(2).
        Select = 13 "select",
        /// epoll_wait(2).
        EpollWait = 14 "epoll_wait",
        /// epoll_ctl(2).
        EpollCtl = 15 "epoll_ctl",
        /// io_uring_enter(2).
        UringEnter = 16 "io_uring_enter",
        /// openat2(2).
        Openat2 = 17 "openat2",
        /// fstat(2).
        Fstat = 18 "fstat",
        /// readlinkat(2).
        Readlinkat = 19 "readlinkat",
        /// read(2).
        Read = 20 "read",
        /// pread(2).
        Pread = 21 "pread",
        /// preadv2(2).
        Preadv2 = 22 "preadv2",
        /// write(2).
        Write = 23 "write",
        /// inotify_add_watch(2).
        InotifyAddWatch = 24 "inotify_add_watch",
        /// pipe2(2).
        Pipe2 = 25 "pipe2",
        /// recvmsg(2).
        Recvmsg = 26 "recvmsg",
        /// recvfrom(2).
        Recvfrom = 27 "recvfrom",
        /// sendto(2).
        Sendto = 28 "sendto",
        /// Waiting inside another runtime, in whatever call.
        Runtime = 29 "runtime",
        /// socket(2).
        Socket = 30 "socket",
        /// getsockopt(2).
        Getsockopt = 31 "getsockopt",
    }
}

table! {
    /// What a wait has found.
    Source {
        /// A connection.
        Connection = 0 "connection",
        /// A listener.
        Listener = 1 "listener",
        /// Signals that stop the server.
        Signals = 2 "signals",
        /// Other threads, which wake this one.
        Wakes = 3 "wakes",
        /// SIGHUP.
        Hangups = 4 "hangups",
        /// Changes of files.
        Files = 5 "files",
        /// A datagram socket.
        Datagrams = 6 "datagrams",
    }
}

table! {
    /// Why a connection stops acting, or for what it waits.
    Reason {
        /// It waits before it can receive.
        Receive = 1 "receive",
        /// It waits before it can send.
        Send = 2 "send",
        /// It waits until its file is read.
        Load = 3 "load",
        /// It waits for other connections.
        Others = 4 "others",
        /// It waits for a thread that calls a file system.
        Job = 5 "job",
        /// Other connections have their turn first.
        Budget = 6 "budget",
        /// The work of this turn is used up.
        Work = 7 "work",
        /// A thread reads its file from disk.
        Disk = 8 "disk",
        /// A thread sends its file.
        Remote = 9 "remote",
        /// It is to be closed.
        Close = 10 "close",
    }
}

table! {
    /// How a connection ended.
    End {
        /// The session has ended it.
        Finished = 1 "finished",
        /// The peer has shut down its side.
        PeerEnded = 2 "peer ended",
        /// An operation has failed, the peer is gone, or the server has cut it off.
        Aborted = 3 "aborted",
        /// Nothing has come of it: it was refused.
        Refused = 4 "refused",
    }
}

table! {
    /// An operation of io_uring(7).
    RingOperation {
        /// Accepts connections.
        Accept = 1 "accept",
        /// Receives.
        Receive = 2 "receive",
        /// Sends.
        Send = 3 "send",
        /// Reads a file.
        Read = 4 "read",
        /// Moves bytes of a file into a pipe.
        Fill = 5 "fill",
        /// Moves bytes of a pipe into a socket.
        Drain = 6 "drain",
        /// Waits until a socket is writable.
        AwaitWritable = 7 "await writable",
        /// Watches a descriptor.
        Watch = 8 "watch",
        /// Cancels operations.
        Cancel = 9 "cancel",
        /// Anything else.
        Other = 10 "other",
    }
}

table! {
    /// The kinds of deadlines.
    Deadline {
        /// For the rest of a request's head.
        Head = 0 "head",
        /// For more of a request's body.
        Body = 1 "body",
        /// For the first bytes.
        First = 2 "first",
        /// For the next request.
        Idle = 3 "idle",
        /// None.
        Forever = 4 "forever",
        /// For the peer to read.
        Send = 5 "send",
        /// For the peer to close its side.
        Linger = 6 "linger",
        /// For other sessions.
        Pause = 7 "pause",
        /// For a file system.
        Files = 8 "files",
        /// For the end of a handshake.
        Handshake = 9 "handshake",
    }
}

/// The tables of names that a recording contains, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// [`Kind`].
    Kinds = 1,
    /// [`Syscall`].
    Calls = 2,
    /// [`Source`].
    Sources = 3,
    /// [`Reason`].
    Reasons = 4,
    /// [`End`].
    Ends = 5,
    /// [`RingOperation`].
    Operations = 6,
    /// [`Deadline`].
    Deadlines = 7,
    /// The states of sessions.
    States = 8,
}

/// The names of all tables but the states.
pub fn fixed_names() -> impl Iterator<Item = (Table, u8, &'static str)> {
    macro_rules! rows {
        ($table:expr, $of:ident) => {
            $of::ALL.iter().map(|one| ($table, *one as u8, one.name()))
        };
    }
    rows!(Table::Kinds, Kind)
        .chain(rows!(Table::Calls, Syscall))
        .chain(rows!(Table::Sources, Source))
        .chain(rows!(Table::Reasons, Reason))
        .chain(rows!(Table::Ends, End))
        .chain(rows!(Table::Operations, RingOperation))
        .chain(rows!(Table::Deadlines, Deadline))
}

/// An event. What the fields mean depends on its kind: see docs/recording.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the recording's time 0. For a call, when it began.
    pub at: u64,
    /// What happened.
    pub kind: Kind,
    /// A number of the table that belongs to the kind.
    pub code: u8,
    /// A second number.
    pub detail: u16,
    /// The descriptor that it happened to; -1 if to none.
    pub fd: i32,
    /// The result, a number of bytes, or the like.
    pub value: i64,
    /// The duration in nanoseconds, or the like.
    pub extra: u64,
}

impl Event {
    /// An event of this kind on a descriptor; all else is 0.
    pub const fn new(kind: Kind, fd: i32) -> Event {
        Event {
            at: 0,
            kind,
            code: 0,
            detail: 0,
            fd,
            value: 0,
            extra: 0,
        }
    }

    /// The event as four words.
    #[inline]
    pub const fn to_words(self) -> [u64; 4] {
        let head = self.kind as u64
            | (self.code as u64) << 8
            | (self.detail as u64) << 16
            | (self.fd as u32 as u64) << 32;
        [self.at, head, self.value as u64, self.extra]
    }

    /// The event that these words stand for.
    ///
    /// # Errors
    /// If its kind is unknown.
    pub fn from_words([at, head, value, extra]: [u64; 4]) -> Result<Event, FormatError> {
        let [kind, code, detail @ .., _, _, _, _] = head.to_le_bytes();
        Ok(Event {
            at,
            kind: Kind::from_number(kind)?,
            code,
            detail: u16::from_le_bytes(detail),
            fd: (head >> 32) as u32 as i32,
            value: value as i64,
            extra,
        })
    }
}
