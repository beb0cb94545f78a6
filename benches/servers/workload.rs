//! The workloads: the requests, the number of connections, and the right response.

/// The served files, with their lengths.
pub const FILES: &[(&str, usize)] = &[
    ("1k.html", 1 << 10),
    ("16k.html", 16 << 10),
    ("100k.html", 100 << 10),
    ("10m.bin", 10 << 20),
    ("empty.html", 0),
];

/// One workload.
pub struct Workload {
    /// Its name for `--only`.
    pub name: &'static str,
    pub title: &'static str,
    /// The name of a file. It exists, except for [`Ask::Missing`].
    pub file: &'static str,
    pub ask: Ask,
    pub connections: usize,
    /// The number of requests sent at once on a connection.
    pub pipelined: usize,
    /// Over TLS.
    pub tls: bool,
}

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The whole file.
    Whole,
    /// The whole file, with `Connection: close`.
    Closing,
    /// A file that does not exist.
    Missing,
    /// A file that has not changed since the client last received it.
    Unchanged,
    /// The head alone.
    Head,
}

#[rustfmt::skip]
pub const WORKLOADS: &[Workload] = &[
    row("1k", "1 KiB, 64 connections", "1k.html", Ask::Whole, 64, 1),
    row("16k", "16 KiB, 64 connections", "16k.html", Ask::Whole, 64, 1),
    row("100k", "100 KiB, 64 connections", "100k.html", Ask::Whole, 64, 1),
    row("10m", "10 MiB, 8 connections", "10m.bin", Ask::Whole, 8, 1),
    row("close", "1 KiB, a connection each", "1k.html", Ask::Closing, 64, 1),
    row("pipelined", "1 KiB, 16 pipelined", "1k.html", Ask::Whole, 64, 16),
    row("404", "404, 64 connections", "missing.html", Ask::Missing, 64, 1),
    row("304", "304, 64 connections", "1k.html", Ask::Unchanged, 64, 1),
    // wrk would wait for the body that the length promises: it does not know HEAD. So the length is
    // 0.
    row("head", "HEAD, 64 connections", "empty.html", Ask::Head, 64, 1),
    row("single", "1 KiB, 1 connection", "1k.html", Ask::Whole, 1, 1),
    row("tls-1k", "TLS, 1 KiB, 64 connections", "1k.html", Ask::Whole, 64, 1).over_tls(),
    row("tls-100k", "TLS, 100 KiB, 64 connections", "100k.html", Ask::Whole, 64, 1).over_tls(),
    row("tls-10m", "TLS, 10 MiB, 8 connections", "10m.bin", Ask::Whole, 8, 1).over_tls(),
    row("tls-close", "TLS, 1 KiB, a connection each", "1k.html", Ask::Closing, 64, 1).over_tls(),
];

const fn row(
    name: &'static str,
    title: &'static str,
    file: &'static str,
    ask: Ask,
    connections: usize,
    pipelined: usize,
) -> Workload {
    Workload {
        name,
        title,
        file,
        ask,
        connections,
        pipelined,
        tls: false,
    }
}

impl Workload {
    const fn over_tls(mut self) -> Workload {
        self.tls = true;
        self
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    pub fn path(&self) -> String {
        format!("/{}", self.file)
    }

    pub fn method(&self) -> &'static str {
        if self.ask == Ask::Head { "HEAD" } else { "GET" }
    }

    /// The right status.
    pub fn status(&self) -> u16 {
        match self.ask {
            Ask::Whole | Ask::Closing | Ask::Head => 200,
            Ask::Missing => 404,
            Ask::Unchanged => 304,
        }
    }

    /// The length of the right body. Unknown for [`Ask::Missing`]: each server has its own text.
    pub fn body_bytes(&self) -> usize {
        let file = FILES.iter().find(|(name, _)| *name == self.file);
        match self.ask {
            Ask::Whole | Ask::Closing => file.map_or(0, |(_, length)| *length),
            Ask::Missing | Ask::Unchanged | Ask::Head => 0,
        }
    }

    /// Whether the bytes cost more than the request.
    pub fn is_large(&self) -> bool {
        self.body_bytes() >= 100 << 10
    }
}
