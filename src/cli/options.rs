//! The options: a table for each group of --help, in the order of need. Their defaults are those of
//! [`Config::default`].
//!
//! The first paragraph of an option is its sentence. The others are for --help and the manual. -h
//! has only the options in [`MOST_NEEDED`].

use super::help;
use super::values::{
    TrustedProxy, cache_rule, count, duration, error_page, file_mode, file_name, head_size, header,
    levels, listing_size, media_type, memory_size, origin, port, port_of_url, positive, shown_size,
    shown_time, size, status_address, trusted_proxy,
};
use crate::auth::Login;
use crate::config::{
    Accept, AccessLog, CacheRule, Config, EntityTag, HttpConfig, Sandbox, Timeouts, Trigger,
    UringFds, UringFile, UringOperations, UringSend,
};
use crate::net::Address;
use clap::builder::ValueHint;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;
use log::LevelFilter;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The options in -h, which has one screen.
const MOST_NEEDED: &[&str] = &[
    "root",
    "modes",
    "no_listing",
    "hidden",
    "fallback",
    "headers",
    "port",
    "listen",
    "tls_self_signed",
    "model",
    "max_connections",
    "max_per_ip",
    "access_log",
    "user",
    "status",
];

const WHAT_TO_SERVE: &str = "What to serve";

/// What all modes take of the group [`WHAT_TO_SERVE`].
const OF_ALL_MODES: &[&str] = &["root", "modes"];

/// The limits that only http has.
const LIMITS_OF_HTTP: &[&str] = &[
    "max_head",
    "max_body",
    "cache_bytes",
    "cache_files",
    "listing_bytes",
    "file_timeout",
];

/// Serve a folder over HTTP, or small protocols, from one event loop or any other I/O model.
#[derive(Parser, Debug)]
#[command(
    version,
    max_term_width = 100,
    override_usage = help::usage(),
    after_help = help::after_short(),
    after_long_help = help::after_long(),
    disable_help_flag = true,
    disable_version_flag = true,
)]
pub(super) struct Options {
    #[command(flatten)]
    pub content: Content,
    #[command(flatten)]
    pub listening: Listening,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub logging: Logging,
    #[command(flatten)]
    pub security: Security,
    #[command(flatten)]
    pub watching: Watching,
    #[command(flatten)]
    pub printing: Printing,
    /// The options of http that are on the command line, by their long names.
    #[arg(skip)]
    pub of_http: Vec<String>,
}

impl Options {
    /// Reads the arguments, of which the first is the program's name.
    pub fn read(arguments: &[OsString]) -> Result<Options, clap::Error> {
        let table = table();
        let of_http: Vec<_> = of_http(&table)
            .map(|option| (option.get_id().clone(), long(option)))
            .collect();
        let matches = table.try_get_matches_from(arguments)?;
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let given = of_http.into_iter().filter(|(id, _)| is_given(id.as_str()));
        Ok(Options {
            of_http: given.map(|(_, long)| long).collect(),
            ..Options::from_arg_matches(&matches)?
        })
    }
}

/// The options that only http knows: how it serves files, passwords, and the limits of its files and
/// requests. The times for requests are not among them, since the status address and PROXY headers
/// have them too.
pub(super) fn of_http(table: &Command) -> impl Iterator<Item = &Arg> {
    table.get_arguments().filter(|option| {
        let id = option.get_id().as_str();
        let is_content = option.get_help_heading() == Some(WHAT_TO_SERVE);
        (is_content && !OF_ALL_MODES.contains(&id)) || LIMITS_OF_HTTP.contains(&id)
    })
}

fn long(option: &Arg) -> String {
    option.get_long().unwrap_or_default().into()
}

/// All options, as clap has them, in the order in which they stand here.
pub(super) fn table() -> Command {
    let mut order = 0..;
    Options::command().mut_args(|option| {
        let is_needed = MOST_NEEDED.contains(&option.get_id().as_str());
        let order = order.next().unwrap_or_default();
        option.hide_short_help(!is_needed).display_order(order)
    })
}

#[derive(Args, Debug)]
#[command(next_help_heading = WHAT_TO_SERVE)]
pub(super) struct Content {
    /// Directory to serve over HTTP, or a single file
    ///
    /// If another directory takes its place, that one is served within a second, as far as
    /// --sandbox allows. While there is none, requests get 503.
    #[arg(value_hint = ValueHint::AnyPath, default_value_os_t = Config::default().root)]
    pub root: PathBuf,

    #[arg(long = "mode", value_name = "MODE", value_parser = help::modes(), help = help::mode())]
    pub modes: Vec<String>,

    #[arg(long = "index", value_name = "NAME", value_parser = file_name,
        help = help::index())]
    pub indexes: Vec<String>,

    /// Do not list directories that have no index: answer 403
    #[arg(long)]
    pub no_listing: bool,

    /// Serve and list names that begin with a dot
    #[arg(long)]
    pub hidden: bool,

    /// File in ROOT to send for missing pages, for single-page applications
    ///
    /// Only a request that asks for HTML gets it, as browsers do for pages, and only where the last
    /// name has no dot and no name begins with one. So missing scripts and pictures get 404.
    #[arg(long, value_name = "FILE")]
    pub fallback: Option<String>,

    /// File in ROOT to send with an error status, such as 404=404.html; may be repeated
    #[arg(long = "error-page", value_name = "STATUS=FILE", value_parser = error_page)]
    pub error_pages: Vec<(u16, String)>,

    /// Field to add to every HTTP response: 'Name: value'; may be repeated
    ///
    /// Server and Content-Security-Policy replace the values that evserve sends. Only Set-Cookie and
    /// Link may be given twice.
    #[arg(long = "header", value_name = "FIELD", value_parser = header)]
    pub headers: Vec<String>,

    /// Cache-Control field of files, such as max-age=3600 or '*.html=no-cache'; may be repeated
    ///
    /// A pattern with a slash is for a file's path in ROOT, such as
    /// 'assets/**=max-age=31536000, immutable', another one for its name. The first one that fits
    /// counts, and a value without a pattern fits all files.
    #[arg(long, value_name = "[GLOB=]VALUE", value_parser = cache_rule)]
    pub cache_control: Vec<CacheRule>,

    /// Media type of files with this extension, such as md=text/markdown; may be repeated
    ///
    /// A text without parameters gets charset=utf-8, unless its content is not UTF-8.
    #[arg(long = "type", id = "media_types", value_name = "EXT=TYPE", value_parser = media_type)]
    pub media_types: Vec<(String, String)>,

    /// Compress texts for clients that accept it (br, gzip), once for each version of a file
    ///
    /// For files from 1 KiB to 10 MiB without a compressed sibling. The first client gets the file
    /// as it is, while a thread of low priority compresses it. The result is kept in the memory for
    /// files (--cache-bytes). If it does not fit, the file is sent as it is. Listings are compressed
    /// with gzip for each client. Not with --model forking, whose processes share no memory.
    #[arg(long)]
    pub compress: bool,

    /// Send no FILE.br, FILE.zst or FILE.gz in place of FILE
    #[arg(long)]
    pub no_precompressed: bool,

    /// Serve about.html as /about, and redirect there from /about.html
    ///
    /// Each page has one URL: /about/ and /index.html redirect too.
    #[arg(long)]
    pub clean_urls: bool,

    /// Let scripts of other origins read the files, or those of one origin (CORS)
    ///
    /// They may ask for ranges and read Content-Range.
    #[arg(long, value_name = "ORIGIN", value_parser = origin, num_args = 0..=1,
        require_equals = true, default_missing_value = "*")]
    pub cors: Option<String>,

    /// Isolate pages from other origins, as SharedArrayBuffer and WebAssembly threads need it
    ///
    /// Adds Cross-Origin-Opener-Policy, Cross-Origin-Embedder-Policy and
    /// Cross-Origin-Resource-Policy.
    #[arg(long)]
    pub isolate: bool,

    /// What the entity tag (ETag) of a file is computed from
    #[arg(long = "etag", value_name = "PARTS", value_enum,
        default_value_t = HttpConfig::default().entity_tag)]
    pub entity_tag: EntityTag,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Where to listen")]
pub(super) struct Listening {
    #[arg(short, long, value_name = "PORT", value_parser = port,  help = help::port(),
        long_help = help::port_in_full())]
    pub port: Option<u16>,

    #[arg(short, long, value_name = "[MODE=]ADDRESS", help = help::listen(),
        long_help = help::listen_in_full())]
    pub listen: Vec<String>,

    /// Certificate for tls: addresses, in PEM, with those that lead to its root; may be repeated
    ///
    /// Each needs its --tls-key, in the same order. A client gets the first one that has the name it
    /// asks for, or else the first one of all.
    #[arg(long = "tls-cert", id = "tls_certs", value_name = "FILE",
        value_hint = ValueHint::FilePath)]
    pub tls_certs: Vec<PathBuf>,

    /// Private key of a --tls-cert, in PEM, without a password; may be repeated
    #[arg(long = "tls-key", id = "tls_keys", value_name = "FILE",
        value_hint = ValueHint::FilePath)]
    pub tls_keys: Vec<PathBuf>,

    /// Make a certificate for tls: addresses; browsers warn of it
    ///
    /// It is for localhost and for the names and addresses of this machine. It is kept in
    /// $STATE_DIRECTORY, $XDG_STATE_HOME/evserve or ~/.local/state/evserve, so that its fingerprint
    /// stays. The start shows the fingerprint, and the file that clients can trust.
    #[arg(long, conflicts_with_all = ["tls_certs", "tls_keys"])]
    pub tls_self_signed: bool,

    /// Redirect http addresses without tls: to one with it, or to this port
    ///
    /// The path stays the same. Only /.well-known/acme-challenge/ is served, so that a certificate
    /// can be renewed.
    #[arg(long, value_name = "PORT", value_parser = port_of_url, num_args = 0..=1, require_equals = true)]
    pub redirect_to_https: Option<Option<u16>>,

    /// Do not draw a QR code on the terminal when other machines can connect
    #[arg(long)]
    pub no_qr: bool,

    /// Permissions of Unix sockets in the file system: who may connect
    #[arg(long, value_name = "OCTAL", value_parser = file_mode,
        default_value = format!("{:04o}", Config::default().unix_mode))]
    pub unix_mode: u32,

    /// Expect every connection to begin with a PROXY protocol header, version 1 or 2
    ///
    /// The header names the client; haproxy and caddy can send it. Needs --trusted-proxy.
    /// X-Forwarded-For is not read.
    #[arg(long)]
    pub proxy_protocol: bool,

    /// Address or network of a proxy to trust, such as 10.0.0.0/8, or unix; may be repeated
    ///
    /// Connections from other addresses are closed. unix stands for all processes that may connect
    /// to a Unix socket.
    #[arg(long = "trusted-proxy", id = "trusted_proxies", value_name = "CIDR",
        value_parser = trusted_proxy)]
    pub trusted_proxies: Vec<TrustedProxy>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How to wait (I/O model)")]
pub(super) struct Waiting {
    #[arg(long, value_name = "MODEL", value_parser = help::models(), help = help::model())]
    pub model: Option<String>,

    #[arg(long, value_name = "N", value_parser = count(1..=256),
        help = help::of_models("workers", "Event loops to run, each on its own thread", |all| all.workers))]
    pub workers: Option<u32>,

    /// How loops share the connections of an address; needs --workers [default: reuseport]
    ///
    /// A Unix socket and a socket from systemd cannot be several sockets: reuseport acts as shared
    /// there.
    #[arg(long, value_name = "HOW", value_enum)]
    pub accept: Option<Accept>,

    #[arg(long, value_name = "N", value_parser = count(1..=10_000),
        help = help::of_models("threads", "Threads that serve each address", |all| all.threads))]
    pub threads: Option<u32>,

    #[arg(long, value_name = "N", value_parser = count(1..=10_000),
        help = help::of_models("max-children", "Maximum processes at once", |all| all.max_children))]
    pub max_children: Option<u32>,

    /// How a connection's events are reported, with the model epoll [default: edge]
    #[arg(long, value_name = "HOW", value_enum)]
    pub trigger: Option<Trigger>,

    /// What the kernel does for a connection, with the model io-uring [default: multishot]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub uring: Option<UringOperations>,

    /// How a file that is not in the cache is sent, with the model io-uring [default: sendfile]
    #[arg(long, value_name = "HOW", value_enum)]
    pub uring_file: Option<UringFile>,

    /// How bytes in memory are sent, with the model io-uring [default: plain]
    ///
    /// With zc, bytes count as sent when the client has acknowledged them, and a connection that
    /// ends before is reset.
    #[arg(long, value_name = "HOW", value_enum)]
    pub uring_send: Option<UringSend>,

    /// How operations name their sockets, with the model io-uring [default: process]
    ///
    /// With ring, each socket is registered when its connection is accepted, which saves the kernel
    /// a look-up for each operation.
    #[arg(long, value_name = "HOW", value_enum)]
    pub uring_fds: Option<UringFds>,

    /// Have a kernel thread take requests from the ring, with the model io-uring
    ///
    /// The thread polls for requests, which takes a whole processor, and sleeps when none has come
    /// for this time. It belongs to evserve: its CPU time counts as evserve's.
    #[arg(long, value_name = "TIME", value_parser = positive)]
    pub uring_sqpoll: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// Maximum connections at once; more wait [default: as open files allow]
    ///
    /// For select, poll, epoll and threaded. The limit of pool is --threads, that of forking is
    /// --max-children, and blocking serves one connection at a time.
    #[arg(long, value_name = "N", value_parser = count(1..=u32::MAX))]
    pub max_connections: Option<u32>,

    /// Maximum connections per client address, or IPv6 /64 [default: no limit]
    ///
    /// Over HTTP, up to N more get 503. All others beyond the limit are closed at once.
    #[arg(long, value_name = "N", value_parser = count(1..=u32::MAX))]
    pub max_per_ip: Option<u32>,

    /// Largest request head
    #[arg(long, value_name = "SIZE", value_parser = head_size,
        default_value = shown_size(HttpConfig::default().max_head as u64))]
    pub max_head: usize,

    /// Largest request body; bodies are read and dropped
    ///
    /// A chunked body may take six bytes on the wire for each byte of this limit, and 4 KiB more.
    #[arg(long, value_name = "SIZE", value_parser = size,
        default_value = shown_size(HttpConfig::default().max_body))]
    pub max_body: u64,

    #[arg(long, value_name = "SIZE", value_parser = memory_size, help = help::cache_bytes(),
        long_help = help::cache_bytes_in_full())]
    pub cache_bytes: Option<usize>,

    /// Maximum number of larger files to keep open, per event loop
    #[arg(long, value_name = "N", default_value_t = HttpConfig::default().cache_files as u32)]
    pub cache_files: u32,

    /// Memory for directory listings, shared by all event loops
    ///
    /// A directory too large for it gets 507. One that does not fit at the moment gets 503.
    #[arg(long, value_name = "SIZE", value_parser = listing_size,
        default_value = shown_size(HttpConfig::default().listing_bytes as u64))]
    pub listing_bytes: usize,

    /// Time for a request head to arrive, from its first byte
    #[arg(long, value_name = "TIME", value_parser = positive,
        default_value = time(|all| all.head))]
    pub head_timeout: Duration,

    /// Time for each 4 KiB of a request body to arrive
    #[arg(long, value_name = "TIME", value_parser = positive,
        default_value = time(|all| all.body))]
    pub body_timeout: Duration,

    /// Time for the first or the next request on an HTTP connection
    ///
    /// Connections of other modes may stay silent.
    #[arg(long, value_name = "TIME", value_parser = positive,
        default_value = time(|all| all.idle))]
    pub idle_timeout: Duration,

    /// Time for a client to accept each 4 KiB of a response
    #[arg(long, value_name = "TIME", value_parser = positive,
        default_value = time(|all| all.send))]
    pub send_timeout: Duration,

    /// Time for a network or FUSE file system to answer; then the request gets 503
    #[arg(long, value_name = "TIME", value_parser = positive,
        default_value = time(|all| all.files))]
    pub file_timeout: Duration,

    #[arg(long, value_name = "TIME", value_parser = positive,
        help = help::handshake_timeout())]
    pub handshake_timeout: Option<Duration>,

    /// Time between the signal to stop and the stop, for load balancers; needs --status
    ///
    /// Meanwhile /healthz at the status address returns 503, and all requests are served, with
    /// Connection: close.
    #[arg(long, value_name = "TIME", value_parser = duration,
        default_value = time(|all| all.drain_delay))]
    pub drain_delay: Duration,

    /// Time for open transfers to finish when the server stops
    ///
    /// A second signal ends them at once. Container runtimes kill a process after 10 s.
    #[arg(long, value_name = "TIME", value_parser = duration,
        default_value = time(|all| all.drain))]
    pub drain_timeout: Duration,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(super) struct Logging {
    /// Format of the access log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Config::default().access_log)]
    pub access_log: AccessLog,

    /// File to append the access log to [default: standard output]
    ///
    /// SIGHUP reopens it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub access_log_file: Option<PathBuf>,

    /// Least severe messages to write to standard error
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = levels())]
    pub log_level: LevelFilter,

    /// Log every system call made for the first N requests to standard error
    ///
    /// Requests to the status address count. A request ends when its response has been sent; where
    /// a protocol has no requests, whenever nothing is left to send. With --model forking, each
    /// process starts from the count that it was forked with.
    #[arg(long, value_name = "N", value_parser = count(1..=u32::MAX))]
    pub trace_requests: Option<u32>,

    /// Record what the server does, and write it to FILE at the end
    ///
    /// SIGUSR1 writes it at any time. It has waits, system calls, steps of sessions and requests with
    /// their times, but no content: see docs/recording.md.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,

    /// How many events a recording keeps, the latest ones; 32 bytes each [default: 262144]
    #[arg(
        long, value_name = "N", requires = "record",
        value_parser = count(128..=1 << 28)
    )]
    pub record_events: Option<u32>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Security")]
pub(super) struct Security {
    /// Ask for this user and password over HTTP; may be repeated
    ///
    /// The command line is visible to all users of the machine (ps): take --auth-file there, or the
    /// variable EVSERVE_AUTH. That holds one user; --auth replaces it, and --auth-file adds to it.
    /// Without TLS a password is not encrypted on its way. Redirects to
    /// https, and preflight requests with --cors, need none.
    #[arg(long, value_name = "USER:PASSWORD")]
    pub auth: Vec<OsString>,

    /// Those of --auth or of the environment.
    #[arg(skip)]
    pub logins: Vec<Login>,

    /// File of users for HTTP, with a line user:hash for each; SIGHUP reads it again
    ///
    /// Hashes are argon2 ($argon2id$...) or bcrypt ($2y$...), as from `htpasswd -nB USER`. Lines
    /// that begin with # are skipped.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub auth_file: Option<PathBuf>,

    /// User to switch to once the addresses are bound; needs a start as root
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    pub user: Option<String>,

    /// What Landlock lets the process read
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pub sandbox: Sandbox,

    /// Do not confine the process with Landlock; the same as --sandbox off
    #[arg(long, conflicts_with = "sandbox")]
    pub no_sandbox: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Watching")]
pub(super) struct Watching {
    /// Live page, metrics and health of the server, at an address such as 9090
    ///
    /// The page is for people, /status.json and /metrics (Prometheus) are for programs, /healthz is
    /// for load balancers. A port alone is on the loopback (127.0.0.1); other addresses are written
    /// as for --listen.
    #[arg(long, value_name = "ADDRESS", value_parser = status_address)]
    pub status: Option<Address>,

    /// File of users for the status address, as for --auth-file
    ///
    /// /healthz needs no password.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub status_auth_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Help")]
pub(super) struct Printing {
    /// Print the most needed options; --help prints all
    #[arg(short, long, action = ArgAction::Help,
        long_help = "Print all options; -h prints the most needed ones")]
    pub help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: Option<bool>,

    /// Print the manual page: evserve --man | man -l -
    #[arg(long, exclusive = true)]
    pub man: bool,

    /// Print the completions of these options for a shell
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

fn time(of: fn(Timeouts) -> Duration) -> String {
    shown_time(of(Timeouts::default()))
}
