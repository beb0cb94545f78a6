//! The configuration: checked once at the start, read-only from then on.
//!
//! Each field says its unit. The `Default` implementations are the one place for defaults; --help
//! shows them too.

use crate::auth::{Access, Gate};
use crate::net::Address;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory or the single file that the mode `http` serves. Default: the current
    /// directory.
    pub root: PathBuf,
    /// How the mode `http` serves it.
    pub http: HttpConfig,
    /// The services, and an address for each to listen on. Default: none.
    pub listen: Vec<ServiceAddress>,
    /// The address of the status page, metrics and health check. Default: none.
    pub status: Option<Address>,
    /// The users who may see the status, except for the health check. Default: everybody.
    pub status_access: Access,
    /// The same, once it is read. The server sets it.
    pub status_gate: Option<Arc<Gate>>,
    /// Permissions of Unix sockets in the file system, which say who may connect. Default: 0660.
    pub unix_mode: u32,
    /// The I/O model: the name of a row of [`crate::model::MODELS`]. Default: `epoll`.
    pub model: String,
    /// The format of the access log. Default: combined.
    pub access_log: AccessLog,
    /// The file to append it to. `None`: standard output.
    pub access_log_file: Option<PathBuf>,
    /// The file to write a [recording](crate::recording) to. Default: none.
    pub record: Option<PathBuf>,
    /// The most events that a recording has. Default: 262,144, which take 8 MiB.
    pub record_events: usize,
    /// Maximum connections at once. `None`: as many as the limit of open files allows.
    pub max_connections: Option<usize>,
    /// Maximum connections per client address (per /64 for IPv6). `None`: no limit.
    pub max_per_ip: Option<usize>,
    /// The proxies to accept connections from. Each connection begins with a PROXY protocol header
    /// that names the client. `None`: clients connect directly.
    pub trusted_proxies: Option<TrustedProxies>,
    /// Event loops to run, each on its own thread; for `select`, `poll`, `epoll`. Default: 1.
    pub workers: usize,
    /// How they share the connections of an address. Default: [`Accept::Reuseport`].
    pub accept: Accept,
    /// Threads that serve each address; for `pool`. Default: 64.
    pub threads: usize,
    /// Maximum processes at once; for `forking`. Default: 40.
    pub max_children: usize,
    /// The longest waits.
    pub timeouts: Timeouts,
    /// How the model `epoll` is told of events. Default: [`Trigger::Edge`].
    pub trigger: Trigger,
    /// How the model `io-uring` uses its ring.
    pub uring: Uring,
    /// What the addresses of the mode `http` that are not encrypted do. Default: serve files.
    pub redirect: Redirect,
    /// The certificates of encrypted addresses. Default: none, so there can be no such address.
    pub certificates: Certificates,
}

impl Default for Config {
    /// The configuration of an empty command line, except that nothing listens yet.
    fn default() -> Config {
        Config {
            root: ".".into(),
            http: HttpConfig::default(),
            listen: Vec::new(),
            status: None,
            status_access: Access::default(),
            status_gate: None,
            unix_mode: 0o660,
            model: "epoll".into(),
            access_log: AccessLog::Combined,
            access_log_file: None,
            record: None,
            record_events: 1 << 18,
            max_connections: None,
            max_per_ip: None,
            trusted_proxies: None,
            workers: 1,
            accept: Accept::default(),
            threads: 64,
            max_children: 40,
            timeouts: Timeouts::default(),
            trigger: Trigger::default(),
            uring: Uring::default(),
            certificates: Certificates::default(),
            redirect: Redirect::default(),
        }
    }
}

/// What addresses of the mode `http` do that are not encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// Serve files.
    #[default]
    Off,
    /// Redirect to the port of the first encrypted address.
    ToEncrypted,
    /// Redirect to this port, which leads to an encrypted address.
    ToPort(u16),
}

/// The certificates of encrypted addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certificates {
    /// None.
    #[default]
    None,
    /// Those in files. A client gets the first one that has the name it asks for, or else the first
    /// one of all. At least one.
    Files(Vec<CertificateFiles>),
    /// One that the server makes itself, and keeps in its user's state directory.
    SelfSigned,
}

impl Certificates {
    /// The files that may be renewed, each once.
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = match self {
            Certificates::Files(pairs) => &pairs[..],
            Certificates::None | Certificates::SelfSigned => &[],
        };
        let files = pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        let mut files: Vec<_> = files.cloned().collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// A certificate and its key, in PEM (RFC 7468).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// How the mode `http` serves files.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The users who may read anything. Default: everybody.
    pub access: Access,
    /// The same, once it is read. The server sets it.
    pub gate: Option<Arc<Gate>>,
    /// Largest request head, in bytes; at most [`crate::http1::MAX_HEAD`]. Default: 16 KiB.
    pub max_head: usize,
    /// Largest request body, in bytes. Bodies are read and dropped. Default: 1 MiB.
    pub max_body: u64,
    /// Fields to add to every response: whole lines, each with its CRLF. Default: none.
    pub headers: String,
    /// The value of the field Server. `None`: the program's name.
    pub server: Option<String>,
    /// The values of the field Cache-Control of files, by their paths below the root. The first
    /// pattern that fits counts; where none does, there is no such field. Together with `headers`
    /// and `server` the longest may have [`MAX_HEADER_BYTES`] bytes. Default: none.
    pub cache_control: Vec<CacheRule>,
    /// Media types by file name extension, in lower case and without its dot. They come before the
    /// known ones. Default: none.
    pub media_types: Vec<(String, String)>,
    /// Let scripts on pages of other origins read what is served (CORS): those of this origin, or
    /// `*` for all. Default: none.
    pub cors: Option<String>,
    /// Isolate pages from other origins, as SharedArrayBuffer requires (COOP and COEP). Default:
    /// false.
    pub isolate: bool,
    /// Serve `about.html` as `/about`, and redirect to it from other URLs. Default: false.
    pub clean_urls: bool,
    /// Compress a text when the first client asks for it compressed, and keep the result in memory.
    /// Default: false.
    pub compress: bool,
    /// Send `FILE.br`, `FILE.zst` or `FILE.gz` in place of FILE to clients that accept it. Default:
    /// true.
    pub precompressed: bool,
    /// What the entity tag of a file is made of. Default: full.
    pub entity_tag: EntityTag,
    /// Names of the files to send for their directory, in order of preference. Default:
    /// `index.html`, `index.htm`.
    pub indexes: Vec<String>,
    /// List directories that have no index. Default: true.
    pub listing: bool,
    /// The path in the root of the file to send where none is found. Default: none.
    pub fallback: Option<String>,
    /// Status codes, and the paths in the root of the files to send with them. Default: none.
    pub error_pages: Vec<(u16, String)>,
    /// Serve and list names that begin with a dot. Default: false.
    pub hidden: bool,
    /// Memory for small files, in bytes, per event loop. `None`: the server sets it, to
    /// [`DEFAULT_MEMORY_BYTES`] or less on a machine with little memory.
    pub cache_bytes: Option<usize>,
    /// Maximum larger files to keep open, per event loop. Default: 1024.
    pub cache_files: usize,
    /// Memory for all directory listings together, in bytes; at least [`MIN_LISTING_BYTES`].
    /// Default: 64 MiB.
    pub listing_bytes: usize,
    /// Maximum files and directories to watch for changes, per event loop. The server lowers it to
    /// what the user's limit of inotify(7) watches allows. Default: [`MAX_WATCHES`].
    pub watches: usize,
    /// The number of processes that share `listing_bytes`. The server sets it.
    pub listing_processes: usize,
}

/// Which files get a Cache-Control field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// A pattern for a file's name, or, if it has a slash, for its path below the root. `None`: all
    /// files.
    pub pattern: Option<glob::Pattern>,
    /// The value of the field.
    pub value: String,
}

/// Maximum bytes that the configuration may add to a response's head. The head must fit in one
/// buffer, also with the longest Location.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

/// The default memory for files, per event loop, and for listings, in bytes.
pub const DEFAULT_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Maximum watches of an event loop. Each keeps an inode in the kernel's memory, about a kilobyte.
pub const MAX_WATCHES: usize = 4096;

/// Minimum memory for listings, in bytes. Hardly any directory fits in less.
pub const MIN_LISTING_BYTES: usize = 64 * 1024;

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            access: Access::default(),
            gate: None,
            max_head: 16 * 1024,
            max_body: 1024 * 1024,
            headers: String::new(),
            server: None,
            cache_control: Vec::new(),
            media_types: Vec::new(),
            cors: None,
            isolate: false,
            clean_urls: false,
            precompressed: true,
            compress: false,
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

/// The proxies whose PROXY protocol headers are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// Proxies with an address in one of these networks.
    pub networks: Vec<IpNet>,
    /// Processes that connect to a Unix socket.
    pub unix: bool,
}

impl TrustedProxies {
    /// True if this peer is trusted. A peer without an address is connected to a Unix socket.
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

/// The network in the form of peers' addresses: IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) becomes
/// IPv4.
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

/// The length of the prefix of IPv4-mapped IPv6 addresses, in bits.
const MAPPED_PREFIX: u8 = 96;

/// What the process gives up before it serves.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// The user to switch to, if started as root.
    pub user: Option<String>,
    /// What the kernel lets the process read from then on.
    pub sandbox: Sandbox,
}

/// What Landlock lets the process read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Sandbox {
    /// What is served and what may replace it: all below the directory that holds ROOT, and below
    /// those that hold the targets of its links. Acts as strict where one of these is /, is or holds
    /// a home, or is writable by all users
    #[default]
    Follow,
    /// What is served now. A replacement of ROOT needs a restart
    Strict,
    /// All that the user may read: no Landlock
    Off,
}

/// A service, and an address for it to listen on.
#[derive(Clone, Debug)]
pub struct ServiceAddress {
    /// The name of a row of [`crate::service::SERVICES`].
    pub service: String,
    /// The address.
    pub address: Address,
}

/// What the entity tag of a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum EntityTag {
    /// Inode, length, mtime and ctime: no two versions share a tag
    Full,
    /// Length and mtime: a weak tag, which is the same for copies on several machines
    Mtime,
}

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AccessLog {
    /// No access log
    Off,
    /// The Common Log Format
    Common,
    /// The same, with Referer and User-Agent
    Combined,
    /// Combined, followed by the duration in microseconds
    Timed,
    /// One JSON object per line, with the duration, and whether the transfer was aborted
    Json,
}

impl AccessLog {
    /// True if its lines have the duration of a response, for which the clock must be read.
    pub fn has_duration(self) -> bool {
        matches!(self, AccessLog::Timed | AccessLog::Json)
    }
}

/// How several loops share the connections of an address. A Unix socket and an inherited socket
/// cannot be several sockets: with [`Accept::Reuseport`] they are [shared](Accept::Shared).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Accept {
    /// A listening socket for each loop; the kernel chooses by a hash of the addresses
    #[default]
    Reuseport,
    /// One that all loops watch: a new connection wakes all that wait (the thundering herd). To be
    /// compared with the others
    Shared,
    /// One that all loops watch, of which a new connection wakes one (EPOLLEXCLUSIVE); for epoll
    Exclusive,
    /// One that the first loop watches: it gives each connection to the loop with the fewest
    Handover,
}

/// How the model `epoll` is told of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Trigger {
    /// Of each change once, for both directions: nothing to change per request
    #[default]
    Edge,
    /// In every wait, as long as it lasts: what to watch for changes with each connection's needs
    Level,
    /// Once, and then of nothing more: each wait of a connection watches it again
    Oneshot,
}

/// How the model `io-uring` uses its ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uring {
    /// What the kernel does by itself. Default: [`UringOperations::Multishot`].
    pub operations: UringOperations,
    /// How a file is sent that is not in the cache. Default: [`UringFile::Sendfile`].
    pub file: UringFile,
    /// How bytes in memory are sent. Default: [`UringSend::Plain`].
    pub send: UringSend,
    /// How operations name their sockets. Default: [`UringFds::Process`].
    pub fds: UringFds,
    /// Let a thread of the kernel take requests from the ring, so that handing them over costs no
    /// system call. The thread polls, and sleeps when none has come for this time.
    pub sqpoll: Option<Duration>,
}

/// What io_uring(7) does for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum UringOperations {
    /// Report readiness only, as epoll(7) does
    Poll,
    /// Receive and send, one operation for each
    Single,
    /// Accept and receive without being asked each time
    #[default]
    Multishot,
}

/// How the model `io-uring` sends a file. A file system that can hang is left to a thread with
/// sendfile(2), whatever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum UringFile {
    /// By sendfile(2), when the socket takes bytes
    #[default]
    Sendfile,
    /// Moved through a pipe by splice(2)
    Splice,
    /// Read into memory, then sent from there
    Read,
}

/// How the model `io-uring` sends bytes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum UringSend {
    /// The kernel copies them
    #[default]
    Plain,
    /// The kernel sends them from where they are, if it can, and reports when it has
    Zc,
}

/// How operations of the model `io-uring` name their sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum UringFds {
    /// By their descriptors
    #[default]
    Process,
    /// By their places in a table of the ring
    Ring,
}

/// The longest duration of each kind of wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a whole request head, from its first byte. Progress does not extend it, so a client that
    /// sends a byte now and then cannot hold a connection forever. Default: 10 s.
    pub head: Duration,
    /// For the next bytes of a request body. Default: 30 s.
    pub body: Duration,
    /// For the first or the next request on an HTTP connection. Other services have no such limit.
    /// Default: 30 s.
    pub idle: Duration,
    /// For the client to accept any data. Default: 60 s.
    pub send: Duration,
    /// For a file system served by another process or machine, such as FUSE, NFS or SMB; in event
    /// loops. Default: 30 s.
    pub files: Duration,
    /// For the whole TLS handshake, from the accept. Progress does not extend it. Default: 10 s.
    pub handshake: Duration,
    /// For the client to close its side after evserve has closed its own. Default: 2 s.
    pub linger: Duration,
    /// Between the signal to stop and the stop, so that load balancers see it coming. Default: 0.
    pub drain_delay: Duration,
    /// For open transfers to finish when the server stops. Default: 8 s.
    pub drain: Duration,
}

/// Ten years: as good as forever, and no clock overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Timeouts {
    /// The same timeouts, each short enough to be added to any point in time.
    #[must_use]
    pub fn capped(self) -> Timeouts {
        Timeouts {
            head: self.head.min(LONGEST),
            body: self.body.min(LONGEST),
            idle: self.idle.min(LONGEST),
            send: self.send.min(LONGEST),
            files: self.files.min(LONGEST),
            handshake: self.handshake.min(LONGEST),
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
            handshake: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(8),
        }
    }
}

/// The reason why the server did not start: a sentence for the user.
#[derive(Clone, PartialEq, Eq)]
pub struct StartError(pub String);

/// The sentence itself, so that a `main` that returns this error prints it.
impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

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
    fn a_network_contains_ipv4_in_both_forms() {
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
