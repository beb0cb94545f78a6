//! Claims about io_uring and about sending without a copy.

use super::{PER_CPU_SECOND, PER_SECOND, Row};
use crate::work::{Ask, Side, Work};
use evserve_lab::claim::rule::Rule;
use evserve_lab::claim::{Check, Claim, Figure, Of, Source};
use evserve_lab::run::Better;

pub const ECHO: Row = Row {
    claim: Claim {
        name: "io-uring",
        title: "io_uring echoes half as many messages again as epoll",
        quote: "io_uring 128 bytes [..] 216637, epoll 128 bytes [..] 145517 [requests per second, with 300 clients].",
        source: Source {
            author: "Hielke de Vries (frevib)",
            year: "2020",
            title: "io_uring echo server benchmarks",
            url: "https://github.com/frevib/io_uring-echo-server/blob/io-uring-feat-fast-poll/benchmarks/benchmarks.md",
        },
        experiment: "300 clients each send 128 bytes, wait until all of it has come back, and repeat. The rule asks for \
                     half of the gain of 49 %. Others could not reproduce it then \
                     ([1](https://github.com/frevib/io_uring-echo-server/issues/8), \
                     [2](https://github.com/axboe/liburing/issues/189)).",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[Check {
            title: "`io-uring` / `epoll`, requests per second of CPU time",
            of: Of::Ratio("io-uring", "epoll"),
            figure: "per_cpu_second",
            rule: Rule::AtLeast(1.25),
        }],
        changes: "The dearer a system call is, the more io_uring saves: mitigations of processor bugs and virtual \
                  machines matter. The kernel of the claim was 5.6; since then both sides have changed. What else \
                  matters is in [the chapter on completions](io-models/12-completions.md#measured-step-by-step).",
    },
    sides: &[
        echo("epoll", "--model epoll"),
        echo("io-uring", "--model io-uring"),
    ],
};

const fn echo(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::Echo(128),
            clients: 300,
        },
    }
}

pub const ZERO_COPY: Row = Row {
    claim: Claim {
        name: "zero-copy",
        title: "Sending without a copy pays from about 10 KB on",
        quote: "[..] it replaces per byte copy cost with page accounting and completion notification overhead. As a \
                result, MSG_ZEROCOPY is generally only effective at writes over around 10 KB.",
        source: Source {
            author: "The Linux kernel's documentation",
            year: "2017",
            title: "MSG_ZEROCOPY",
            url: "https://www.kernel.org/doc/html/latest/networking/msg_zerocopy.html",
        },
        experiment: "64 clients each send 1 KiB or 64 KiB, wait until all of it has come back, and repeat. The model \
                     `io-uring` sends with a copy (`plain`) or without (`zc`, the operation SEND_ZC, which takes the \
                     same way through the kernel). The claim holds if `zc` is no better at 1 KiB, and better at \
                     64 KiB.",
        figures: &[PER_CPU_SECOND, PER_SECOND],
        checks: &[
            Check {
                title: "1 KiB: `zc` / `plain`, requests per second of CPU time",
                of: Of::Ratio("zc, 1 KiB", "plain, 1 KiB"),
                figure: "per_cpu_second",
                rule: Rule::AtMost(1.0),
            },
            Check {
                title: "64 KiB: `zc` / `plain`, requests per second of CPU time",
                of: Of::Ratio("zc, 64 KiB", "plain, 64 KiB"),
                figure: "per_cpu_second",
                rule: Rule::AtLeast(1.0),
            },
        ],
        changes: "A network card. The same documentation says that all packets \"that are looped to a local socket \
                  will incur a deferred copy\": on loopback nothing can be saved, and the notification is paid on \
                  top.",
    },
    sides: &[
        sized("plain, 1 KiB", "--model io-uring", 1 << 10),
        sized("zc, 1 KiB", "--model io-uring --uring-send zc", 1 << 10),
        sized("plain, 64 KiB", "--model io-uring", 64 << 10),
        sized("zc, 64 KiB", "--model io-uring --uring-send zc", 64 << 10),
    ],
};

const fn sized(name: &'static str, options: &'static str, bytes: usize) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::Echo(bytes),
            clients: 64,
        },
    }
}

pub const SPLICE: Row = Row {
    claim: Claim {
        name: "splice",
        title: "splice by io_uring sends files as well as sendfile",
        quote: "Just use splice()? It's what sendfile uses under the covers anyway, there's no difference on the kernel \
                side.",
        source: Source {
            author: "Jens Axboe",
            year: "2020",
            title: "Any possibility to add io_uring_prep_sendfile? (liburing, issue 173)",
            url: "https://github.com/axboe/liburing/issues/173",
        },
        experiment: "8 clients ask for a file of 10 MiB, each as soon as it has the last one. The model `io-uring` \
                     sends it by sendfile(2) when the socket takes bytes, or by splice(2) through a pipe, as \
                     operations of the ring. The rule allows a twentieth in either direction. Netty's users have seen \
                     [10 to 25 % less by splice](https://github.com/netty/netty/issues/15747).",
        figures: &[
            Figure {
                name: "mib_per_cpu_second",
                title: "MiB",
                unit: "per second of CPU time",
                better: Better::Higher,
            },
            Figure {
                name: "mib_per_second",
                title: "MiB",
                unit: "per second",
                better: Better::Higher,
            },
        ],
        checks: &[Check {
            title: "`splice` / `sendfile`, MiB per second of CPU time",
            of: Of::Ratio("splice", "sendfile"),
            figure: "mib_per_cpu_second",
            rule: Rule::Between(0.95, 1.05),
        }],
        changes: "The pipe's size (64 KiB unless changed) and how many pipes there are: a user has a limit of their \
                  pages. Files that are not in the page cache wait for a disk, in different places.",
    },
    sides: &[
        large("sendfile", "--model io-uring --uring-file sendfile"),
        large("splice", "--model io-uring --uring-file splice"),
    ],
};

const fn large(name: &'static str, options: &'static str) -> Side {
    Side {
        name,
        options,
        work: Work::Busy {
            ask: Ask::File("10m.bin"),
            clients: 8,
        },
    }
}
