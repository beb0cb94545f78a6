//! The traits that a protocol implements to become a service.

use crate::session::{Session, Time, Transition};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What the connections of a service share, from least to most. The model limits it:
///
/// | model | serves services that share at most |
/// | --- | --- |
/// | `forking` | [`Nothing`](Sharing::Nothing): each connection has a process of its own |
/// | `blocking` | [`Memory`](Sharing::Memory): there is only one connection at a time |
/// | all others | [`Messages`](Sharing::Messages) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// No connection changes what another one reads. The server makes one service for each loop of
    /// `--workers`.
    Nothing,
    /// Connections change memory that others read, such as a counter. Under `forking` each process
    /// would change its own copy. One service serves all loops, and must not have a
    /// [`notifier`](Service::notifier) if there are several.
    Memory,
    /// Connections also send to each other: one wakes another by its [`Waker`](std::task::Waker).
    /// Under `blocking` the others would not run.
    Messages,
}

/// Creates the sessions of one protocol. All threads that serve the protocol share it.
pub trait Service: Send + Sync {
    /// Creates the session for a new connection. `peer` is the client's address, if it has one.
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session>;

    /// Creates a session that refuses a client with too many connections, in the words of the
    /// protocol. `None` if the protocol has none: the connection is then closed at once.
    fn turn_away(&self, _peer: IpAddr) -> Option<Box<dyn Session>> {
        None
    }

    /// Replies to datagrams, for a protocol that needs no connection.
    fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
        None
    }

    /// True if the server speaks first: a session may send before it has received anything.
    fn speaks_first(&self) -> bool {
        false
    }

    /// What its connections share. A server does not start where the model cannot provide it: see
    /// [`Sharing`].
    ///
    /// The default is the safe one: it refuses `forking`. Return [`Sharing::Nothing`] if no
    /// connection changes what another one reads.
    fn sharing(&self) -> Sharing {
        Sharing::Memory
    }

    /// A descriptor that becomes readable when cached data may be out of date. A model that calls
    /// this must call [`notified`](Service::notified) when that happens, before it lets any session
    /// act. Under other models the service checks its cache itself.
    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Called when the notifier has become readable. Does not wait.
    fn notified(&self) {}

    /// The absolute paths of the directories whose files it opens while it serves. A process that
    /// [confines](crate::server::Server::confine) itself can read only these and what may replace
    /// them.
    fn served_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// False while it cannot serve, for example because its directory is gone. `/healthz` then
    /// returns 503.
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }

    /// The state transitions of its sessions. Leave out that every state can end: a client may
    /// disconnect at any time.
    fn transitions(&self) -> &'static [Transition] {
        &[]
    }

    /// A one-word name for the log.
    fn name(&self) -> &str;

    /// What is served, in a few words for the log.
    fn about(&self) -> String {
        "a custom protocol".into()
    }

    /// The scheme of its URL, if browsers and curl know the protocol.
    fn url_scheme(&self) -> Option<&'static str> {
        None
    }
}

/// Replies to datagrams one by one, each with at most one datagram. All threads that serve the
/// protocol share it.
pub trait DatagramHandler: Send + Sync {
    /// Writes the reply to `datagram` into `reply`, which is empty on entry. Returns false for no
    /// reply; true with an empty `reply` sends an empty datagram.
    ///
    /// The sender's address may be forged. So a reply longer than both its datagram and
    /// [`SHORT_REPLY`] is not sent: an attacker could use the server to send a victim more bytes
    /// than it sends itself.
    fn reply(&self, datagram: &[u8], time: &Time, reply: &mut Vec<u8>) -> bool;
}

/// The length in bytes up to which a reply is always sent; daytime's has 31. With its headers such
/// a reply is less than twice the smallest Ethernet frame (64 bytes), so an attacker gains little
/// from it.
pub const SHORT_REPLY: usize = 64;
