//! The options, as a user writes them, and what they come to.

mod operator_log;
mod options;
mod printed;
mod values;

pub use operator_log::{begin_trace, finish_operator_log, start_operator_log};

use crate::config::{
    AccessLog, Config, Confinement, HttpConfig, MAX_HEADER_BYTES, Sandbox, ServiceAddress,
};
use crate::config::{Timeouts, TrustedProxies};
use crate::model;
use crate::net::{Address, InheritedSocket};
use crate::service::{self, SERVICES};
use clap::{CommandFactory, Parser, error::ErrorKind};
use log::LevelFilter;
use options::{Options, models_with};
use values::TrustedProxy;

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// To serve until a signal comes.
    Serve(Box<ServeCommand>),
    /// To print this and end.
    Print(Vec<u8>),
}

/// What is to be served.
#[derive(Debug)]
pub struct ServeCommand {
    /// What to serve, and how.
    pub config: Config,
    /// What to give up before serving.
    pub confinement: Confinement,
    /// How much to say.
    pub log_level: LevelFilter,
    /// For how many requests to say each system call.
    pub traced_requests: Option<usize>,
}

/// Reads the command line. Sockets that were `inherited` are listened at too; their names choose the mode.
///
/// # Errors
/// clap's, for the user: print it and exit with its code (2 for usage, 0 for --help and --version).
pub fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    inherited: Vec<InheritedSocket>,
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
    Ok(Task::Serve(Box::new(ServeCommand {
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
            trusted_proxies: options
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
                drain_delay: options.drain_delay,
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
        traced_requests: options.trace_requests.map(|number| number as usize),
    })))
}

fn http(options: &Options) -> Result<HttpConfig, String> {
    let (headers, server) = headers(options)?;
    let default = HttpConfig::default();
    Ok(HttpConfig {
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
    match length <= MAX_HEADER_BYTES - 32 {
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
    inherited: Vec<InheritedSocket>,
) -> Result<Vec<ServiceAddress>, String> {
    let modes = modes(given, &inherited);
    let mut listen = Vec::new();
    for InheritedSocket { name, address } in inherited {
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
        listen.push(ServiceAddress { service, address });
    }
    for text in addresses {
        let (service, address) = listen_at(text, &modes)?;
        listen.push(ServiceAddress {
            service: service.into(),
            address: address.parse::<Address>()?,
        });
    }
    for mode in &modes {
        if !listen.iter().any(|listen| listen.service == *mode) {
            let row = service::find(mode).ok_or_else(|| format!("no mode `{mode}`"))?;
            listen.push(ServiceAddress {
                service: row.name.into(),
                address: Address::loopback(row.port),
            });
        }
    }
    Ok(listen)
}

/// The modes that are served, each once: those given, those of inherited sockets, or else the first of all.
fn modes(given: &[String], inherited: &[InheritedSocket]) -> Vec<String> {
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
    modes
}

/// The mode and the address of a `--listen`.
fn listen_at<'a>(text: &'a str, modes: &'a [String]) -> Result<(&'a str, &'a str), String> {
    match (text.split_once('='), modes) {
        (Some((mode, address)), _) if modes.iter().any(|m| m == mode) => Ok((mode, address)),
        (Some((mode, _)), _) if service::find(mode).is_some() => Err(format!(
            "--listen {text} is for a mode that is not served; add --mode {mode}"
        )),
        (Some((mode, _)), _) => Err(format!("--listen {text}: no mode `{mode}`")),
        (None, [mode]) => Ok((mode, text)),
        (None, _) => Err(format!(
            "--listen {text} does not say for which mode; write for example --listen {}={text}",
            modes[0]
        )),
    }
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

    #[test]
    fn an_empty_command_line_is_the_default() {
        let task = parse(["evserve".into()], Vec::new()).expect("no options");
        let Task::Serve(command) = task else {
            panic!("nothing is printed");
        };
        let default = Config {
            listen: command.config.listen.clone(),
            ..Config::default()
        };
        assert_eq!(format!("{:?}", command.config), format!("{default:?}"));
        let default = Confinement::default();
        assert_eq!(format!("{:?}", command.confinement), format!("{default:?}"));
    }
}
