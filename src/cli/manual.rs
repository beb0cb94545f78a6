//! The manual page, evserve(1), and completions for shells: both from the table of options.

use super::help::{EXAMPLES, SYNOPSIS, VALUES};
use clap::{Arg, Command};
use clap_complete::Shell;
use roff::{Inline, Roff, bold, italic, roman};
use std::io;

const NAME: &str = env!("CARGO_PKG_NAME");

/// The day of the page's last change in substance.
const DATE: &str = "2026-11-28";

const DESCRIPTION: &[&str] = &[
    "evserve serves the files of a directory, or a single file, over HTTP/1.1, and small protocols \
     such as echo and chat. By default one thread waits for all connections with epoll(7). --model \
     runs the same protocols under another I/O model, so that the models can be compared.",
    "Without options it serves the current directory at http://127.0.0.1:8080/, to this machine \
     only. --listen :8080 makes it reachable from other machines. It prints the URLs, then the \
     access log. Ctrl-C stops it.",
    "Before it serves, evserve gives up what it does not need: Landlock lets it read what it \
     serves and what may take its place, and write where the access log is. It executes nothing.",
];

/// The sections after the options: a title, and rows of a term and its text.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "EXIT STATUS",
        &[
            (
                "0",
                "It served until it was stopped, or printed what was asked for.",
            ),
            (
                "1",
                "It cannot do what the options ask: the address is in use, for example.",
            ),
            ("2", "The command line has a mistake."),
        ],
    ),
    (
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "Stop, after --drain-delay. Then clients that wait are still accepted and no \
                 others, idle connections are closed, and the others may finish within \
                 --drain-timeout. A second signal ends them at once.",
            ),
            (
                "SIGHUP",
                "Reopen the file of the access log, for log rotation, and open certificates and \
                 keys again.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "NO_COLOR",
                "If set and not empty, messages on standard error have no colours.",
            ),
            (
                "EVSERVE_AUTH",
                "One user and password for HTTP, USER:PASSWORD. --auth replaces it, and --auth-file \
                 adds to it.",
            ),
            (
                "LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID",
                "Sockets that systemd has opened, see sd_listen_fds(3). evserve listens at them \
                 too; their names choose the mode, such as http, or http-tls for encrypted \
                 connections.",
            ),
            (
                "STATE_DIRECTORY, XDG_STATE_HOME, HOME",
                "Where the certificate of --tls-self-signed is kept: the first one that is set.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            (
                "index.html, index.htm",
                "Sent for the directory that holds them; see --index.",
            ),
            (
                "FILE.br, FILE.zst, FILE.gz",
                "Sent instead of FILE to clients that prefer this compression, unless they are \
                 older than FILE by two seconds or more.",
            ),
            (
                ".*",
                "Neither served nor listed, but for .well-known; see --hidden.",
            ),
            (
                "~/.local/state/evserve/self-signed.crt",
                "The certificate of --tls-self-signed, for clients to trust. self-signed.pem \
                 beside it also holds the key.",
            ),
            (
                "/usr/lib/systemd/system/evserve.service, evserve.socket",
                "Units for systemd, installed by the Debian package.",
            ),
        ],
    ),
];

const SEE_ALSO: &str =
    "curl(1), nc(1), wrk(1), systemd.socket(5), signal(7), epoll(7), landlock(7), sendfile(2)";

/// The script that completes the options in a shell.
pub(super) fn completions(mut options: Command, shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut options, NAME, &mut text);
    text
}

/// The page for man(1).
///
/// # Errors
/// Those of writing, of which memory has none.
pub(super) fn page(mut options: Command) -> io::Result<Vec<u8>> {
    options.build();
    let mut page = Roff::new();
    let version = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["EVSERVE", "1", DATE, version, "User Commands"]);
    page.control("SH", ["NAME"]);
    let about = options.get_about().map(ToString::to_string);
    page.text([roman(format!(
        "{NAME} - {}",
        lower_first(&about.unwrap_or_default())
    ))]);
    page.control("SH", ["SYNOPSIS"]);
    let printing = ["evserve --man", "evserve --completions SHELL"];
    for (index, line) in SYNOPSIS.iter().chain(&printing).enumerate() {
        if index > 0 {
            page.control("br", []);
        }
        page.text(synopsis(line));
    }
    page.control("SH", ["DESCRIPTION"]);
    for (index, text) in DESCRIPTION.iter().enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        add_text(&mut page, text);
    }
    page.control("SH", ["OPTIONS"]);
    add_text(&mut page, VALUES);
    let mut heading = None;
    for option in options.get_arguments() {
        if option.get_help_heading() != heading {
            heading = option.get_help_heading();
            page.control("SS", heading);
        }
        add_option(&mut page, option);
    }
    page.control("SH", ["EXAMPLES"]);
    for (line, about) in EXAMPLES {
        add_row(&mut page, [bold(*line)], about);
    }
    for (title, rows) in SECTIONS {
        page.control("SH", [*title]);
        for (term, text) in *rows {
            add_row(&mut page, [bold(*term)], text);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    add_text(&mut page, SEE_ALSO);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    Ok(text)
}

/// A command line: what is typed as it stands is bold, and names in capitals stand for values.
fn synopsis(line: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for word in line.split_inclusive(' ') {
        let is_value = word.contains(|c: char| c.is_ascii_uppercase());
        inlines.push(if is_value { italic(word) } else { bold(word) });
    }
    inlines
}

fn add_row<const N: usize>(page: &mut Roff, term: [Inline; N], text: &str) {
    page.control("TP", []);
    page.text(term);
    add_text(page, text);
}

/// Adds a paragraph, in lines of moderate length.
fn add_text(page: &mut Roff, text: &str) {
    const MAX_LINE: usize = 72;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + word.len() >= MAX_LINE {
            page.text([roman(std::mem::take(&mut line))]);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    page.text([roman(line)]);
}

fn add_option(page: &mut Roff, option: &Arg) {
    page.control("TP", []);
    page.text(term(option));
    let help = option.get_long_help().or(option.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = help.split("\n\n");
    let defaults = option.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    let first = paragraphs.next().unwrap_or_default();
    let first = match takes_value(option) && !defaults.is_empty() {
        true => format!("{first} [default: {}]", defaults.join(", ")),
        false => first.into(),
    };
    add_text(page, &first);
    for paragraph in paragraphs {
        page.control("IP", []);
        add_text(page, paragraph);
    }
    let values = option.get_possible_values();
    if !takes_value(option) || values.is_empty() {
        return;
    }
    page.control("RS", []);
    for value in values {
        let about = value.get_help().map(ToString::to_string);
        add_row(page, [bold(value.get_name())], &about.unwrap_or_default());
    }
    page.control("RE", []);
}

/// How an option is written, with the name of its value.
fn term(option: &Arg) -> Vec<Inline> {
    let mut inlines = Vec::new();
    if let Some(short) = option.get_short() {
        inlines.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = option.get_long() {
        inlines.push(bold(format!("--{long}")));
    }
    if takes_value(option) {
        let names = option.get_value_names().unwrap_or_default().iter();
        let space = (!option.is_positional()).then(|| roman(" "));
        inlines.extend(space);
        inlines.extend(names.map(|name| italic(name.as_str())));
    }
    inlines
}

fn takes_value(option: &Arg) -> bool {
    option.is_positional() || option.get_action().takes_values()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
