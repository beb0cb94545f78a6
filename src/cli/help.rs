//! The parts of --help that come from tables, and the examples.

use super::values::{shown_size, shown_time};
use crate::config::{Config, DEFAULT_MEMORY_BYTES, HttpConfig, Timeouts};
use crate::model::{LEFT_OUT, MODELS};
use crate::service::SERVICES;
use clap::builder::{PossibleValue, PossibleValuesParser};

/// What a command line looks like, by what is served.
pub(super) const SYNOPSIS: &[&str] = &[
    "evserve [OPTIONS] [ROOT]",
    "evserve --mode MODE [OPTIONS]",
    "evserve --mode http --mode MODE [OPTIONS] [ROOT]",
    "evserve replay RECORDING... --output FILE",
];

pub(super) fn usage() -> String {
    SYNOPSIS[..2].join("\n       ")
}

/// Command lines, and what each does. The first ones are also in -h.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "evserve public",
        "The directory public at http://127.0.0.1:8080/",
    ),
    ("evserve -p 8000 photo.jpg", "One file, at port 8000"),
    ("evserve -l :8080 public", "For other machines too"),
    (
        "evserve --status 9090 public",
        "Watch it work at http://127.0.0.1:9090/",
    ),
    (
        "evserve --model threaded public",
        "A thread per connection, to compare",
    ),
    (
        "evserve -l tls:8443 --tls-self-signed public",
        "Encrypted, at https://127.0.0.1:8443/",
    ),
    (
        "evserve --mode echo",
        "Send every byte back; try: nc 127.0.0.1 7007",
    ),
    (
        "evserve --mode http --mode chat public",
        "Two protocols, from one event loop",
    ),
    (
        "evserve -l localhost:8080 public",
        "On both loopback addresses, IPv4 and IPv6",
    ),
    ("evserve -l unix:/tmp/web.socket public", "On a Unix socket"),
    (
        "evserve --mode echo -l udp:7007",
        "Datagrams instead of connections",
    ),
    (
        "evserve -l :80 --user nobody public",
        "Port 80, started by root",
    ),
    (
        "evserve --fallback index.html app",
        "A single-page application",
    ),
    (
        "evserve --trace-requests 1 public",
        "See the system calls of one request",
    ),
    (
        "evserve replay run.evrec -o run.html",
        "Replay in a browser what --record recorded",
    ),
];

/// How values with a unit are written.
pub(super) const VALUES: &str = "SIZE is a number of bytes, or has a unit, such as 16KiB or 1MiB. \
     TIME has a unit, such as 500ms, 10s or 2m.";

/// How many of the examples -h shows.
const SHORT_EXAMPLES: usize = 5;

pub(super) fn after_short() -> String {
    format!(
        "{}\n\nThis is a selection. evserve --help shows all options, evserve --man the manual.",
        examples(SHORT_EXAMPLES)
    )
}

pub(super) fn after_long() -> String {
    format!("{VALUES}\n\n{}", examples(EXAMPLES.len()))
}

fn examples(count: usize) -> String {
    let shown = &EXAMPLES[..count];
    let width = shown.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let lines = shown
        .iter()
        .map(|(line, about)| format!("\n  {line:width$}  {about}"));
    format!("Examples:{}", lines.collect::<String>())
}

/// The names of the models that have this option.
pub(super) fn models_with(option: &str) -> String {
    let rows = MODELS.iter().filter(|row| row.options.contains(&option));
    rows.map(|row| row.name).collect::<Vec<_>>().join(", ")
}

/// The help of an option that only some models have.
pub(super) fn of_models(option: &str, about: &str, default: fn(Config) -> usize) -> String {
    let default = default(Config::default());
    format!("{about}; for {} [default: {default}]", models_with(option))
}

pub(super) fn modes() -> PossibleValuesParser {
    let rows = SERVICES.iter();
    PossibleValuesParser::new(rows.map(|row| PossibleValue::new(row.name).help(row.about)))
}

pub(super) fn models() -> PossibleValuesParser {
    let rows = MODELS.iter();
    let known = rows.map(|row| PossibleValue::new(row.name).help(row.about));
    // Accepted here, and refused with a better reason.
    let left_out = LEFT_OUT
        .iter()
        .map(|name| PossibleValue::new(name).hide(true));
    PossibleValuesParser::new(known.chain(left_out))
}

pub(super) fn model() -> String {
    let default = Config::default().model;
    format!("How to wait for connections [default: {default}]")
}

pub(super) fn mode() -> String {
    let default = SERVICES[0].name;
    format!("Protocol to serve; may be repeated [default: {default}]")
}

pub(super) fn port() -> String {
    let http = &SERVICES[0];
    format!(
        "Port, reachable from this machine only [default: {}]",
        http.port
    )
}

pub(super) fn port_in_full() -> String {
    let ports = SERVICES
        .iter()
        .map(|row| format!("{} {}", row.name, row.port));
    format!(
        "Port, reachable from this machine only [default: {}]\n\nThe address is 127.0.0.1. Port 0 \
         is any free one. With several modes, use --listen MODE=PORT for each. An address in \
         --listen that names no port gets this one.",
        ports.collect::<Vec<_>>().join(", ")
    )
}

pub(super) fn listen() -> String {
    "HOST:PORT, :PORT (all addresses) or unix:PATH; also behind tls:".into()
}

pub(super) fn listen_in_full() -> String {
    let answering = SERVICES.iter().filter(|row| row.datagram.is_some());
    let answering: Vec<_> = answering.map(|row| row.name).collect();
    format!(
        "{}\n\nA name stands for all its addresses. [IPV6]:PORT or [IPV6%INTERFACE]:PORT is an \
         IPv6 address. PORT alone is on the loopback (127.0.0.1). An IP address alone, or \
         localhost, gets the default port of the mode. Port 0 is any free one. May be \
         repeated.\n\nWith tls: before an address, connections to it are encrypted: tls:HOST:PORT, \
         tls::PORT or tls:unix:PATH. This needs a certificate: --tls-cert and --tls-key, or \
         --tls-self-signed.\n\nFor datagrams, \
         which {} accept: udp:HOST:PORT, udp::PORT or unix-dgram:PATH.\n\nWith several modes, each \
         address names its own, such as echo=:7007.",
        listen(),
        answering.join(" and ")
    )
}

pub(super) fn index() -> String {
    let default = HttpConfig::default().indexes.join(", ");
    format!("File to send for its directory; may be repeated [default: {default}]")
}

pub(super) fn handshake_timeout() -> String {
    let default = shown_time(Timeouts::default().handshake);
    format!("Time for a whole TLS handshake, from the accept [default: {default}]")
}

pub(super) fn cache_bytes() -> String {
    let default = shown_size(DEFAULT_MEMORY_BYTES as u64);
    format!("Memory for small files, per event loop [default: {default} or less]")
}

pub(super) fn cache_bytes_in_full() -> String {
    format!(
        "{}\n\nThe default takes at most an eighth of the machine's memory, divided among the \
         loops or processes.",
        cache_bytes()
    )
}

#[cfg(test)]
mod tests {
    use super::super::options::table;
    use clap::Command;

    /// The most lines of -h: one screen.
    const MAX_LINES: usize = 45;

    /// The most characters of an option's sentence.
    const MAX_SENTENCE: usize = 100;

    const GROUPS: &[&str] = &[
        "What to serve",
        "Where to listen",
        "How to wait (I/O model)",
        "Limits",
        "Logging",
        "Security",
        "Watching",
        "Help",
    ];

    fn options() -> Command {
        let mut options = table().term_width(100);
        options.build();
        options
    }

    #[test]
    fn short_help_fits_on_one_screen() {
        let help = options().render_help().to_string();
        let count = help.lines().count();
        assert!(count <= MAX_LINES, "{count} lines:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        // All groups of options are in it.
        for group in &GROUPS[..GROUPS.len() - 1] {
            assert!(help.contains(&format!("\n{group}:\n")), "{group}: {help}");
        }
        assert!(help.trim_end().ends_with("evserve --man the manual."));
    }

    #[test]
    fn every_option_is_in_a_group_and_has_a_sentence() {
        let options = options();
        let mut groups = Vec::new();
        for option in options.get_arguments() {
            let name = option.get_id();
            let group = option.get_help_heading().unwrap_or("none");
            if groups.last() != Some(&group) {
                groups.push(group);
            }
            let help = option
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.starts_with(|c: char| c.is_ascii_uppercase()),
                "{name}: {help}"
            );
            assert!(!help.ends_with('.'), "{name}: {help}");
            assert!(help.chars().count() <= MAX_SENTENCE, "{name}: {help}");
            if let Some(long) = option.get_long_help() {
                let long = long.to_string();
                let first = long.split("\n\n").next().unwrap_or_default();
                let sentence = help.split(" [default").next().unwrap_or_default();
                let is_help = option.get_id() == "help";
                assert!(is_help || first.starts_with(sentence), "{name}: {long}");
            }
        }
        assert_eq!(groups, GROUPS);
    }
}
