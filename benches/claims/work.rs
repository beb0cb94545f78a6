//! The sides of a claim: options of evserve, and the load.

use evserve_lab::load::Asks;

/// The served files, with their lengths.
pub const FILES: &[(&str, usize)] = &[
    ("1k.html", 1 << 10),
    ("4k.html", 4 << 10),
    ("16k.html", 16 << 10),
    ("64k.html", 64 << 10),
    ("10m.bin", 10 << 20),
];

/// The file of clients that are not the load generator's.
pub const SMALL: &str = "1k.html";

/// One side: a contestant of its claim.
pub struct Side {
    pub name: &'static str,
    /// The options of evserve.
    pub options: &'static str,
    pub work: Work,
}

/// The load.
#[derive(Clone, Copy)]
pub enum Work {
    /// This many clients, each of which sends its next request as soon as it has a response.
    Busy { ask: Ask, clients: usize },
    /// The same beside many idle connections.
    BesideIdle { ask: Ask, clients: usize },
    /// Many clients, each with a request a second.
    Crowd { ask: Ask },
    /// Clients of a server that stops for a moment: at this many requests per second, or each as
    /// soon as it has a response.
    Paused {
        ask: Ask,
        clients: usize,
        rate: Option<f64>,
    },
    /// One client that sends each request in two parts.
    TwoWrites { nodelay: bool },
    /// Clients one after the other, each with a connection and a request of its own.
    OneByOne { connections: usize },
}

/// The request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A message of so many bytes, which comes back.
    Echo(usize),
    /// A file of [`FILES`].
    File(&'static str),
}

impl Ask {
    /// What the load generator asks.
    pub fn orders(self) -> Asks {
        match self {
            Ask::Echo(bytes) => Asks::Echo { bytes },
            Ask::File(name) => Asks::Http {
                path: format!("/{name}"),
                bytes: length(name),
                close: false,
                pipelined: 1,
            },
        }
    }

    /// The mode of the server.
    pub fn mode(self) -> &'static str {
        match self {
            Ask::Echo(_) => "echo",
            Ask::File(_) => "http",
        }
    }
}

pub fn length(file: &str) -> usize {
    let found = FILES.iter().find(|(name, _)| *name == file);
    found.expect("a file of the table").1
}

impl Work {
    pub fn ask(self) -> Ask {
        match self {
            Work::Busy { ask, .. }
            | Work::BesideIdle { ask, .. }
            | Work::Crowd { ask }
            | Work::Paused { ask, .. } => ask,
            Work::TwoWrites { .. } | Work::OneByOne { .. } => Ask::File(SMALL),
        }
    }

    /// Whether it takes many connections, and so much time.
    pub fn is_crowd(self) -> bool {
        matches!(self, Work::BesideIdle { .. } | Work::Crowd { .. })
    }
}
