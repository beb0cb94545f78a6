//! The table of the experiments.

use super::{
    Experiment, Plot, accepting, chat, closed, cost, curves, echo, fairness, generator_seconds,
    handshakes, idle, memory, triggers, work,
};
use crate::contestant::Contestant;
use evserve_lab::run::Better::{self, Higher, Lower};

fn all_can(_: &Contestant, _: u64) -> Option<String> {
    None
}

const fn plot(
    figure: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
) -> Plot {
    Plot {
        figure,
        title,
        unit,
        better,
        logarithmic: false,
    }
}

const fn logarithmic(
    figure: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
) -> Plot {
    Plot {
        logarithmic: true,
        ..plot(figure, title, unit, better)
    }
}

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "throughput",
        title: "Throughput, by active connections",
        about: "Clients request a file of 1 KiB over keep-alive connections. Each one sends its next request as \
                soon as it has a response.",
        steps_are: "active connections",
        variants: &[],
        quick: &[1, 64],
        full: &[1, 16, 64, 256, 1024],
        plots: &[plot(
            "requests_per_s",
            "Throughput",
            "requests per second",
            Higher,
        )],
        seconds: generator_seconds,
        cannot: |contestant, connections| contestant.cannot_watch(connections),
        measure: closed::throughput,
    },
    Experiment {
        name: "curves",
        title: "Load curves",
        about: "64 connections in an open loop: requests for a file of 1 KiB are due at random times, at a rate that is \
                a part of what epoll can serve in a closed loop. A model has collapsed when it answers less than 95 % \
                of what is due; then higher loads are left out. Its knee is the last load before the 99th percentile \
                exceeds five times its lowest value.",
        steps_are: "offered load, in per cent of the capacity of epoll",
        variants: &[],
        quick: &[10, 60, 90],
        full: &[10, 20, 40, 60, 80, 90, 100, 110, 120],
        plots: &[
            plot(
                "cpu_us",
                "CPU time per request under load",
                "µs of the server per request",
                Lower,
            ),
            logarithmic("p50_us", "Median latency under load", "µs", Lower),
            logarithmic("p99_us", "Latency under load", "99th percentile, µs", Lower),
            logarithmic(
                "p999_us",
                "The longest latencies under load",
                "99.9th percentile, µs",
                Lower,
            ),
            plot(
                "achieved_per_s",
                "Achieved load",
                "responses per second",
                Higher,
            ),
        ],
        seconds: curves::seconds,
        cannot: all_can,
        measure: curves::measure,
    },
    Experiment {
        name: "idle",
        title: "Busy clients beside idle ones",
        about: "8 clients request a file of 1 KiB, first as fast as they can, then 2,000 times a second. Beside them \
                are idle connections, which have had a response and stay open.",
        steps_are: "idle connections beside 8 busy ones",
        variants: &[],
        quick: &[0, 900],
        full: &[0, 900, 15_000],
        plots: &[
            plot(
                "requests_per_s",
                "Throughput beside idle connections",
                "requests per second",
                Higher,
            ),
            logarithmic(
                "p99_us",
                "Latency beside idle connections",
                "99th percentile at 2,000 requests a second, µs",
                Lower,
            ),
        ],
        seconds: idle::seconds,
        cannot: |contestant, idle| contestant.cannot_keep(idle),
        measure: idle::measure,
    },
    Experiment {
        name: "memory",
        title: "Memory of an idle connection",
        about: "The growth of the server's private memory and of the kernel's own memory, per idle connection. The \
                kernel's share counts both ends of a connection, because both are on this machine.",
        steps_are: "idle connections",
        variants: &[],
        quick: &[400],
        full: &[500, 4000],
        plots: &[
            logarithmic(
                "private_bytes",
                "Private memory",
                "bytes per idle connection",
                Lower,
            ),
            logarithmic(
                "kernel_bytes",
                "Kernel memory",
                "bytes per idle connection, both ends",
                Lower,
            ),
        ],
        seconds: |_, idle| 0.8 + idle::coming_seconds(idle),
        cannot: |contestant, idle| contestant.cannot_keep(idle),
        measure: memory::measure,
    },
    Experiment {
        name: "cost",
        title: "CPU time per request",
        about: "Clients request a file of 1 KiB over keep-alive connections, each as soon as it has a response. The \
                time is that of all the server's processes and threads.",
        steps_are: "active connections",
        variants: &[],
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[
            plot("cpu_us", "CPU time, in all", "µs per request", Lower),
            plot(
                "user_us",
                "CPU time in the program",
                "µs per request",
                Lower,
            ),
            plot(
                "system_us",
                "CPU time in the kernel",
                "µs per request",
                Lower,
            ),
        ],
        seconds: generator_seconds,
        cannot: all_can,
        measure: cost::time,
    },
    Experiment {
        name: "calls",
        title: "System calls and context switches per request",
        about: "The same load. perf counts all system calls, if it has permission; evserve itself counts those that \
                wait and those on sockets. Context switches are those of all the server's threads.",
        steps_are: "active connections",
        variants: &[],
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[
            plot(
                "system_calls",
                "System calls, all of them",
                "per request, counted by perf",
                Lower,
            ),
            plot(
                "socket_calls",
                "System calls to wait and on sockets",
                "per request, counted by evserve",
                Lower,
            ),
            plot("switches", "Context switches", "per request", Lower),
        ],
        seconds: |pace, step| 0.5 + 2.0 * generator_seconds(pace, step),
        cannot: all_can,
        measure: cost::calls,
    },
    Experiment {
        name: "connections",
        title: "Connections per second",
        about: "Clients request a file of 1 KiB with `Connection: close`, and connect again for each request.",
        steps_are: "clients at once",
        variants: &[],
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[plot(
            "connections_per_s",
            "Connections",
            "per second, each with one request",
            Higher,
        )],
        seconds: generator_seconds,
        cannot: all_can,
        measure: closed::connections,
    },
    Experiment {
        name: "accept",
        title: "Who gets the connection",
        about: "Two loops over epoll share an address in the four ways of `--accept`. Clients request a file of 1 KiB \
                with `Connection: close`, and connect again for each request. With one client both loops sleep \
                before each connection. A loop is woken whenever it has slept: for a connection, for its request or \
                its end, or in vain.",
        steps_are: "clients at once",
        variants: accepting::VARIANTS,
        quick: &[1],
        full: &[1, 16, 64],
        plots: &[
            plot(
                "fullest_percent",
                "Connections of the fullest loop",
                "per cent of all connections; 50 is even",
                Lower,
            ),
            plot("wake_ups", "Wake-ups", "per connection", Lower),
            plot(
                "most_woken_percent",
                "Wake-ups of the loop that is woken most",
                "per cent of all wake-ups; 50 is even",
                Lower,
            ),
            logarithmic(
                "p99_us",
                "Latency of a connection with its request",
                "99th percentile, µs",
                Lower,
            ),
            plot(
                "connections_per_s",
                "Connections to two loops",
                "per second, each with one request",
                Higher,
            ),
        ],
        seconds: accepting::seconds,
        cannot: all_can,
        measure: accepting::measure,
    },
    Experiment {
        name: "triggers",
        title: "Edge, level, one-shot",
        about: "epoll reports events in the three ways of `--trigger`. Clients request a file of 1 KiB over keep-alive \
                connections, each as soon as it has a response.",
        steps_are: "active connections",
        variants: triggers::VARIANTS,
        quick: &[16],
        full: &[1, 16, 256],
        plots: &[
            plot(
                "cpu_us",
                "CPU time by trigger",
                "µs of the server per request",
                Lower,
            ),
            plot(
                "interest_changes",
                "Changes of interest",
                "calls of epoll_ctl(2) per request",
                Lower,
            ),
            plot("events", "Events", "per request", Lower),
            plot(
                "would_blocks",
                "Calls that would have blocked",
                "per request",
                Lower,
            ),
        ],
        seconds: generator_seconds,
        cannot: all_can,
        measure: triggers::measure,
    },
    Experiment {
        name: "fairness",
        title: "Fast clients beside slow and silent ones",
        about: "50 fast clients send 1,000 requests a second in all, at random times, each over a new connection. Beside them are k slow \
                readers of a large file and k clients that connect and send nothing. The pool has 8 threads here, \
                forking its 40 processes.",
        steps_are: "k: slow readers, and as many silent clients",
        variants: &[],
        quick: &[0, 1, 8],
        full: &[0, 8, 32],
        plots: &[
            logarithmic(
                "p99_us",
                "Latency of the fast clients",
                "99th percentile, µs; a request without a response counts with the time it waited",
                Lower,
            ),
            plot(
                "answered_percent",
                "Fast clients that had their response",
                "per cent of the requests",
                Higher,
            ),
        ],
        seconds: fairness::seconds,
        cannot: all_can,
        measure: fairness::measure,
    },
    Experiment {
        name: "handshakes",
        title: "Connected clients beside TLS handshakes",
        about: "64 connected clients send 2,000 requests a second in all, without encryption. Beside them, new clients \
                make a full TLS handshake each (ECDSA, P-256) and leave.",
        steps_are: "handshakes per second, if the server keeps up",
        variants: &[],
        quick: &[0, 300],
        full: &[0, 300, 2000],
        plots: &[
            logarithmic(
                "p99_us",
                "Latency of connected clients beside handshakes",
                "99th percentile, µs",
                Lower,
            ),
            plot("handshakes_per_s", "Handshakes", "per second", Higher),
        ],
        seconds: handshakes::seconds,
        cannot: |contestant, _| contestant.cannot_keep(handshakes::CONNECTED as u64),
        measure: handshakes::measure,
    },
    Experiment {
        name: "work",
        title: "Small files beside pages that are computed",
        about: "32 clients request a file of 1 KiB, 10,000 times a second in all and at random times. Beside them, 4 \
                clients request a page for which the handler computes for 5 ms. At 100 such pages a second that is \
                half of the server's core.",
        steps_are: "computed pages per second",
        variants: &[],
        quick: &[0, 50],
        full: &[0, 10, 20, 50, 100],
        plots: &[
            logarithmic(
                "p50_us",
                "Who waits for small files: the median",
                "µs, of the requests for small files",
                Lower,
            ),
            logarithmic(
                "p99_us",
                "Who waits for small files: the longest",
                "99th percentile, µs, of the requests for small files",
                Lower,
            ),
            logarithmic(
                "computed_p50_us",
                "Latency of the computed pages",
                "median, µs",
                Lower,
            ),
        ],
        seconds: work::seconds,
        cannot: |contestant, _| contestant.cannot_be_a_library(),
        measure: work::measure,
    },
    Experiment {
        name: "large",
        title: "Large files",
        about: "8 clients request a file of this size over keep-alive connections, each as soon as it has the one before.",
        steps_are: "KiB in the file",
        variants: &[],
        quick: &[1024],
        full: &[64, 1024, 16 * 1024],
        plots: &[
            plot(
                "mib_per_s",
                "Throughput with large files",
                "MiB per second",
                Higher,
            ),
            plot(
                "us_per_mib",
                "CPU time with large files",
                "µs of the server per MiB",
                Lower,
            ),
        ],
        seconds: generator_seconds,
        cannot: all_can,
        measure: closed::large,
    },
    Experiment {
        name: "echo-size",
        title: "Echo: message rate, by message size",
        about: "16 clients each send a message, wait until all of it has come back, and repeat.",
        steps_are: "bytes in a message",
        variants: &[],
        quick: &[64],
        full: &[64, 1024, 16 * 1024, 64 * 1024],
        plots: &[logarithmic(
            "messages_per_s",
            "Echo",
            "messages per second with 16 clients",
            Higher,
        )],
        seconds: generator_seconds,
        cannot: all_can,
        measure: echo::by_size,
    },
    Experiment {
        name: "echo-connections",
        title: "Echo: message rate, by connections",
        about: "The same with messages of 64 bytes and a varying number of clients. An echo connection never ends by \
                itself, so a model with a limit serves the first clients, and the others are never served.",
        steps_are: "clients",
        variants: &[],
        quick: &[1, 128],
        full: &[1, 8, 64, 512],
        plots: &[
            plot(
                "messages_per_s",
                "Echo",
                "messages of 64 bytes per second",
                Higher,
            ),
            plot(
                "answered_clients_percent",
                "Echo clients that are served at all",
                "per cent of the clients",
                Higher,
            ),
        ],
        seconds: generator_seconds,
        cannot: all_can,
        measure: echo::by_connections,
    },
    Experiment {
        name: "chat",
        title: "Chat: deliveries, by members",
        about: "Up to 8 members send lines of 64 bytes, each as soon as all others have received its last one.",
        steps_are: "members",
        variants: &[],
        quick: &[64],
        full: &[2, 16, 128, 512],
        plots: &[
            plot(
                "heard_per_s",
                "Chat",
                "deliveries of a line to a member, per second",
                Higher,
            ),
            logarithmic(
                "p99_us",
                "Time until a line is delivered",
                "99th percentile, µs",
                Lower,
            ),
        ],
        seconds: |pace, members| generator_seconds(pace, members) + members as f64 / 2000.0,
        cannot: |contestant, _| contestant.cannot_share().map(str::to_owned),
        measure: chat::measure,
    },
];
