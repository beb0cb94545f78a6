//! The page on which the server can be seen at work. What moves on it comes as events, and its script fills it in.

use super::diagram;
use crate::observe::ServerInfo;
use maud::{DOCTYPE, PreEscaped, html};

/// Only the page's own style, script and events (Content Security Policy Level 3), in nobody's frame.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How it looks.
pub const STYLE: &str = include_str!("live.css");

/// What fills it in.
pub const SCRIPT: &str = include_str!("live.js");

/// The numbers that it shows: what the script calls them, what they are called, and what that means.
const FIGURES: &[(&str, &str, &str)] = &[
    ("connections", "connections", "open now"),
    ("requests", "requests/s", "answers, or lines of a chat"),
    ("sent", "sent/s", "bytes to all peers"),
    ("turns", "turns/s", "calls that waited for events"),
    ("events", "events/turn", "how many things one wait brought"),
    (
        "waiting",
        "waiting",
        "the share of the time in which there was nothing to do",
    ),
    (
        "calls",
        "calls/request",
        "system calls to wait and on sockets",
    ),
    (
        "blocks",
        "would-blocks/s",
        "calls that were tried too early",
    ),
    (
        "spurious",
        "spurious/s",
        "events after which there was nothing to do",
    ),
    (
        "doers",
        "doers",
        "loops, threads or processes: those with a connection, of all",
    ),
];

/// The page, before anything has been filled in.
pub fn page(about: &ServerInfo) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "evserve at work" }
                link rel="stylesheet" href="live.css";
                script src="live.js" defer {}
            }
            body {
                header {
                    h1 { "evserve at work" }
                    p { b { (about.model) } ": " (about.waits) "." }
                    @if let Some(why) = about.why_no_stream {
                        p class="note" { "This view is a row of looks and no stream, and may show little: " (why) "." }
                    }
                    p id="news" role="status" { "waiting for the first look" }
                }
                main {
                    dl id="figures" {
                        @for (id, name, meaning) in FIGURES {
                            div title=(meaning) { dt { (name) } dd id=(id) { "–" } }
                        }
                    }
                    section {
                        h2 { "Connections" }
                        ul id="states" {}
                        p id="chosen" role="status" { "Choose one to see what it waits for." }
                        div id="cells" {}
                        p id="shown" {}
                    }
                    section {
                        h2 { "States and steps" }
                        p { "How many are in each state, and how often each step was taken. Any state can end." }
                        div id="diagrams" {
                            @for (name, steps) in about.services.iter().filter(|(_, steps)| !steps.is_empty()) {
                                figure { figcaption { (name) } (PreEscaped(diagram(name, steps))) }
                            }
                        }
                    }
                }
                footer {
                    a href="status.json" { "status.json" } " " a href="metrics" { "metrics" } " "
                    a href="healthz" { "healthz" }
                }
            }
        }
    };
    page.into_string()
}
