//! The options as other programs want them: completions for shells, and a page for man(1).

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;

const NAME: &str = env!("CARGO_PKG_NAME");

/// What the page says beyond the options: titles, and under each a table.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "Nothing more is accepted, what is idle is closed, and the rest may finish within --drain-timeout; \
                 before that, --drain-delay passes. The second one ends it at once.",
            ),
            ("SIGHUP", "The file of the access log is reopened."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "It has served, and was told to end."),
            ("1", "It cannot do what the options ask."),
            ("2", "It does not understand the options."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "NO_COLOR",
                "If it is set there are no colours on the standard error, even on a terminal.",
            ),
            (
                "LISTEN_FDS, LISTEN_FDNAMES",
                "Sockets that systemd has opened (sd_listen_fds(3)) are listened at; their names choose the mode.",
            ),
        ],
    ),
];

/// What a shell runs to complete the options.
pub(super) fn completions(mut options: Command, shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut options, NAME, &mut text);
    text
}

/// The page for man(1).
///
/// # Errors
/// Those of writing, of which memory has none.
pub(super) fn man_page(options: Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(options)
        .manual("User Commands")
        .render(&mut text)?;
    let mut more = Roff::new();
    for (title, rows) in SECTIONS {
        more.control("SH", [*title]);
        for (name, about) in *rows {
            more.control("TP", []);
            more.text([bold(*name)]);
            more.text([roman(*about)]);
        }
    }
    more.to_writer(&mut text)?;
    Ok(text)
}
