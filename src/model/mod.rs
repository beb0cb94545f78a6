//! Who waits, and how.
//!
//! A model runs connections by doing what [`Connection::next`](crate::session::Connection::next) says. It knows neither
//! the protocols nor their files. Adding a model is one file here, or in [`poller`],
//! and one row in [`MODELS`].

mod blocking;
mod clock;
mod conversation;
mod crew;
mod event_loop;
mod forking;
mod listeners;
mod permits;
mod pool;
mod process;
mod responder;
mod shutdown;
mod signals;
mod status;
mod threaded;
mod timeouts;
mod wake_queue;

pub use permits::Claim;
pub use process::{cancel_alarm, limit_end};
pub use signals::{Hangups, SignalSender, Signals};

use crate::config::Timeouts;
use crate::net::{DatagramSocket, Listener};
use crate::observe::{LogFile, StatusHub, throttled};
use crate::poller::{self, Poller};
use crate::service::{Admission, Service};
use crate::session::{Connection, Counters, Piece, Start, Time, Trace, Wakers, Worker};
use crate::sys::{self, Errno};
use crate::trace;
use permits::Permits;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How soon lines are written that a log's reader was too slow for.
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// A model that can be chosen with `--model`.
pub struct ModelRow {
    /// What it is called.
    pub name: &'static str,
    /// How it waits, in a sentence for --help.
    pub about: &'static str,
    /// Which options are its own.
    pub options: &'static [&'static str],
    /// What runs its connections.
    pub executor: Executor,
    /// The option that says how many connections it serves at a time. Without one it serves one after the other.
    pub limited_by: Option<&'static str>,
    /// The system call in which it waits for connections, as traces name it.
    pub waits_in: &'static str,
    /// What its poller says of itself, if it has one.
    pub poller: Option<poller::Properties>,
    /// Why its conversations cannot hear each other, if so: a service in which they do is refused.
    pub apart: Option<&'static str>,
    /// Why its places are scarce, if so: a stream that has no end of its own ends with its first event.
    pub scarce: Option<&'static str>,
    /// Serves until a signal ends it; says what was done.
    pub run: fn(Serving) -> io::Result<Counters>,
}

/// What runs connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A thread that waits for all of its connections at once, so one that says nothing holds up nobody and may come
    /// later: see [`Listener::defer_accept`]. With the other executors such a connection is what they are there to show.
    Loop,
    /// A thread that waits for one connection.
    Thread,
    /// A process of the connection's own.
    Process,
}

impl ModelRow {
    /// An event loop over this poller.
    const fn of_loop<P: Poller + 'static>(name: &'static str, about: &'static str) -> ModelRow {
        ModelRow {
            name,
            about,
            options: &["max-connections", "workers"],
            executor: Executor::Loop,
            limited_by: Some("max-connections"),
            waits_in: P::CALL,
            poller: Some(poller::Properties::of::<P>()),
            apart: None,
            scarce: None,
            run: event_loop::run::<P>,
        }
    }

    /// It is an event loop.
    pub fn is_loop(&self) -> bool {
        self.executor == Executor::Loop
    }

    /// All connections wait for the one that it serves.
    pub fn serves_one_at_a_time(&self) -> bool {
        self.limited_by.is_none()
    }
}

const ONE_AT_A_TIME: &str = "it serves one connection at a time, so there is nobody to talk to";
const OWN_PROCESS: &str = "each connection has a process of its own, and those share no memory";
const OWN_THREAD: &str =
    "a thread has one connection at a time, so whoever watched would keep one from others";

/// All models.
pub const MODELS: &[ModelRow] = &[
    ModelRow {
        name: "blocking",
        about: "One connection at a time, blocking calls: all others wait their turn",
        options: &[],
        executor: Executor::Thread,
        limited_by: None,
        waits_in: "accept4",
        poller: None,
        apart: Some(ONE_AT_A_TIME),
        scarce: Some(ONE_AT_A_TIME),
        run: blocking::run,
    },
    ModelRow {
        name: "forking",
        about: "A process per connection, blocking calls",
        options: &["max-children"],
        executor: Executor::Process,
        limited_by: Some("max-children"),
        waits_in: "poll",
        poller: None,
        apart: Some(OWN_PROCESS),
        scarce: Some(OWN_PROCESS),
        run: forking::run,
    },
    ModelRow {
        name: "threaded",
        about: "A thread per connection, blocking calls",
        options: &["max-connections"],
        executor: Executor::Thread,
        limited_by: Some("max-connections"),
        waits_in: "accept4",
        poller: None,
        apart: None,
        scarce: None,
        run: threaded::run,
    },
    ModelRow {
        name: "pool",
        about: "A fixed number of threads, each with one connection at a time, blocking calls",
        options: &["threads"],
        executor: Executor::Thread,
        limited_by: Some("threads"),
        waits_in: "accept4",
        poller: None,
        apart: None,
        scarce: Some(OWN_THREAD),
        run: pool::run,
    },
    ModelRow::of_loop::<poller::Select>(
        "select",
        "One thread, select(2): asks about every connection every time; 1,024 descriptors at most",
    ),
    ModelRow::of_loop::<poller::Poll>(
        "poll",
        "One thread, poll(2): asks about every connection every time",
    ),
    ModelRow::of_loop::<poller::Epoll>(
        "epoll",
        "One thread, epoll(7) through mio: told once per change, idle connections take no time",
    ),
];

/// The row of that name.
pub fn find(name: &str) -> Option<&'static ModelRow> {
    MODELS.iter().find(|row| row.name == name)
}

/// All that a model is given.
pub struct Serving {
    /// What each worker serves: one entry per loop that `--workers` asks for, else one entry.
    pub shares: Vec<Share>,
    /// How much there may be at once.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Serving {
    /// The one share there is for a model that has no workers.
    fn only_share(&mut self) -> io::Result<Share> {
        self.shares
            .pop()
            .ok_or_else(|| io::Error::other("there is nothing to serve"))
    }
}

/// What one worker is given, and shares with no other.
pub struct Share {
    /// Where to accept connections, and what to do with them.
    pub listening: Vec<Listening>,
    /// Where to receive datagrams, and what to answer them.
    pub answering: Vec<Answering>,
    /// What ends it all.
    pub signals: Signals,
    /// What asks for the access log's file to be reopened.
    pub hangups: Hangups,
    /// Where the access log goes.
    pub log: LogFile,
    /// Where to put up what can be seen, if somebody may want to.
    pub hub: Option<Arc<StatusHub>>,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, over all workers.
    pub max_connections: usize,
    /// Threads of the model `pool`, for each listener.
    pub threads: usize,
    /// Processes of the model `forking`.
    pub max_children: usize,
}

/// A listener and the service behind it.
pub struct Listening {
    /// Where to accept.
    pub listener: Listener,
    /// What makes the sessions.
    pub service: Arc<dyn Service>,
    /// What a connection passes before its session.
    pub admission: Admission,
    /// What is reserved for them.
    pub claim: Claim,
}

impl Listening {
    /// The session that begins with an accepted connection. `None` if there is none: the socket is to be dropped at once.
    fn admit(&self, peer: Option<IpAddr>, counters: &mut Counters) -> Option<Start> {
        contain_start(|| self.admission.admit(&self.service, peer, counters))
    }
}

/// A socket that takes datagrams and the service that answers them.
pub struct Answering {
    /// Where to receive, and to reply.
    pub socket: DatagramSocket,
    /// What makes the replies: it [answers datagrams](Service::datagrams).
    pub service: Arc<dyn Service>,
}

/// Permits for so many connections of the services behind these listeners, and the index of each one's service. All
/// listeners of a service share what is reserved for it.
fn permits(limit: usize, listening: &[Listening]) -> (Permits, Vec<usize>) {
    let mut services: Vec<&Listening> = Vec::new();
    let mut indices = Vec::new();
    for one in listening {
        let is_same = |known: &&Listening| Arc::ptr_eq(&known.service, &one.service);
        let known = services.iter().position(is_same);
        indices.push(known.unwrap_or(services.len()));
        if known.is_none() {
            services.push(one);
        }
    }
    let claims: Vec<_> = services.iter().map(|one| one.claim).collect();
    (Permits::new(limit, &claims), indices)
}

/// Runs a part of a conversation. A panic in there is a fault of its protocol: it ends this connection, and concerns no
/// other one. `None` after that; what the part had borrowed and did not give back is freed and not missed.
fn contain<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// Runs what comes before a conversation. A panic in there ends it before it has begun.
fn contain_start<T>(part: impl FnOnce() -> Option<T>) -> Option<T> {
    contain(part).unwrap_or_else(|| {
        throttled!(Error, "a session panicked before it had begun");
        None
    })
}

/// Says that a connection's protocol has panicked, and where it was. Nothing can be done for the peer any more.
fn give_up(connection: &mut Connection) {
    let state = contain(|| connection.state()).unwrap_or("in no state at all");
    throttled!(
        Error,
        "a session panicked: {state}; its connection is closed, and all others go on"
    );
    connection.abort();
}

/// Opens the access log's file anew, for SIGHUP has come. A log that is no file stays as it is.
fn reopen(log: &mut LogFile) {
    if log.reopen() {
        log::info!("the access log has been reopened");
    }
}

/// A worker for connections with these limits. Its sessions are traced, if anything is.
fn worker(time: Time, limits: &Timeouts, wakers: Option<Box<dyn Wakers>>) -> Worker {
    static TRACE: Trace = Trace {
        step: |from, to| trace::step(from, to),
        answered: || trace::answered(1),
    };
    Worker {
        limits: timeouts::limits(limits),
        wakers,
        trace: trace::is_on().then_some(&TRACE),
        ..Worker::new(time)
    }
}

/// Sends as much of `piece` as the kernel takes, at most `share` bytes of a file, and says how much that was. 0 means
/// that a file has become shorter than was promised.
///
/// # Errors
/// Those of send(2), and [`sys::SENDFILE_REFUSED`].
fn send(socket: impl AsFd, piece: &Piece<'_>, share: usize) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { bytes, then, more } => sys::send(socket, bytes, then, *more),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(share);
            sys::send_file(socket, file, *offset, count)
        }
    }
}

/// Reads as much of a stretch of a file as `buffer` holds, and says how much that was; 0 if the file ends before.
///
/// # Errors
/// Those of pread(2).
fn load(piece: &Piece<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { .. } => Ok(0),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let room = count.min(buffer.len());
            sys::read_at(file, &mut buffer[..room], *offset)
        }
    }
}
