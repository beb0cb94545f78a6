//! The lines at a server's end: what it served, and what that cost.

use super::units::{count, grouped, size, time};
use crate::session::Counters;
use std::time::Duration;

/// What was served, for a person who has served a folder.
pub(super) fn served(counters: &Counters, elapsed: Duration) -> Vec<String> {
    let refused = match counters.refused_connections {
        0 => String::new(),
        number => format!("; refused {}", count(number, "connection")),
    };
    let requests = match counters.requests {
        // Such as echo, which has none.
        0 => String::new(),
        requests => format!("{} on ", count(requests, "request")),
    };
    let served = counters
        .accepted_connections
        .saturating_sub(counters.refused_connections);
    let connections = count(served, "connection");
    let (elapsed, sent) = (time(elapsed), size(counters.sent_bytes));
    let mut lines = vec![format!(
        "served {requests}{connections} in {elapsed}; sent {sent}{refused}"
    )];
    lines.extend(datagrams(counters));
    lines
}

/// What became of datagrams, if any came.
fn datagrams(counters: &Counters) -> Option<String> {
    (counters.received_datagrams + counters.dropped_datagrams > 0).then(|| {
        format!(
            "answered {} of {}: {} not to be answered, {} not sent; the kernel had no room for {} more",
            grouped(counters.sent_replies),
            count(counters.received_datagrams, "datagram"),
            grouped(counters.refused_datagrams),
            match counters.unsent_replies {
                1 => "1 reply".into(),
                number => format!("{} replies", grouped(number)),
            },
            grouped(counters.dropped_datagrams)
        )
    })
}

/// What it cost, for a person who compares models.
pub(super) fn costs(
    model: &str,
    counters: &Counters,
    elapsed: Duration,
    cpu: Duration,
) -> Vec<String> {
    let calls = counters.system_calls();
    let per_second = (counters.requests as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    let (cpu_each, calls_each) = match counters.requests {
        0 => Default::default(),
        requests => (
            format!(", {} per request", time(cpu.div_f64(requests as f64))),
            format!(", {:.2} per request", calls as f64 / requests as f64),
        ),
    };
    let operations = match counters.operations + counters.completions {
        // Only io_uring(7) has any.
        0 => String::new(),
        _ => format!(
            "; {}, {}",
            count(counters.operations, "operation"),
            count(counters.completions, "completion")
        ),
    };
    let paused = match counters.paused_receives {
        0 => String::new(),
        paused => format!("; {} paused", count(paused, "receive")),
    };
    let zero_copy = match counters.zero_copy_sends {
        0 => String::new(),
        sends => format!(
            "; {} without a copy, of which the kernel copied {} all the same",
            count(sends, "send"),
            grouped(counters.zero_copies_in_vain)
        ),
    };
    let calls_of_each_kind = [
        count(counters.wait_calls, "wait"),
        count(counters.interest_change_calls, "change") + " of interest",
        count(counters.accept_calls, "accept"),
        count(counters.receive_calls, "receive"),
        count(counters.send_calls, "send"),
        count(counters.other_calls, "other"),
    ];
    vec![
        format!(
            "model {model}: {} system calls to wait and on sockets{calls_each}: {}{operations}{paused}{zero_copy}",
            grouped(calls),
            calls_of_each_kind.join(", ")
        ),
        format!(
            "{}, {} of them spurious; {} would have blocked; {} of files read ahead from a disk",
            count(counters.events, "event"),
            grouped(counters.spurious_events),
            count(counters.would_blocks, "call"),
            count(counters.readaheads, "part"),
        ),
        format!(
            "{} a second on average; {} of CPU time{cpu_each}; received {}",
            count(per_second, "request"),
            time(cpu),
            size(counters.received_bytes)
        ),
    ]
}

/// Who got the connections, if there are several loops.
pub(super) fn by_loop(loops: &[Counters]) -> Option<String> {
    let each = |count: fn(&Counters) -> u64| {
        let counts = loops.iter().map(|counters| grouped(count(counters)));
        counts.collect::<Vec<_>>().join(" + ")
    };
    (loops.len() > 1).then(|| {
        format!(
            "connections by loop: {}; events of listeners: {}, in vain: {}",
            each(|counters| counters.accepted_connections),
            each(|counters| counters.listener_events),
            each(|counters| counters.vain_listener_events)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_in_words() {
        let counters = Counters {
            accepted_connections: 64,
            requests: 1_000_000,
            received_bytes: 50 << 20,
            sent_bytes: 3 << 30,
            wait_calls: 20_000,
            receive_calls: 1_000_064,
            send_calls: 1_000_000,
            accept_calls: 64,
            ..Counters::default()
        };
        let elapsed = Duration::from_secs(8);
        assert_eq!(
            served(&counters, elapsed),
            ["served 1,000,000 requests on 64 connections in 8.0 s; sent 3.0 GiB"]
        );
        assert_eq!(
            costs("epoll", &counters, elapsed, elapsed / 2),
            [
                "model epoll: 2,020,128 system calls to wait and on sockets, 2.02 per request: 20,000 waits, \
                 0 changes of interest, 64 accepts, 1,000,064 receives, 1,000,000 sends, 0 others",
                "0 events, 0 of them spurious; 0 calls would have blocked; 0 parts of files read ahead from a disk",
                "125,000 requests a second on average; 4.0 s of CPU time, 4.0 \u{b5}s per request; received 50.0 MiB",
            ]
        );
        let of_a_ring = Counters {
            wait_calls: 7,
            operations: 12,
            completions: 11,
            paused_receives: 2,
            zero_copy_sends: 4,
            zero_copies_in_vain: 3,
            ..Counters::default()
        };
        assert_eq!(
            costs("io-uring", &of_a_ring, elapsed, elapsed)[0],
            "model io-uring: 7 system calls to wait and on sockets: 7 waits, 0 changes of interest, \
             0 accepts, 0 receives, 0 sends, 0 others; 12 operations, 11 completions; 2 receives paused; 4 sends without a copy, of which the kernel \
             copied 3 all the same"
        );
        let one = Counters {
            accepted_connections: 1,
            requests: 1,
            sent_bytes: 17,
            ..Counters::default()
        };
        assert_eq!(
            served(&one, Duration::from_millis(900)),
            ["served 1 request on 1 connection in 900.0 ms; sent 17 B"]
        );
        let refused = Counters {
            accepted_connections: 64,
            refused_connections: 60,
            ..Counters::default()
        };
        assert_eq!(
            served(&refused, elapsed),
            ["served 4 connections in 8.0 s; sent 0 B; refused 60 connections"]
        );
        let none = served(&Counters::default(), elapsed);
        assert_eq!(none, ["served 0 connections in 8.0 s; sent 0 B"]);
    }

    #[test]
    fn several_loops_show_who_got_the_connections() {
        let loops = [(1200, 1300, 100), (800, 801, 1)].map(|(accepted, events, vain)| Counters {
            accepted_connections: accepted,
            listener_events: events,
            vain_listener_events: vain,
            ..Counters::default()
        });
        let line = by_loop(&loops).expect("two loops");
        assert_eq!(
            line,
            "connections by loop: 1,200 + 800; events of listeners: 1,300 + 801, in vain: 100 + 1"
        );
        assert_eq!(by_loop(&loops[..1]), None);
    }

    #[test]
    fn datagrams_are_summed_up_if_any_came() {
        let counters = Counters {
            received_datagrams: 4,
            sent_replies: 2,
            refused_datagrams: 1,
            unsent_replies: 1,
            ..Counters::default()
        };
        assert_eq!(
            served(&counters, Duration::from_secs(1))[1],
            "answered 2 of 4 datagrams: 1 not to be answered, 1 reply not sent; the kernel had no room for 0 more"
        );
    }
}
