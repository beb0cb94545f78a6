//! What the server is told to do: checked once, read-only from then on.

use crate::net::Address;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that http serves.
    pub root: PathBuf,
    /// How http serves it.
    pub http: HttpConfig,
    /// Which service is to listen where.
    pub listen: Vec<ServiceAddress>,
    /// Where the server can be seen at work, if anywhere.
    pub status: Option<Address>,
    /// Who may connect to sockets in the file system: their files' permissions.
    pub unix_mode: u32,
    /// The name of a row of [`crate::model::MODELS`].
    pub model: String,
    /// Which lines the access log has.
    pub access_log: AccessLog,
    /// The file that it goes to; the standard output if there is none.
    pub access_log_file: Option<PathBuf>,
    /// How many connections there may be at once; as many as descriptors allow if it is not said.
    pub max_connections: Option<usize>,
    /// How many connections there may be from one IPv4 address or one /64 of IPv6; any number if it is not said.
    pub max_per_ip: Option<usize>,
    /// Every connection comes from one of these, which says whose it is in the PROXY protocol; `None` if none does.
    pub trusted_proxies: Option<TrustedProxies>,
    /// How many loops a readiness model runs, each on a thread of its own.
    pub workers: usize,
    /// How many threads the model `pool` has for each address.
    pub threads: usize,
    /// How many processes the model `forking` may have at once.
    pub max_children: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Default for Config {
    /// What an empty command line comes to, except that nothing listens yet.
    fn default() -> Config {
        Config {
            root: ".".into(),
            http: HttpConfig::default(),
            listen: Vec::new(),
            status: None,
            unix_mode: 0o660,
            model: "epoll".into(),
            access_log: AccessLog::Combined,
            access_log_file: None,
            max_connections: None,
            max_per_ip: None,
            trusted_proxies: None,
            workers: 1,
            threads: 64,
            max_children: 40,
            timeouts: Timeouts::default(),
        }
    }
}

/// How files are served over http.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The longest request head, in bytes, at most [`crate::http1::MAX_HEAD`].
    pub max_head: usize,
    /// The longest request body, in bytes. Bodies are read and dropped.
    pub max_body: u64,
    /// Fields to add to every answer: whole lines of a field section, at most [`MAX_HEADER_BYTES`] bytes.
    pub headers: String,
    /// The value of Server instead of the program's name, if it is to be another; at most [`MAX_HEADER_BYTES`] bytes with them.
    pub server: Option<String>,
    /// The value of Cache-Control for files.
    pub cache_control: Option<String>,
    /// What entity tags of files are made of.
    pub entity_tag: EntityTag,
    /// The names that stand for a directory of theirs, the first first.
    pub indexes: Vec<String>,
    /// Directories without an index are listed.
    pub listing: bool,
    /// The path of the file that is served where there is none.
    pub fallback: Option<String>,
    /// The paths of files that are served as bodies of answers with these status codes.
    pub error_pages: Vec<(u16, String)>,
    /// Names that begin with a dot are served like any other.
    pub hidden: bool,
    /// How much of files is kept in memory, in bytes, by each loop. The server sets it if this is `None`: to
    /// [`DEFAULT_MEMORY_BYTES`], or less where there is little memory.
    pub cache_bytes: Option<usize>,
    /// How many files are kept open.
    pub cache_files: usize,
    /// How much memory all listings may take together, in bytes, at least [`MIN_LISTING_BYTES`].
    pub listing_bytes: usize,
    /// How many files and directories each loop may watch for changes. The server sets it, to [`MAX_WATCHES`] at most.
    pub watches: usize,
    /// How many processes share that memory; the server sets it.
    pub listing_processes: usize,
}

/// The most bytes that `headers` and `cache_control` may add to an answer's head: with the longest location behind them
/// it must fit in one buffer.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

/// How much memory files take by default, for each loop, and listings take, in bytes.
pub const DEFAULT_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// The most watches of a loop: each keeps an inode, about a kilobyte, in the kernel's memory.
pub const MAX_WATCHES: usize = 4096;

/// Less memory for listings, in bytes, would do for hardly any directory.
pub const MIN_LISTING_BYTES: usize = 64 * 1024;

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            max_head: 16 * 1024,
            max_body: 1024 * 1024,
            headers: String::new(),
            server: None,
            cache_control: None,
            entity_tag: EntityTag::Full,
            indexes: vec!["index.html".into(), "index.htm".into()],
            listing: true,
            fallback: None,
            error_pages: Vec::new(),
            hidden: false,
            cache_bytes: None,
            cache_files: 1024,
            listing_bytes: DEFAULT_MEMORY_BYTES,
            listing_processes: 1,
            watches: MAX_WATCHES,
        }
    }
}

/// Proxies whose word on who their clients are is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// Those with an address in one of these networks.
    pub networks: Vec<IpNet>,
    /// Those that connect to a socket in the file system.
    pub unix: bool,
}

impl TrustedProxies {
    /// True if whoever connects from this address is one of them. Without an address it is somebody in the file system.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(peer) => {
                let peer = peer.to_canonical();
                let mut networks = self.networks.iter().map(canonical);
                networks.any(|network| network.contains(&peer))
            }
            None => self.unix,
        }
    }
}

/// The same network; one of IPv4 addresses that are written as addresses of IPv6 (RFC 4291 section 2.5.5.2) as one of
/// IPv4, which is how all peers' addresses are written.
fn canonical(network: &IpNet) -> IpNet {
    let IpAddr::V4(address) = network.network().to_canonical() else {
        return *network;
    };
    let mapped = network.prefix_len().checked_sub(MAPPED_PREFIX);
    let length = match network {
        IpNet::V4(network) => Some(network.prefix_len()),
        IpNet::V6(_) => mapped,
    };
    let network_v4 = length.and_then(|length| Ipv4Net::new(address, length).ok());
    network_v4.map_or(*network, IpNet::V4)
}

/// How many bits all IPv4 addresses have in common that are written as addresses of IPv6.
const MAPPED_PREFIX: u8 = 96;

/// What the process gives up before it serves.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Whom root becomes, once it listens.
    pub user: Option<String>,
    /// Whatever is not needed is closed off by the kernel.
    pub sandbox: Sandbox,
}

/// What Landlock lets the process read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Sandbox {
    /// What is served and what may take its place: the directory that holds the root's name, and those that its links
    /// lead to; like strict where one of these is /, a home or writable by everybody
    #[default]
    Follow,
    /// What is served, and not what takes its place: that needs a new start
    Strict,
    /// Whatever the user may: no Landlock
    Off,
}

/// A service and an address for it.
#[derive(Clone, Debug)]
pub struct ServiceAddress {
    /// The name of a row of [`crate::service::SERVICES`].
    pub service: String,
    /// Where to listen.
    pub address: Address,
}

/// What the entity tag of a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum EntityTag {
    /// Inode, length, and both times of change in nanoseconds: no two versions share a tag
    Full,
    /// Length and modification time, always weak: the same on all machines that have copies
    Mtime,
}

/// The form of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AccessLog {
    /// No access log.
    Off,
    /// The Common Log Format
    Common,
    /// The same with the fields Referer and User-Agent
    Combined,
    /// Combined, and how many microseconds the answer took behind it
    Timed,
    /// An object a line, with the time and whether the transfer was aborted
    Json,
}

impl AccessLog {
    /// True if its lines say how long an answer took, for which the clock must be read.
    pub fn has_duration(self) -> bool {
        matches!(self, AccessLog::Timed | AccessLog::Json)
    }
}

/// How long each kind of waiting may last.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a request head, from its first byte: a peer that dribbles must not hold a connection for ever.
    pub head: Duration,
    /// For any of a request's body to come.
    pub body: Duration,
    /// For the first or the next request on a connection of http; silence is part of echo.
    pub idle: Duration,
    /// For the peer to take any of what is sent to it.
    pub send: Duration,
    /// For a file system that is answered by another process or machine, such as FUSE, NFS or SMB, in a loop.
    pub files: Duration,
    /// For the peer to close its side after ours has been closed.
    pub linger: Duration,
    /// For whoever sends clients here to find out that the server is about to stop, once it is asked to.
    pub drain_delay: Duration,
    /// For what is under way when it stops.
    pub drain: Duration,
}

/// Ten years: more is for ever, and does not overflow a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Timeouts {
    /// The same, each no longer than can be added to any time.
    #[must_use]
    pub fn capped(self) -> Timeouts {
        Timeouts {
            head: self.head.min(LONGEST),
            body: self.body.min(LONGEST),
            idle: self.idle.min(LONGEST),
            send: self.send.min(LONGEST),
            files: self.files.min(LONGEST),
            linger: self.linger.min(LONGEST),
            drain_delay: self.drain_delay.min(LONGEST),
            drain: self.drain.min(LONGEST),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            send: Duration::from_secs(60),
            files: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(8),
        }
    }
}

/// Why the server did not start: a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_network_includes() {
        let cases = [
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("::ffff:127.0.0.1/128", "127.0.0.1", true),
            ("::ffff:127.0.0.1/128", "127.0.0.2", false),
            ("::ffff:10.0.0.0/104", "10.200.1.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:10.9.9.9/104", "10.200.1.1", true),
            ("::ffff:0:0/96", "192.0.2.1", true),
            ("::ffff:0:0/96", "::1", false),
            ("::1/128", "::1", true),
            ("2001:db8::/32", "2001:db8::7", true),
            ("2001:db8::/32", "192.0.2.1", false),
            ("::/0", "2001:db8::7", true),
            ("::/0", "192.0.2.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
        ];
        for (network, peer, expected) in cases {
            let trusted = TrustedProxies {
                networks: vec![network.parse().expect("a network")],
                unix: false,
            };
            let peer: IpAddr = peer.parse().expect("an address");
            assert_eq!(trusted.contains(Some(peer)), expected, "{network} {peer}");
        }
    }
}
