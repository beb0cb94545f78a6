//! Reads the command line, and tells the user what to type if it has a mistake.

mod help;
mod listen;
mod manual;
mod operator_log;
mod options;
mod qr_code;
mod replay;
mod rewrite;
mod spellings;
mod values;

pub use operator_log::{begin_trace, finish_operator_log, show_qr_code, start_operator_log};
pub use replay::ReplayCommand;

use crate::auth::{Access, Login};
use crate::config::{
    AccessLog, CacheRule, CertificateFiles, Certificates, Config, Confinement, HttpConfig,
};
use crate::config::{
    MAX_HEADER_BYTES, Redirect, Sandbox, ServiceAddress, Timeouts, TrustedProxies, Uring,
    UringOperations,
};
use crate::model;
use crate::net::{Address, AddressKind, InheritedSocket};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use log::LevelFilter;
use options::{Content, Listening, Options};
use std::ffi::OsString;
use std::str::FromStr;
use values::TrustedProxy;

/// The variable with a user and a password, for those who keep them off the command line.
const LOGIN_VARIABLE: &str = "EVSERVE_AUTH";

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Serve until a signal ends it.
    Serve(Box<ServeCommand>),
    /// Print this and exit.
    Print(Vec<u8>),
    /// Write a page that replays recordings.
    Replay(ReplayCommand),
}

/// What to serve, and how.
#[derive(Debug)]
pub struct ServeCommand {
    /// The server's configuration.
    pub config: Config,
    /// What the process gives up before it serves.
    pub confinement: Confinement,
    /// The user has chosen the model. False if it is only the default.
    pub is_model_chosen: bool,
    /// Draw the URL for other machines as a QR code.
    pub shows_qr_code: bool,
    /// The least severe messages to log.
    pub log_level: LevelFilter,
    /// The number of requests to trace, system call by system call.
    pub traced_requests: Option<usize>,
}

/// Reads the command line, of which the first argument is the program's name. The server also
/// listens at the `inherited` sockets, whose names choose the modes.
///
/// # Errors
/// clap's, for the user: print it and exit with its code (2 for usage, 0 for --help and --version).
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    inherited: Vec<InheritedSocket>,
) -> Result<Task, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == replay::NAME) {
        return replay::read(&arguments[1..]).map(Task::Replay);
    }
    let words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    let words: Vec<String> = words.map(String::from).collect();
    let usage = |message| clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n"));
    let options = Options::read(&arguments).map_err(|error| match unknown(&error, &words) {
        Some(message) => usage(message),
        None => without_usage(error),
    })?;
    if let Some(shell) = options.printing.completions {
        return Ok(Task::Print(manual::completions(options::table(), shell)));
    }
    if options.printing.man {
        return Ok(Task::Print(manual::page(options::table())?));
    }
    command(options, &words, inherited)
        .map(Box::new)
        .map(Task::Serve)
        .map_err(usage)
}

/// The usage is in --help, and would hide the error.
fn without_usage(mut error: clap::Error) -> clap::Error {
    error.remove(ContextKind::Usage);
    error
}

/// A better answer to an argument that clap does not know.
fn unknown(error: &clap::Error, words: &[String]) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)?) {
        (ErrorKind::UnknownArgument, ContextValue::String(argument)) => {
            rewrite::unknown(argument, words, &options::table())
        }
        _ => None,
    }
}

fn command(
    mut options: Options,
    words: &[String],
    inherited: Vec<InheritedSocket>,
) -> Result<ServeCommand, String> {
    if let Some(answer) = rewrite::root(&options.content.root, words, &options::table()) {
        return Err(answer);
    }
    options.security.logins = logins(&options.security.auth)?;
    let listen = listen::listen(&options, inherited)?;
    check_encryption(&options, &listen)?;
    check_redirect(&options, &listen)?;
    check_passwords(&options, &listen)?;
    check_http_options(&options, &listen)?;
    check_model_options(&options)?;
    check_companions(&options)?;
    check_compression(&options)?;
    check_repetitions(&options.content)?;
    if options.logging.access_log == AccessLog::Off && options.logging.access_log_file.is_some() {
        return Err("--access-log-file does nothing with --access-log off".into());
    }
    let http = http(&options)?;
    let certificates = certificates(&options.listening)?;
    let Options {
        content,
        listening,
        waiting,
        limits,
        logging,
        security,
        watching,
        ..
    } = options;
    let default = Config::default();
    let handshake = limits.handshake_timeout;
    Ok(ServeCommand {
        is_model_chosen: waiting.model.is_some(),
        shows_qr_code: !listening.no_qr,
        config: Config {
            root: content.root,
            http,
            listen,
            status: watching.status,
            status_access: Access {
                logins: Vec::new(),
                file: watching.status_auth_file,
            },
            unix_mode: listening.unix_mode,
            model: waiting.model.unwrap_or(default.model),
            access_log: logging.access_log,
            access_log_file: logging.access_log_file,
            record: logging.record,
            record_events: number(logging.record_events, default.record_events),
            max_connections: limits.max_connections.map(|number| number as usize),
            max_per_ip: limits.max_per_ip.map(|number| number as usize),
            trusted_proxies: listening
                .proxy_protocol
                .then(|| trusted(&listening.trusted_proxies)),
            workers: number(waiting.workers, default.workers),
            accept: waiting.accept.unwrap_or_default(),
            threads: number(waiting.threads, default.threads),
            max_children: number(waiting.max_children, default.max_children),
            timeouts: Timeouts {
                head: limits.head_timeout,
                body: limits.body_timeout,
                idle: limits.idle_timeout,
                send: limits.send_timeout,
                files: limits.file_timeout,
                handshake: handshake.unwrap_or(Timeouts::default().handshake),
                drain_delay: limits.drain_delay,
                drain: limits.drain_timeout,
                ..Timeouts::default()
            },
            trigger: waiting.trigger.unwrap_or_default(),
            uring: Uring {
                operations: waiting.uring.unwrap_or_default(),
                file: waiting.uring_file.unwrap_or_default(),
                send: waiting.uring_send.unwrap_or_default(),
                fds: waiting.uring_fds.unwrap_or_default(),
                sqpoll: waiting.uring_sqpoll,
            },
            status_gate: None,
            certificates,
            redirect: match listening.redirect_to_https {
                None => Redirect::Off,
                Some(None) => Redirect::ToEncrypted,
                Some(Some(port)) => Redirect::ToPort(port),
            },
        },
        confinement: Confinement {
            user: security.user,
            sandbox: match security.no_sandbox {
                true => Sandbox::Off,
                false => security.sandbox,
            },
        },
        log_level: logging.log_level,
        traced_requests: logging.trace_requests.map(|number| number as usize),
    })
}

/// The users and passwords of the command line, or else the one of the environment. Read here and not
/// with the options, so that a mistake leaves --help and --man alone. The error does not contain the
/// text, and says where it is.
fn logins(given: &[OsString]) -> Result<Vec<Login>, String> {
    let read = |text: &OsString, place: &str| {
        let login = text.to_str().ok_or("it is no UTF-8".to_owned());
        let login = login.and_then(Login::from_str);
        login.map_err(|why| format!("{place}: {why}"))
    };
    if given.is_empty() {
        let place = format!("{LOGIN_VARIABLE} in the environment");
        let text = std::env::var_os(LOGIN_VARIABLE);
        return text.iter().map(|text| read(text, &place)).collect();
    }
    given.iter().map(|text| read(text, "--auth")).collect()
}

fn http(options: &Options) -> Result<HttpConfig, String> {
    let (headers, server) = headers(options)?;
    let default = HttpConfig::default();
    let (content, limits) = (&options.content, &options.limits);
    Ok(HttpConfig {
        access: Access {
            logins: options.security.logins.clone(),
            file: options.security.auth_file.clone(),
        },
        max_head: limits.max_head,
        max_body: limits.max_body,
        headers,
        server,
        cache_control: content.cache_control.clone(),
        media_types: content.media_types.clone(),
        cors: content.cors.clone(),
        isolate: content.isolate,
        clean_urls: content.clean_urls,
        precompressed: !content.no_precompressed,
        compress: content.compress,
        entity_tag: content.entity_tag,
        indexes: match content.indexes.is_empty() {
            true => default.indexes,
            false => content.indexes.clone(),
        },
        listing: !content.no_listing,
        fallback: content.fallback.clone(),
        error_pages: content.error_pages.clone(),
        hidden: content.hidden,
        cache_bytes: limits.cache_bytes,
        cache_files: limits.cache_files as usize,
        listing_bytes: limits.listing_bytes,
        ..default
    })
}

/// The lines to add to every response's head, and the value of Server, if it is not evserve's.
fn headers(options: &Options) -> Result<(String, Option<String>), String> {
    let Options { content, .. } = options;
    let named = |name: &'static str| {
        let is_named = move |field: &&String| {
            let (given, _) = field.split_once(':').unwrap_or_default();
            given.eq_ignore_ascii_case(name)
        };
        content.headers.iter().filter(is_named)
    };
    if !content.cache_control.is_empty() && named("cache-control").next().is_some() {
        return Err("Cache-Control is given twice: leave out --cache-control or --header".into());
    }
    let names = content
        .headers
        .iter()
        .filter_map(|field| field.split(':').next());
    let names: Vec<_> = names.map(str::to_ascii_lowercase).collect();
    let counted = names.iter().map(String::as_str);
    let counted = counted.filter(|name| !REPEATABLE.contains(name) && *name != "server");
    if let Some(name) = first_repeated(counted) {
        return Err(format!(
            "--header gives {name} twice: give it once, with both values if it is a list"
        ));
    }
    let mut servers = named("server").map(|field| field.split_once(": ").unwrap_or_default().1);
    let server = servers.next().map(str::to_owned);
    if servers.next().is_some() {
        return Err("--header gives Server twice: a response has one".into());
    }
    let others = content.headers.iter();
    let others = others.filter(|field| !named("server").any(|server| server == *field));
    let headers: String = others.map(|field| format!("{field}\r\n")).collect();
    let longest = content
        .cache_control
        .iter()
        .map(|rule| rule.value.len())
        .max();
    let length = headers.len() + longest.unwrap_or(0) + server.as_ref().map_or(0, String::len);
    match length <= MAX_HEADER_BYTES - 32 {
        true => Ok((headers, server)),
        false => {
            Err("--header and --cache-control add more than 4,000 bytes to every response".into())
        }
    }
}

/// Fields that a response may have on several lines, in lower case.
const REPEATABLE: &[&str] = &["set-cookie", "link"];

fn number(given: Option<u32>, default: usize) -> usize {
    given.map_or(default, |number| number as usize)
}

/// Refuses an option that does nothing under the chosen model.
fn check_model_options(options: &Options) -> Result<(), String> {
    let Options {
        waiting, limits, ..
    } = options;
    let given = [
        ("max-connections", limits.max_connections.is_some()),
        ("workers", waiting.workers.is_some()),
        ("threads", waiting.threads.is_some()),
        ("max-children", waiting.max_children.is_some()),
        ("accept", waiting.accept.is_some()),
        ("trigger", waiting.trigger.is_some()),
        ("uring", waiting.uring.is_some()),
        ("uring-file", waiting.uring_file.is_some()),
        ("uring-send", waiting.uring_send.is_some()),
        ("uring-fds", waiting.uring_fds.is_some()),
        ("uring-sqpoll", waiting.uring_sqpoll.is_some()),
    ];
    let default = Config::default().model;
    let name = waiting.model.as_ref().unwrap_or(&default);
    let model = model::choose(name)?;
    for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        if !model.options.contains(&option) {
            return Err(format!(
                "--{option} does nothing with --model {}; it is for {}",
                model.name,
                help::models_with(option)
            ));
        }
    }
    model.check_accept(waiting.accept.unwrap_or_default())
}

/// Refuses an option without the one that it needs.
fn check_companions(options: &Options) -> Result<(), String> {
    let Options {
        listening,
        limits,
        watching,
        waiting,
        ..
    } = options;
    let of_operations = waiting.uring_file.is_some()
        || waiting.uring_send.is_some()
        || waiting.uring_fds.is_some()
        || waiting.uring_sqpoll.is_some();
    let has_proxies = !listening.trusted_proxies.is_empty();
    Err(if listening.proxy_protocol && !has_proxies {
        "--proxy-protocol needs --trusted-proxy, the proxy's address, such as 127.0.0.1"
    } else if has_proxies && !listening.proxy_protocol {
        "--trusted-proxy does nothing without --proxy-protocol"
    } else if !limits.drain_delay.is_zero() && watching.status.is_none() {
        "--drain-delay needs --status, where load balancers read /healthz"
    } else if waiting.accept.is_some() && waiting.workers.is_none() {
        "--accept needs --workers, the number of loops that share connections, such as --workers 2"
    } else if of_operations && waiting.uring == Some(UringOperations::Poll) {
        "--uring poll only watches: --uring-file, --uring-send, --uring-fds and --uring-sqpoll do \
         nothing with it"
    } else {
        return Ok(());
    }
    .into())
}

/// Refuses options for encrypted addresses without such an address.
fn check_encryption(options: &Options, listen: &[ServiceAddress]) -> Result<(), String> {
    let Options {
        listening,
        limits,
        watching,
        ..
    } = options;
    let mut addresses = listen
        .iter()
        .map(|one| &one.address)
        .chain(&watching.status);
    if addresses.any(Address::is_encrypted) {
        return Ok(());
    }
    let given = [
        ("tls-cert", !listening.tls_certs.is_empty()),
        ("tls-key", !listening.tls_keys.is_empty()),
        ("tls-self-signed", listening.tls_self_signed),
        ("redirect-to-https", listening.redirect_to_https.is_some()),
        ("handshake-timeout", limits.handshake_timeout.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => Err(format!(
            "--{option} does nothing without an encrypted address, such as --listen tls:8443"
        )),
    }
}

/// Refuses a redirect that leads nowhere, or that no client would get.
fn check_redirect(options: &Options, listen: &[ServiceAddress]) -> Result<(), String> {
    let Some(port) = options.listening.redirect_to_https else {
        return Ok(());
    };
    let of_http = listen.iter().filter(|one| one.service == "http");
    let (encrypted, plain): (Vec<_>, Vec<_>) = of_http.partition(|one| one.address.is_encrypted());
    let has_port = |one: &&ServiceAddress| !matches!(one.address.kind(), AddressKind::Unix(_));
    Err(if plain.is_empty() {
        "--redirect-to-https does nothing: add an address of http without tls:, such as --listen 8080"
    } else if encrypted.is_empty() {
        "--redirect-to-https needs an encrypted address of http, such as --listen tls:8443"
    } else if port.is_none() && !encrypted.iter().any(has_port) {
        "--redirect-to-https needs a port, such as --redirect-to-https=443: a Unix socket has none"
    } else {
        return Ok(());
    }
    .into())
}

/// Refuses passwords for what is not served.
fn check_passwords(options: &Options, listen: &[ServiceAddress]) -> Result<(), String> {
    let Options {
        security, watching, ..
    } = options;
    let asks = !security.logins.is_empty() || security.auth_file.is_some();
    let has_http = listen.iter().any(|one| one.service == "http");
    Err(if asks && !has_http {
        "--auth and --auth-file do nothing without --mode http"
    } else if watching.status_auth_file.is_some() && watching.status.is_none() {
        "--status-auth-file does nothing without --status"
    } else {
        return Ok(());
    }
    .into())
}

/// Refuses options of http without http.
fn check_http_options(options: &Options, listen: &[ServiceAddress]) -> Result<(), String> {
    match options.of_http.first() {
        Some(option) if !listen.iter().any(|one| one.service == "http") => Err(format!(
            "--{option} does nothing without --mode http, which is not among the modes"
        )),
        _ => Ok(()),
    }
}

/// Refuses --compress where nothing can keep what it makes.
fn check_compression(options: &Options) -> Result<(), String> {
    if !options.content.compress {
        return Ok(());
    }
    let is_forking = options.waiting.model.as_deref() == Some("forking");
    Err(if is_forking {
        "--compress does nothing with --model forking, whose processes share no memory for the \
         results"
    } else if options.limits.cache_bytes == Some(0) {
        "--compress needs memory for the results: leave out --cache-bytes 0"
    } else {
        return Ok(());
    }
    .into())
}

/// Refuses a second value where only the first one would count.
fn check_repetitions(content: &Content) -> Result<(), String> {
    let statuses = content.error_pages.iter().map(|(status, _)| status);
    if let Some(status) = first_repeated(statuses) {
        return Err(format!(
            "--error-page gives {status} twice: each status has one page"
        ));
    }
    let extensions = content.media_types.iter().map(|(extension, _)| extension);
    if let Some(extension) = first_repeated(extensions) {
        return Err(format!(
            "--type gives {extension} twice: each extension has one type"
        ));
    }
    let mut rules = content.cache_control.iter();
    rules.find(|rule| rule.pattern.is_none());
    match rules.next() {
        Some(CacheRule { value, .. }) => Err(format!(
            "--cache-control: the value `{value}` never counts, because the one before it fits all \
             files; put those with a pattern first"
        )),
        None => Ok(()),
    }
}

/// The first of these that was there before.
fn first_repeated<T: PartialEq + Copy>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut known = Vec::new();
    for one in all {
        if known.contains(&one) {
            return Some(one);
        }
        known.push(one);
    }
    None
}

/// The certificates and their keys, which the options name in the same order.
fn certificates(listening: &Listening) -> Result<Certificates, String> {
    let Listening {
        tls_certs,
        tls_keys,
        tls_self_signed,
        ..
    } = listening;
    if *tls_self_signed {
        return Ok(Certificates::SelfSigned);
    }
    if tls_certs.len() != tls_keys.len() {
        return Err(format!(
            "each --tls-cert needs its --tls-key: there are {} and {}",
            tls_certs.len(),
            tls_keys.len()
        ));
    }
    let pairs = tls_certs.iter().zip(tls_keys);
    let pairs = pairs.map(|(certificate, key)| CertificateFiles {
        certificate: certificate.clone(),
        key: key.clone(),
    });
    Ok(match tls_certs.is_empty() {
        true => Certificates::None,
        false => Certificates::Files(pairs.collect()),
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
    fn which_mode_listens_where() {
        let cases = [
            ("", "http=127.0.0.1:8080"),
            ("-p 8000", "http=127.0.0.1:8000"),
            ("--mode echo --port 0", "echo=127.0.0.1:0"),
            ("-l 8000", "http=127.0.0.1:8000"),
            ("-l 0.0.0.0 -p 80", "http=0.0.0.0:80"),
            (
                "-l ::1 -l localhost -p 80",
                "http=[::1]:80 http=localhost:80",
            ),
            ("--listen http=8000", "http=127.0.0.1:8000"),
            ("--listen 0.0.0.0", "http=0.0.0.0:8080"),
            ("--listen *", "http=:8080"),
            ("--listen *:80", "http=:80"),
            ("--listen ::", "http=[::]:8080"),
            ("--listen ::1", "http=[::1]:8080"),
            ("--listen [::1]", "http=[::1]:8080"),
            ("--mode echo --listen localhost", "echo=localhost:7007"),
            ("--mode echo --listen udp:7007", "echo=udp:127.0.0.1:7007"),
            (
                "--mode echo --listen udp:127.0.0.1",
                "echo=udp:127.0.0.1:7007",
            ),
            ("--mode echo", "echo=127.0.0.1:7007"),
            (
                "--mode http --mode echo dir",
                "http=127.0.0.1:8080 echo=127.0.0.1:7007",
            ),
            ("--listen [::1]:0 --listen :80", "http=[::1]:0 http=:80"),
            ("--listen tls:8443", "http=tls:127.0.0.1:8443"),
            ("--listen tls:*:443", "http=tls::443"),
            ("--listen tls:localhost -p 443", "http=tls:localhost:443"),
            ("--listen http=tls::443", "http=tls::443"),
            ("--listen tls:unix:/run/x", "http=tls:unix:/run/x"),
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
            (
                "--listen unix:",
                "unix:PATH, one of these after tls:, or for datagrams",
            ),
            (
                "--listen tls:localhost",
                "`tls:localhost` has no port; type tls:localhost:8443",
            ),
            ("--listen tls:myhost", "type tls:myhost:8443"),
            (
                "--listen https://localhost:8443/",
                "type tls:localhost:8443",
            ),
            ("--listen tls:/run/x", "type tls:unix:/run/x"),
            ("--mode echo --listen tls:udp:127.0.0.1:1", "not datagrams"),
            (
                "--tls-cert x -l tls:1",
                "each --tls-cert needs its --tls-key: there are 1 and 0",
            ),
            (
                "--tls-cert x",
                "--tls-cert does nothing without an encrypted address",
            ),
            (
                "--tls-self-signed -l :1",
                "--tls-self-signed does nothing without",
            ),
            (
                "--redirect-to-https",
                "--redirect-to-https does nothing without",
            ),
            (
                "--redirect-to-https --tls-self-signed -l tls:1",
                "does nothing: add an address of http without tls:",
            ),
            (
                "--redirect-to-https --tls-self-signed -l 1 -l tls:unix:/x",
                "--redirect-to-https=443: a Unix socket has none",
            ),
            (
                "--redirect-to-https --mode http --mode echo -l echo=tls:1 --tls-self-signed",
                "needs an encrypted address of http",
            ),
            ("--redirect-to-https=0", "expected a port from 1 to 65535"),
            (
                "--handshake-timeout 1s",
                "--handshake-timeout does nothing without",
            ),
            (
                "--tls-self-signed --tls-cert x --tls-key y -l tls:1",
                "cannot be used with",
            ),
            ("--listen udp:", "`udp:` is not an address"),
            ("--listen [fe80::1]:80", "needs an interface"),
            ("--listen [fe80::1%none0]:80", "it has lo"),
            (
                "--status [fe80::1%none0]:80",
                "no network interface `none0`",
            ),
            ("--unix-mode 888", "such as 660"),
            ("--unix-mode 1777", "such as 660"),
            ("--model kqueue", "[possible values: blocking, forking"),
            (
                "--workers 2 --model pool",
                "--workers does nothing with --model pool; it is for select, poll, epoll",
            ),
            ("--threads 2", "it is for pool"),
            (
                "--accept shared",
                "--accept needs --workers, the number of loops",
            ),
            (
                "--accept shared --model pool",
                "it is for select, poll, epoll, io-uring",
            ),
            (
                "--accept exclusive --workers 2 --model select",
                "needs EPOLLEXCLUSIVE, which --model select does not use; it is for epoll",
            ),
            ("--trigger level --model poll", "it is for epoll"),
            ("--trigger both", "[possible values: edge, level, oneshot]"),
            ("--uring poll", "with --model epoll; it is for io-uring"),
            ("--uring-file read", "it is for io-uring"),
            ("--uring-send zc --model poll", "it is for io-uring"),
            ("--uring-fds ring --model pool", "it is for io-uring"),
            ("--uring-sqpoll 1ms", "it is for io-uring"),
            ("--uring-sqpoll 0s --model io-uring", "above zero"),
            (
                "--uring-fds x --model io-uring",
                "[possible values: process, ring]",
            ),
            (
                "--uring-fds ring --uring poll --model io-uring",
                "--uring poll only watches",
            ),
            ("--uring-file splice", "it is for io-uring"),
            (
                "--uring-file splice --uring poll --model io-uring",
                "--uring poll only watches",
            ),
            (
                "--uring-file read --uring poll --model io-uring",
                "--uring poll only watches",
            ),
            (
                "--uring-send zc --uring poll --model io-uring",
                "--uring poll only watches",
            ),
            (
                "--uring-sqpoll 1ms --uring poll --model io-uring",
                "--uring poll only watches",
            ),
            ("--max-children 2 --model poll", "it is for forking"),
            ("--workers 0", "expected a number from 1 to 256"),
            ("--listen echo=:1", "add --mode echo"),
            ("--listen x=:1", "no mode `x`"),
            ("--mode http --mode echo --listen :1", "--listen http=:1"),
            ("--listen 70000", "`70000` is not an address"),
            ("--idle-timeout 10", "such as 500ms"),
            ("--idle-timeout 0s", "above zero"),
            (
                "--access-log xml",
                "[possible values: off, common, combined, timed, json]",
            ),
            ("--access-log off --access-log-file x", "does nothing"),
            ("--proxy-protocol", "--trusted-proxy"),
            ("--trusted-proxy ::1", "--proxy-protocol"),
            (
                "--proxy-protocol --trusted-proxy localhost",
                "a network such as 10.0.0.0/8",
            ),
            ("--max-per-ip 0", "expected a number, at least 1"),
            ("--max-head 1MiB", "from 256 to 32768"),
            ("--max-body lots", "such as 16KiB"),
            ("--listing-bytes lots", "such as 16KiB"),
            ("--listing-bytes 65535", "at least 64KiB"),
            ("--header X", "expected `Name: value`"),
            (
                "--header Content-Length:1",
                "evserve sets Content-Length itself",
            ),
            ("--header date:x", "evserve sets date itself"),
            ("--header VARY:Origin", "evserve sets VARY itself"),
            ("--header ETag:x", "evserve sets ETag itself"),
            (
                "--header Last-Modified:x",
                "evserve sets Last-Modified itself",
            ),
            (
                "--header Accept-Ranges:none",
                "evserve sets Accept-Ranges itself",
            ),
            ("--header Location:/", "evserve sets Location itself"),
            ("--header Allow:GET", "evserve sets Allow itself"),
            ("--header Retry-After:9", "evserve sets Retry-After itself"),
            (
                "--header WWW-Authenticate:Basic",
                "evserve sets WWW-Authenticate itself",
            ),
            (
                "--header Content-Type:a/b",
                "evserve sets Content-Type itself",
            ),
            (
                "--header Content-Encoding:br",
                "evserve sets Content-Encoding itself",
            ),
            (
                "--header Content-Range:x",
                "evserve sets Content-Range itself",
            ),
            ("--header Connection:close", "about the connection"),
            ("--header keep-alive:timeout=5", "about the connection"),
            ("--header Proxy-Connection:close", "about the connection"),
            ("--header TE:trailers", "about the connection"),
            ("--header Trailer:X", "about the connection"),
            ("--header Transfer-Encoding:gzip", "about the connection"),
            ("--header Upgrade:h2c", "about the connection"),
            ("--header Server:a --header server:b", "a response has one"),
            (
                "--cache-control no-store --header cache-control:x",
                "given twice",
            ),
            ("--header (:1", "not the name of a field"),
            ("--index a/b", "without a path"),
            ("--error-page 404", "STATUS=FILE"),
            ("--error-page 200=x", "from 400 to 599"),
            ("--log-level loud", "[possible values: off, error, warn"),
            ("a b", "`b` is a second one"),
            ("--man --mode echo", "cannot be used with"),
            ("-p 70000", "expected a port from 0 to 65535"),
            ("-p 127.0.0.1:80", "an address with a port goes to --listen"),
            ("-p 80 -l :80", "leave one of them out"),
            ("-p 80 -l 8000", "leave one of them out"),
            ("-p 80 -l unix:/x", "leave one of them out"),
            (
                "--mode http --mode echo -p 80",
                "type for example --listen http=80",
            ),
            ("--listen /tmp/x", "type unix:/tmp/x"),
            ("--listen http://localhost:80/", "type localhost:80 alone"),
            ("--listen myhost", "type myhost:8080"),
            ("--listen ::1:8080", "type an IPv6 address in brackets"),
            ("--status 99999", "ports up to 65535"),
            ("--status udp:127.0.0.1:1", "expected PORT"),
            ("--drain-delay 1s", "--status"),
            ("--auth me", "expected USER:PASSWORD"),
            ("--auth :x", "expected USER:PASSWORD"),
            ("--mode echo --auth a:b", "do nothing without --mode http"),
            ("--status-auth-file x", "does nothing without --status"),
            ("--completions sh", "[possible values: bash, "),
            (
                "--compress --model forking",
                "--compress does nothing with --model forking",
            ),
            ("--compress --cache-bytes 0", "leave out --cache-bytes 0"),
            ("--error-page 404=a --error-page 404=b", "gives 404 twice"),
            ("--type md=a/b --type .MD=a/c", "gives md twice"),
            (
                "--cache-control a --cache-control *.b=c",
                "the value `c` never counts",
            ),
            ("--header X-A:1 --header x-a:2", "--header gives x-a twice"),
        ];
        for (line, expected) in cases {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn options_of_http_are_refused_without_it() {
        let table = options::table();
        let all: Vec<_> = options::of_http(&table).collect();
        for option in &all {
            let name = option.get_long().expect("a long name");
            let value = match name {
                "error-page" => "404=a",
                "header" => "X-A:1",
                "type" => "md=a/b",
                "etag" => "mtime",
                "max-head" => "1KiB",
                "listing-bytes" => "1MiB",
                "file-timeout" => "1s",
                _ => "1",
            };
            let value = match option.get_action().takes_values() && name != "cors" {
                true => format!(" {value}"),
                false => String::new(),
            };
            for mode in ["echo", "daytime", "chat"] {
                let line = format!("--mode {mode} --{name}{value}");
                let error = parsed(&line).expect_err(&line);
                let expected = format!("--{name} does nothing without --mode http");
                assert!(error.contains(&expected), "{line}: {error}");
            }
            let with_http = format!("--mode http --mode echo --{name}{value}");
            assert!(parsed(&with_http).is_ok(), "{with_http}");
        }
        // The whole group but ROOT and --mode, and six limits.
        let heading = Some("What to serve");
        let group = table.get_arguments();
        let group = group.filter(|one| one.get_help_heading() == heading);
        assert_eq!(all.len(), group.count() - 2 + 6);
    }

    #[test]
    fn cookies_and_links_may_be_on_several_lines() {
        for name in ["Set-Cookie", "Link"] {
            let line = format!("--header {name}:a --header {name}:b");
            assert!(parsed(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_model_that_is_left_out_is_answered_with_how_to_build_it() {
        for name in crate::model::LEFT_OUT {
            let error = parsed(&format!("--model {name}")).expect_err(name);
            assert!(error.contains("--features tokio"), "{error}");
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
