//! The options, as a user writes them, and what they come to.

mod printed;

use crate::config::{
    AccessLog, Config, Confinement, EntityTag, Http, LEAST_LISTING_BYTES, Listen, MAX_HEADERS,
    Sandbox, Timeouts, TrustedProxies,
};
use crate::http1::{LARGEST_HEAD, is_of_connections, is_own_field, is_token};
use crate::model::{self, MODELS};
use crate::net::{Address, Inherited};
use crate::service::{self, SERVICES};
use bytesize::ByteSize;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueHint};
use clap::{CommandFactory, Parser, error::ErrorKind};
use clap_complete::Shell;
use ipnet::IpNet;
use log::LevelFilter;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Serves static files and small protocols from one readiness loop.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Options {
    /// The directory to serve over http
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    root: PathBuf,

    /// What to serve; may be given more than once [default: http]
    #[arg(long = "mode", value_name = "MODE", value_parser = modes())]
    modes: Vec<String>,

    #[arg(long, value_name = "[MODE=]ADDR", help = listen_help())]
    listen: Vec<String>,

    /// Where to show the server at work, to people (a page), programs (/status.json, /metrics) and balancers (/healthz):
    /// PORT of the loopback, or an address as for --listen [default: nowhere]
    #[arg(long, value_name = "ADDR", value_parser = status_address)]
    status: Option<Address>,

    /// The permissions of sockets in the file system
    #[arg(long, value_name = "OCTAL", default_value = "0660", value_parser = file_mode)]
    unix_mode: u32,

    /// Who root becomes once it listens
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// What Landlock lets the process read
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    sandbox: Sandbox,

    /// The same as --sandbox off
    #[arg(long, conflicts_with = "sandbox")]
    no_sandbox: bool,

    /// How to wait for connections
    #[arg(long, value_name = "NAME", default_value_t = Config::default().model, value_parser = models())]
    model: String,

    #[arg(long, value_name = "N", help = help_for("workers", "How many loops to run, each on a thread of its own", Config::default().workers),
        value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: Option<u32>,

    #[arg(long, value_name = "N", help = help_for("threads", "How many threads serve each address", Config::default().threads),
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Option<u32>,

    #[arg(long, value_name = "N", help = help_for("max-children", "How many processes there may be at once", Config::default().max_children),
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_children: Option<u32>,

    /// The form of the access log
    #[arg(long, value_name = "FORM", default_value = "combined")]
    access_log: AccessLog,

    /// The file to append the access log to, reopened at SIGHUP [default: the standard output]
    #[arg(long, value_name = "FILE")]
    access_log_file: Option<PathBuf>,

    /// How much to say on the standard error
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = levels())]
    log_level: LevelFilter,

    /// Write down on the standard error what is done for the first N requests, system call by system call; those to the status are among them. A request counts when
    /// its answer is out; for protocols without requests, whenever nothing is left to be sent. With forking each process
    /// counts those that have ended before it began, and its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    trace_requests: Option<u32>,

    /// How many connections there may be at once; more wait to be accepted [default: what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,

    /// How many connections there may be from one address, or from one /64 of IPv6; over http as
    /// many again get 503, and all others are closed at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_per_ip: Option<u32>,

    /// Connections come from proxies, each with a header that says who the client is: the PROXY protocol, version 1 or 2
    #[arg(long, requires = "trusted_proxies")]
    proxy_protocol: bool,

    /// Whose PROXY headers count: an address, a network such as 10.0.0.0/8, or `unix` for whoever may connect to a socket
    /// in the file system; may be given more than once. Others are closed
    #[arg(long = "trusted-proxy", id = "trusted_proxies", value_name = "CIDR", requires = "proxy_protocol",
        value_parser = trusted_proxy)]
    trusted_proxies: Vec<TrustedProxy>,

    /// The longest request head
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = head_size)]
    max_head: usize,

    /// The longest request body; bodies are read and dropped. What chunks have beside their content is bounded with it: in
    /// all, six bytes for each of these and 4 KiB are read
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    max_body: u64,

    /// A field to add to every http answer, `Name: value`; may be given more than once. Server and
    /// Content-Security-Policy replace evserve's own
    #[arg(long = "header", value_name = "FIELD", value_parser = header)]
    headers: Vec<String>,

    /// The Cache-Control field of files [default: none]
    #[arg(long, value_name = "VALUE", value_parser = field_value)]
    cache_control: Option<String>,

    /// What the entity tag of a file is made of
    #[arg(long = "etag", value_name = "PARTS", default_value = "full")]
    entity_tag: EntityTag,

    /// A name that stands for a directory of its own; may be given more than once [default: index.html, index.htm]
    #[arg(long = "index", value_name = "NAME", value_parser = file_name)]
    indexes: Vec<String>,

    /// Do not list directories that have no index
    #[arg(long)]
    no_listing: bool,

    /// The file in ROOT to answer with where there is none, as single-page applications want it
    #[arg(long, value_name = "FILE")]
    fallback: Option<String>,

    /// The file in ROOT to answer with instead of a failure's status in words; may be given more than once
    #[arg(long = "error-page", value_name = "STATUS=FILE", value_parser = error_page)]
    error_pages: Vec<(u16, String)>,

    /// Serve and list names that begin with a dot
    #[arg(long)]
    hidden: bool,

    /// How much of small files to keep in memory; each loop of --workers has as much [default: 64MiB, or less where an
    /// eighth of the memory, divided among the loops or processes, is less]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    cache_bytes: Option<usize>,

    /// How many larger files to keep open; each loop of --workers has as many
    #[arg(long, value_name = "N", default_value_t = 1024)]
    cache_files: u32,

    /// Memory for all directory listings together; --workers divides it among its loops. A directory with too many entries for
    /// it gets 507, and one for which there is no room at the moment 503
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = listing_size)]
    listing_bytes: usize,

    /// For a request head, from its first byte
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive)]
    head_timeout: Duration,

    /// For any of a request's body to come
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive)]
    body_timeout: Duration,

    /// For the first or the next request on an http connection; echo connections may be silent for ever
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive)]
    idle_timeout: Duration,

    /// For a peer to take any of what is sent to it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = positive)]
    send_timeout: Duration,

    /// For a file system that another process or machine answers for (FUSE, NFS, SMB), in the loops: then 503
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive)]
    file_timeout: Duration,

    /// For balancers to see at /healthz of the status address that the server will stop, between SIGTERM or SIGINT and
    /// when it does: as long as they need for that
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, requires = "status")]
    drain_delay: Duration,

    /// For what is under way at SIGTERM or SIGINT; a second signal ends at once. Container runtimes kill after 10 s
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    drain_timeout: Duration,

    /// Print what a shell needs to complete these options, and end
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,

    /// Print the page for man(1), and end
    #[arg(long, exclusive = true)]
    man: bool,
}

/// One that is trusted with the PROXY protocol.
#[derive(Clone, Debug)]
enum TrustedProxy {
    Network(IpNet),
    Unix,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// To serve until a signal comes.
    Serve(Box<Command>),
    /// To print this and end.
    Print(Vec<u8>),
}

/// What is to be served.
#[derive(Debug)]
pub struct Command {
    /// What to serve, and how.
    pub config: Config,
    /// What to give up before serving.
    pub confinement: Confinement,
    /// How much to say.
    pub log_level: LevelFilter,
    /// For how many requests to say each system call.
    pub traced: Option<usize>,
}

/// Reads the command line. Sockets that were `inherited` are listened at too; their names choose the mode.
///
/// # Errors
/// clap's, for the user: print it and exit with its code (2 for usage, 0 for --help and --version).
pub fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    inherited: Vec<Inherited>,
) -> Result<Task, clap::Error> {
    let options = Options::try_parse_from(arguments)?;
    if let Some(shell) = options.completions {
        return Ok(Task::Print(printed::completions(Options::command(), shell)));
    }
    if options.man {
        return Ok(Task::Print(printed::man_page(Options::command())?));
    }
    let usage = |message| Options::command().error(ErrorKind::ValueValidation, message);
    let listen = listen(&options.modes, &options.listen, inherited).map_err(usage)?;
    check_model_options(&options).map_err(usage)?;
    if options.access_log == AccessLog::Off && options.access_log_file.is_some() {
        let text = "--access-log-file means nothing with --access-log off";
        return Err(usage(text.into()));
    }
    let http = http(&options).map_err(usage)?;
    let default = Config::default();
    Ok(Task::Serve(Box::new(Command {
        config: Config {
            root: options.root,
            http,
            listen,
            status: options.status,
            unix_mode: options.unix_mode,
            model: options.model,
            access_log: options.access_log,
            access_log_file: options.access_log_file,
            max_connections: options.max_connections.map(|number| number as usize),
            max_per_ip: options.max_per_ip.map(|number| number as usize),
            proxies: options
                .proxy_protocol
                .then(|| trusted(&options.trusted_proxies)),
            workers: number(options.workers, default.workers),
            threads: number(options.threads, default.threads),
            max_children: number(options.max_children, default.max_children),
            timeouts: Timeouts {
                head: options.head_timeout,
                body: options.body_timeout,
                idle: options.idle_timeout,
                send: options.send_timeout,
                files: options.file_timeout,
                delay: options.drain_delay,
                drain: options.drain_timeout,
                ..Timeouts::default()
            },
        },
        confinement: Confinement {
            user: options.user,
            sandbox: match options.no_sandbox {
                true => Sandbox::Off,
                false => options.sandbox,
            },
        },
        log_level: options.log_level,
        traced: options.trace_requests.map(|number| number as usize),
    })))
}

fn http(options: &Options) -> Result<Http, String> {
    let (headers, server) = headers(options)?;
    let default = Http::default();
    Ok(Http {
        max_head: options.max_head,
        max_body: options.max_body,
        headers,
        server,
        cache_control: options.cache_control.clone(),
        entity_tag: options.entity_tag,
        indexes: match options.indexes.is_empty() {
            true => default.indexes,
            false => options.indexes.clone(),
        },
        listing: !options.no_listing,
        fallback: options.fallback.clone(),
        error_pages: options.error_pages.clone(),
        hidden: options.hidden,
        cache_bytes: options.cache_bytes,
        cache_files: options.cache_files as usize,
        listing_bytes: options.listing_bytes,
        ..default
    })
}

/// The lines that are added to every answer, and what Server says instead of the program's name.
fn headers(options: &Options) -> Result<(String, Option<String>), String> {
    let named = |name: &'static str| {
        let is_named = move |field: &&String| {
            let (given, _) = field.split_once(':').unwrap_or_default();
            given.eq_ignore_ascii_case(name)
        };
        options.headers.iter().filter(is_named)
    };
    if options.cache_control.is_some() && named("cache-control").next().is_some() {
        return Err("Cache-Control is given twice: leave out --cache-control, which is for files only, or --header".into());
    }
    let mut servers = named("server").map(|field| field.split_once(": ").unwrap_or_default().1);
    let server = servers.next().map(str::to_owned);
    if servers.next().is_some() {
        return Err("--header gives Server twice: an answer has one".into());
    }
    let others = options.headers.iter();
    let others = others.filter(|field| !named("server").any(|server| server == *field));
    let headers: String = others.map(|field| format!("{field}\r\n")).collect();
    let rest = options.cache_control.iter().chain(&server);
    let length = headers.len() + rest.map(String::len).sum::<usize>();
    match length <= MAX_HEADERS - 32 {
        true => Ok((headers, server)),
        false => Err(
            "--header and --cache-control add too much to every answer: 4,000 bytes are enough"
                .into(),
        ),
    }
}

fn number(given: Option<u32>, default: usize) -> usize {
    given.map_or(default, |number| number as usize)
}

/// An option that the chosen model does not know would be a wish that nobody fulfils.
fn check_model_options(options: &Options) -> Result<(), String> {
    let given = [
        ("max-connections", options.max_connections.is_some()),
        ("workers", options.workers.is_some()),
        ("threads", options.threads.is_some()),
        ("max-children", options.max_children.is_some()),
    ];
    let model = model::find(&options.model).ok_or_else(|| format!("no model {}", options.model))?;
    for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        if !model.options.contains(&option) {
            return Err(format!(
                "--{option} means nothing to --model {}; it is for {}",
                model.name,
                models_with(option)
            ));
        }
    }
    Ok(())
}

/// Which service listens where: each mode at least once, at its default port unless told otherwise.
fn listen(
    given: &[String],
    addresses: &[String],
    inherited: Vec<Inherited>,
) -> Result<Vec<Listen>, String> {
    let named = inherited.iter().filter_map(|socket| socket.name.as_ref());
    let named = named.filter(|name| service::find(name).is_some());
    let mut modes: Vec<String> = Vec::new();
    for mode in given.iter().chain(named) {
        if !modes.contains(mode) {
            modes.push(mode.clone());
        }
    }
    if modes.is_empty() {
        modes.push(SERVICES[0].name.to_owned());
    }
    let mut listen = Vec::new();
    for Inherited { name, address } in inherited {
        let service = match (name, &modes[..]) {
            (Some(name), _) if modes.contains(&name) => name,
            (_, [mode]) => mode.clone(),
            (name, _) => {
                let name = name.unwrap_or("nothing".into());
                return Err(format!(
                    "the inherited socket {address} is called {name}, which is none of the modes: {}",
                    modes.join(", ")
                ));
            }
        };
        listen.push(Listen { service, address });
    }
    for text in addresses {
        let (service, address) = match (text.split_once('='), &modes[..]) {
            (Some((mode, address)), _) if modes.iter().any(|m| m == mode) => (mode, address),
            (Some((mode, _)), _) if service::find(mode).is_some() => {
                return Err(format!(
                    "--listen {text} is for a mode that is not served; add --mode {mode}"
                ));
            }
            (Some((mode, _)), _) => return Err(format!("--listen {text}: no mode `{mode}`")),
            (None, [mode]) => (mode.as_str(), text.as_str()),
            (None, _) => {
                return Err(format!(
                    "--listen {text} does not say for which mode; write for example --listen {}={text}",
                    modes[0]
                ));
            }
        };
        listen.push(Listen {
            service: service.into(),
            address: address.parse::<Address>()?,
        });
    }
    for mode in &modes {
        if !listen.iter().any(|listen| listen.service == *mode) {
            let row = service::find(mode).ok_or_else(|| format!("no mode `{mode}`"))?;
            listen.push(Listen {
                service: row.name.into(),
                address: Address::loopback(row.port),
            });
        }
    }
    Ok(listen)
}

/// The names of the models that have this option.
fn models_with(option: &str) -> String {
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

fn size(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| "expected a size such as 16KiB, 1MiB or 4096".into())
}

fn status_address(text: &str) -> Result<Address, String> {
    let expected =
        "expected PORT, HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH, with ports up to 65535";
    if let Ok(port) = text.parse() {
        return Ok(Address::loopback(port));
    }
    match text.parse::<Address>() {
        Ok(address) if !address.is_datagram() => Ok(address),
        // What is wrong with an interface or a name is worth saying.
        Err(error) if !error.contains("expected") => Err(error),
        _ => Err(expected.into()),
    }
}

fn file_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ 0..=0o777) => Ok(mode),
        _ => Err("expected three octal digits, such as 660".into()),
    }
}

fn memory_size(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "there is no such amount of memory".into())
}

fn listing_size(text: &str) -> Result<usize, String> {
    match memory_size(text)? {
        size if size >= LEAST_LISTING_BYTES => Ok(size),
        _ => Err("expected at least 64KiB: less would do for hardly any directory".into()),
    }
}

fn head_size(text: &str) -> Result<usize, String> {
    let size = size(text)?;
    match usize::try_from(size) {
        Ok(size) if (256..=LARGEST_HEAD).contains(&size) => Ok(size),
        _ => Err(format!("expected a size from 256 to {LARGEST_HEAD} bytes")),
    }
}

fn header(text: &str) -> Result<String, String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    if !is_token(name.as_bytes()) {
        return Err(format!("`{name}` is no field name"));
    }
    // A name of one's own in the place of the program's misleads nobody.
    let is_server = name.eq_ignore_ascii_case("server");
    if is_of_connections(name) {
        return Err(format!(
            "{name} is about the connection and no part of an answer; leave it out, the server says what is needed"
        ));
    }
    let is_own = is_own_field(name) || name.eq_ignore_ascii_case("retry-after");
    if is_own && !is_server {
        return Err(format!(
            "{name} is said by the server itself, for each answer as it is; leave it out"
        ));
    }
    Ok(format!("{name}: {}", field_value(value.trim())?))
}

fn field_value(text: &str) -> Result<String, String> {
    match text.chars().all(|c| c == '\t' || !c.is_control()) {
        true => Ok(text.into()),
        false => Err("a field's value is one line".into()),
    }
}

fn file_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['/', '\0']) || text == "." || text == ".." {
        true => Err("expected a file's name, without a path".into()),
        false => Ok(text.into()),
    }
}

fn error_page(text: &str) -> Result<(u16, String), String> {
    let (status, file) = text
        .split_once('=')
        .ok_or("expected STATUS=FILE, such as 404=404.html")?;
    match status.parse() {
        Ok(status @ 400..=599) => Ok((status, file.into())),
        _ => Err(format!("`{status}` is no status from 400 to 599")),
    }
}

fn trusted_proxy(text: &str) -> Result<TrustedProxy, String> {
    if text == "unix" {
        return Ok(TrustedProxy::Unix);
    }
    let network = text.parse::<IpNet>().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network.map(TrustedProxy::Network);
    network.ok_or_else(|| {
        "expected an address, a network such as 10.0.0.0/8 or 2001:db8::/32, or unix".into()
    })
}

fn trusted(given: &[TrustedProxy]) -> TrustedProxies {
    let networks = given.iter().filter_map(|proxy| match proxy {
        TrustedProxy::Network(network) => Some(*network),
        TrustedProxy::Unix => None,
    });
    TrustedProxies {
        networks: networks.collect(),
        unix: given
            .iter()
            .any(|proxy| matches!(proxy, TrustedProxy::Unix)),
    }
}

fn levels() -> impl TypedValueParser<Value = LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).try_map(|name| name.parse::<LevelFilter>())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a time such as 500ms, 10s or 2m"))
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected a time above zero".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<String, String> {
        let arguments = ["evserve"].into_iter().chain(line.split_whitespace());
        parse(arguments.map(Into::into), Vec::new())
            .map(|task| {
                let Task::Serve(command) = task else {
                    return "prints something".into();
                };
                let listen = command.config.listen.iter();
                let listen = listen.map(|l| format!("{}={}", l.service, l.address));
                listen.collect::<Vec<_>>().join(" ")
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn who_listens_where() {
        let cases = [
            ("", "http=127.0.0.1:8080"),
            ("--mode echo", "echo=127.0.0.1:7007"),
            (
                "--mode http --mode echo dir",
                "http=127.0.0.1:8080 echo=127.0.0.1:7007",
            ),
            ("--listen [::1]:0 --listen :80", "http=[::1]:0 http=:80"),
            ("--man", "prints something"),
            ("--completions fish", "prints something"),
            ("--mode http --mode http --listen :80", "http=:80"),
            (
                "--mode daytime --listen unix:/run/d --listen daytime=:13",
                "daytime=unix:/run/d daytime=:13",
            ),
            (
                "--mode echo --listen udp::7007 --listen echo=unix-dgram:/run/e",
                "echo=udp::7007 echo=unix-dgram:/run/e",
            ),
            (
                "--mode http --mode echo --listen echo=127.0.0.1:0",
                "echo=127.0.0.1:0 http=127.0.0.1:8080",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parsed(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_are_answered_with_what_was_expected() {
        let cases = [
            ("--mode htp", "[possible values: http, echo, daytime, chat"),
            ("--listen unix:", "unix:PATH, or for datagrams"),
            ("--listen udp:", "`udp:` is no address"),
            ("--listen [fe80::1]:80", "of which interface"),
            ("--listen [fe80::1%none0]:80", "there are lo"),
            (
                "--status [fe80::1%none0]:80",
                "`none0` is no network interface",
            ),
            ("--unix-mode 888", "such as 660"),
            ("--unix-mode 1777", "such as 660"),
            ("--model kqueue", "[possible values: blocking, forking"),
            (
                "--workers 2 --model pool",
                "--workers means nothing to --model pool; it is for select, poll, epoll",
            ),
            ("--threads 2", "it is for pool"),
            ("--max-children 2 --model poll", "it is for forking"),
            ("--workers 0", "1..=256"),
            ("--listen echo=:1", "add --mode echo"),
            ("--listen x=:1", "no mode `x`"),
            ("--mode http --mode echo --listen :1", "--listen http=:1"),
            ("--listen 8080", "expected HOST:PORT"),
            ("--idle-timeout 10", "such as 500ms"),
            ("--idle-timeout 0s", "above zero"),
            (
                "--access-log xml",
                "[possible values: off, common, combined, timed, json]",
            ),
            ("--access-log off --access-log-file x", "means nothing"),
            ("--proxy-protocol", "--trusted-proxy"),
            ("--trusted-proxy ::1", "--proxy-protocol"),
            (
                "--proxy-protocol --trusted-proxy localhost",
                "a network such as 10.0.0.0/8",
            ),
            ("--max-per-ip 0", "is not in 1.."),
            ("--max-head 1MiB", "from 256 to 32768"),
            ("--max-body lots", "such as 16KiB"),
            ("--listing-bytes lots", "such as 16KiB"),
            ("--listing-bytes 65535", "at least 64KiB"),
            ("--header X", "expected `Name: value`"),
            ("--header Content-Length:1", "said by the server itself"),
            ("--header date:x", "said by the server itself"),
            ("--header VARY:Origin", "said by the server itself"),
            ("--header ETag:x", "said by the server itself"),
            ("--header Last-Modified:x", "said by the server itself"),
            ("--header Accept-Ranges:none", "said by the server itself"),
            ("--header Location:/", "said by the server itself"),
            ("--header Allow:GET", "said by the server itself"),
            ("--header Retry-After:9", "said by the server itself"),
            ("--header Content-Type:a/b", "said by the server itself"),
            ("--header Content-Encoding:br", "said by the server itself"),
            ("--header Content-Range:x", "said by the server itself"),
            ("--header Connection:close", "about the connection"),
            ("--header keep-alive:timeout=5", "about the connection"),
            ("--header Proxy-Connection:close", "about the connection"),
            ("--header TE:trailers", "about the connection"),
            ("--header Trailer:X", "about the connection"),
            ("--header Transfer-Encoding:gzip", "about the connection"),
            ("--header Upgrade:h2c", "about the connection"),
            ("--header Server:a --header server:b", "an answer has one"),
            (
                "--cache-control no-store --header cache-control:x",
                "given twice",
            ),
            ("--header (:1", "no field name"),
            ("--index a/b", "without a path"),
            ("--error-page 404", "STATUS=FILE"),
            ("--error-page 200=x", "from 400 to 599"),
            ("--log-level loud", "[possible values: off, error, warn"),
            ("a b", "unexpected argument 'b'"),
            ("--man --mode echo", "cannot be used with"),
            ("--status 99999", "ports up to 65535"),
            ("--status udp:127.0.0.1:1", "expected PORT"),
            ("--drain-delay 1s", "--status"),
            ("--completions sh", "[possible values: bash, "),
        ];
        for (line, expected) in cases {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
