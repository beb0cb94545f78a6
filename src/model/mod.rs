//! The I/O models: how a server waits for many connections.
//!
//! A model runs connections by performing the actions that
//! [`Connection::next`](crate::session::Connection::next) returns. It knows neither the protocols
//! nor their files. To add a model, write one file here, or in [`poller`], and add one row to
//! [`MODELS`].
//!
//! [`ClientLoop`] and [`ClientThread`] run the other side of connections, for clients.

mod acceptor;
mod acting;
mod blocking;
mod client;
mod clock;
mod connection_control;
mod connections;
mod event_loop;
mod forking;
mod listeners;
mod logs;
mod panics;
mod permits;
mod pool;
mod process;
mod responder;
mod runner;
mod setup;
mod shutdown;
mod signals;
mod status;
mod thread_group;
mod threaded;
mod timed_socket;
mod timer_queue;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
mod wake_queue;
mod worker;

pub use acceptor::{Acceptor, ServeConnection};
pub use client::{ClientLoop, ClientThread};
pub use event_loop::MAX_PIPES;
pub use permits::ReservedPermits;
pub use process::{cancel_alarm, limit_shutdown, without_forks};
pub use setup::{DatagramEndpoint, Limits, ServerSetup, StreamEndpoint, WorkerParts};
pub use signals::{HangupSignals, SignalSender, Signals};
pub use transfer::{load, load_now, send};
pub use wake_queue::WakeQueue;

use crate::config::{self, Accept};
use crate::poller::{self, Poller};
use crate::service::Sharing;
use crate::session::Counters;
use crate::uring::Ring;
use logs::{LOG_RETRY_INTERVAL, reopen_log};
use panics::{abort_after_panic, catch_panic, catch_start_panic};
use std::io;
use worker::{ending, new_worker, update_trace};

/// A row of [`MODELS`]: a model for `--model`.
pub struct ModelRow {
    /// Its name.
    pub name: &'static str,
    /// How it waits, in a sentence for --help.
    pub about: &'static str,
    /// The options that only some models have, and this one does.
    pub options: &'static [&'static str],
    /// What runs its connections.
    pub executor: Executor,
    /// The option that limits how many connections it serves at a time. `None`: it serves one after
    /// the other.
    pub limit_option: Option<&'static str>,
    /// The system call in which it waits for connections, as it is named in traces.
    pub wait_call: &'static str,
    /// The properties of its poller, if it has one.
    pub poller: Option<poller::Properties>,
    /// Why its connections cannot send each other messages; `None` if they can. A service that
    /// needs this is refused.
    pub isolated_because: Option<&'static str>,
    /// Why it does not serve endless streams; `None` if it does. An endless stream then ends after
    /// its first event.
    pub no_streams_because: Option<&'static str>,
    /// Checks that the kernel has what it needs, before anything else is done. Its error is a
    /// sentence for the user about the cause, and what to do.
    pub check: fn(&config::Uring) -> Result<(), String>,
    /// Serves until a signal comes. Returns the counters.
    pub run: fn(ServerSetup) -> io::Result<Counters>,
}

/// What runs connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A thread that waits for all its connections at once. A silent connection delays no other. So
    /// the kernel may hold it back until its first bytes arrive: see
    /// [`Listener::defer_accept`](crate::net::Listener::defer_accept). Threads and processes do not
    /// use this, since they show what a silent connection costs.
    Loop,
    /// A thread that waits for one connection.
    Thread,
    /// A process for each connection.
    Process,
    /// A task of a runtime for each connection. A thread waits for many of them at once.
    Task,
}

impl ModelRow {
    /// A model that is an event loop over poller `P`.
    const fn of_loop<P: Poller + 'static>(name: &'static str, about: &'static str) -> ModelRow {
        ModelRow {
            name,
            about,
            options: &["max-connections", "workers", "accept"],
            executor: Executor::Loop,
            limit_option: Some("max-connections"),
            wait_call: P::CALL.name(),
            poller: Some(poller::Properties::of::<P>()),
            isolated_because: None,
            no_streams_because: None,
            check: NOTHING,
            run: event_loop::run_readiness::<P>,
        }
    }

    /// A model that is a runtime with a task for each connection.
    #[cfg(feature = "tokio")]
    const fn of_tasks(
        name: &'static str,
        about: &'static str,
        run: fn(ServerSetup) -> io::Result<Counters>,
    ) -> ModelRow {
        ModelRow {
            about,
            executor: Executor::Task,
            wait_call: tokio::WAIT_CALL,
            ..ModelRow::of_threads(name, run)
        }
    }

    /// A custom model with a thread for each connection: see [`Acceptor`].
    pub const fn of_threads(
        name: &'static str,
        run: fn(ServerSetup) -> io::Result<Counters>,
    ) -> ModelRow {
        ModelRow {
            name,
            about: "A custom model",
            options: &["max-connections"],
            executor: Executor::Thread,
            limit_option: Some("max-connections"),
            wait_call: "poll",
            poller: None,
            isolated_because: None,
            no_streams_because: None,
            check: NOTHING,
            run,
        }
    }

    /// True if a connection that waits occupies neither a thread nor a process.
    pub fn waits_for_many(&self) -> bool {
        matches!(self.executor, Executor::Loop | Executor::Task)
    }

    /// True if it is an event loop.
    pub fn is_loop(&self) -> bool {
        self.executor == Executor::Loop
    }

    /// Why it cannot serve a service whose connections share this, if so.
    pub fn cannot_share(&self, sharing: Sharing) -> Option<&'static str> {
        match sharing {
            Sharing::Memory if self.executor != Executor::Process => None,
            Sharing::Memory | Sharing::Messages => self.isolated_because,
            Sharing::Nothing => None,
        }
    }

    /// Checks that its loops can share connections so.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn check_accept(&self, accept: Accept) -> Result<(), String> {
        let can = |poller: poller::Properties| poller.can_watch_exclusively;
        if accept != Accept::Exclusive || self.poller.is_some_and(can) {
            return Ok(());
        }
        let able = MODELS.iter().filter(|row| row.poller.is_some_and(can));
        let able: Vec<_> = able.map(|row| row.name).collect();
        Err(format!(
            "--accept exclusive needs EPOLLEXCLUSIVE, which --model {} does not use; it is for {}",
            self.name,
            able.join(", ")
        ))
    }

    /// True if it serves one connection after the other.
    pub fn serves_one_at_a_time(&self) -> bool {
        self.limit_option.is_none()
    }
}

/// Every kernel has what these models need.
const NOTHING: fn(&config::Uring) -> Result<(), String> = |_| Ok(());

const ONE_AT_A_TIME: &str = "it serves one connection at a time";
const OWN_PROCESS: &str = "each connection has its own process, and processes share no memory";
const OWN_THREAD: &str =
    "each thread serves one connection at a time, and an endless stream would occupy it";

/// All models.
pub const MODELS: &[ModelRow] = &[
    ModelRow {
        name: "blocking",
        about: "One connection at a time; all others wait",
        options: &[],
        executor: Executor::Thread,
        limit_option: None,
        wait_call: "accept4",
        poller: None,
        isolated_because: Some(ONE_AT_A_TIME),
        no_streams_because: Some(ONE_AT_A_TIME),
        check: NOTHING,
        run: |setup| pool::serve(setup, 1, true),
    },
    ModelRow {
        name: "forking",
        about: "A process for each connection",
        options: &["max-children"],
        executor: Executor::Process,
        limit_option: Some("max-children"),
        wait_call: "poll",
        poller: None,
        isolated_because: Some(OWN_PROCESS),
        no_streams_because: Some(OWN_PROCESS),
        check: NOTHING,
        run: forking::run,
    },
    ModelRow {
        name: "threaded",
        about: "A thread for each connection",
        options: &["max-connections"],
        executor: Executor::Thread,
        limit_option: Some("max-connections"),
        wait_call: "accept4",
        poller: None,
        isolated_because: None,
        no_streams_because: None,
        check: NOTHING,
        run: threaded::run,
    },
    ModelRow {
        name: "pool",
        about: "A fixed number of threads, each with one connection at a time",
        options: &["threads"],
        executor: Executor::Thread,
        limit_option: Some("threads"),
        wait_call: "accept4",
        poller: None,
        isolated_because: None,
        no_streams_because: Some(OWN_THREAD),
        check: NOTHING,
        run: pool::run,
    },
    ModelRow::of_loop::<poller::Select>(
        "select",
        "One event loop over select(2): checks every connection in each turn; at most 1,024 descriptors",
    ),
    ModelRow::of_loop::<poller::Poll>(
        "poll",
        "One event loop over poll(2): checks every connection in each turn",
    ),
    ModelRow {
        options: &["max-connections", "workers", "accept", "trigger"],
        poller: Some(poller::Properties {
            // By one of its pollers.
            can_watch_exclusively: true,
            ..poller::Properties::of::<poller::Epoll>()
        }),
        run: event_loop::run_epoll,
        ..ModelRow::of_loop::<poller::Epoll>(
            "epoll",
            "One event loop over epoll(7): notified of changes only, so idle connections cost no time",
        )
    },
    ModelRow {
        options: &[
            "max-connections",
            "workers",
            "accept",
            "uring",
            "uring-file",
            "uring-send",
            "uring-fds",
            "uring-sqpoll",
        ],
        check: event_loop::check_uring,
        run: event_loop::run_uring,
        ..ModelRow::of_loop::<Ring>(
            "io-uring",
            "One event loop over io_uring(7): the kernel receives and sends, and reports the results",
        )
    },
    #[cfg(feature = "tokio")]
    ModelRow::of_tasks(
        "tokio",
        "A task for each connection, on one thread of the runtime tokio",
        tokio::run_on_one_thread,
    ),
    #[cfg(feature = "tokio")]
    ModelRow::of_tasks(
        "tokio-multi",
        "A task for each connection, on as many threads of the runtime tokio as there are processors",
        tokio::run_on_threads,
    ),
];

/// The models that only a build with the feature `tokio` has, if this one does not.
pub const LEFT_OUT: &[&str] = match cfg!(feature = "tokio") {
    true => &[],
    false => &["tokio", "tokio-multi"],
};

/// Finds a row by its name.
///
/// # Errors
/// A sentence for the user: no such model, or this build has left it out.
pub fn choose(name: &str) -> Result<&'static ModelRow, String> {
    find(name).ok_or_else(|| match LEFT_OUT.contains(&name) {
        true => format!(
            "this evserve was built without --model {name}: build it with \
             `cargo build --release --features tokio`"
        ),
        false => format!("there is no model `{name}`"),
    })
}

/// Finds a row by its name.
pub fn find(name: &str) -> Option<&'static ModelRow> {
    MODELS.iter().find(|row| row.name == name)
}
