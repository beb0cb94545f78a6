//! Claims about many connections, and about select, poll and epoll.

use super::{PER_CPU_SECOND, PER_SECOND, Row};
use crate::work::{Ask, Side, Work};
use evserve_lab::claim::rule::Rule;
use evserve_lab::claim::{Check, Claim, Figure, Of, Source};
use evserve_lab::run::Better;

const GAMMO: Source = Source {
    author: "Louay Gammo, Tim Brecht, Amol Shukla, David Pariag",
    year: "2004",
    title: "Comparing and Evaluating epoll, select, and poll Event Mechanisms",
    url: "https://www.kernel.org/doc/ols/2004/ols2004v1-pages-215-226.pdf",
};

pub const TEN_THOUSAND: Row = Row {
    claim: Claim {
        name: "c10k",
        title: "A server can serve ten thousand clients at once",
        quote: "It's time for web servers to handle ten thousand clients simultaneously, don't you think? [..] It \
                shouldn't take any more horsepower than that to take four kilobytes from the disk and send them to \
                the network once a second for each of ten thousand clients.",
        source: Source {
            author: "Dan Kegel",
            year: "1999",
            title: "The C10K problem",
            url: "http://www.kegel.com/c10k.html",
        },
        experiment: "10,000 clients stay connected. Each asks for a file of 4 KiB once a second, evenly spread, so \
                     there are 10,000 requests a second. Latency counts from the time at which a request was due. Whether \
                     it is answered is asked of those that were due at least a second before the end. \
                     The file is in memory, as it would be on Kegel's server after the first request. All models \
                     take part that can keep so many connections; the claim is about the best of them, `epoll`. \
                     The page's words are those of 1999; today it says 20,000 clients.",
        figures: &[
            Figure {
                name: "answered_percent",
                title: "answered",
                unit: "%",
                better: Better::Higher,
            },
            Figure {
                name: "p99_ms",
                title: "99th percentile",
                unit: "ms",
                better: Better::Lower,
            },
            Figure {
                name: "cpu_percent",
                title: "CPU time",
                unit: "% of a core",
                better: Better::Lower,
            },
            Figure {
                name: "private_bytes",
                title: "private memory",
                unit: "bytes per connection",
                better: Better::Lower,
            },
        ],
        checks: &[
            Check {
                title: "`epoll`: requests that are answered, %",
                of: Of::One("epoll"),
                figure: "answered_percent",
                rule: Rule::AtLeast(99.9),
            },
            Check {
                title: "`epoll`: 99th percentile, ms",
                of: Of::One("epoll"),
                figure: "p99_ms",
                rule: Rule::AtMost(100.0),
            },
        ],
        changes: "A real network, with its losses and slow clients, costs memory for unsent bytes. Without the \
                  limit of open files (`ulimit -n`), far more connections fit. Both ends are on this machine, and \
                  its kernel works for both.",
    },
    sides: &[
        crowd("epoll", "--model epoll"),
        crowd("io-uring", "--model io-uring"),
        crowd("poll", "--model poll"),
        crowd("threaded", "--model threaded"),
    ],
};

const fn crowd(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Crowd {
            ask: Ask::File("4k.html"),
        },
    }
}

pub const DENSE: Row = Row {
    claim: Claim {
        name: "dense",
        title: "Without idle connections, select and poll do as well as epoll",
        quote: "[..] the select and poll event mechanisms perform comparably to the epoll event mechanism in the \
                absence of idle connections.",
        source: GAMMO,
        experiment: "64 clients ask for a file of 1 KiB, each as soon as it has a response. `Comparably` is taken \
                     for: within a tenth.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[
            Check {
                title: "`select` / `epoll`, requests per second of CPU time",
                of: Of::Ratio("select", "epoll"),
                figure: "per_cpu_second",
                rule: Rule::Between(0.9, 1.1),
            },
            Check {
                title: "`poll` / `epoll`, requests per second of CPU time",
                of: Of::Ratio("poll", "epoll"),
                figure: "per_cpu_second",
                rule: Rule::Between(0.9, 1.1),
            },
        ],
        changes: "The paper's server changed its interests with epoll_ctl(2) at every step, which took over 16 % \
                  of its time. evserve registers a connection once, edge-triggered. More clients make each call \
                  of select(2) and poll(2) longer, but it also returns more of them.",
    },
    sides: &[
        dense("select", "--model select"),
        dense("poll", "--model poll"),
        dense("epoll", "--model epoll"),
    ],
};

const fn dense(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::File("1k.html"),
            clients: 64,
        },
    }
}

pub const SPARSE: Row = Row {
    claim: Claim {
        name: "sparse",
        title: "Idle connections cost poll much, and epoll nothing",
        quote: "[select and poll] perform work that depends on the size of the interest set, rather than the number \
                of events returned. This leads to poor performance when the interest set is much larger than the \
                active set. The epoll mechanisms avoid this pitfall and provide performance that is largely \
                independent of the size of the interest set.",
        source: GAMMO,
        experiment: "8 clients ask for a file of 1 KiB, each as soon as it has a response: alone, and beside 10,000 \
                     connections that have had a response and stay open. select(2) has no place for so many. \
                     `Largely independent` is taken for: at least nine tenths, and `poor` for: at most half.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[
            Check {
                title: "`epoll`: with / without idle connections, requests per second of CPU time",
                of: Of::Ratio("epoll, 10,000 idle", "epoll"),
                figure: "per_cpu_second",
                rule: Rule::AtLeast(0.9),
            },
            Check {
                title: "`poll`: with / without idle connections, requests per second of CPU time",
                of: Of::Ratio("poll, 10,000 idle", "poll"),
                figure: "per_cpu_second",
                rule: Rule::AtMost(0.5),
            },
        ],
        changes: "The factor of poll grows with the idle connections, and shrinks with the busy ones that share \
                  each call. Idle connections that come and go are work for every model.",
    },
    sides: &[
        few("epoll", "--model epoll"),
        beside("epoll, 10,000 idle", "--model epoll"),
        few("poll", "--model poll"),
        beside("poll, 10,000 idle", "--model poll"),
    ],
};

const SPARSE_CLIENTS: usize = 8;

const fn few(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::File("1k.html"),
            clients: SPARSE_CLIENTS,
        },
    }
}

const fn beside(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::BesideIdle {
            ask: Ask::File("1k.html"),
            clients: SPARSE_CLIENTS,
        },
    }
}
