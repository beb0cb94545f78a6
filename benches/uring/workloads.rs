//! The workloads: what the clients ask, and how many there are.

use evserve_lab::load::Asks;

/// The served files, with their lengths.
pub const FILES: &[(&str, usize)] = &[
    ("1k.html", 1 << 10),
    ("16k.html", 16 << 10),
    ("10m.bin", 10 << 20),
];

/// One workload. Each client sends its next request as soon as it has a response.
pub struct Workload {
    /// Its name for `--only`.
    pub name: &'static str,
    pub title: &'static str,
    asks: What,
    pub clients: usize,
    /// How many requests are sent at once.
    pub pipelined: usize,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// An index into [`FILES`].
    File(usize),
    /// The same with `Connection: close`.
    Closing(usize),
    /// A message of so many bytes, which comes back.
    Echo(usize),
}

#[rustfmt::skip]
pub const WORKLOADS: &[Workload] = &[
    row("1k-1", "1 KiB, 1 connection", What::File(0), 1, 1),
    row("1k-64", "1 KiB, 64 connections", What::File(0), 64, 1),
    row("1k-1000", "1 KiB, 1,000 connections", What::File(0), 1000, 1),
    row("16k", "16 KiB, 64 connections", What::File(1), 64, 1),
    row("pipelined", "1 KiB, 16 pipelined, 64 connections", What::File(0), 64, 16),
    row("close", "1 KiB, a connection each, 64 at once", What::Closing(0), 64, 1),
    row("echo", "echo of 64 bytes, 64 connections", What::Echo(64), 64, 1),
    row("10m", "10 MiB, 8 connections", What::File(2), 8, 1),
];

const fn row(
    name: &'static str,
    title: &'static str,
    asks: What,
    clients: usize,
    pipelined: usize,
) -> Workload {
    Workload {
        name,
        title,
        asks,
        clients,
        pipelined,
    }
}

impl Workload {
    /// What the load generator asks.
    pub fn asks(&self) -> Asks {
        match self.asks {
            What::Echo(bytes) => Asks::Echo { bytes },
            What::File(index) | What::Closing(index) => {
                let (name, bytes) = FILES[index];
                Asks::Http {
                    path: format!("/{name}"),
                    bytes,
                    close: self.asks == What::Closing(index),
                    pipelined: self.pipelined,
                }
            }
        }
    }

    /// The mode of the server.
    pub fn mode(&self) -> &'static str {
        match self.asks {
            What::Echo(_) => "echo",
            What::File(_) | What::Closing(_) => "http",
        }
    }

    /// Whether it is a file that is too large to be sent from memory. Its cost is that of a MiB.
    pub fn is_file(&self) -> bool {
        matches!(self.asks, What::File(index) if FILES[index].1 > 1 << 20)
    }
}
