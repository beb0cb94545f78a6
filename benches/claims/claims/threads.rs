//! Claims about threads and event loops.

use super::{PER_CPU_SECOND, PER_SECOND, Row};
use crate::work::{Ask, Side, Work};
use evserve_lab::claim::rule::Rule;
use evserve_lab::claim::{Check, Claim, Of, Source};

pub const EVENTS_WIN: Row = Row {
    claim: Claim {
        name: "events",
        title: "An event loop does more than a thread for each connection, by about 18%",
        quote: "In spite of recent improvements to threading libraries and our further improvements to Capriccio and \
                Knot, both the event-based µserver and pipeline-based WatPipe server provide better throughput (by \
                about 18%).",
        source: Source {
            author: "David Pariag, Tim Brecht, Ashif Harji, Peter Buhr, Amol Shukla",
            year: "2007",
            title: "Comparing the Performance of Web Server Architectures",
            url: "https://doi.org/10.1145/1272996.1273021",
        },
        experiment: "256 clients ask for a file of 16 KiB, each as soon as it has a response. A loop over epoll(7) \
                     stands for the µserver, a thread of the kernel for each connection for Knot. The rule asks for \
                     half of the gain. evserve has no pipeline.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[Check {
            title: "`epoll` / `threaded`, requests per second of CPU time",
            of: Of::Ratio("epoll", "threaded"),
            figure: "per_cpu_second",
            rule: Rule::AtLeast(1.09),
        }],
        changes: "Knot's threads were those of a library in the program, and the paper's files did not fit into \
                  memory. There, threads can wait for a disk while a loop must not. More cores help threads, and a \
                  loop only with `--workers`.",
    },
    sides: &[
        files("epoll", "--model epoll"),
        files("threaded", "--model threaded"),
    ],
};

const fn files(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::File("16k.html"),
            clients: 256,
        },
    }
}

pub const THREADS_WIN: Row = Row {
    claim: Claim {
        name: "threads",
        title: "Threads with blocking I/O have more throughput than non-blocking I/O",
        quote: "[..] in pure throughput, IO smokes NIO in all tests I tried.",
        source: Source {
            author: "Paul Tyma",
            year: "2008",
            title: "Kill the myth please. NIO is *not* faster than IO",
            url: "https://mailinator.blogspot.com/2008/02/kill-myth-please-nio-is-not-faster-than.html",
        },
        experiment: "64 clients each send 4 KiB, wait until all of it has come back, and repeat. A thread for each \
                     connection stands for Java's IO, a loop over epoll(7) for its NIO. The rule asks for any gain \
                     at all.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[Check {
            title: "`threaded` / `epoll`, requests per second of CPU time",
            of: Of::Ratio("threaded", "epoll"),
            figure: "per_cpu_second",
            rule: Rule::AtLeast(1.0),
        }],
        changes: "Tyma measured Java, whose NIO has costs of its own (selectors, buffers), on machines with more than \
                  one core for the server: there, threads spread over the cores and one loop does not.",
    },
    sides: &[
        echo("epoll", "--model epoll"),
        echo("threaded", "--model threaded"),
    ],
};

const fn echo(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::Echo(4096),
            clients: 64,
        },
    }
}

pub const RUNTIME: Row = Row {
    claim: Claim {
        name: "runtime",
        title: "An async runtime costs nothing",
        quote: "Tokio's zero-cost abstractions give you bare-metal performance.",
        source: Source {
            author: "The Tokio project",
            year: "2021",
            title: "README of tokio 1.5",
            url: "https://github.com/tokio-rs/tokio/blob/003d96184f68e1551326500ed3f20dac9e0f5630/README.md",
        },
        experiment: "64 clients ask for a file of 1 KiB, each as soon as it has a response. The same connections are \
                     served by a loop over epoll(7), and by tokio on one thread with a task for each connection. The \
                     rule allows a twentieth. evserve has the model `tokio` only if it is built with that feature.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[Check {
            title: "`tokio` / `epoll`, requests per second of CPU time",
            of: Of::Ratio("tokio", "epoll"),
            figure: "per_cpu_second",
            rule: Rule::AtLeast(0.95),
        }],
        changes: "The less a request does, the more of its time is the runtime's: here it is a file in memory. What a \
                  runtime gives, such as code that reads like that of a thread, is not in the figure.",
    },
    sides: &[
        small("epoll", "--model epoll"),
        small("tokio", "--model tokio"),
    ],
};

const fn small(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::File("1k.html"),
            clients: 64,
        },
    }
}
