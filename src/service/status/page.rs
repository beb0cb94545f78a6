//! The status page. Its script fills it in with the events that the server sends.

use super::diagram;
use crate::observe::ServerInfo;
use maud::{DOCTYPE, PreEscaped, html};

/// The page's Content Security Policy (Level 3): only its own style, script and events, and no
/// frames.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The style sheet, `/live.css`.
pub const STYLE: &str = include_str!("live.css");

/// The script, `/live.js`.
pub const SCRIPT: &str = include_str!("live.js");

/// A figure that is shown if the model gives operations to the kernel.
const IN_FLIGHT: &str = "in-flight";

/// A figure that is shown if connections are encrypted.
const CERTIFICATE: &str = "certificate";

/// The figures on the page: the element's id, the label, and the tooltip.
const FIGURES: &[(&str, &str, &str)] = &[
    ("connections", "connections", "open connections"),
    (
        "requests",
        "requests/s",
        "requests and datagrams answered, and lines of a chat, per second",
    ),
    ("sent", "sent/s", "bytes sent to clients per second"),
    (
        "turns",
        "turns/s",
        "turns of the event loops per second: each begins with a call that waits for events",
    ),
    (
        "events",
        "events/turn",
        "events and completed operations that one wait returns, on average",
    ),
    (
        IN_FLIGHT,
        "in flight",
        "operations on connections that the kernel was given and has not completed",
    ),
    (
        "waiting",
        "waiting",
        "share of the time in which the event loops wait because there is nothing to do",
    ),
    (
        "calls",
        "system calls/request",
        "system calls that wait for events or work on sockets, per request",
    ),
    (
        "blocks",
        "would-block/s",
        "calls per second that found nothing to accept or receive, or no room to send",
    ),
    (
        "spurious",
        "spurious events/s",
        "events per second after which there was nothing to do",
    ),
    (
        "executors",
        "busy",
        "event loops, threads or processes that have at least one connection",
    ),
    (
        CERTIFICATE,
        "certificate expires",
        "time until the first certificate expires",
    ),
];

/// The page, before the script has filled it in.
pub fn page(info: &ServerInfo) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "evserve status" }
                link rel="stylesheet" href="live.css";
                script src="live.js" defer {}
            }
            body {
                header {
                    h1 { "evserve status" }
                    p { b { (info.model) } ": " (info.waits) "." }
                    @if let Some(why) = info.why_no_stream {
                        p class="note" {
                            "This page asks again for each update and may show little: " (why) "."
                        }
                    }
                    p id="summary" role="status" { "waiting for the first update" }
                }
                main {
                    dl id="figures" {
                        @for (id, label, tooltip) in FIGURES {
                            div title=(tooltip) hidden[[IN_FLIGHT, CERTIFICATE].contains(id)] { dt { (label) } dd id=(id) { "–" } }
                        }
                    }
                    section {
                        h2 { "Connections" }
                        ul id="states" {}
                        p id="selected" role="status" { "Select a connection to see what it waits for." }
                        div id="cells" {}
                        p id="sample" {}
                    }
                    section {
                        h2 { "States and transitions" }
                        p {
                            "How many sessions are in each state, and how often each transition was taken. "
                            "A session can end in any state."
                        }
                        div id="diagrams" {
                            @for (name, steps) in info.services.iter().filter(|(_, steps)| !steps.is_empty()) {
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
