//! The protocols, each implemented as a [`Session`](crate::session::Session).
//!
//! This module knows neither the model that runs a session nor the poller beneath it. A new service
//! is one file here and one row in [`SERVICES`].

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
pub use status::{diagram, metric_rows, service as status};

use crate::config::{Config, StartError};
use std::sync::Arc;

/// A service that `--mode` can choose. The rows drive --help, the tables in the documentation, and
/// the tests.
pub struct ServiceRow {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The default port, on 127.0.0.1.
    pub port: u16,
    /// An example of an exchange over a connection.
    pub connection: Example,
    /// An example of an exchange by datagrams; `None` if the service needs a connection. Must agree
    /// with [`Service::datagram_handler`].
    pub datagram: Option<Example>,
    /// Creates the service.
    pub start: fn(&Config) -> Result<Arc<dyn Service>, StartError>,
}

/// What a client sends to a service, and what it receives.
pub struct Example {
    /// The bytes of the connection, after which the client shuts down its side, or the one
    /// datagram.
    pub request: &'static str,
    /// The service's reply.
    pub reply: Reply,
}

/// The reply in an [`Example`].
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// Text with this beginning and this end; then the connection ends. As a datagram, one such
    /// text.
    Text(&'static str, &'static str),
    /// Text with this beginning that does not end: the client closes the connection.
    Endless(&'static str),
    /// Nothing: the connection ends after the client has shut down its side, or the datagram has no
    /// reply.
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
            reply: Reply::Text("* you are guest1; ", "* goodbye\r\n"),
        },
        datagram: None,
        start: chat::start,
    },
];

/// Finds the row of a service by its name.
pub fn find(name: &str) -> Option<&'static ServiceRow> {
    SERVICES.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_agree_with_services() {
        for row in SERVICES {
            let service = (row.start)(&Config::default()).expect(row.name);
            assert_eq!(service.name(), row.name);
            let answers = service.datagram_handler().is_some();
            assert_eq!(answers, row.datagram.is_some(), "{}", row.name);
        }
    }
}
