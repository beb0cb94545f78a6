//! Claims about workers that share a port.

use super::Row;
use crate::work::{Side, Work};
use evserve_lab::claim::rule::Rule;
use evserve_lab::claim::{Check, Claim, Figure, Of, Source};
use evserve_lab::run::Better;

const BUSIEST: Figure = Figure {
    name: "busiest_percent",
    title: "connections of the busiest of 4 loops",
    unit: "%",
    better: Better::Lower,
};

pub const UNIFORM: Row = Row {
    claim: Claim {
        name: "reuseport",
        title: "SO_REUSEPORT distributes connections evenly",
        quote: "With so_reusport the distribution is uniform.",
        source: Source {
            author: "Tom Herbert",
            year: "2013",
            title: "soreuseport: TCP/IPv4 implementation (Linux, commit da5e36308d9f)",
            url: "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=da5e36308d9f",
        },
        experiment: "1,000 clients come one after the other, each with a request of its own. Four loops have a \
                     listening socket each. Even is 25 %; the rule allows 30 % for the busiest loop. With 20 \
                     clients the hash of the addresses has little to be even with.",
        figures: &[BUSIEST],
        checks: &[Check {
            title: "1,000 clients: connections of the busiest of 4 loops, %",
            of: Of::One("reuseport, 1,000 clients"),
            figure: "busiest_percent",
            rule: Rule::AtMost(30.0),
        }],
        changes: "Fewer connections. Even numbers of connections are no even load: the hash also chooses a loop that \
                  is busy, while others are idle.",
    },
    sides: &[
        one_by_one(
            "reuseport, 1,000 clients",
            "--model epoll --workers 4 --accept reuseport",
            1000,
        ),
        one_by_one(
            "reuseport, 20 clients",
            "--model epoll --workers 4 --accept reuseport",
            20,
        ),
    ],
};

pub const ONE_WORKER: Row = Row {
    claim: Claim {
        name: "one-worker",
        title: "One of the workers that share a listening socket gets all connections",
        quote: "In practice the last process doing epoll_wait() will get the new connection. [..] This usually is the \
                busiest process. This leads to uneven load distribution across worker processes.",
        source: Source {
            author: "Marek Majkowski",
            year: "2017",
            title: "Why does one NGINX worker take all the load?, summarized for linux-fsdevel",
            url: "http://mail.spinics.net/lists/linux-fsdevel/msg141627.html",
        },
        experiment: "1,000 clients come one after the other, each with a request of its own. Four loops share a \
                     listening socket, which they watch with EPOLLEXCLUSIVE. The claim holds if one of them gets at \
                     least 90 %. Other ways to share are shown beside it. \
                     ([The article](https://blog.cloudflare.com/the-sad-state-of-linux-socket-balancing/).)",
        figures: &[BUSIEST],
        checks: &[Check {
            title: "`exclusive`: connections of the busiest of 4 loops, %",
            of: Of::One("exclusive"),
            figure: "busiest_percent",
            rule: Rule::AtLeast(90.0),
        }],
        changes: "Load: a loop that is busy does not wait, and the next one is woken. Which loop it is depends on the \
                  kernel: [the chapter on workers](io-models/11-workers.md#who-gets-the-connection) explains it.",
    },
    sides: &[
        one_by_one(
            "exclusive",
            "--model epoll --workers 4 --accept exclusive",
            1000,
        ),
        one_by_one("shared", "--model epoll --workers 4 --accept shared", 1000),
        one_by_one(
            "handover",
            "--model epoll --workers 4 --accept handover",
            1000,
        ),
    ],
};

const fn one_by_one(name: &'static str, options: &'static str, connections: usize) -> Side {
    Side {
        name,
        options,
        work: Work::OneByOne { connections },
    }
}
