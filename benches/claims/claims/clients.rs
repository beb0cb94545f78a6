//! Claims about clients, and about those who measure.

use super::{PER_SECOND, Row};
use crate::work::{Ask, Side, Work};
use evserve_lab::claim::rule::Rule;
use evserve_lab::claim::{Check, Claim, Figure, Of, Source};
use evserve_lab::run::Better;

const P50: Figure = Figure {
    name: "p50_ms",
    title: "median latency",
    unit: "ms",
    better: Better::Lower,
};

pub const OMISSION: Row = Row {
    claim: Claim {
        name: "omission",
        title: "A closed loop hides the latencies of a server that stalls",
        quote: "[..] most of the high latency artifacts exhibited by the measured server will be ignored. Since each \
                connection will only begin to send a request after receiving a response, high latency responses \
                result in the load generator coordinating with the server to avoid measurement during high latency \
                periods.",
        source: Source {
            author: "Gil Tene",
            year: "2014",
            title: "wrk2, a note about its latency measurement technique",
            url: "https://github.com/giltene/wrk2",
        },
        experiment: "8 clients ask for a file of 1 KiB for 600 ms. In the middle, the server is stopped (SIGSTOP) for \
                     60 ms, a tenth of the time. In the closed loop each client sends its next request as soon as it \
                     has a response. In the open loop 8,000 requests a second are due at random times, and latency \
                     counts from the time at which a request was due, so a tenth of them is late. The rule asks for \
                     a factor of 10.",
        figures: &[
            P50,
            Figure {
                name: "p99_ms",
                title: "99th percentile",
                unit: "ms",
                better: Better::Lower,
            },
            PER_SECOND,
        ],
        checks: &[Check {
            title: "open loop / closed loop, 99th percentile",
            of: Of::Ratio("epoll, open loop", "epoll, closed loop"),
            figure: "p99_ms",
            rule: Rule::AtLeast(10.0),
        }],
        changes: "Nothing about the machine. The factor follows from the length of the stall and the number of \
                  clients: with 8 clients, 8 requests of the closed loop meet the stall, however many others there \
                  are.",
    },
    sides: &[
        paused("epoll, closed loop", None),
        paused("epoll, open loop", Some(8000.0)),
    ],
};

const fn paused(name: &'static str, rate: Option<f64>) -> Side {
    Side {
        name,
        options: "--model epoll",
        work: Work::Paused {
            ask: Ask::File("1k.html"),
            clients: 8,
            rate,
        },
    }
}

pub const TWO_WRITES: Row = Row {
    claim: Claim {
        name: "nodelay",
        title: "Latency is fixed by TCP_NODELAY",
        quote: "The first thing I check when debugging latency issues in distributed systems is whether TCP_NODELAY is \
                enabled. [..] Every distributed system builder I know has lost hours to latency issues quickly fixed \
                by enabling this simple socket option [..]",
        source: Source {
            author: "Marc Brooker",
            year: "2024",
            title: "It's always TCP_NODELAY. Every damn time.",
            url: "https://brooker.co.za/blog/2024/05/09/nagle.html",
        },
        experiment: "One client sends each request for a file of 1 KiB in two parts, and then waits for the response. \
                     With Nagle's algorithm, the default, the second part waits until the first one is \
                     acknowledged, and the server's kernel delays that. With TCP_NODELAY it is sent at once. The \
                     rule asks for a factor of 10.",
        figures: &[P50],
        checks: &[Check {
            title: "default / TCP_NODELAY, median latency",
            of: Of::Ratio("epoll, default client", "epoll, client with TCP_NODELAY"),
            figure: "p50_ms",
            rule: Rule::AtLeast(10.0),
        }],
        changes: "A client that sends a request in one part does not wait. Nor does one whose server acknowledges at \
                  once (TCP_QUICKACK). evserve itself sets TCP_NODELAY on its side.",
    },
    sides: &[
        two_writes("epoll, default client", false),
        two_writes("epoll, client with TCP_NODELAY", true),
    ],
};

const fn two_writes(name: &'static str, nodelay: bool) -> Side {
    Side {
        name,
        options: "--model epoll",
        work: Work::TwoWrites { nodelay },
    }
}
