//! The timelines of the course: which client waits when. `EVSERVE_WRITE=1 cargo test --test layers`
//! draws them.

use super::docs::check_picture;
use Kind::{Held, Idle, Runs, Waits};
use std::fmt::Write;

/// What a lane shows for a while.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Work.
    Runs,
    /// Waiting in a system call.
    Waits,
    /// Waiting for a thread or process that another client holds.
    Held,
    /// A connection without work.
    Idle,
}

/// Begin and end in tenths of the picture's width, the kind, and a label.
type Bar = (f32, f32, Kind, &'static str);

struct Lane {
    name: &'static str,
    bars: &'static [Bar],
}

struct Timeline {
    name: &'static str,
    title: &'static str,
    lanes: &'static [Lane],
    /// When, from which lane, to which lane.
    arrows: &'static [(f32, usize, usize)],
}

const fn lane(name: &'static str, bars: &'static [Bar]) -> Lane {
    Lane { name, bars }
}

/// The silent client.
const SILENT: Lane = lane("client A", &[(0.3, 10.0, Idle, "connected, silent")]);

/// The client that sends two requests and gets both responses at once.
const QUICK: Lane = lane(
    "client B",
    &[
        (1.5, 2.2, Waits, "asks"),
        (2.2, 6.5, Idle, "has its answer"),
        (6.5, 7.2, Waits, "asks"),
        (7.2, 10.0, Idle, "has its answer"),
    ],
);

/// The client that reads a large file slowly.
const SLOW: Lane = lane(
    "client C",
    &[(
        3.0,
        10.0,
        Waits,
        "asks for a large file and reads it slowly",
    )],
);

/// The turns of a loop that serves these three.
const LOOP: Lane = lane(
    "the loop",
    &[
        (0.0, 0.3, Waits, ""),
        (0.3, 0.6, Runs, "A"),
        (0.6, 1.7, Waits, "waits"),
        (1.7, 2.1, Runs, "B"),
        (2.1, 3.2, Waits, "waits"),
        (3.2, 3.6, Runs, "C"),
        (3.6, 4.8, Waits, "waits"),
        (4.8, 5.2, Runs, "C"),
        (5.2, 6.7, Waits, "waits"),
        (6.7, 7.1, Runs, "B"),
        (7.1, 8.2, Waits, "waits"),
        (8.2, 8.6, Runs, "C"),
        (8.6, 10.0, Waits, "waits"),
    ],
);

const LOOP_ARROWS: &[(f32, usize, usize)] = &[
    (1.7, 1, 3),
    (2.1, 3, 1),
    (3.2, 2, 3),
    (3.6, 3, 2),
    (5.2, 3, 2),
    (6.7, 1, 3),
    (7.1, 3, 1),
    (8.6, 3, 2),
];

const TIMELINES: &[Timeline] = &[
    Timeline {
        name: "blocking",
        title: "blocking: one thread, one client at a time",
        lanes: &[
            lane(
                "client A",
                &[(0.3, 7.0, Idle, "connected, silent, until its deadline")],
            ),
            lane(
                "client B",
                &[
                    (1.5, 7.5, Held, "connected; waits in the backlog"),
                    (7.5, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "client C",
                &[
                    (3.0, 7.5, Held, "connected; waits in the backlog"),
                    (7.5, 10.0, Waits, "reads slowly"),
                ],
            ),
            lane(
                "the thread",
                &[
                    (0.0, 0.3, Waits, ""),
                    (0.3, 7.0, Waits, "recv(A): waits for this client alone"),
                    (7.0, 7.5, Runs, "B"),
                    (7.5, 8.1, Runs, "C"),
                    (8.1, 10.0, Waits, "send(C): waits"),
                ],
            ),
        ],
        arrows: &[(0.3, 0, 3), (7.5, 3, 1)],
    },
    Timeline {
        name: "forking",
        title: "forking: a process for each client",
        lanes: &[
            SILENT,
            QUICK,
            SLOW,
            lane(
                "the parent",
                &[
                    (0.0, 0.3, Waits, ""),
                    (0.3, 0.8, Runs, "fork"),
                    (0.8, 1.5, Waits, "poll"),
                    (1.5, 2.0, Runs, "fork"),
                    (2.0, 3.0, Waits, "poll"),
                    (3.0, 3.5, Runs, "fork"),
                    (
                        3.5,
                        10.0,
                        Waits,
                        "poll: waits for connections, signals and children",
                    ),
                ],
            ),
            lane("process of A", &[(0.8, 10.0, Waits, "recv(A)")]),
            lane(
                "process of B",
                &[
                    (2.0, 2.3, Runs, "B"),
                    (2.3, 6.6, Waits, "recv(B)"),
                    (6.6, 7.0, Runs, "B"),
                    (7.0, 10.0, Waits, "recv(B)"),
                ],
            ),
            lane(
                "process of C",
                &[
                    (3.5, 4.0, Runs, "C"),
                    (4.0, 5.5, Waits, "send(C)"),
                    (5.5, 5.9, Runs, "C"),
                    (5.9, 8.4, Waits, "send(C)"),
                    (8.4, 8.8, Runs, "C"),
                    (8.8, 10.0, Waits, "send(C)"),
                ],
            ),
        ],
        arrows: &[
            (0.3, 0, 3),
            (1.5, 1, 3),
            (3.0, 2, 3),
            (0.8, 3, 4),
            (2.0, 3, 5),
            (3.5, 3, 6),
        ],
    },
    Timeline {
        name: "threaded",
        title: "threaded: a thread for each client",
        lanes: &[
            SILENT,
            QUICK,
            SLOW,
            lane(
                "accepting",
                &[
                    (0.0, 0.3, Waits, ""),
                    (0.3, 0.5, Runs, ""),
                    (0.5, 1.5, Waits, "accept"),
                    (1.5, 1.7, Runs, ""),
                    (1.7, 3.0, Waits, "accept"),
                    (3.0, 3.2, Runs, ""),
                    (3.2, 10.0, Waits, "accept: waits for the next connection"),
                ],
            ),
            lane("thread of A", &[(0.5, 10.0, Waits, "recv(A)")]),
            lane(
                "thread of B",
                &[
                    (1.7, 2.1, Runs, "B"),
                    (2.1, 6.6, Waits, "recv(B)"),
                    (6.6, 7.0, Runs, "B"),
                    (7.0, 10.0, Waits, "recv(B)"),
                ],
            ),
            lane(
                "thread of C",
                &[
                    (3.2, 3.7, Runs, "C"),
                    (3.7, 5.5, Waits, "send(C)"),
                    (5.5, 5.9, Runs, "C"),
                    (5.9, 8.4, Waits, "send(C)"),
                    (8.4, 8.8, Runs, "C"),
                    (8.8, 10.0, Waits, "send(C)"),
                ],
            ),
        ],
        arrows: &[
            (0.3, 0, 3),
            (1.5, 1, 3),
            (3.0, 2, 3),
            (0.5, 3, 4),
            (1.7, 3, 5),
            (3.2, 3, 6),
        ],
    },
    Timeline {
        name: "pool",
        title: "pool: two threads, each with one client at a time",
        lanes: &[
            lane(
                "client A",
                &[(0.3, 7.6, Idle, "connected, silent, until its deadline")],
            ),
            lane(
                "client B",
                &[
                    (1.5, 2.2, Waits, "asks"),
                    (2.2, 3.4, Idle, "answered"),
                    (5.0, 8.1, Held, "back: in the backlog"),
                    (8.1, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "client C",
                &[
                    (3.0, 3.4, Held, ""),
                    (3.4, 10.0, Waits, "reads a large file slowly"),
                ],
            ),
            lane(
                "thread 1",
                &[
                    (0.0, 0.3, Waits, ""),
                    (0.3, 7.6, Waits, "recv(A): waits for this client alone"),
                    (7.6, 8.1, Runs, "B"),
                    (8.1, 10.0, Waits, "recv(B)"),
                ],
            ),
            lane(
                "thread 2",
                &[
                    (0.0, 1.5, Waits, "accept"),
                    (1.5, 2.1, Runs, "B"),
                    (2.1, 3.4, Waits, "recv(B)"),
                    (3.4, 3.9, Runs, "C"),
                    (3.9, 5.6, Waits, "send(C)"),
                    (5.6, 6.0, Runs, "C"),
                    (6.0, 8.4, Waits, "send(C)"),
                    (8.4, 8.8, Runs, "C"),
                    (8.8, 10.0, Waits, "send(C)"),
                ],
            ),
        ],
        arrows: &[(0.3, 0, 3), (1.5, 1, 4), (3.4, 2, 4), (7.6, 1, 3)],
    },
    Timeline {
        name: "select",
        title: "select: one thread waits for all; every wait scans every bit",
        lanes: &[
            SILENT,
            QUICK,
            SLOW,
            LOOP,
            lane(
                "kernel: scans",
                &[
                    (0.6, 1.2, Runs, "3 bits"),
                    (2.1, 2.7, Runs, "3 bits"),
                    (3.6, 4.2, Runs, "3 bits"),
                    (5.2, 5.8, Runs, "3 bits"),
                    (7.1, 7.7, Runs, "3 bits"),
                    (8.6, 9.2, Runs, "3 bits"),
                ],
            ),
        ],
        arrows: LOOP_ARROWS,
    },
    Timeline {
        name: "poll",
        title: "poll: one thread waits for all; every wait passes the whole list, here with 9,000 idle clients",
        lanes: &[
            lane(
                "clients A…",
                &[(0.0, 10.0, Idle, "9,000 connections, all silent")],
            ),
            lane(
                "client B",
                &[
                    (1.5, 4.2, Held, "asks; waits for the scan"),
                    (4.2, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "client C",
                &[
                    (4.8, 8.3, Held, "asks; waits for the scan"),
                    (8.3, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "the loop",
                &[
                    (0.0, 2.6, Waits, "waits in poll"),
                    (2.6, 3.8, Runs, "finds B"),
                    (3.8, 4.2, Runs, "B"),
                    (4.2, 6.7, Waits, "waits in poll"),
                    (6.7, 7.9, Runs, "finds C"),
                    (7.9, 8.3, Runs, "C"),
                    (8.3, 10.0, Waits, "waits in poll"),
                ],
            ),
            lane(
                "kernel: scans",
                &[
                    (0.0, 2.6, Runs, "9,002 entries"),
                    (4.2, 6.7, Runs, "9,002 entries"),
                    (8.3, 10.0, Runs, "9,002 entries"),
                ],
            ),
        ],
        arrows: &[(2.6, 1, 3), (4.2, 3, 1), (6.7, 2, 3), (8.3, 3, 2)],
    },
    Timeline {
        name: "epoll",
        title: "epoll: the kernel keeps the list and notes what becomes ready; here with 9,000 idle clients",
        lanes: &[
            lane(
                "clients A…",
                &[(0.0, 10.0, Idle, "9,000 connections, all silent")],
            ),
            QUICK,
            SLOW,
            lane(
                "the loop",
                &[
                    (0.0, 1.7, Waits, "epoll_wait"),
                    (1.7, 2.1, Runs, "B"),
                    (2.1, 3.2, Waits, ""),
                    (3.2, 3.6, Runs, "C"),
                    (3.6, 4.8, Waits, ""),
                    (4.8, 5.2, Runs, "C"),
                    (5.2, 6.7, Waits, "epoll_wait"),
                    (6.7, 7.1, Runs, "B"),
                    (7.1, 8.2, Waits, ""),
                    (8.2, 8.6, Runs, "C"),
                    (8.6, 10.0, Waits, "epoll_wait"),
                ],
            ),
            lane(
                "kernel: notes",
                &[
                    (1.5, 1.7, Runs, ""),
                    (3.0, 3.2, Runs, ""),
                    (4.6, 4.8, Runs, ""),
                    (6.5, 6.7, Runs, ""),
                    (8.0, 8.2, Runs, ""),
                ],
            ),
        ],
        arrows: &[
            (1.7, 4, 3),
            (3.2, 4, 3),
            (4.8, 4, 3),
            (6.7, 4, 3),
            (8.2, 4, 3),
            (2.1, 3, 1),
            (7.1, 3, 1),
            (3.6, 3, 2),
            (5.2, 3, 2),
            (8.6, 3, 2),
        ],
    },
    Timeline {
        name: "io-uring",
        title: "io_uring: one call hands over requests and brings results",
        lanes: &[
            lane(
                "client A",
                &[
                    (0.2, 2.0, Idle, "connected"),
                    (2.0, 3.9, Waits, "asks"),
                    (3.9, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "client B",
                &[
                    (0.2, 5.6, Idle, "connected, silent"),
                    (5.6, 7.5, Waits, "asks"),
                    (7.5, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "the kernel, for A",
                &[
                    (0.4, 2.2, Waits, "receive waits"),
                    (2.2, 2.8, Runs, "recv"),
                    (3.4, 3.9, Runs, "send"),
                    (3.9, 10.0, Waits, "receive waits"),
                ],
            ),
            lane(
                "the kernel, for B",
                &[
                    (0.4, 5.8, Waits, "receive waits; it holds no buffer"),
                    (5.8, 6.4, Runs, "recv"),
                    (7.0, 7.5, Runs, "send"),
                    (7.5, 10.0, Waits, "receive waits"),
                ],
            ),
            lane(
                "the loop",
                &[
                    (0.0, 2.8, Waits, "io_uring_enter"),
                    (2.8, 3.4, Runs, "A"),
                    (3.4, 6.4, Waits, "io_uring_enter"),
                    (6.4, 7.0, Runs, "B"),
                    (7.0, 10.0, Waits, "io_uring_enter"),
                ],
            ),
        ],
        arrows: &[
            (2.0, 0, 2),
            (2.8, 2, 4),
            (3.4, 4, 2),
            (3.9, 2, 0),
            (5.6, 1, 3),
            (6.4, 3, 4),
            (7.0, 4, 3),
            (7.5, 3, 1),
        ],
    },
    Timeline {
        name: "late-completion",
        title: "A connection is closed while a receive is under way",
        lanes: &[
            lane(
                "client",
                &[
                    (0.2, 4.4, Idle, "connected, silent"),
                    (4.4, 5.2, Runs, "sends"),
                    (5.2, 10.0, Waits, "waits for an answer; has a reset"),
                ],
            ),
            lane(
                "the kernel",
                &[
                    (0.4, 4.6, Waits, "receive waits"),
                    (4.6, 5.6, Runs, "receives"),
                ],
            ),
            lane(
                "the loop",
                &[
                    (0.0, 4.0, Waits, "io_uring_enter"),
                    (4.0, 5.0, Runs, "cancels"),
                    (5.0, 5.6, Waits, ""),
                    (5.6, 6.9, Runs, "the result"),
                    (6.9, 10.0, Waits, "io_uring_enter"),
                ],
            ),
            lane(
                "the slot",
                &[
                    (0.2, 4.0, Idle, "keep-alive"),
                    (4.0, 6.9, Held, "closed; kept for the result"),
                    (6.9, 10.0, Idle, "free for another client"),
                ],
            ),
        ],
        arrows: &[(4.4, 0, 1), (5.0, 2, 1), (5.6, 1, 2)],
    },
    Timeline {
        name: "edge",
        title: "12,288 bytes arrive at once; each read takes 4,096",
        lanes: &[
            lane(
                "client",
                &[
                    (0.3, 1.3, Runs, "sends"),
                    (1.3, 10.0, Waits, "waits for all of it to come back"),
                ],
            ),
            lane(
                "level-triggered",
                &[
                    (0.0, 1.3, Waits, "wait"),
                    (1.3, 2.0, Runs, "read"),
                    (2.0, 2.5, Waits, ""),
                    (2.5, 3.2, Runs, "read"),
                    (3.2, 3.7, Waits, ""),
                    (3.7, 4.4, Runs, "read"),
                    (4.4, 10.0, Waits, "wait: nothing is left"),
                ],
            ),
            lane(
                "edge: reads once",
                &[
                    (0.0, 1.3, Waits, "wait"),
                    (1.3, 2.0, Runs, "read"),
                    (
                        2.0,
                        10.0,
                        Held,
                        "wait: 8,192 bytes are left, and no event will come",
                    ),
                ],
            ),
            lane(
                "edge: reads on",
                &[
                    (0.0, 1.3, Waits, "wait"),
                    (1.3, 2.0, Runs, "read"),
                    (2.0, 2.7, Runs, "read"),
                    (2.7, 3.4, Runs, "read"),
                    (3.4, 4.3, Runs, "EAGAIN"),
                    (4.3, 10.0, Waits, "wait: nothing is left"),
                ],
            ),
        ],
        arrows: &[],
    },
    Timeline {
        name: "state-machines",
        title: "A request in two halves: where the place in it is kept",
        lanes: &[
            lane(
                "client A",
                &[
                    (0.3, 1.1, Runs, "GET /"),
                    (1.1, 5.5, Idle, "pauses within its request"),
                    (5.5, 6.5, Runs, "the rest"),
                    (6.5, 7.5, Waits, ""),
                    (7.5, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "client B",
                &[
                    (2.5, 3.3, Runs, "asks"),
                    (3.3, 4.1, Waits, ""),
                    (4.1, 10.0, Idle, "has its answer"),
                ],
            ),
            lane(
                "thread of A",
                &[
                    (0.0, 1.1, Waits, "recv"),
                    (1.1, 1.6, Runs, "A"),
                    (1.6, 6.5, Waits, "recv: its stack keeps the place"),
                    (6.5, 7.4, Runs, "A"),
                    (7.4, 10.0, Waits, "recv"),
                ],
            ),
            lane(
                "the loop",
                &[
                    (0.0, 1.1, Waits, "wait"),
                    (1.1, 1.6, Runs, "A"),
                    (1.6, 3.3, Waits, "wait"),
                    (3.3, 4.1, Runs, "B"),
                    (4.1, 6.5, Waits, "wait"),
                    (6.5, 7.4, Runs, "A"),
                    (7.4, 10.0, Waits, "wait"),
                ],
            ),
            lane(
                "session of A",
                &[
                    (0.3, 1.6, Idle, "accepted"),
                    (1.6, 7.0, Idle, "state: reading request"),
                    (7.0, 10.0, Idle, "state: keep-alive"),
                ],
            ),
        ],
        arrows: &[
            (1.1, 0, 3),
            (3.3, 1, 3),
            (4.1, 3, 1),
            (6.5, 0, 3),
            (7.4, 3, 0),
        ],
    },
    Timeline {
        name: "backpressure",
        title: "A client that asks and stops reading",
        lanes: &[
            lane(
                "client",
                &[
                    (0.3, 1.2, Runs, "asks"),
                    (1.2, 2.5, Runs, "reads"),
                    (2.5, 7.5, Idle, "does not read; asks for more"),
                    (7.5, 10.0, Runs, "reads again"),
                ],
            ),
            lane(
                "its buffer",
                &[
                    (1.4, 3.2, Runs, "fills"),
                    (3.2, 7.5, Held, "full"),
                    (7.5, 10.0, Runs, "empties"),
                ],
            ),
            lane(
                "server's buffer",
                &[
                    (3.2, 4.4, Runs, "fills"),
                    (4.4, 7.8, Held, "full"),
                    (7.8, 10.0, Runs, "empties"),
                ],
            ),
            lane(
                "the session",
                &[
                    (0.0, 1.2, Waits, "receives"),
                    (1.2, 4.4, Runs, "sends"),
                    (4.4, 7.8, Waits, "waits to send; receives nothing"),
                    (7.8, 9.0, Runs, "sends"),
                    (9.0, 10.0, Waits, "receives"),
                ],
            ),
        ],
        arrows: &[(1.2, 0, 3), (7.8, 2, 3)],
    },
    Timeline {
        name: "chat",
        title: "A line from A to B and C: in a loop, and with a thread for each",
        lanes: &[
            lane("client A", &[(0.3, 1.2, Runs, "speaks")]),
            lane(
                "the loop",
                &[
                    (0.0, 1.2, Waits, "waits"),
                    (1.2, 2.1, Runs, "recv A"),
                    (2.1, 3.1, Runs, "send B"),
                    (3.1, 4.1, Runs, "send C"),
                    (4.1, 10.0, Waits, "waits for all"),
                ],
            ),
            lane(
                "thread of A",
                &[
                    (0.0, 1.2, Waits, "poll"),
                    (1.2, 2.1, Runs, "recv A"),
                    (2.1, 3.1, Runs, "wake B"),
                    (3.1, 4.1, Runs, "wake C"),
                    (4.1, 10.0, Waits, "poll"),
                ],
            ),
            lane(
                "thread of B",
                &[
                    (0.0, 4.1, Waits, "poll: its socket and its wake queue"),
                    (4.1, 5.1, Runs, "woken"),
                    (5.1, 6.1, Runs, "send B"),
                    (6.1, 10.0, Waits, "poll"),
                ],
            ),
            lane(
                "thread of C",
                &[
                    (0.0, 6.1, Waits, "poll: its socket and its wake queue"),
                    (6.1, 7.1, Runs, "woken"),
                    (7.1, 8.1, Runs, "send C"),
                    (8.1, 10.0, Waits, "poll"),
                ],
            ),
        ],
        arrows: &[(1.2, 0, 2), (4.1, 2, 3), (6.1, 3, 4)],
    },
];

/// The space for the names of lanes, the width of the time, and the height of a lane, in pixels.
const NAMES: f32 = 118.0;
const WIDTH: f32 = 640.0;
const LANE: f32 = 34.0;
const BAR: f32 = 22.0;
const TOP: f32 = 34.0;
const MARGIN: f32 = 12.0;

/// The width of a letter of the labels at most, on average, in pixels.
const LETTER: f32 = 6.1;

/// Colours for bright and dark pages; the picture has a background of its own.
const STYLE: &str = "\
.page{fill:#fff}text{fill:#1f2328}.grid{stroke:#d8dee4}.arrow{stroke:#57606a;fill:none}.head{fill:#57606a}\
.runs{fill:#2563c9}.waits{fill:#dfe5ec}.held{fill:#ffd8a8;stroke:#c76a00}.idle{fill:#fff;stroke:#8c959f;stroke-dasharray:4 3}\
.on-runs{fill:#fff}\
@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}.arrow{stroke:#9da7b3}\
.head{fill:#9da7b3}.runs{fill:#3b82f6}.waits{fill:#30363d}.held{fill:#5c3a0b;stroke:#f0a04b}.idle{fill:#0d1117;stroke:#8b949e}}";

fn class(kind: Kind) -> &'static str {
    match kind {
        Runs => "runs",
        Waits => "waits",
        Held => "held",
        Idle => "idle",
    }
}

fn at(time: f32) -> f32 {
    MARGIN + NAMES + time * WIDTH / 10.0
}

fn draw(timeline: &Timeline) -> String {
    let lanes = timeline.lanes.len() as f32;
    let (width, height) = (
        2.0 * MARGIN + NAMES + WIDTH,
        TOP + lanes * LANE + 34.0 + MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
         <text x=\"{MARGIN}\" y=\"21\" font-size=\"13\" font-weight=\"bold\">{}</text>\n",
        timeline.title, timeline.title
    );
    let middle = |lane: usize| TOP + (lane as f32 + 0.5) * LANE;
    let mut add = |text: String| writeln!(svg, "{text}").expect("writing to a string");
    // Behind the bars, so that no arrow crosses a label.
    for (time, from, to) in timeline.arrows {
        let (x, down) = (at(*time), if to > from { 1.0 } else { -1.0 });
        let (from, to) = (
            middle(*from) + down * BAR / 2.0,
            middle(*to) - down * BAR / 2.0,
        );
        add(format!(
            "<path class=\"arrow\" d=\"M{x:.1} {from}V{}\"/><path class=\"head\" d=\"M{x:.1} {to}l-4 {}h8z\"/>",
            to - down * 4.0,
            -down * 7.0
        ));
    }
    for (index, lane) in timeline.lanes.iter().enumerate() {
        let y = middle(index);
        add(format!(
            "<text x=\"{MARGIN}\" y=\"{}\">{}</text><path class=\"grid\" d=\"M{} {y}H{}\"/>",
            y + 4.0,
            lane.name,
            at(0.0),
            at(10.0)
        ));
        for bar in lane.bars {
            add(draw_bar(*bar, y));
        }
    }
    let y = TOP + lanes * LANE + 22.0;
    let used = |kind: &&(Kind, &str)| {
        let mut bars = timeline.lanes.iter().flat_map(|lane| lane.bars);
        bars.any(|bar| bar.2 == kind.0)
    };
    let legend = [
        (Runs, "works"),
        (Waits, "waits in a call, or for an answer under way"),
        (Held, "held up"),
        (Idle, "idle"),
    ];
    let mut x = MARGIN + NAMES;
    for (kind, what) in legend.iter().filter(used) {
        add(format!(
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{}\" width=\"22\" height=\"13\" rx=\"3\"/><text x=\"{:.1}\" y=\"{y}\">{what}</text>",
            class(*kind),
            y - 11.0,
            x + 28.0
        ));
        x += 28.0 + what.len() as f32 * LETTER + 22.0;
    }
    add(format!(
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">time →</text>",
        at(10.0)
    ));
    svg + "</svg>\n"
}

fn draw_bar((from, to, kind, label): Bar, y: f32) -> String {
    let class = class(kind);
    let (x, width) = (at(from), (to - from) * WIDTH / 10.0);
    let mut text = format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"3\"/>",
        y - BAR / 2.0
    );
    if !label.is_empty() {
        let on = if kind == Runs {
            " class=\"on-runs\""
        } else {
            ""
        };
        write!(
            text,
            "<text{on} x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            x + width / 2.0,
            y + 4.0
        )
        .expect("writing to a string");
    }
    text
}

#[test]
fn the_timelines_are_drawn() {
    for timeline in TIMELINES {
        let path = format!("docs/io-models/timelines/{}.svg", timeline.name);
        check_picture(&path, &draw(timeline));
    }
}

/// Bars follow one another, labels fit in, and arrows begin and end at lanes.
#[test]
fn the_timelines_can_be_read() {
    for Timeline {
        name,
        lanes,
        arrows,
        ..
    } in TIMELINES
    {
        for lane in *lanes {
            assert!(
                lane.name.chars().count() as f32 * LETTER <= NAMES,
                "{name}: {}",
                lane.name
            );
            for pair in lane.bars.windows(2) {
                assert!(
                    pair[0].1 <= pair[1].0,
                    "{name}: {}: bars overlap",
                    lane.name
                );
            }
            for (from, to, _, label) in lane.bars {
                let width = (to - from) * WIDTH / 10.0;
                assert!(*to <= 10.0 && width > 0.0, "{name}: {}", lane.name);
                let needed = label.chars().count() as f32 * LETTER;
                assert!(
                    needed <= width,
                    "{name}: {label:?} needs {needed} of {width}"
                );
            }
        }
        assert!(
            arrows
                .iter()
                .all(|(_, from, to)| (*from).max(*to) < lanes.len() && from != to)
        );
    }
}
