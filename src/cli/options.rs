//! The options, with their help. Their defaults are those of [`Config::default`].

use super::values::{
    TrustedProxy, duration, error_page, field_value, file_mode, file_name, head_size, header,
    levels, listing_size, memory_size, positive, shown_size, shown_time, size, status_address,
    trusted_proxy,
};
use crate::config::{
    AccessLog, Config, DEFAULT_MEMORY_BYTES, EntityTag, HttpConfig, Sandbox, Timeouts,
};
use crate::model::MODELS;
use crate::net::Address;
use crate::service::SERVICES;
use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, ValueHint};
use clap_complete::Shell;
use log::LevelFilter;
use std::path::PathBuf;
use std::time::Duration;

/// Serves static files and small protocols from one readiness loop.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
pub(super) struct Options {
    /// The directory to serve over http
    #[arg(default_value_os_t = Config::default().root, value_hint = ValueHint::DirPath)]
    pub root: PathBuf,

    #[arg(long = "mode", value_name = "MODE", value_parser = modes(), help = modes_help())]
    pub modes: Vec<String>,

    #[arg(long, value_name = "[MODE=]ADDR", help = listen_help())]
    pub listen: Vec<String>,

    /// Where to show the server at work, to people (a page), programs (/status.json, /metrics) and balancers (/healthz):
    /// PORT of the loopback, or an address as for --listen [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = status_address)]
    pub status: Option<Address>,

    /// The permissions of sockets in the file system
    #[arg(long, value_name = "OCTAL", default_value = format!("{:04o}", Config::default().unix_mode), value_parser = file_mode)]
    pub unix_mode: u32,

    /// Who root becomes once it listens
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// What Landlock lets the process read
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub sandbox: Sandbox,

    /// The same as --sandbox off
    #[arg(long, conflicts_with = "sandbox")]
    pub no_sandbox: bool,

    /// How to wait for connections
    #[arg(long, value_name = "NAME", default_value_t = Config::default().model, value_parser = models())]
    pub model: String,

    #[arg(long, value_name = "N", help = help_for("workers", "How many loops to run, each on a thread of its own", Config::default().workers),
        value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,

    #[arg(long, value_name = "N", help = help_for("threads", "How many threads serve each address", Config::default().threads),
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub threads: Option<u32>,

    #[arg(long, value_name = "N", help = help_for("max-children", "How many processes there may be at once", Config::default().max_children),
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_children: Option<u32>,

    /// The form of the access log
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Config::default().access_log)]
    pub access_log: AccessLog,

    /// The file to append the access log to, reopened at SIGHUP [default: the standard output]
    #[arg(long, value_name = "FILE")]
    pub access_log_file: Option<PathBuf>,

    /// How much to say on the standard error
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = levels())]
    pub log_level: LevelFilter,

    /// Write down on the standard error what is done for the first N requests, system call by system call; those to the status are among them. A request counts when
    /// its answer is out; for protocols without requests, whenever nothing is left to be sent. With forking each process
    /// counts those that have ended before it began, and its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub trace_requests: Option<u32>,

    /// How many connections there may be at once; more wait to be accepted [default: what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// How many connections there may be from one address, or from one /64 of IPv6; over http as
    /// many again get 503, and all others are closed at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_ip: Option<u32>,

    /// Connections come from proxies, each with a header that says who the client is: the PROXY protocol, version 1 or 2
    #[arg(long, requires = "trusted_proxies")]
    pub proxy_protocol: bool,

    /// Whose PROXY headers count: an address, a network such as 10.0.0.0/8, or `unix` for all that may connect to a socket
    /// in the file system; may be given more than once. Others are closed
    #[arg(long = "trusted-proxy", id = "trusted_proxies", value_name = "CIDR", requires = "proxy_protocol",
        value_parser = trusted_proxy)]
    pub trusted_proxies: Vec<TrustedProxy>,

    /// The longest request head
    #[arg(long, value_name = "SIZE", default_value = shown_size(HttpConfig::default().max_head as u64), value_parser = head_size)]
    pub max_head: usize,

    /// The longest request body; bodies are read and dropped. What chunks have beside their content is bounded with it: in
    /// all, six bytes for each of these and 4 KiB are read
    #[arg(long, value_name = "SIZE", default_value = shown_size(HttpConfig::default().max_body), value_parser = size)]
    pub max_body: u64,

    /// A field to add to every http answer, `Name: value`; may be given more than once. Server and
    /// Content-Security-Policy replace evserve's own
    #[arg(long = "header", value_name = "FIELD", value_parser = header)]
    pub headers: Vec<String>,

    /// The Cache-Control field of files [default: none]
    #[arg(long, value_name = "VALUE", value_parser = field_value)]
    pub cache_control: Option<String>,

    /// What the entity tag of a file is made of
    #[arg(long = "etag", value_name = "PARTS", value_enum, default_value_t = HttpConfig::default().entity_tag)]
    pub entity_tag: EntityTag,

    #[arg(long = "index", value_name = "NAME", value_parser = file_name, help = indexes_help())]
    pub indexes: Vec<String>,

    /// Do not list directories that have no index
    #[arg(long)]
    pub no_listing: bool,

    /// The file in ROOT to answer with where there is none, as single-page applications want it
    #[arg(long, value_name = "FILE")]
    pub fallback: Option<String>,

    /// The file in ROOT to answer with instead of a failure's status in words; may be given more than once
    #[arg(long = "error-page", value_name = "STATUS=FILE", value_parser = error_page)]
    pub error_pages: Vec<(u16, String)>,

    /// Serve and list names that begin with a dot
    #[arg(long)]
    pub hidden: bool,

    #[arg(long, value_name = "SIZE", value_parser = memory_size, help = cache_help())]
    pub cache_bytes: Option<usize>,

    /// How many larger files to keep open; each loop of --workers has as many
    #[arg(long, value_name = "N", default_value_t = HttpConfig::default().cache_files as u32)]
    pub cache_files: u32,

    /// Memory for all directory listings together; --workers divides it among its loops. A directory with too many entries for
    /// it gets 507, and one for which there is no room at the moment 503
    #[arg(long, value_name = "SIZE", default_value = shown_size(HttpConfig::default().listing_bytes as u64), value_parser = listing_size)]
    pub listing_bytes: usize,

    /// For a request head, from its first byte
    #[arg(long, value_name = "TIME", default_value = time(|all| all.head), value_parser = positive)]
    pub head_timeout: Duration,

    /// For any of a request's body to come
    #[arg(long, value_name = "TIME", default_value = time(|all| all.body), value_parser = positive)]
    pub body_timeout: Duration,

    /// For the first or the next request on an http connection; echo connections may stay silent
    #[arg(long, value_name = "TIME", default_value = time(|all| all.idle), value_parser = positive)]
    pub idle_timeout: Duration,

    /// For a peer to take any of what is sent to it
    #[arg(long, value_name = "TIME", default_value = time(|all| all.send), value_parser = positive)]
    pub send_timeout: Duration,

    /// For a file system that another process or machine answers for (FUSE, NFS, SMB), in the loops: then 503
    #[arg(long, value_name = "TIME", default_value = time(|all| all.files), value_parser = positive)]
    pub file_timeout: Duration,

    /// For balancers to see at /healthz of the status address that the server will stop, between SIGTERM or SIGINT and
    /// when it does: as long as they need for that
    #[arg(long, value_name = "TIME", default_value = time(|all| all.drain_delay), value_parser = duration, requires = "status")]
    pub drain_delay: Duration,

    /// For what is under way at SIGTERM or SIGINT; a second signal ends at once. Container runtimes kill after 10 s
    #[arg(long, value_name = "TIME", default_value = time(|all| all.drain), value_parser = duration)]
    pub drain_timeout: Duration,

    /// Print what a shell needs to complete these options, and end
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,

    /// Print the page for man(1), and end
    #[arg(long, exclusive = true)]
    pub man: bool,
}

/// The names of the models that have this option.
pub(super) fn models_with(option: &str) -> String {
    let rows = MODELS.iter().filter(|row| row.options.contains(&option));
    rows.map(|row| row.name).collect::<Vec<_>>().join(", ")
}

fn help_for(option: &str, about: &str, default: usize) -> String {
    format!("{about}, for {} [default: {default}]", models_with(option))
}

fn listen_help() -> String {
    let answering = SERVICES.iter().filter(|row| row.datagram.is_some());
    let answering: Vec<_> = answering.map(|row| row.name).collect();
    let ports = SERVICES
        .iter()
        .map(|row| format!("{} {}", row.name, row.port));
    let ports: Vec<_> = ports.collect();
    format!(
        "Where to listen: HOST:PORT (at all addresses of a name), [IPV6]:PORT, [IPV6%INTERFACE]:PORT, :PORT for all \
         addresses, or unix:PATH; port 0 is any free one. For datagrams, which {} take: udp:HOST:PORT and so on, or \
         unix-dgram:PATH. May be given more than once; with several modes, each address says whose it is [default: \
         127.0.0.1, {}]",
        answering.join(", "),
        ports.join(", ")
    )
}

fn modes() -> PossibleValuesParser {
    PossibleValuesParser::new(
        SERVICES
            .iter()
            .map(|row| PossibleValue::new(row.name).help(row.about)),
    )
}

fn models() -> PossibleValuesParser {
    PossibleValuesParser::new(
        MODELS
            .iter()
            .map(|row| PossibleValue::new(row.name).help(row.about)),
    )
}

fn modes_help() -> String {
    let default = SERVICES[0].name;
    format!("What to serve; may be given more than once [default: {default}]")
}

fn indexes_help() -> String {
    let default = HttpConfig::default().indexes.join(", ");
    format!(
        "A name that stands for a directory of its own; may be given more than once [default: {default}]"
    )
}

fn cache_help() -> String {
    let default = shown_size(DEFAULT_MEMORY_BYTES as u64);
    format!(
        "How much of small files to keep in memory; each loop of --workers has as much [default: {default}, or less \
         where an eighth of the memory, divided among the loops or processes, is less]"
    )
}

fn time(of: fn(Timeouts) -> Duration) -> String {
    shown_time(of(Timeouts::default()))
}
