//! What is done, with whom, and what is drawn of it: a row for each experiment.

use super::super::contestant::Contestant;
use super::super::pace::Pace;
use super::{Experiment, Plot, chat, cost, echo, fairness, generator_seconds, idle, memory, wrk};

fn everybody_can(_: &Contestant, _: u64) -> Option<String> {
    None
}

fn wrk_seconds(pace: &Pace, _step: u64) -> f64 {
    0.15 + pace.wrk_seconds as f64
}

const fn plot(figure: &'static str, title: &'static str, measure: &'static str) -> Plot {
    Plot {
        figure,
        title,
        measure,
        logarithmic: false,
    }
}

const fn logarithmic(figure: &'static str, title: &'static str, measure: &'static str) -> Plot {
    Plot {
        figure,
        title,
        measure,
        logarithmic: true,
    }
}

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "throughput",
        title: "Throughput against active connections",
        about: "wrk asks for a file of 1 KiB over keep-alive connections, each of which asks again as soon as it has \
                its answer.",
        steps_are: "active connections",
        quick: &[1, 64],
        full: &[1, 4, 16, 64, 256, 1024],
        plots: &[plot(
            "requests_per_s",
            "Throughput",
            "requests per second; more is better",
        )],
        seconds: wrk_seconds,
        cannot: |contestant, connections| contestant.cannot_watch(connections),
        measure: wrk::throughput,
    },
    Experiment {
        name: "idle",
        title: "Busy clients beside idle ones",
        about: "8 clients ask for a file of 1 KiB, first as fast as they can, then 2,000 times a second; beside them \
                are idle connections, which have had an answer and stay.",
        steps_are: "idle connections beside 8 busy ones",
        quick: &[0, 900],
        full: &[0, 100, 500, 900, 4000, 15_000],
        plots: &[
            plot(
                "requests_per_s",
                "Throughput beside idle connections",
                "requests per second; more is better",
            ),
            logarithmic(
                "p99_us",
                "Latency beside idle connections",
                "99th percentile at 2,000 requests a second, µs; less is better",
            ),
        ],
        seconds: idle::seconds,
        cannot: |contestant, idle| contestant.cannot_keep(idle),
        measure: idle::measure,
    },
    Experiment {
        name: "memory",
        title: "Memory for an idle connection",
        about: "What the server's private memory and the kernel's own memory have grown by, for each of so many idle \
                connections. The kernel's share counts both ends of a connection, for both are on this machine.",
        steps_are: "idle connections",
        quick: &[400],
        full: &[100, 500, 4000],
        plots: &[
            logarithmic(
                "private_bytes",
                "Private memory",
                "bytes for each idle connection; less is better",
            ),
            logarithmic(
                "kernel_bytes",
                "Kernel memory",
                "bytes for each idle connection, both ends; less is better",
            ),
        ],
        seconds: |_, idle| 0.8 + idle::coming_seconds(idle),
        cannot: |contestant, idle| contestant.cannot_keep(idle),
        measure: memory::measure,
    },
    Experiment {
        name: "cost",
        title: "Processor time for a request",
        about: "Clients ask for a file of 1 KiB over keep-alive connections, each as soon as it has its answer. The \
                time is that of all of the server's processes and threads.",
        steps_are: "active connections",
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[
            plot(
                "user_us",
                "Processor time in the program",
                "µs for a request; less is better",
            ),
            plot(
                "system_us",
                "Processor time in the kernel",
                "µs for a request; less is better",
            ),
        ],
        seconds: generator_seconds,
        cannot: everybody_can,
        measure: cost::time,
    },
    Experiment {
        name: "calls",
        title: "System calls and context switches for a request",
        about: "The same load. System calls are counted by perf where it may, and by evserve itself, which counts those \
                that wait and those on sockets; context switches are those of all of the server's threads.",
        steps_are: "active connections",
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[
            plot(
                "system_calls",
                "System calls, all of them",
                "for a request, as perf counts; less is better",
            ),
            plot(
                "socket_calls",
                "System calls to wait and on sockets",
                "for a request, as evserve counts; less is better",
            ),
            plot(
                "switches",
                "Context switches",
                "for a request; less is better",
            ),
        ],
        seconds: |pace, step| 0.5 + 2.0 * generator_seconds(pace, step),
        cannot: everybody_can,
        measure: cost::calls,
    },
    Experiment {
        name: "connections",
        title: "Connections per second",
        about: "wrk asks for a file of 1 KiB with `Connection: close`, and connects anew for each request.",
        steps_are: "clients at once",
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[plot(
            "connections_per_s",
            "Connections",
            "per second, each with one request; more is better",
        )],
        seconds: wrk_seconds,
        cannot: everybody_can,
        measure: wrk::connections,
    },
    Experiment {
        name: "fairness",
        title: "Fast clients beside slow and silent ones",
        about: "50 fast clients ask 1,000 times a second in all, each time over a new connection. Beside them are k slow \
                readers of a large file and k clients that connect and say nothing. The pool has 8 threads here, \
                forking its 40 processes.",
        steps_are: "k: slow readers, and as many silent clients",
        quick: &[0, 1, 8],
        full: &[0, 1, 2, 4, 8, 16, 32],
        plots: &[
            logarithmic(
                "p99_us",
                "Latency of the fast clients",
                "99th percentile, µs; whoever had no answer counts as long as it waited",
            ),
            plot(
                "answered_percent",
                "Fast clients that had their answer",
                "per cent of the requests; more is better",
            ),
        ],
        seconds: |pace, step| 0.1 + generator_seconds(pace, step),
        cannot: everybody_can,
        measure: fairness::measure,
    },
    Experiment {
        name: "large",
        title: "Large files",
        about: "wrk asks for a file of that size over 8 keep-alive connections.",
        steps_are: "KiB in the file",
        quick: &[1024],
        full: &[64, 1024, 16 * 1024],
        plots: &[
            plot(
                "mib_per_s",
                "Throughput with large files",
                "MiB per second; more is better",
            ),
            plot(
                "us_per_mib",
                "Processor time with large files",
                "µs of the server's for each MiB; less is better",
            ),
        ],
        seconds: wrk_seconds,
        cannot: everybody_can,
        measure: wrk::large,
    },
    Experiment {
        name: "echo-size",
        title: "Echo: message rate against message size",
        about: "16 clients send a message each and wait until all of it has come back, over and over.",
        steps_are: "bytes in a message",
        quick: &[64],
        full: &[64, 1024, 16 * 1024, 64 * 1024],
        plots: &[logarithmic(
            "messages_per_s",
            "Echo",
            "messages per second with 16 clients; more is better",
        )],
        seconds: generator_seconds,
        cannot: everybody_can,
        measure: echo::by_size,
    },
    Experiment {
        name: "echo-connections",
        title: "Echo: message rate against connections",
        about: "The same with 64 bytes and a varied number of clients. An echo connection never ends by itself, so a \
                model with a limit serves the first ones, and the others never have an answer.",
        steps_are: "clients",
        quick: &[1, 128],
        full: &[1, 8, 64, 512],
        plots: &[
            plot(
                "messages_per_s",
                "Echo",
                "messages of 64 bytes per second; more is better",
            ),
            plot(
                "answered_clients_percent",
                "Echo clients that are served at all",
                "per cent of the clients; more is better",
            ),
        ],
        seconds: generator_seconds,
        cannot: everybody_can,
        measure: echo::by_connections,
    },
    Experiment {
        name: "chat",
        title: "Chat: what is heard, against members",
        about: "Up to 8 of the members speak lines of 64 bytes, each of them as soon as all others have heard the last one.",
        steps_are: "members",
        quick: &[64],
        full: &[2, 16, 128, 512],
        plots: &[
            plot(
                "heard_per_s",
                "Chat",
                "lines heard by somebody per second; more is better",
            ),
            logarithmic(
                "p99_us",
                "How soon a line is heard",
                "99th percentile, µs; less is better",
            ),
        ],
        seconds: |pace, members| generator_seconds(pace, members) + members as f64 / 2000.0,
        cannot: |contestant, _| contestant.cannot_share().map(str::to_owned),
        measure: chat::measure,
    },
];
