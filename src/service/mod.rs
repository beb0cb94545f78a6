//! The protocols, each a [`Session`].
//!
//! This module sees neither the model that runs a session nor the poller beneath it. Adding a service is one file here
//! and one row in [`SERVICES`].

mod admission;
mod chat;
mod daytime;
mod echo;
pub mod http;
mod per_ip;
mod proxy_header;
mod status;

pub use admission::Admission;
pub use status::{diagram, service as status};

use crate::config::{Config, StartError};
use crate::session::{Session, Step, Time};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

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
    fn datagrams(&self) -> Option<&dyn Datagrams> {
        None
    }

    /// True if a session has something to say before its peer does.
    fn speaks_first(&self) -> bool {
        false
    }

    /// True if its conversations hear each other: then one service serves all loops, and a model in which they could
    /// not reach each other refuses it.
    fn is_shared(&self) -> bool {
        false
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
    fn directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// False while it can serve nobody, such as files of a directory that is gone. The status then tells balancers so.
    fn is_ready(&self, _time: &Time) -> bool {
        true
    }

    /// The steps that its sessions can take from one state to another, beside that any state can end.
    fn steps(&self) -> &'static [Step] {
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
pub trait Datagrams: Send + Sync {
    /// Puts the reply to a datagram into `reply`, which is empty. False if the protocol has no reply to it; an empty reply
    /// is one too.
    ///
    /// Senders' addresses can be forged, so a reply that is longer than both its datagram and [`SHORT_REPLY`] is not
    /// sent: it would make one byte of an attacker's into several bytes at somebody else's door.
    fn answer(&self, datagram: &[u8], time: &Time, reply: &mut Vec<u8>) -> bool;
}

/// A reply of so many bytes may always be sent; daytime's has 31. With its headers it is less than twice the smallest
/// frame in which any datagram crosses an Ethernet (64 bytes), so an attacker wins little by having it sent.
pub const SHORT_REPLY: usize = 64;

/// A service that can be chosen with `--mode`: what it is, for --help, the tables in the documentation, and tests.
pub struct ServiceRow {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// The port of 127.0.0.1 at which it listens by default.
    pub port: u16,
    /// What a client hears over a connection, as an example.
    pub connection: Example,
    /// What a client hears to a datagram, as an example; `None` if the service needs a connection. Agrees with
    /// [`Service::datagrams`].
    pub datagram: Option<Example>,
    /// Makes it ready to serve.
    pub start: fn(&Config) -> Result<Arc<dyn Service>, StartError>,
}

/// What a client says to a service, and what it hears.
pub struct Example {
    /// What the client sends: then it ends its side of a connection, or this is the datagram.
    pub request: &'static str,
    /// What comes back.
    pub reply: Reply,
}

/// What comes back to an [`Example`].
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// Text with this beginning and this end, and then the end of the connection. A datagram is one such text.
    Text(&'static str, &'static str),
    /// Text with this beginning, and no end: the client closes the connection.
    Endless(&'static str),
    /// Nothing: the connection ends when the client has ended its side; a datagram has no reply.
    Nothing,
}

/// All services.
pub const SERVICES: &[ServiceRow] = &[
    ServiceRow {
        name: "http",
        about: "Static files of ROOT over HTTP/1.1",
        port: 8080,
        connection: Example {
            request: "GET /index.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            reply: Reply::Text("HTTP/1.1 200 OK\r\n", "</html>\n"),
        },
        datagram: None,
        start: http::start,
    },
    ServiceRow {
        name: "echo",
        about: "Every byte back to its sender (RFC 862)",
        port: 7007,
        connection: Example {
            request: "there and back",
            reply: Reply::Text("there and", " back"),
        },
        datagram: Some(Example {
            request: "there and back",
            reply: Reply::Text("there and", " back"),
        }),
        start: echo::start,
    },
    ServiceRow {
        name: "daytime",
        about: "The date and the time, then the end (RFC 867)",
        port: 7013,
        connection: Example {
            request: "",
            reply: Reply::Text("", " GMT\r\n"),
        },
        datagram: Some(Example {
            request: "",
            reply: Reply::Text("", " GMT\r\n"),
        }),
        start: daytime::start,
    },
    ServiceRow {
        name: "chat",
        about: "Each line to all others who are there",
        port: 7531,
        connection: Example {
            request: "/quit\n",
            reply: Reply::Text("* you are guest1; ", "* good bye\r\n"),
        },
        datagram: None,
        start: chat::start,
    },
];

/// The row of that name.
pub fn find(name: &str) -> Option<&'static ServiceRow> {
    SERVICES.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_services_do() {
        for row in SERVICES {
            let service = (row.start)(&Config::default()).expect(row.name);
            assert_eq!(service.name(), row.name);
            let answers = service.datagrams().is_some();
            assert_eq!(answers, row.datagram.is_some(), "{}", row.name);
        }
    }
}
