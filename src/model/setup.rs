//! What a model gets from the server: listeners, services, limits and timeouts.

use super::panics::catch_start_panic;
use super::permits::ReservedPermits;
use super::signals::{HangupSignals, Signals};
use crate::config::{Accept, Timeouts, Trigger, Uring};
use crate::net::{DatagramSocket, Listener};
use crate::observe::{LogFile, StatusHub};
use crate::service::{Admission, Service};
use crate::session::{Counters, NewSession};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// Everything that a model gets.
pub struct ServerSetup {
    /// One entry per loop that `--workers` asks for; otherwise one entry.
    pub workers: Vec<WorkerParts>,
    /// The limits on connections, threads and processes.
    pub limits: Limits,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// How the loops of several workers share connections.
    pub accept: Accept,
    /// What each loop has done, in their order, once they have ended. Empty for other models.
    pub by_loop: Arc<Mutex<Vec<Counters>>>,
    /// How the model epoll is told of events.
    pub trigger: Trigger,
    /// How the model io-uring uses its ring.
    pub uring: Uring,
}

impl ServerSetup {
    /// Returns the only entry, for a model without workers.
    pub(super) fn only_worker(&mut self) -> io::Result<WorkerParts> {
        self.workers
            .pop()
            .ok_or_else(|| io::Error::other("there is nothing to serve"))
    }
}

/// What one worker gets for itself.
pub struct WorkerParts {
    /// Where to accept connections, and the services behind them.
    pub stream_endpoints: Vec<StreamEndpoint>,
    /// Where to receive datagrams, and the services behind them.
    pub datagram_endpoints: Vec<DatagramEndpoint>,
    /// SIGINT and SIGTERM.
    pub signals: Signals,
    /// SIGHUP.
    pub hangups: HangupSignals,
    /// The access log.
    pub log: LogFile,
    /// Where to publish the status. `None` without `--status`.
    pub hub: Option<Arc<StatusHub>>,
}

/// How many connections, threads and processes may exist at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, over all workers.
    pub max_connections: usize,
    /// Threads per listener, for the model `pool`.
    pub threads: usize,
    /// Child processes, for the model `forking`.
    pub max_children: usize,
}

/// A listener and the service behind it.
pub struct StreamEndpoint {
    /// Where to accept connections.
    pub listener: Listener,
    /// Creates the sessions.
    pub service: Arc<dyn Service>,
    /// Checks a connection before its session begins.
    pub admission: Admission,
    /// How many connections are reserved for the service.
    pub reserved_permits: ReservedPermits,
}

impl StreamEndpoint {
    /// Creates the session of an accepted connection. `None` means: drop the socket at once.
    pub(super) fn admit(
        &self,
        peer: Option<IpAddr>,
        counters: &mut Counters,
    ) -> Option<NewSession> {
        catch_start_panic(|| self.admission.admit(&self.service, peer, counters))
    }
}

/// A datagram socket and the service behind it.
pub struct DatagramEndpoint {
    /// Where to receive and reply.
    pub socket: DatagramSocket,
    /// Makes the replies: it [answers datagrams](Service::datagram_handler).
    pub service: Arc<dyn Service>,
}
