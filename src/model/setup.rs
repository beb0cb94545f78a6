//! What a model is given: where to listen, what to serve there, how much of it at once, and for how long.

use super::panics::catch_start_panic;
use super::permits::Quota;
use super::signals::{HangupSignals, Signals};
use crate::config::Timeouts;
use crate::net::{DatagramSocket, Listener};
use crate::observe::{LogFile, StatusHub};
use crate::service::{Admission, Service};
use crate::session::{Counters, NewSession};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// All that a model is given.
pub struct ServerSetup {
    /// What each worker serves: one entry per loop that `--workers` asks for, else one entry.
    pub workers: Vec<WorkerParts>,
    /// How much there may be at once.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl ServerSetup {
    /// The one share there is for a model that has no workers.
    pub(super) fn only_worker(&mut self) -> io::Result<WorkerParts> {
        self.workers
            .pop()
            .ok_or_else(|| io::Error::other("there is nothing to serve"))
    }
}

/// What one worker is given, and shares with no other.
pub struct WorkerParts {
    /// Where to accept connections, and what to do with them.
    pub stream_endpoints: Vec<StreamEndpoint>,
    /// Where to receive datagrams, and what to answer them.
    pub datagram_endpoints: Vec<DatagramEndpoint>,
    /// What ends it all.
    pub signals: Signals,
    /// What asks for the access log's file to be reopened.
    pub hangups: HangupSignals,
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
pub struct StreamEndpoint {
    /// Where to accept.
    pub listener: Listener,
    /// What makes the sessions.
    pub service: Arc<dyn Service>,
    /// What a connection passes before its session.
    pub admission: Admission,
    /// What is reserved for them.
    pub quota: Quota,
}

impl StreamEndpoint {
    /// The session that begins with an accepted connection. `None` if there is none: the socket is to be dropped at once.
    pub(super) fn admit(
        &self,
        peer: Option<IpAddr>,
        counters: &mut Counters,
    ) -> Option<NewSession> {
        catch_start_panic(|| self.admission.admit(&self.service, peer, counters))
    }
}

/// A socket that takes datagrams and the service that answers them.
pub struct DatagramEndpoint {
    /// Where to receive, and to reply.
    pub socket: DatagramSocket,
    /// What makes the replies: it [answers datagrams](Service::datagrams).
    pub service: Arc<dyn Service>,
}
