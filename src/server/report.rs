//! What the operator is told when a server starts and when it has ended. This file only makes lines.

use super::task_limits::LimitSource;
use crate::model::{Limits, ModelRow};
use crate::net::{BoundAddress, external_addresses, with_zone};
use crate::service::Service;
use crate::session::Counters;
use bytesize::ByteSize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Says the lines, at level info.
pub(super) fn say(lines: impl IntoIterator<Item = String>) {
    for line in lines {
        log::info!(target: "evserve", "{line}");
    }
}

/// What is served where and, unless that is somebody else's to say, how to try it. With `only_v6`, IPv4 does not lead
/// there.
pub(super) fn listening(
    service: &dyn Service,
    (bound, only_v6): &(BoundAddress, bool),
    model: &str,
    says_how: bool,
) -> Vec<String> {
    let (name, about) = (service.name(), service.about());
    let scheme = service.url_scheme();
    let place = |address: SocketAddr| match scheme {
        // In a URL the percent sign is written as such (RFC 6874 section 2).
        Some(scheme) => format!("{scheme}://{}/", with_zone(address, "%25")),
        None => with_zone(address, "%"),
    };
    let (here, elsewhere, commands) = match bound {
        BoundAddress::Tcp(address) => {
            let near = from_here(*address);
            let others = external_addresses(*address, *only_v6);
            let others: Vec<_> = others.into_iter().map(place).collect();
            (place(near), others, commands(near, scheme))
        }
        BoundAddress::Udp(address) => {
            let near = from_here(*address);
            let others = external_addresses(*address, *only_v6).into_iter();
            let others = others.map(|address| BoundAddress::Udp(address).to_string());
            let commands = vec![format!("nc -u {}", host_and_port(near))];
            (
                BoundAddress::Udp(near).to_string(),
                others.collect(),
                commands,
            )
        }
        BoundAddress::Unix(path) => {
            let path = path.display();
            let commands = match scheme {
                Some(scheme) => vec![format!(
                    "curl -i --unix-socket {path} {scheme}://localhost/"
                )],
                None => vec![format!("nc -U {path}")],
            };
            (bound.to_string(), Vec::new(), commands)
        }
        BoundAddress::UnixDatagram(path) => {
            let commands = vec![format!("nc -uU {}", path.display())];
            (bound.to_string(), Vec::new(), commands)
        }
    };
    let mut lines = vec![format!("{name}: {about} at {here} (model {model})")];
    if !elsewhere.is_empty() {
        lines.push(format!("  from other machines: {}", elsewhere.join(" ")));
    }
    if says_how || bound.is_datagram() {
        lines.extend(commands.iter().map(|command| format!("  try: {command}")));
    }
    lines
}

/// How to try a service on a TCP port.
fn commands(address: SocketAddr, scheme: Option<&str>) -> Vec<String> {
    match scheme {
        Some(scheme) => vec![
            format!("curl -i {scheme}://{}/", with_zone(address, "%25")),
            format!(
                "wrk -t1 -c64 -d5s {scheme}://{}/",
                with_zone(address, "%25")
            ),
        ],
        None => vec![format!("nc {}", host_and_port(address))],
    }
}

/// As nc(1) takes it: an address without brackets.
fn host_and_port(address: SocketAddr) -> String {
    let shown = with_zone(address, "%");
    let (host, port) = shown.rsplit_once(':').unwrap_or((&shown, ""));
    format!("{} {port}", host.trim_matches(['[', ']']))
}

/// An address that leads to a listener from this machine: nobody can connect to "all addresses".
fn from_here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// How much there may be at once, in the terms of the model, and what sets that limit if it is not the user.
pub(super) fn limits(
    model: &ModelRow,
    limits: &Limits,
    set_by: Option<LimitSource>,
    descriptors: usize,
) -> String {
    let knows = |option| model.options.contains(&option);
    let most = if knows("max-connections") {
        format!("{} connections", grouped(limits.max_connections as u64))
    } else if knows("threads") {
        format!("{} threads for each address", limits.threads)
    } else if knows("max-children") {
        format!("{} processes", limits.max_children)
    } else {
        "one connection after the other".into()
    };
    let files = grouped(descriptors as u64);
    let by = match set_by {
        None | Some(LimitSource::OpenFiles) => String::new(),
        Some(source) => format!(" ({source} allows no more)"),
    };
    format!("limits: {most}{by}, {files} open files; Ctrl-C stops it")
}

/// What was done: first in a user's terms, then in the kernel's.
pub(super) fn summary(
    model: &str,
    counters: &Counters,
    time: Duration,
    cpu: Duration,
) -> Vec<String> {
    let (time, cpu) = (time.as_secs_f64(), cpu.as_secs_f64());
    let calls = counters.system_calls();
    let per_second = (counters.requests as f64 / time.max(0.001)) as u64;
    let (cpu_each, calls_each) = match counters.requests {
        0 => Default::default(),
        requests => (
            format!(", {:.1} \u{b5}s for each", cpu * 1e6 / requests as f64),
            format!(", {:.2} per request", calls as f64 / requests as f64),
        ),
    };
    let turned_away = refused(counters);
    let calls_of_each_kind = [
        (counters.wait_calls, "waits"),
        (counters.interest_change_calls, "changes of interest"),
        (counters.accept_calls, "accepts"),
        (counters.receive_calls, "receives"),
        (counters.send_calls, "sends"),
        (counters.other_calls, "others"),
    ]
    .map(|(number, kind)| format!("{} {kind}", grouped(number)));
    let mut lines = vec![
        format!(
            "served {} requests on {} connections{turned_away} in {time:.1} s, {} a second",
            grouped(counters.requests),
            grouped(counters.accepted_connections),
            grouped(per_second)
        ),
        format!(
            "sent {}, received {}; {cpu:.3} s of CPU time{cpu_each}",
            ByteSize(counters.sent_bytes),
            ByteSize(counters.received_bytes)
        ),
        format!(
            "model {model}: {} system calls to wait and on sockets{calls_each}: {}",
            grouped(calls),
            calls_of_each_kind.join(", ")
        ),
        format!(
            "  {} events, {} of them spurious; {} calls would have blocked; {} stretches of files came from a disk",
            grouped(counters.events),
            grouped(counters.spurious_events),
            grouped(counters.would_blocks),
            grouped(counters.readaheads)
        ),
    ];
    lines.extend(datagrams(counters));
    lines
}

fn refused(counters: &Counters) -> String {
    match counters.refused_connections {
        0 => String::new(),
        number => format!(" ({} of them refused)", grouped(number)),
    }
}

/// What became of datagrams, if there were any.
fn datagrams(counters: &Counters) -> Option<String> {
    (counters.received_datagrams + counters.dropped_datagrams > 0).then(|| {
        format!(
            "answered {} of {} datagrams: {} were refused, the replies to {} could not be sent; the kernel had no room \
             for {} more",
            grouped(counters.sent_replies),
            grouped(counters.received_datagrams),
            grouped(counters.refused_datagrams),
            grouped(counters.unsent_replies),
            grouped(counters.dropped_datagrams)
        )
    })
}

/// Digits in threes: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (first, rest) = digits.split_at(first);
    let threes = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let first = (!first.is_empty()).then(|| first.into());
    first
        .into_iter()
        .chain(threes)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_threes() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }

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
        let time = Duration::from_secs(8);
        let lines = summary("epoll", &counters, time, time / 2);
        let expected = [
            "served 1,000,000 requests on 64 connections in 8.0 s, 125,000 a second",
            "sent 3.0 GiB, received 50.0 MiB; 4.000 s of CPU time, 4.0 \u{b5}s for each",
            "model epoll: 2,020,128 system calls to wait and on sockets, 2.02 per request: 20,000 waits, \
             0 changes of interest, 64 accepts, 1,000,064 receives, 1,000,000 sends, 0 others",
        ];
        assert_eq!(lines[..3], expected);
        let none = summary("poll", &Counters::default(), time, time);
        assert!(none[0].starts_with("served 0 requests on 0 connections in 8.0 s"));
    }
}
