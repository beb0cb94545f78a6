//! The protocols, each a [`Session`](crate::session::Session).
//!
//! This module sees neither the model that runs a session nor the poller beneath it. Adding a service is one file here
//! and one row in [`SERVICES`].

mod admission;
mod chat;
mod daytime;
mod echo;
pub mod http;
mod per_ip;
mod protocol;
mod proxy_header;
mod status;

pub use admission::Admission;
pub use protocol::{DatagramHandler, SHORT_REPLY, Service, Sharing};
pub use status::{diagram, service as status};

use crate::config::{Config, StartError};
use std::sync::Arc;

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
    /// [`Service::datagram_handler`].
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
        about: "Files of ROOT over HTTP/1.1",
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
        about: "Sends every byte back (RFC 862)",
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
        about: "Sends the date and time, then closes (RFC 867)",
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
        about: "Passes each line on to everyone else connected",
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
            let answers = service.datagram_handler().is_some();
            assert_eq!(answers, row.datagram.is_some(), "{}", row.name);
        }
    }
}
