//! The status page. Its script fills it in with the events that the server sends.

use super::diagram;
use crate::observe::{ExecutorKind, ServerInfo};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page's Content Security Policy (Level 3): only its own style, script and events, and no
/// frames.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The style sheet, `/live.css`.
pub const STYLE: &str = include_str!("live.css");

/// The script, `/live.js`.
pub const SCRIPT: &str = include_str!("live.js");

/// A figure of the page.
struct Figure {
    /// The element's id.
    id: &'static str,
    label: &'static str,
    tooltip: &'static str,
    shown: Shown,
}

/// Where a figure or a chart is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Always,
    /// Where loops take turns.
    Loops,
    /// Where the server sees what happens to its connections.
    NotProcesses,
    /// If the script finds that there is something to show.
    Later,
}

impl Shown {
    fn is_with(self, executors: ExecutorKind) -> bool {
        match self {
            Shown::Always | Shown::Later => true,
            Shown::Loops => executors == ExecutorKind::Loops,
            Shown::NotProcesses => executors != ExecutorKind::Processes,
        }
    }
}

const fn figure(
    id: &'static str,
    label: &'static str,
    shown: Shown,
    tooltip: &'static str,
) -> Figure {
    Figure {
        id,
        label,
        tooltip,
        shown,
    }
}

/// The figures on the page.
const FIGURES: &[Figure] = &[
    figure(
        "connections",
        "connections",
        Shown::Always,
        "open connections",
    ),
    figure(
        "requests",
        "requests/s",
        Shown::Always,
        "requests and datagrams answered, and lines of a chat, per second",
    ),
    figure(
        "sent",
        "sent/s",
        Shown::Always,
        "bytes sent to clients per second",
    ),
    figure(
        "turns",
        "turns/s",
        Shown::Loops,
        "turns of the event loops per second: each begins with a call that waits for events",
    ),
    figure(
        "events",
        "events/turn",
        Shown::Loops,
        "events and completed operations that one wait returns, on average",
    ),
    figure(
        "in-flight",
        "in flight",
        Shown::Later,
        "operations on connections that the kernel was given and has not completed",
    ),
    figure(
        "waiting",
        "waiting",
        Shown::Loops,
        "share of the time in which the event loops wait because there is nothing to do",
    ),
    figure(
        "calls",
        "system calls/request",
        Shown::NotProcesses,
        "system calls that wait for events or work on sockets, per request",
    ),
    figure(
        "blocks",
        "would-block/s",
        Shown::Loops,
        "calls per second that found nothing to accept or receive, or no room to send",
    ),
    figure(
        "spurious",
        "spurious events/s",
        Shown::Loops,
        "events per second after which there was nothing to do",
    ),
    figure(
        "executors",
        "busy",
        Shown::NotProcesses,
        "event loops, threads or tasks that have at least one connection",
    ),
    figure(
        "certificate",
        "certificate expires",
        Shown::Later,
        "time until the first certificate expires",
    ),
];

/// The charts of the last minute: the element's id, the title, where it is shown, and what it shows.
const CHARTS: &[(&str, &str, Shown, &str)] = &[
    (
        "requests",
        "Requests/s",
        Shown::Always,
        "requests answered per second",
    ),
    (
        "times",
        "Response time",
        Shown::NotProcesses,
        "time from when a client's input is found until all of the response is sent: \
         half of the responses took no longer than p50, and 99 of 100 no longer than p99",
    ),
    (
        "open",
        "Connections",
        Shown::Always,
        "open connections by state, with the colours below",
    ),
    (
        "idle",
        "Time waiting",
        Shown::Loops,
        "share of the time in which the event loops wait because there is nothing to do",
    ),
];

/// The signs of cells: the class, and what it means. Only a loop knows which connection acts, and
/// nothing is known of connections in other processes.
fn marks(executors: ExecutorKind) -> &'static [(&'static str, &'static str)] {
    match executors {
        ExecutorKind::Loops => &[
            ("read", "waits for input"),
            ("write", "waits for room to send"),
            ("nothing", "waits for its turn, or for other work"),
            ("acting", "acts at this moment"),
        ],
        ExecutorKind::Threads => &[
            ("read", "waits for input"),
            ("write", "sends, or waits for room to send"),
            ("nothing", "is being served"),
        ],
        ExecutorKind::Processes => &[],
    }
}

/// The page, before the script has filled it in. `token` permits to record.
pub fn page(info: &ServerInfo, token: Option<&str>) -> String {
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
                    (last_minute(info.executors))
                    (figures(info.executors))
                    (connections(info.executors))
                    @if info.executors != ExecutorKind::Processes {
                        (states(info))
                    }
                    (record(info, token))
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

fn last_minute(executors: ExecutorKind) -> Markup {
    html! {
        section {
            h2 { "The last minute" }
            div id="charts" {
                @for (id, title, _, about) in CHARTS.iter().filter(|(_, _, shown, _)| shown.is_with(executors)) {
                    figure title=(about) {
                        figcaption { b { (title) } " " span {} }
                        svg class="chart" data-chart=(id) viewBox="0 0 300 112" role="img" aria-label=(title) {}
                    }
                }
            }
        }
    }
}

fn figures(executors: ExecutorKind) -> Markup {
    html! {
        dl id="figures" {
            @for one in FIGURES.iter().filter(|one| one.shown.is_with(executors)) {
                div title=(one.tooltip) hidden[one.shown == Shown::Later] {
                    dt { (one.label) }
                    dd id=(one.id) { "–" }
                }
            }
        }
    }
}

fn connections(executors: ExecutorKind) -> Markup {
    html! {
        section {
            h2 { "Connections" }
            p class="note" { "Each cell is a connection, ordered by state. Select one to follow it." }
            ul id="states" {}
            ul id="marks" {
                @for (class, about) in marks(executors) {
                    li { i class=(class) {} (about) " " span data-mark=(class) data-about=(about) {} }
                }
            }
            div id="cells" {}
            p id="sample" {}
            p id="selected" role="status" {}
        }
    }
}

fn states(info: &ServerInfo) -> Markup {
    let services = || info.services.iter().filter(|(_, steps)| !steps.is_empty());
    html! {
        section {
            h2 { "States and transitions" }
            p {
                "How many sessions are in each state, and how often each transition was taken: "
                "the wider an arrow, the more often. A session can end in any state."
            }
            div id="diagrams" {
                @for (name, steps) in services() {
                    figure { figcaption { (name) } (PreEscaped(diagram(name, steps))) }
                }
            }
        }
    }
}

fn record(info: &ServerInfo, token: Option<&str>) -> Markup {
    html! {
        section {
            h2 { "See it step by step" }
            @if let Some(token) = token {
                p {
                    "A recording has every wait, system call and state of the next two seconds, but no content. "
                    "Make a page of it that plays it, and open that in a browser:"
                }
                pre { code { "evserve replay evserve-" (info.model) ".evrec -o page.html" } }
                p {
                    button id="record" type="button" data-token=(token) { "Record two seconds" }
                    " " span id="recorded" role="status" {}
                }
            } @else {
                p {
                    "This page cannot record: under " (info.model) " each connection has a process of its own. "
                    "Start the server with --record FILE instead; then SIGUSR1 writes the recording."
                }
            }
        }
    }
}
