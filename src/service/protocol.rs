//! What a service is to a server that runs it.

use crate::session::{Session, Time, Transition};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What the connections of a service share, from least to most. Each model asks for less than the next one here:
///
/// | model | serves services that share at most |
/// | --- | --- |
/// | `forking` | [`Nothing`](Sharing::Nothing): each connection has a process of its own |
/// | `blocking` | [`Memory`](Sharing::Memory): there is only one connection at a time |
/// | all others | [`Messages`](Sharing::Messages) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// No connection changes what another one reads. The server makes one service for each loop of `--workers`.
    Nothing,
    /// Connections change memory that others read, such as a counter. Under `forking` each process would change its own
    /// copy. One service serves all loops, and must not have a [`notifier`](Service::notifier) if there are several.
    Memory,
    /// Connections also send to each other: one wakes another by its [`Waker`](std::task::Waker). Under `blocking` the
    /// others would not run.
    Messages,
}

/// Makes the sessions of one service; shared by all threads that serve it.
pub trait Service: Send + Sync {
    /// A session for a peer that has just connected, with its address if it has one.
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session>;

    /// A session for a peer that has too many connections already: it says so, and that is all. `None` for a protocol
    /// that has no word for it: the connection is closed at once.
    fn turn_away(&self, _peer: IpAddr) -> Option<Box<dyn Session>> {
        None
    }

    /// What answers datagrams, for a protocol that can do without a connection.
    fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
        None
    }

    /// True if a session has something to say before its peer does.
    fn speaks_first(&self) -> bool {
        false
    }

    /// What its connections share. A server does not start where the model cannot provide it: see [`Sharing`].
    ///
    /// The default is the safe one: it refuses `forking`. Return [`Sharing::Nothing`] if no connection changes what
    /// another one reads.
    fn sharing(&self) -> Sharing {
        Sharing::Memory
    }

    /// What becomes readable when something that the service remembers may no longer be true. A model that asks for it
    /// promises to call [`notified`](Service::notified) then, before any of the sessions; the others look by
    /// themselves.
    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The notifier has become readable. Does not wait.
    fn notified(&self) {}

    /// The directories below which it opens files while it serves, by their absolute names: with what may take their
    /// places, all that a process which [confines](crate::server::Server::confine) itself can still read.
    fn served_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// False while it can serve nobody, such as files of a directory that is gone. The status then tells balancers so.
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }

    /// The steps that its sessions can take from one state to another, beside that any state can end.
    fn transitions(&self) -> &'static [Transition] {
        &[]
    }

    /// What it is called, in a word for the log.
    fn name(&self) -> &str;

    /// What is served, in a few words for the log.
    fn about(&self) -> String {
        "a protocol of its own".into()
    }

    /// The scheme of a URL to it, for services that browsers and curl know.
    fn url_scheme(&self) -> Option<&'static str> {
        None
    }
}

/// A protocol in which each datagram is answered by itself, by one datagram at most; shared by all threads that serve
/// it.
pub trait DatagramHandler: Send + Sync {
    /// Puts the reply to a datagram into `reply`, which is empty. False if the protocol has no reply to it; an empty reply
    /// is one too.
    ///
    /// Senders' addresses can be forged, so a reply that is longer than both its datagram and [`SHORT_REPLY`] is not
    /// sent: it would make one byte of an attacker's into several bytes at somebody else's door.
    fn reply(&self, datagram: &[u8], time: &Time, reply: &mut Vec<u8>) -> bool;
}

/// A reply of so many bytes may always be sent; daytime's has 31. With its headers it is less than twice the smallest
/// frame in which any datagram crosses an Ethernet (64 bytes), so an attacker wins little by having it sent.
pub const SHORT_REPLY: usize = 64;
